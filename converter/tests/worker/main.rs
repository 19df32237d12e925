//! The worker on failing stores: whichever call fails, the job ends once and correctly. The engine
//! is real, and so are the stores behind the injected faults.

mod encoded;
mod late;
mod ledger;
mod permissions;
mod versions;

use cadmill_converter::conversion::context::ConversionContext;
use cadmill_converter::conversion::description_cache::DescriptionCache;
use cadmill_converter::engine::registry::Engines;
use cadmill_converter::engine::supervisor::Supervisor;
use cadmill_converter::intake::DownloadConfig;
use cadmill_converter::worker::{Attempts, LedgerFactory, Worker, WorkerSettings};
use cadmill_converter::workspace::WorkspaceRoot;
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::domain::job::{Compress, Job, JobSpec, Stage, State};
use cadmill_core::domain::limits::{ArchiveLimits, Caps};
use cadmill_core::domain::state::{Event, Policy};
use cadmill_core::jobs::Jobs;
use cadmill_core::ledger::LocalSigner;
use cadmill_core::ports::clock::SystemClock;
use cadmill_core::ports::{AuditSink, EventQueue, JobStore, ObjectStore, Signer};
use cadmill_stores::adapters::aws::s3::S3Store;
use cadmill_stores::adapters::embedded::{Database, EmbeddedS3};
use cadmill_stores::adapters::faulty::{Fault, FaultyAudit, FaultyJobs, FaultyObjects, FaultyQueue, Script};
use cadmill_stores::adapters::ledger::FileAudit;
use cadmill_stores::bootstrap::ledger::Auditing;
use cadmill_stores::conformance::audit_sink::signer;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const LEASE: Duration = Duration::from_secs(5);

/// Longest wait for anything, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);

/// Fault scripts for the three ports.
#[derive(Default)]
struct Scripts {
    jobs: Script,
    objects: Script,
    queue: Script,
    audit: Script,
}

struct World {
    jobs: Jobs,
    objects: Arc<dyn ObjectStore>,
    queue: Arc<dyn EventQueue>,
    database: Database,
    server: EmbeddedS3,
    place: TempDir,
    ledgers: Arc<FileAudit>,
    signer: Arc<LocalSigner>,
    data: TempDir,
}

/// A worker that runs in this process.
struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<bool>,
}

impl Running {
    async fn end(self) {
        self.stop.cancel();
        assert!(self.task.await.unwrap(), "the worker ends in time");
    }
}

