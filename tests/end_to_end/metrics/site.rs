//! An installation whose programs are processes of their own, on the embedded stores, with a Prometheus.

use super::prometheus::Prometheus;
use super::relay::Relay;
use crate::misbehaviour::double;
use crate::pipeline::processes::Service;
use crate::pipeline::world::World;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::state::Event;
use cadmill_core::jobs::Change;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// A program, by the name of its scrape job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Program {
    Api,
    Cleanup,
    Worker,
}

impl Program {
    fn job(self) -> &'static str {
        match self {
            Self::Api => "cadmill-api",
            Self::Cleanup => "cadmill-cleanup",
            Self::Worker => "cadmill-worker",
        }
    }

    fn binary(self) -> &'static str {
        match self {
            Self::Api => "cadmill-api",
            Self::Cleanup => "cadmill-cleanup",
            Self::Worker => "cadmill-converter",
        }
    }

    fn start(self, variables: &[(&str, String)]) -> Service {
        let arguments: &[&str] = if self == Self::Worker { &["worker"] } else { &[] };
        Service::start(self.binary(), arguments, variables)
    }
}

/// Where a program shows its metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// At an address that it has not had before, as a task of an orchestrator.
    NewAddress,
    /// At the address that it had before.
    SameAddress,
}

/// A fault that was made.
pub(super) struct Fault {
    alert: &'static str,
    since: SystemTime,
}

