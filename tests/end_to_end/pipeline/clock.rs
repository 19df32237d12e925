//! The wall clock of one process steps while it runs: back by one and by two hours, and ahead by a
//! day. All other clocks are right. Conversions continue, and results are neither deleted early nor
//! kept too long.
//!
//! The clock is stepped by libfaketime, which does not change the monotonic clock.

use super::client::{Client, PATIENCE, Signed};
use super::processes::Service;
use super::world::World;
use crate::support::real;
use cadmill_core::domain::ids::ObjectKey;
use cadmill_core::ports::{ObjectStore, PortError};
use cadmill_stores::adapters::aws::S3Store;
use cadmill_stores::adapters::embedded::server::{Credentials, settings};
use cadmill_stores::conformance::http;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Back, further back, ahead, and right again: offsets from the right time, in seconds.
const STEPS: [i64; 4] = [-3600, -7200, 86_400, 0];

/// A clock that is set through a file.
struct Clock {
    directory: TempDir,
}

impl Clock {
    fn new() -> Self {
        let clock = Self { directory: tempfile::tempdir().expect("a directory") };
        clock.step(0);
        clock
    }

    fn step(&self, seconds: i64) {
        let (file, aside) = (self.directory.path().join("time"), self.directory.path().join("aside"));
        std::fs::write(&aside, format!("{seconds:+}\n")).expect("a file");
        std::fs::rename(aside, file).expect("the file of the time");
    }

    /// Environment variables of a process that uses this clock.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let library = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
        assert!(Path::new(&library).is_file(), "{library} is missing: `make setup` installs it");
        let file = self.directory.path().join("time").to_str().expect("UTF-8").to_owned();
        let on = || "1".to_owned();
        vec![
            ("LD_PRELOAD", library),
            ("FAKETIME_TIMESTAMP_FILE", file),
            ("FAKETIME_NO_CACHE", on()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", on()),
            ("NO_FAKE_STAT", on()),
        ]
    }
}