impl World {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let place = tempfile::Builder::new().prefix("cadmill-test-").tempdir_in("/dev/shm").unwrap();
        let database = Database::open(&data.path().join("cadmill.sqlite"), 100).unwrap();
        let queue: Arc<dyn EventQueue> = Arc::new(database.queue());
        let listen = ([127, 0, 0, 1], 0).into();
        let server = EmbeddedS3::start(data.path(), listen, Arc::clone(&queue), &[]).await.unwrap();
        let objects = S3Store::new(server.settings()).await;
        let ledgers = Arc::new(FileAudit::new(&data.path().join("audit")).unwrap());
        let signer = Arc::new(signer());
        let jobs = jobs_of(Arc::new(database.jobs()), 3);
        Self { jobs, objects: Arc::new(objects), queue, database, server, place, ledgers, signer, data }
    }

    async fn submit(&self) -> JobId {
        self.submit_with(Compress::Never).await
    }

    async fn submit_with(&self, compress: Compress) -> JobId {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/fixtures/real/gis/naturalearth_lowres.zip");
        self.submit_archive(std::fs::read(path).unwrap(), compress).await
    }

    async fn submit_archive(&self, archive: Vec<u8>, compress: Compress) -> JobId {
        self.submit_accepting(archive, compress, false).await
    }

    async fn submit_accepting(&self, archive: Vec<u8>, compress: Compress, accept_gzip: bool) -> JobId {
        let id = JobId::random();
        let order = JobSpec {
            owner: "tester".parse().unwrap(),
            file_name: "plan.zip".parse().unwrap(),
            size_bytes: archive.len() as u64,
            sha256: None,
            format: "dxf".to_owned(),
            root: None,
            options: Default::default(),
            compress,
            strict: false,
            accept_gzip,
            result_ttl_seconds: None,
        };
        self.jobs.create(id, order).await.unwrap();
        let key = ObjectKey::upload(id, "plan.zip".parse().unwrap());
        self.objects.put(&key, archive.into()).await.unwrap();
        id
    }

    /// Starts a worker on stores that fail as scripted.
    fn start(&self, scripts: Scripts) -> Running {
        self.start_with(scripts, 1, 8 << 30)
    }

    fn start_with(&self, scripts: Scripts, concurrency: u32, memory_bytes: u64) -> Running {
        let sink = Arc::new(FaultyAudit::new(self.ledgers.clone(), scripts.audit.clone()));
        let jobs = FaultyJobs::new(Arc::new(self.database.jobs()), scripts.jobs.clone());
        self.start_on(sink, jobs_of(Arc::new(jobs), 3), scripts, concurrency, memory_bytes)
    }

    /// Starts a worker whose attempts are made by `attempts`.
    fn start_attempting(&self, scripts: Scripts, attempts: Arc<dyn Attempts>) -> Running {
        let jobs =
            jobs_of(Arc::new(FaultyJobs::new(Arc::new(self.database.jobs()), scripts.jobs.clone())), 3);
        let (worker, stop) = self.worker(self.ledgers.clone(), jobs, scripts, 1, 8 << 30);
        running(worker.attempting(attempts), stop)
    }

    fn start_on(
        &self,
        sink: Arc<dyn AuditSink>,
        jobs: Jobs,
        scripts: Scripts,
        concurrency: u32,
        memory_bytes: u64,
    ) -> Running {
        let (worker, stop) = self.worker(sink, jobs, scripts, concurrency, memory_bytes);
        running(worker, stop)
    }

    fn worker(
        &self,
        sink: Arc<dyn AuditSink>,
        jobs: Jobs,
        scripts: Scripts,
        concurrency: u32,
        memory_bytes: u64,
    ) -> (Worker, CancellationToken) {
        let settings = WorkerSettings {
            name: "worker".to_owned(),
            bucket: self.server.bucket().to_owned(),
            concurrency,
            memory_bytes,
            stop_within: Duration::from_secs(10),
            caps: Caps::default(),
            archive: ArchiveLimits::default(),
            flow: DownloadConfig::default(),
            protection: None,
        };
        let setting = ConversionContext {
            engines: Engines::default(),
            place: WorkspaceRoot::new(self.place.path().to_owned(), false),
            supervisor: Supervisor::new(env!("CARGO_BIN_EXE_cadmill-engine-host").into()),
            hosts: None,
            descriptions: DescriptionCache::default(),
        };
        let posture = [("swap".to_owned(), "off".to_owned())].into();
        let signer: Arc<dyn Signer> = self.signer.clone();
        let auditing = Auditing { sink, signer: Some(signer) };
        let recording = LedgerFactory { auditing, worker: "worker".to_owned(), posture };
        let stop = CancellationToken::new();
        let worker = Worker::new(
            settings,
            setting,
            recording,
            jobs,
            Arc::new(FaultyObjects::new(Arc::clone(&self.objects), scripts.objects)),
            Arc::new(FaultyQueue::new(Arc::clone(&self.queue), scripts.queue)),
            stop.clone(),
        );
        (worker, stop)
    }

    async fn ended(&self, id: JobId) -> Job {
        let since = Instant::now();
        loop {
            let job = self.jobs.store().get(id).await.unwrap().unwrap();
            if job.state.is_terminal() {
                return job;
            }
            assert!(since.elapsed() < PATIENCE, "it never ended: {job:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Runs with these scripts until the job is COMPLETED, and checks its result.
    async fn work(&self, id: JobId, scripts: Scripts) -> Job {
        let worker = self.start(scripts);
        let job = self.ended(id).await;
        worker.end().await;
        assert_eq!(std::fs::read_dir(self.place.path()).unwrap().count(), 0, "nothing is left");
        assert_eq!(job.state, State::Completed, "{job:?}");
        let output = job.output.as_ref().unwrap();
        let dxf = self.objects.read(output, 0..output.size_bytes).await.unwrap();
        assert!(dxf.ends_with(b"EOF\r\n"));
        job
    }
}

fn running(worker: Worker, stop: CancellationToken) -> Running {
    Running { stop, task: tokio::spawn(async move { worker.run().await }) }
}

fn jobs_of(store: Arc<dyn JobStore>, max_attempts: u32) -> Jobs {
    let lease = u64::try_from(LEASE.as_millis()).unwrap();
    Jobs::new(store, Arc::new(SystemClock), Policy { lease, max_attempts, ..Policy::default() })
}

/// The reply to any single write of the record is lost: upload, claim, times, end. The worker
/// recognises its own write and continues without help from another.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_to_any_write_costs_no_attempt() {
    let world = World::new().await;
    for call in 1..=4 {
        let id = world.submit().await;
        let script = Script::new().on("replace", call, Fault::DropReply);
        let job = world.work(id, Scripts { jobs: script.clone(), ..Scripts::default() }).await;
        assert!(script.calls("replace") >= 4, "the claim and the end are among the first four writes");
        assert_eq!(job.attempt, 1, "after a lost reply to write {call}");
    }
}

/// A write that a client repeats by itself because the reply took too long.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_made_twice_costs_no_attempt() {
    let world = World::new().await;
    for call in 1..=4 {
        let id = world.submit().await;
        let script = Script::new().on("replace", call, Fault::Twice);
        let job = world.work(id, Scripts { jobs: script, ..Scripts::default() }).await;
        assert_eq!(job.attempt, 1, "after write {call} twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_to_the_upload_of_the_result_costs_no_attempt() {
    let world = World::new().await;
    let id = world.submit().await;
    let script = Script::new().on("put", 1, Fault::DropReply);
    let job = world.work(id, Scripts { objects: script.clone(), ..Scripts::default() }).await;
    assert_eq!(script.calls("put"), 2, "it is tried again and finds its own");
    assert_eq!(job.attempt, 1);
}

/// If an order requests compression, the result is an archive of the file.
#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_zipped_when_the_order_says_so() {
    let world = World::new().await;
    let id = world.submit_with(Compress::Always).await;
    let worker = world.start(Scripts::default());
    let job = world.ended(id).await;
    worker.end().await;
    let output = job.output.expect("a result");
    assert!(output.key.file().as_str().ends_with(".dxf.zip"), "{output:?}");
    let bytes = world.objects.read(&output, 0..output.size_bytes).await.unwrap();
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let dxf = std::io::read_to_string(zip.by_index(0).unwrap()).unwrap();
    assert!(zip.len() == 1 && dxf.ends_with("EOF\r\n"));
    assert_eq!(std::fs::read_dir(world.place.path()).unwrap().count(), 0, "nothing is left");
}

/// A read that fails or ends early is retried.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_read_costs_no_attempt() {
    let world = World::new().await;
    // The first two reads are of the archive's beginning and central directory, before the claim;
    // the third is of the body.
    for call in 1..=3 {
        for fault in [Fault::Fail, Fault::Truncate(3)] {
            let id = world.submit().await;
            let script = Script::new().on("read", call, fault);
            let job = world.work(id, Scripts { objects: script.clone(), ..Scripts::default() }).await;
            assert_eq!(job.attempt, 1, "{job:?}");
            assert_eq!(script.calls("read"), 4, "read {call}");
        }
    }
}

