//! A sink of ledgers that never answers: it keeps no program from deleting, and none from ending.

use super::client::Client;
use super::processes::{Server, Service};
use cadmill_core::cleanup::upload_key;
use cadmill_core::domain::ids::{JobId, Role};
use cadmill_core::domain::job::Evidence;
use cadmill_core::domain::state::{Event, Policy};
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::ObjectStore;
use cadmill_core::ports::clock::SystemClock;
use cadmill_core::ports::object_store::Purged;
use cadmill_stores::adapters::aws::S3Store;
use cadmill_stores::adapters::embedded::{Database, EmbeddedS3};
use cadmill_stores::conformance::job_store::{new_job, new_owner};
use rustix::process::Signal;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A program must have ended this long after SIGTERM: the platforms kill it after 30 seconds.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

/// The signing key is a pipe that has no other end: opening it blocks for ever.
fn variables(directory: &Path) -> Vec<(&'static str, String)> {
    let pipe = directory.join("key.pem");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    match rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0) {
        // Of another program of the same test.
        Err(rustix::io::Errno::EXIST) => {}
        made => made.expect("a pipe"),
    }
    vec![
        ("CADMILL_AUDIT_SIGN_WITH", "key".to_owned()),
        ("CADMILL_AUDIT_KEY_FILE", pipe.to_str().expect("UTF-8").to_owned()),
    ]
}

/// The program ends at SIGTERM, with success.
fn ends(program: Service, what: &str) {
    let since = Instant::now();
    program.signal(Signal::TERM);
    let (code, log) = program.ended();
    assert_eq!(code, Some(0), "{what}: {log}");
    assert!(since.elapsed() < ENDS_WITHIN, "{what} ends after {:?}:\n{log}", since.elapsed());
}

/// A data directory that this process serves, with a job whose deletion is due.
struct World {
    data: TempDir,
    server: EmbeddedS3,
    jobs: Jobs,
    objects: S3Store,
    due: JobId,
}

impl World {
    async fn new() -> Self {
        let data = TempDir::new().expect("a directory");
        let database = Database::open(&data.path().join("jobs.sqlite"), 100).expect("a database");
        let queue = Arc::new(database.queue());
        let listen = ([127, 0, 0, 1], 0).into();
        let server = EmbeddedS3::start(data.path(), listen, queue, &[]).await.expect("a server");
        let objects = S3Store::new(server.settings()).await;
        let jobs = Jobs::new(Arc::new(database.jobs()), Arc::new(SystemClock), Policy::default());
        let (job, _) = jobs.create(JobId::random(), new_job(&new_owner(), 1).order).await.expect("created");
        let key = upload_key(job.id, &job.order.file_name);
        objects.put(&key, b"content".to_vec().into()).await.expect("written");
        jobs.send(job.id, &Event::Cancelled).await.expect("cancelled");
        Self { data, server, jobs, objects, due: job.id }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = variables(self.data.path());
        variables.extend([
            ("CADMILL_BACKEND", "embedded".to_owned()),
            ("CADMILL_DATA_DIR", self.data.path().to_str().expect("UTF-8").to_owned()),
            ("CADMILL_S3_ENDPOINT", self.server.endpoint()),
            ("CADMILL_API_LISTEN", "127.0.0.1:0".to_owned()),
        ]);
        variables
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_hangs_keeps_neither_the_first_pass_nor_the_end() {
    let world = World::new().await;
    let cleaner = Service::start("cadmill-cleanup", &["--cleanup-every", "1s"], &world.variables());
    let since = Instant::now();
    let job = loop {
        let job = world.jobs.store().get(world.due).await.expect("an answer").expect("its record");
        if job.purges > 0 {
            break job;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "nothing is deleted:\n{}", cleaner.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(job.deletions[0].evidence, Evidence::Owed, "it is not forgotten");
    assert_eq!(world.objects.purge(Role::Upload, world.due).await, Ok(Purged::default()));
    let log = cleaner.log();
    assert!(log.contains("the audit sinks do not answer"), "{log}");
    ends(cleaner, "the cleanup");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_hangs_keeps_no_program_from_ending() {
    let world = World::new().await;
    let mut api = Service::start("cadmill-api", &[], &world.variables());
    let client = Client { url: api.wait_for("listening on ") };
    assert_eq!(client.call("GET", "/healthz", None).await.0, 200);
    ends(api, "the API");
    let mut worker = Service::worker(&world.variables());
    worker.wait_for("the audit sinks do not answer");
    assert!(!worker.log().contains("ready"), "no plaintext without its ledger: {}", worker.log());
    ends(worker, "the worker");

    let directory = TempDir::new().expect("a directory");
    let kept = variables(directory.path());
    let kept: Vec<_> = kept.iter().map(|(name, value)| (*name, &**value)).collect();
    let server = Server::embedded(&kept);
    Client { url: server.url.clone() }.is_ready().await;
    let since = Instant::now();
    server.stops_well();
    assert!(since.elapsed() < ENDS_WITHIN, "serve ends after {:?}", since.elapsed());
}