pub(super) struct Site {
    pub(super) world: World,
    pub(super) prometheus: Prometheus,
    /// Before the object store.
    pub(super) relay: Relay,
    services: BTreeMap<Program, Service>,
    addresses: BTreeMap<Program, String>,
    variables: Vec<(&'static str, String)>,
    fired: Vec<&'static str>,
}

impl Site {
    /// One without programs. The variables are for all of them.
    pub(super) async fn new(more: &[(&'static str, &str)]) -> Self {
        let world = World::new().await;
        let mut variables = world.variables();
        let endpoint =
            variables.iter().find(|(name, _)| *name == "CADMILL_S3_ENDPOINT").expect("an endpoint");
        let relay = Relay::before(&endpoint.1).await;
        let engines = world.data().join("engines.toml");
        let text = format!("[[engine]]\nname = \"assimp\"\nkind = \"assimp\"\nlibrary = {:?}\n", double());
        std::fs::write(&engines, text).expect("an engines file");
        let path = |path: PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
        variables.extend([
            ("CADMILL_S3_ENDPOINT", relay.endpoint().to_owned()),
            ("CADMILL_API_LISTEN", "127.0.0.1:0".to_owned()),
            ("CADMILL_CLEANUP_EVERY", "1s".to_owned()),
            ("CADMILL_JOB_LEASE", "2s".to_owned()),
            ("CADMILL_WORKSPACE", path(world.place().to_owned())),
            // What it leaves is seen from here.
            ("CADMILL_PRIVATE_WORKSPACE", "no".to_owned()),
            ("CADMILL_WORKER_MEMORY", "8G".to_owned()),
            ("CADMILL_ENGINES_FILE", path(engines)),
        ]);
        variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let (services, addresses) = (BTreeMap::new(), BTreeMap::new());
        Self {
            world,
            prometheus: Prometheus::start(),
            relay,
            services,
            addresses,
            variables,
            fired: Vec::new(),
        }
    }

    /// Sets a variable for programs that are started from now on.
    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        self.variables.push((name, value.to_owned()));
    }

    /// Starts a program, which is not scraped yet. Returns where it shows its metrics.
    pub(super) fn starts(&mut self, program: Program, at: At) -> String {
        let listen = match at {
            At::NewAddress => "0",
            At::SameAddress => &self.addresses[&program],
        };
        let mut variables = self.variables.clone();
        variables.push(("CADMILL_METRICS_LISTEN", listen.to_owned()));
        let mut service = program.start(&variables);
        let shown = service.wait_for(&format!("metrics of {} on http://", program.binary()));
        let address = shown.strip_suffix("/metrics").expect("the address of the metrics").to_owned();
        self.services.insert(program, service);
        address
    }

    /// Scrapes a program at an address, and no more where it was before.
    pub(super) fn scrapes(&mut self, program: Program, address: String) {
        self.addresses.insert(program, address);
        self.scrape();
    }

    fn scrape(&self) {
        let targets = self.addresses.iter().map(|(program, address)| (program.job(), address.as_str()));
        self.prometheus.scrape(targets);
    }

    /// Starts a program and scrapes it.
    pub(super) fn runs(&mut self, program: Program, at: At) {
        let address = self.starts(program, at);
        self.scrapes(program, address);
    }

    pub(super) fn service(&mut self, program: Program) -> &mut Service {
        self.services.get_mut(&program).expect("it runs")
    }

    /// The URL of a path of a program's listener for metrics.
    pub(super) fn url(&self, program: Program, path: &str) -> String {
        format!("http://{}{path}", self.addresses[&program])
    }

    pub(super) fn signal(&self, program: Program, signal: Signal) {
        self.services[&program].signal(signal);
    }

    /// Kills a program, which is scraped all the same.
    pub(super) fn kill(&mut self, program: Program) {
        assert!(self.services.remove(&program).is_some(), "{program:?} does not run");
    }

    /// Kills a program, which is scraped no more, as a task of an orchestrator.
    pub(super) fn is_gone(&mut self, program: Program) {
        self.kill(program);
        self.addresses.remove(&program);
        self.scrape();
    }

    fn logs(&self) -> String {
        self.services.iter().map(|(program, service)| format!("{program:?}:\n{}\n", service.log())).collect()
    }

    /// Begins a fault, when nothing else is wrong.
    pub(super) fn begin(&self, alert: &'static str) -> Fault {
        self.prometheus.is_calm();
        Fault { alert, since: SystemTime::now() }
    }

    /// Waits for the alert of a fault.
    pub(super) fn fires(&self, fault: &Fault) {
        self.prometheus.fires(fault.alert);
    }

    /// Waits until nothing fires, after a fault was mended. Its alert has fired once, and no other than those
    /// that docs/OPERATING.md names with it, once each at most.
    pub(super) fn end(&mut self, fault: &Fault, related: &[&str]) {
        self.prometheus.is_calm();
        self.has_fired(fault, related);
    }

    /// The same, without waiting.
    pub(super) fn has_fired(&mut self, fault: &Fault, related: &[&str]) {
        let fired = self.prometheus.fired_since(fault.since);
        let is_expected = |alert: &str| alert == fault.alert || related.contains(&alert);
        let expected = fired.iter().all(|(alert, times)| is_expected(alert) && *times == 1);
        assert!(expected && fired.contains_key(fault.alert), "{}: {fired:?}\n{}", fault.alert, self.logs());
        println!("{}: {fired:?}", fault.alert);
        self.fired.push(fault.alert);
    }

    /// The alerts that have fired for their faults, in order.
    pub(super) fn fired(&self) -> &[&'static str] {
        &self.fired
    }

    /// Submits a model, which the engine double reads: the first word says what it does.
    pub(super) async fn submit(&self, behaviour: &str) -> JobId {
        self.world.submit_as("in.obj", format!("{behaviour} \n").as_bytes(), "stl").await
    }

    /// Ends a job, as by its client.
    pub(super) async fn cancel(&self, id: JobId) {
        let change = self.world.jobs.send(id, &Event::Cancelled).await.expect("the store answers");
        assert!(matches!(change, Change::Done(_)), "{change:?}");
    }

    /// A job that has ended and has an object, which is due for deletion.
    pub(super) async fn due(&self) -> JobId {
        let id = self.world.create(b"x", "dxf").await;
        let key = ObjectKey::processed(id, 1, "plan.dxf".parse().expect("a name"));
        self.world.objects.put(&key, "result".into()).await.expect("an object");
        self.cancel(id).await;
        id
    }

    /// Waits until the objects of a job were deleted.
    pub(super) async fn deleted(&self, id: JobId) {
        self.world.wait(id, "deleted", |job| job.purges > 0).await;
    }
}

/// Sleeps, where the length of a fault is part of it.
pub(super) async fn after(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