/// A download that fails permanently is an internal failure, not an invalid input: another attempt
/// is made.
#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_fails_is_another_attempt() {
    let world = World::new().await;
    let id = world.submit().await;
    let script = (3..8).fold(Script::new(), |script, call| script.on("read", call, Fault::Fail));
    let job = world.work(id, Scripts { objects: script, ..Scripts::default() }).await;
    assert_eq!(job.attempt, 2, "{job:?}");
}

/// The object under the key is not the one that was announced: the job ends with a specific failure
/// code and leaves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_upload_ends_the_job() {
    let world = World::new().await;
    let id = world.submit().await;
    // The upload is recorded as it is now. Its event waits for a worker.
    let key = ObjectKey::upload(id, "plan.zip".parse().unwrap());
    let object = world.objects.head(&key).await.unwrap();
    let event = Event::Uploaded { object: object.clone(), sequencer: "01".to_owned(), at: None };
    world.jobs.send(id, &event).await.unwrap();
    world.objects.purge(Role::Upload, id).await.unwrap();
    let other = vec![b'x'; usize::try_from(object.size_bytes).unwrap()];
    world.objects.put(&key, other.into()).await.unwrap();
    let worker = world.start(Scripts::default());
    let job = world.ended(id).await;
    worker.end().await;
    let failure = job.failure.unwrap();
    assert_eq!((job.state, failure.code.as_str()), (State::Failed, "input.replaced"));
    assert_eq!((job.attempt, failure.at), (1, Some(Stage::Fetch)));
    assert_eq!(std::fs::read_dir(world.place.path()).unwrap().count(), 0, "nothing is left");
}

