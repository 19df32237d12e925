//! Every alert of docs/alerts.yaml fires once for a real fault of real programs, and ends with it. The faults
//! of one test come one after the other, with calm between them, so that what fires is known to be of one.
//!
//! `load` has those of `cadmill serve`. All alerts with made values, and what must not fire, are in
//! `crates/stores/src/metrics/tests/alerts.rs`.

use super::load;
use super::prometheus::Prometheus;
use super::relay::{Fault, What};
use super::site::{At, Program, Site, after};
use crate::serve::Installation;
use crate::support::repository;
use cadmill_core::domain::due::{Part, Work};
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::State;
use cadmill_core::domain::state::{Policy, created};
use cadmill_core::ports::JobStore;
use cadmill_stores::adapters::embedded::Database;
use cadmill_stores::bootstrap::stores::MAX_DELIVERIES;
use cadmill_stores::config::DATABASE;
use rustix::process::Signal;
use std::collections::{BTreeSet, HashSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

const IDLE: &[&str] =
    &["CadmillTargetDown", "CadmillDeadLetters", "CadmillStoreFails", "CadmillApiErrors", "CadmillNoCleanup"];
const WAITING: &[&str] = &["CadmillNoWorker", "CadmillJobsWait"];
const ATTEMPTS: &[&str] = &["CadmillAttemptsRetried", "CadmillJobsLost"];
const WORKERS: &[&str] = &["CadmillPlaintextLeft", "CadmillLeasesLapse", "CadmillForbiddenCall"];
const DELETION: &[&str] = &["CadmillDeletionSlow", "CadmillDeletionOverdue", "CadmillDeletionUnrecorded"];
const STORE: &[&str] = &["CadmillWakeOverdue", "CadmillDeletionUnconfirmed"];
const ORPHANS: &[&str] = &["CadmillOrphans"];

#[test]
fn every_alert_has_a_fault() {
    let text = std::fs::read_to_string(repository().join("docs/alerts.yaml")).unwrap();
    let alerts: BTreeSet<&str> =
        text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let faults = [IDLE, WAITING, ATTEMPTS, WORKERS, DELETION, STORE, ORPHANS, load::FAULTS].concat();
    assert_eq!(alerts, faults.into_iter().collect());
}

fn is_any(_: &str) -> bool {
    true
}

fn is_deletion(line: &str) -> bool {
    line.starts_with("DELETE ")
}

fn is_listing(line: &str) -> bool {
    line.contains("list-type") || line.contains("versions")
}

/// A client that opens connections until none is left, for as long as it is not dropped.
struct Flood(Arc<AtomicBool>);

impl Flood {
    fn of(url: &str) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let (address, ended) = (url.trim_start_matches("http://").to_owned(), Arc::clone(&ends));
        std::thread::spawn(move || {
            let mut held = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                // Those without a request are closed after a while.
                held.drain(..held.len().saturating_sub(8));
                held.extend(TcpStream::connect(&address));
                if let Ok(mut stream) = TcpStream::connect(&address) {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
                    let _ =
                        write!(stream, "GET /api/formats HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
                    let _ = stream.read(&mut [0; 64]);
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self(ends)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "in `make nightly`"]
async fn without_jobs() {
    let mut site =
        Site::new(&[("CADMILL_API_CONNECTIONS", "12"), ("CADMILL_API_CONNECTIONS_PER_CLIENT", "4")]).await;
    for program in [Program::Cleanup, Program::Api, Program::Worker] {
        site.runs(program, At::NewAddress);
    }
    let api = site.service(Program::Api).wait_for("listening on ");

    // A program hangs.
    let fault = site.begin("CadmillTargetDown");
    site.signal(Program::Worker, Signal::STOP);
    site.fires(&fault);
    site.signal(Program::Worker, Signal::CONT);
    site.end(&fault, &[]);

    // A message that is no event of an upload.
    let fault = site.begin("CadmillDeadLetters");
    site.world.queue.send("rubbish").await.expect("sent");
    site.fires(&fault);
    let database = rusqlite::Connection::open(site.world.data().join(DATABASE)).expect("the database");
    assert_eq!(database.execute("DELETE FROM dead_letters", []).expect("deleted"), 1);
    site.end(&fault, &[]);

    // Health checks of a worker whose credentials the object store does not take any more.
    let fault = site.begin("CadmillStoreFails");
    site.relay.has(Fault { of: is_any, is: What::Refused("InvalidAccessKeyId") });
    let ready = site.url(Program::Worker, "/readyz");
    let statuses = load::polled(&ready, || site.fires(&fault));
    assert!(statuses.contains(&503), "{statuses:?}");
    site.relay.is_well();
    let statuses = load::polled(&ready, || site.end(&fault, &[]));
    assert!(statuses.contains(&200), "{statuses:?}");

    // More connections than the API takes.
    let fault = site.begin("CadmillApiErrors");
    let flood = Flood::of(&api);
    site.fires(&fault);
    drop(flood);
    site.end(&fault, &[]);

    // The only cleanup program dies, and is not started again at once.
    let fault = site.begin("CadmillNoCleanup");
    site.kill(Program::Cleanup);
    site.fires(&fault);
    site.runs(Program::Cleanup, At::SameAddress);
    site.end(&fault, &["CadmillTargetDown"]);
    assert_eq!(site.fired(), IDLE);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "in `make nightly`"]
async fn jobs_that_wait() {
    let mut site = Site::new(&[("CADMILL_WORKER_CONCURRENCY", "1"), ("CADMILL_LIMITS_TIMEOUT", "5s")]).await;
    site.runs(Program::Cleanup, At::NewAddress);

    // No worker runs. When one does, it takes a job that has waited for too long.
    let fault = site.begin("CadmillNoWorker");
    let id = site.submit("ok").await;
    site.fires(&fault);
    site.runs(Program::Worker, At::NewAddress);
    site.world.wait(id, "completed", |job| job.state == State::Completed).await;
    site.end(&fault, &["CadmillJobsWait"]);

    // One worker, and many jobs of which each takes as long as it may.
    let fault = site.begin("CadmillJobsWait");
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(site.submit("stubborn").await);
    }
    site.fires(&fault);
    for id in ids {
        site.world.wait(id, "ended", |job| job.state.is_terminal()).await;
    }
    site.end(&fault, &[]);
    assert_eq!(site.fired(), WAITING);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "in `make nightly`"]
async fn system_errors() {
    let mut site = Site::new(&[("CADMILL_JOB_MAX_ATTEMPTS", "10")]).await;
    let built = Path::new(env!("CARGO_BIN_EXE_cadmill")).with_file_name("cadmill-engine-host");
    let host = site.world.data().join("engine-host");
    std::fs::copy(built, &host).expect("a copy of the engine host");
    site.set("CADMILL_ENGINE_HOST", host.to_str().expect("UTF-8"));
    for program in [Program::Cleanup, Program::Worker] {
        site.runs(program, At::NewAddress);
    }

    // The engine host is away, as during a careless update. It comes back before the attempts are used up.
    let fault = site.begin("CadmillAttemptsRetried");
    let away = host.with_extension("away");
    std::fs::rename(&host, &away).expect("it is moved");
    let ids = [site.submit("ok").await, site.submit("ok").await];
    site.fires(&fault);
    std::fs::rename(&away, &host).expect("it is moved back");
    for id in ids {
        site.world.wait(id, "completed", |job| job.state == State::Completed).await;
    }
    site.end(&fault, &[]);

    // The same, and it does not come back in time.
    site.kill(Program::Worker);
    site.set("CADMILL_JOB_MAX_ATTEMPTS", "1");
    site.runs(Program::Worker, At::SameAddress);
    let fault = site.begin("CadmillJobsLost");
    std::fs::rename(&host, &away).expect("it is moved");
    let id = site.submit("ok").await;
    site.fires(&fault);
    site.world.wait(id, "failed", |job| job.state == State::Failed).await;
    std::fs::rename(&away, &host).expect("it is moved back");
    // Its message is a dead letter, in the count of which it may not be yet.
    let database = rusqlite::Connection::open(site.world.data().join(DATABASE)).expect("the database");
    assert_eq!(database.execute("DELETE FROM dead_letters", []).expect("deleted"), 1);
    site.end(&fault, &["CadmillDeadLetters"]);
    assert_eq!(site.fired(), ATTEMPTS);
}

/// A file system that is mounted somewhere, where a directory cannot be removed.
struct Mounted(PathBuf);

impl Mounted {
    fn at(path: PathBuf) -> Self {
        std::fs::create_dir(&path).expect("a directory");
        let done = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&path).status();
        assert!(done.expect("mount starts").success(), "this test mounts a file system, as root");
        Self(path)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Each worker is a new task at a new address, which is scraped when it has met the fault.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "in `make nightly`"]
async fn workers_that_die() {
    let mut site = Site::new(&[]).await;
    for program in [Program::Cleanup, Program::Worker] {
        site.runs(program, At::NewAddress);
    }
    let in_work = async |site: &Site, id: JobId, attempt: u32| {
        let is_so = |job: &cadmill_core::domain::job::Job| {
            job.attempt == attempt && job.stage.is_some_and(|stage| stage.as_str() == "convert")
        };
        site.world.wait(id, "in work", is_so).await;
    };

    // A worker dies, and what it leaves cannot be removed. Its job is cancelled.
    let fault = site.begin("CadmillPlaintextLeft");
    let id = site.submit("stubborn").await;
    in_work(&site, id, 1).await;
    site.is_gone(Program::Worker);
    site.cancel(id).await;
    let left =
        std::fs::read_dir(site.world.place()).expect("the place").flatten().next().expect("a workspace");
    let mounted = Mounted::at(left.path().join("mounted"));
    let address = site.starts(Program::Worker, At::NewAddress);
    site.service(Program::Worker).wait_for("removed the workspaces of a dead process");
    site.scrapes(Program::Worker, address);
    site.fires(&fault);
    drop(mounted);
    site.world.workspace_is_empty().await;
    site.end(&fault, &[]);

    // A worker dies, and another one takes its job.
    let fault = site.begin("CadmillLeasesLapse");
    let id = site.submit("stubborn").await;
    in_work(&site, id, 1).await;
    site.is_gone(Program::Worker);
    let address = site.starts(Program::Worker, At::NewAddress);
    in_work(&site, id, 2).await;
    site.scrapes(Program::Worker, address);
    site.fires(&fault);
    site.cancel(id).await;
    site.end(&fault, &[]);

    // The first job of a worker makes a symbolic link.
    let fault = site.begin("CadmillForbiddenCall");
    site.is_gone(Program::Worker);
    let id = site.submit("link").await;
    let address = site.starts(Program::Worker, At::NewAddress);
    site.world.wait(id, "failed", |job| job.state == State::Failed).await;
    site.scrapes(Program::Worker, address);
    site.fires(&fault);
    site.end(&fault, &[]);
    assert_eq!(site.fired(), WORKERS);
}

/// Jobs that have ended, each in a shard of its own.
async fn due(site: &Site, number: usize) -> Vec<JobId> {
    let (mut ids, mut shards) = (Vec::new(), HashSet::new());
    while ids.len() < number {
        let id = site.due().await;
        if shards.insert(Part::with(Work::Delete, id)) {
            ids.push(id);
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "in `make nightly`"]
async fn deletions_that_take_long() {
    let mut site = Site::new(&[]).await;
    site.runs(Program::Cleanup, At::NewAddress);

    // One deletion in time: see `CadmillDeletionSlow` in docs/OPERATING.md.
    for id in due(&site, 1).await {
        site.deleted(id).await;
    }

    // The object store takes its time for a while. Nothing is due for long when the cleanup begins with it.
    let fault = site.begin("CadmillDeletionSlow");
    site.relay.has(Fault { of: is_deletion, is: What::Late(Duration::from_secs(7)) });
    let ids = due(&site, 3).await;
    for id in ids {
        site.deleted(id).await;
    }
    site.relay.is_well();
    site.fires(&fault);
    site.end(&fault, &[]);

    // The object store hangs, and with it the pass of the cleanup.
    let fault = site.begin("CadmillDeletionOverdue");
    site.relay.has(Fault { of: is_deletion, is: What::Late(Duration::from_secs(40)) });
    let ids = due(&site, 3).await;
    site.fires(&fault);
    site.relay.is_well();
    for id in ids {
        site.deleted(id).await;
    }
    site.end(&fault, &["CadmillDeletionSlow"]);

    // The directory of the ledgers is away.
    let fault = site.begin("CadmillDeletionUnrecorded");
    let (ledgers, away) = (site.world.data().join("audit"), site.world.data().join("away"));
    std::fs::rename(&ledgers, &away).expect("the ledgers of the deletions before");
    std::fs::write(&ledgers, "no directory").expect("a file in its place");
    let ids = due(&site, 1).await;
    for id in ids {
        site.deleted(id).await;
    }
    site.fires(&fault);
    std::fs::remove_file(&ledgers).and_then(|()| std::fs::rename(&away, &ledgers)).expect("the directory");
    site.end(&fault, &[]);
    assert_eq!(site.fired(), DELETION);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "in `make nightly`"]
async fn an_object_store_that_fails_the_cleanup() {
    let mut site = Site::new(&[("CADMILL_JOB_REDELIVER", "1s")]).await;
    site.runs(Program::Cleanup, At::NewAddress);

    // Listings take their time, by which the cleanup looks for uploads whose event was lost.
    let fault = site.begin("CadmillWakeOverdue");
    site.relay.has(Fault { of: is_listing, is: What::Late(Duration::from_secs(30)) });
    let mut ids = Vec::new();
    let policy = Policy { redeliver: 1000, ..Policy::default() };
    for _ in 0..3 {
        let order = site.world.job(site.world.create(b"x", "dxf").await).await.order;
        let job = created(JobId::random(), order, &policy, site.world.jobs.clock().now());
        site.world.jobs.store().create(&job).await.expect("a job");
        ids.push(job.id);
    }
    site.fires(&fault);
    site.relay.is_well();
    site.end(&fault, &[]);
    for id in ids {
        site.cancel(id).await;
    }

    // The permission to delete is taken away. The cleanup tries again later and later.
    let fault = site.begin("CadmillDeletionUnconfirmed");
    site.relay.has(Fault { of: is_deletion, is: What::Refused("AccessDenied") });
    let ids = due(&site, 2).await;
    site.fires(&fault);
    site.relay.is_well();
    for id in ids {
        site.deleted(id).await;
    }
    // What is deleted after its time is late, too.
    site.end(&fault, &["CadmillStoreFails", "CadmillDeletionSlow"]);
    assert_eq!(site.fired(), STORE);
}

/// Records are lost, and `cadmill serve` looks for what belongs to none.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "in `make nightly`"]
async fn records_that_are_lost() {
    let installation = Installation::whole();
    let ports = super::prometheus::two_ports();
    let served = installation.serve(&[
        "--metrics-listen",
        &ports.to_string(),
        "--cleanup-every",
        "1s",
        "--api-upload-url-lifetime",
        "10s",
        "--job-linger",
        "10s",
    ]);
    served.said("metrics of cadmill-converter on ");
    let prometheus = Prometheus::start();
    let addresses = [0, 1].map(|more| format!("127.0.0.1:{}", ports + more));
    prometheus.scrape([("cadmill-api", addresses[0].as_str()), ("cadmill-worker", addresses[1].as_str())]);
    prometheus.is_calm();
    let since = SystemTime::now();
    let client = super::Client::new(&served);
    let content = std::fs::read(crate::support::real("gis/cities.kml")).unwrap();
    let id = client.submit("in.kml", &content);
    assert_eq!(client.ended(&id), "COMPLETED");
    let store = Database::open(&installation.data().join(DATABASE), MAX_DELIVERIES).unwrap().jobs();
    // The cleanup may note meanwhile that the job is not counted any more.
    let id = id.parse().unwrap();
    while let Some(job) = store.get(id).await.unwrap() {
        store.delete(&job).await.unwrap();
    }
    served.said("found objects of jobs that have no record");
    assert_eq!(prometheus.fired_since(since), Default::default());
    prometheus.fires("CadmillOrphans");
    after(5).await;
    assert_eq!(prometheus.fired_since(since), ORPHANS.iter().map(|alert| ((*alert).to_owned(), 1)).collect());
}