/// `cadmill`, and a worker beside it that uses the clocks in these variables.
fn installation(worker: &[(&str, String)]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let built = Path::new(env!("CARGO_BIN_EXE_cadmill"));
    for program in ["cadmill", "cadmill-engine-host"] {
        let (built, installed) = (built.with_file_name(program), directory.path().join(program));
        if std::fs::hard_link(&built, &installed).is_err() {
            std::fs::copy(&built, &installed).expect("a copy");
        }
    }
    let sets: String = worker.iter().map(|(name, value)| format!(" {name}='{value}'")).collect();
    let built = built.with_file_name("cadmill-converter");
    let script = format!(
        "#!/bin/sh\nunset LD_PRELOAD FAKETIME_TIMESTAMP_FILE\nexec env{sets} '{}' \"$@\"\n",
        built.display()
    );
    let path = directory.path().join("cadmill-converter");
    std::fs::write(&path, script).expect("a script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    directory
}

/// The content of a job's upload.
fn archive() -> Vec<u8> {
    std::fs::read(real("gis/naturalearth_lowres.zip")).expect("a fixture")
}

/// Runs a conversion from the request to its result, and returns the job.
async fn convert(client: &Client, services: &[&Service]) -> String {
    let archive = archive();
    let since = Instant::now();
    let (job, mut upload) = client.create("plan.zip", archive.len()).await;
    loop {
        // A store that refuses may close the connection before it has read the body.
        let reply = Signed::of(&upload).try_put(&archive).await.map(|reply| (reply.status, reply.text()));
        if matches!(reply, Ok((200, _))) {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "the upload is refused: {reply:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        upload = client.call("GET", &format!("/api/jobs/{job}/uploads"), None).await.1;
    }
    client.wait(&job, "COMPLETED", services).await;
    result(client, &job).await;
    job
}

/// Downloads the result, as its owner does.
async fn result(client: &Client, job: &str) {
    let body = client.status(job).await;
    let url = body["download"]["url"].as_str().unwrap_or_else(|| panic!("no download: {body}"));
    let reply = http::send("GET", url, &[], Vec::new()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.body.ends_with(b"EOF\r\n"));
}

/// Steps the clock, and converts after each step; earlier results must remain.
async fn goes_on(clock: &Clock, client: &Client, services: &[&Service]) {
    let mut jobs = vec![convert(client, services).await];
    for step in STEPS {
        clock.step(step);
        jobs.push(convert(client, services).await);
        // Two rounds of the cleanup, which would delete expired results.
        tokio::time::sleep(Duration::from_secs(11)).await;
        for job in &jobs {
            result(client, job).await;
        }
    }
    let (status, _) = client.call("GET", "/readyz", None).await;
    assert_eq!(status, 200);
}

/// `cadmill serve` with these clocks.
struct Served {
    service: Service,
    client: Client,
    _installation: TempDir,
    data: TempDir,
}

impl Served {
    fn start(
        serve: &[(&'static str, String)],
        worker: &[(&str, String)],
        more: &[(&'static str, &str)],
    ) -> Self {
        let (installation, data) = (installation(worker), tempfile::tempdir().expect("a directory"));
        let program = installation.path().join("cadmill");
        let path = data.path().to_str().expect("UTF-8");
        let mut variables = serve.to_vec();
        variables.extend(more.iter().map(|&(name, value)| (name, value.to_owned())));
        variables.push(("CADMILL_DATA_DIR", path.to_owned()));
        let arguments = ["serve", "--listen", "127.0.0.1:0"];
        let mut service = Service::start(program.to_str().expect("UTF-8"), &arguments, &variables);
        let url = service.wait_for("listening on ");
        service.wait_for("ready");
        Self { service, client: Client { url }, _installation: installation, data }
    }

    /// Its objects, accessed with its keys.
    async fn objects(&self, endpoint: &str) -> S3Store {
        let keys = Credentials::read(self.data.path()).expect("keys");
        S3Store::new(settings(endpoint.to_owned(), keys)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_the_servers_clock_stops_no_conversion() {
    let clock = Clock::new();
    let served = Served::start(&clock.variables(), &[], &[]);
    goes_on(&clock, &served.client, &[&served.service]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_the_workers_clock_stops_no_conversion() {
    let clock = Clock::new();
    let served = Served::start(&[], &clock.variables(), &[]);
    goes_on(&clock, &served.client, &[&served.service]).await;
}

/// The API and its cleanup, with stores and a worker whose clocks are right.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_the_apis_clock_stops_no_conversion() {
    let (clock, world) = (Clock::new(), World::new().await);
    let mut variables = clock.variables();
    variables.extend(world.variables());
    let mut cleaner = Service::start("cadmill-cleanup", &[], &variables);
    cleaner.wait_for("cleaning up every");
    variables.push(("CADMILL_API_LISTEN", "127.0.0.1:0".to_owned()));
    let mut api = Service::start("cadmill-api", &[], &variables);
    let client = Client { url: api.wait_for("listening on ") };
    client.is_ready().await;
    let _worker = world.worker("w", None);
    goes_on(&clock, &client, &[&api]).await;
}

/// Expiry is not postponed: no object outlives its lifetime because of the step.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_the_clock_does_not_put_deletions_off() {
    let clock = Clock::new();
    let served = Served::start(
        &clock.variables(),
        &[],
        &[("CADMILL_JOB_RETENTION", "20s"), ("CADMILL_API_DOWNLOAD_URL_LIFETIME", "10s")],
    );
    for step in [-3600, -7200] {
        let job = convert(&served.client, &[&served.service]).await;
        clock.step(step);
        let body = served.client.status(&job).await;
        let url = body["download"]["url"].as_str().expect("a download");
        let (endpoint, rest) = url.split_once("/cadmill/").expect("the URL of an object");
        let key: ObjectKey = rest.split('?').next().expect("a key").parse().expect("a key");
        let objects = served.objects(endpoint).await;
        let since = Instant::now();
        while !matches!(objects.head(&key).await, Err(PortError::NotFound(_))) {
            assert!(since.elapsed() < 2 * PATIENCE, "the result is kept\n{}", served.service.log());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// The step does not hide waiting messages from any receiver.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_the_clock_hides_no_message() {
    let (clock, world) = (Clock::new(), World::new().await);
    // Sent before the worker's clock steps, and its visibility extended repeatedly afterwards.
    let id = world.submit(&archive(), "dxf").await;
    clock.step(-3600);
    let mut world = world;
    for (name, value) in clock.variables() {
        world.set(name, value);
    }
    let _worker = world.worker("back", None);
    world.completed(id).await;
    world.queue_is_empty().await;
}