/// Deleting the message fails: it is redelivered and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_deleted_changes_nothing() {
    let world = World::new().await;
    let id = world.submit().await;
    let script = Script::new().on("delete", 1, Fault::Fail);
    let worker = world.start(Scripts { queue: script.clone(), ..Scripts::default() });
    let job = world.ended(id).await;
    until(|| script.calls("delete") >= 2).await;
    worker.end().await;
    let after = world.ended(id).await;
    assert_eq!((after.attempt, after.output), (1, job.output));
}

/// Two jobs and two slots, but memory for one: the second waits unclaimed until the first returns
/// its share.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_finds_no_room_waits_for_it() {
    let world = World::new().await;
    // The result of the first job is uploaded late enough that the job is still running when the
    // second is examined.
    let objects = Script::new().on("put", 1, Fault::Delay(Duration::from_secs(8)));
    let memory = Caps::default().memory_bytes + (64 << 20);
    let first = world.submit().await;
    let worker = world.start_with(Scripts { objects: objects.clone(), ..Scripts::default() }, 2, memory);
    until(|| objects.calls("put") == 1).await;
    let reads = objects.calls("read");
    let second = world.submit().await;
    // Its central directory has been read: it is asking for memory.
    until(|| objects.calls("read") > reads).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let get = async |id| world.jobs.store().get(id).await.unwrap().unwrap();
    let (waits, works) = (get(second).await, get(first).await);
    assert_eq!((works.state, works.attempt), (State::Processing, 1));
    assert_eq!((waits.state, waits.attempt), (State::Pending, 0));
    for id in [first, second] {
        let job = world.ended(id).await;
        assert_eq!((job.state, job.attempt), (State::Completed, 1), "{job:?}");
    }
    worker.end().await;
}

/// A job that would not fit even alone is refused, and its body is not downloaded.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_can_never_fit_is_refused_before_it_is_fetched() {
    let world = World::new().await;
    let objects = Script::new();
    let id = world.submit().await;
    let worker = world.start_with(Scripts { objects: objects.clone(), ..Scripts::default() }, 1, 64 << 20);
    let job = world.ended(id).await;
    worker.end().await;
    let failure = job.failure.unwrap();
    assert_eq!((job.state, failure.code.as_str()), (State::Failed, "limit.admission"));
    assert_eq!(objects.calls("read"), 2, "the archive's beginning and its directory, and no more");
}

async fn until(is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "it never came to that");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
