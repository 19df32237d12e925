//! Stores that this process has started, and workers as separate processes that use them.

use super::observer::trace::Observer;
use super::stores::Stores;
use super::worker::PATIENCE;
use crate::misbehaviour::double;
use crate::support::{repository, zipped};
use cadmill_core::cleanup::Cleanup;
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::domain::job::{Job, JobSpec, Object, State};
use cadmill_core::domain::ledger::PublicKey;
use cadmill_core::domain::state::Policy;
use cadmill_core::domain::upload_event;
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::clock::SystemClock;
use cadmill_core::ports::{Clock, EventQueue, ObjectStore};
use cadmill_stores::adapters::ledger::FileAudit;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use zip::CompressionMethod::Stored;

pub(crate) use super::worker::Worker;

/// Duration of a lease in these tests.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// The file name of a job.
const NAME: &str = "plan.zip";

pub(crate) struct World {
    pub(crate) jobs: Jobs,
    pub(crate) queue: Arc<dyn EventQueue>,
    pub(crate) objects: Arc<dyn ObjectStore>,
    stores: Stores,
    data: TempDir,
    place: TempDir,
    /// Whether workers create their workspaces where this process cannot see them.
    private: &'static str,
    /// Environment variables of the workers besides the common ones.
    more: Vec<(&'static str, String)>,
    /// Whether workers are observed from their first instruction.
    observed: bool,
    /// The user of the workers, if not the user of this process.
    user: Option<u32>,
}

impl World {
    /// A world on the embedded stores.
    pub(crate) async fn new() -> Self {
        let data = tempfile::tempdir().expect("a data directory");
        let stores = Stores::embedded(data.path()).await;
        Self::on(stores, data)
    }

    /// A world on these stores. Logs and ledgers are kept in `data`.
    pub(crate) fn on(stores: Stores, data: TempDir) -> Self {
        let place = tempfile::Builder::new().prefix("cadmill-test-").tempdir_in("/dev/shm").expect("a place");
        let lease = u64::try_from(LEASE.as_millis()).expect("a short lease");
        let policy = Policy { lease, ..Policy::default() };
        let jobs = Jobs::new(Arc::clone(&stores.jobs), Arc::new(SystemClock), policy);
        let (queue, objects) = (Arc::clone(&stores.queue), Arc::clone(&stores.objects));
        let more = Vec::new();
        Self { jobs, queue, objects, stores, data, place, private: "no", more, observed: false, user: None }
    }

    /// A world whose workers must have private workspaces.
    pub(crate) async fn with_private_workspaces() -> Self {
        Self { private: "required", ..Self::new().await }
    }

    /// A world whose workers have private workspaces where the host allows it.
    pub(crate) fn anywhere(self) -> Self {
        Self { private: "auto", ..self }
    }

    /// A world whose workers run as another user, who owns everything that they use.
    pub(crate) fn of_user(self, user: u32) -> Self {
        let mut pending = vec![self.data.path().to_owned(), self.place.path().to_owned()];
        while let Some(path) = pending.pop() {
            std::os::unix::fs::lchown(&path, Some(user), Some(user)).expect("it is given away");
            if path.is_dir() && !path.is_symlink() {
                pending.extend(std::fs::read_dir(&path).expect("a directory").flatten().map(|e| e.path()));
            }
        }
        Self { user: Some(user), ..self }
    }

    /// A world whose workers are watched by an observer, see [`super::observer`].
    pub(crate) fn observed(self) -> Self {
        Self { observed: true, ..self }
    }

    /// Sets a variable for workers that are started from now on.
    pub(crate) fn set(&mut self, variable: &'static str, value: impl Into<String>) {
        self.more.push((variable, value.into()));
    }

    /// Replaces the engine that reads models with the engine double.
    pub(crate) fn use_double(&mut self) {
        let engines = self.data.path().join("engines.toml");
        let text = format!("[[engine]]\nname = \"assimp\"\nkind = \"assimp\"\nlibrary = {:?}\n", double());
        std::fs::write(&engines, text).expect("an engines file");
        self.set("CADMILL_ENGINES_FILE", engines.to_str().expect("a path in UTF-8"));
    }

    /// Creates a ledger signing key for workers that are started from now on.
    pub(crate) fn sign(&self) -> PublicKey {
        let key = self.signing_key();
        let openssl = |arguments: &[&str]| {
            let output = Command::new("openssl").args(arguments).output().expect("openssl starts");
            assert!(output.status.success(), "{output:?}");
            output.stdout
        };
        let path = key.to_str().expect("a path in UTF-8");
        openssl(&["genpkey", "-algorithm", "ed25519", "-out", path]);
        PublicKey::from_pem(&openssl(&["pkey", "-in", path, "-pubout"])).expect("a public key")
    }

    fn signing_key(&self) -> PathBuf {
        self.data.path().join("key.pem")
    }

    /// The ledgers that workers have written.
    pub(crate) fn ledgers(&self) -> FileAudit {
        FileAudit::new(&self.data.path().join("audit")).expect("the directory of the ledgers")
    }

    /// The cleanup of these stores.
    pub(crate) fn cleanup(&self) -> Cleanup {
        let (objects, queue) = (Arc::clone(&self.objects), Arc::clone(&self.queue));
        Cleanup::new(self.jobs.clone(), objects, queue, self.stores.bucket().to_owned(), "test".to_owned())
    }

    /// The directory of the ledgers and the logs, and of stores that are embedded.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// Deletes the objects of a job, as the cleanup does in time.
    pub(crate) async fn purge(&self, id: JobId) {
        for role in [Role::Upload, Role::Processed] {
            self.objects.purge(role, id).await.expect("the objects are deleted");
        }
    }

    /// The directory in which the workers create their workspaces.
    pub(crate) fn place(&self) -> &Path {
        self.place.path()
    }

    /// Variables that another process needs to use these stores.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        self.stores.variables().to_vec()
    }

    /// Creates a job for this archive and uploads it. The queue is notified.
    pub(crate) async fn submit(&self, archive: &[u8], format: &str) -> JobId {
        self.submit_as(NAME, archive, format).await
    }

    /// The same for a file with this name, which need not be an archive.
    pub(crate) async fn submit_as(&self, name: &str, archive: &[u8], format: &str) -> JobId {
        let id = self.create_as(name, archive, format).await;
        let key = ObjectKey::upload(id, name.parse().expect("a file name"));
        self.objects.put(&key, archive.to_vec().into()).await.expect("the upload");
        self.announce(id).await;
        id
    }

    /// The same for this owner.
    pub(crate) async fn submit_for(&self, owner: &str, archive: &[u8], format: &str) -> JobId {
        let id = self.create_for(owner, NAME, archive, format).await;
        self.objects.put(&upload_key(id), archive.to_vec().into()).await.expect("the upload");
        self.announce(id).await;
        id
    }

    /// The same by an upload in parts of the least size.
    pub(crate) async fn submit_in_parts(&self, archive: &[u8], format: &str) -> JobId {
        let id = self.create(archive, format).await;
        let key = upload_key(id);
        let upload = self.objects.begin_multipart(&key).await.expect("an upload in parts");
        let mut parts = Vec::new();
        for (number, body) in (1..).zip(archive.chunks(5 << 20)) {
            let part = self.objects.put_part(&key, &upload, number, body.to_vec().into()).await;
            parts.push(part.expect("a part"));
        }
        self.objects.complete_multipart(&key, &upload, &parts).await.expect("the upload");
        self.announce(id).await;
        id
    }

    /// Puts the event of the upload into the queue, where the store does not.
    async fn announce(&self, id: JobId) {
        if self.stores.is_silent() {
            self.repeat_event(id, 1).await;
        }
    }

    /// Creates a job for this archive.
    pub(crate) async fn create(&self, archive: &[u8], format: &str) -> JobId {
        self.create_as(NAME, archive, format).await
    }

    async fn create_as(&self, name: &str, archive: &[u8], format: &str) -> JobId {
        self.create_for("tester", name, archive, format).await
    }

    async fn create_for(&self, owner: &str, name: &str, archive: &[u8], format: &str) -> JobId {
        let id = JobId::random();
        let order = JobSpec {
            owner: owner.parse().expect("an owner"),
            file_name: name.parse().expect("a file name"),
            size_bytes: archive.len() as u64,
            sha256: Some(sha256(archive)),
            format: format.to_owned(),
            root: None,
            options: Default::default(),
            compress: Default::default(),
            strict: false,
            accept_gzip: false,
            result_ttl_seconds: None,
        };
        self.jobs.create(id, order).await.expect("the job is created");
        id
    }

    /// Sends the event of a job's upload this many more times.
    pub(crate) async fn repeat_event(&self, id: JobId, times: usize) {
        for _ in 0..times {
            self.queue.send(&self.event(id).await).await.expect("the event is sent");
        }
    }

    /// The event of a job's upload.
    pub(crate) async fn event(&self, id: JobId) -> String {
        let object = self.objects.head(&upload_key(id)).await.expect("the upload is there");
        let (bucket, event) = (self.stores.bucket(), JobId::random().to_string());
        upload_event::object_created(bucket, &object, "01", "PutObject", &event, SystemClock.now())
    }

    /// The key of a job's upload.
    pub(crate) fn upload_key(&self, id: JobId) -> ObjectKey {
        upload_key(id)
    }

    /// Starts a worker, which stops itself at `failpoint`.
    pub(crate) fn worker(&self, name: &str, failpoint: Option<&str>) -> Worker {
        self.start(name, failpoint, |command| command.arg("worker").stdin(Stdio::null()))
    }

    /// Starts the task for one upload.
    pub(crate) fn task(&self, upload: Upload<'_>, failpoint: Option<&str>) -> Worker {
        self.start(&format!("task-{}", JobId::random()), failpoint, |command| match upload {
            Upload::Job(id) => command.arg("task").env("CADMILL_JOB", id.to_string()).stdin(Stdio::null()),
            Upload::Variable(name, value) => command.arg("task").env(name, value).stdin(Stdio::null()),
            Upload::Event(event) => {
                let path = self.data.path().join("event.json");
                std::fs::write(&path, event).expect("a file for the event");
                command.arg("task").stdin(std::fs::File::open(path).expect("the event"))
            }
        })
    }

    fn start(
        &self,
        name: &str,
        failpoint: Option<&str>,
        mode: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Worker {
        let binary = Path::new(env!("CARGO_BIN_EXE_cadmill")).with_file_name("cadmill-converter");
        assert!(binary.is_file(), "{} is missing: run `cargo build --workspace` first", binary.display());
        let log = self.data.path().join(format!("{name}.log"));
        let trace = self.data.path().join(format!("{name}.strace"));
        let mut command =
            if self.observed { Observer::command(&trace, &binary) } else { Command::new(binary) };
        mode(&mut command)
            .env("CADMILL_DATA_DIR", self.data.path())
            .envs(self.stores.variables().iter().cloned())
            .env("CADMILL_WORKSPACE", self.place.path())
            .env("CADMILL_PRIVATE_WORKSPACE", self.private)
            .env("CADMILL_WORKER_NAME", name)
            .env("CADMILL_WORKER_CONCURRENCY", "2")
            .env("CADMILL_WORKER_MEMORY", "8G")
            .env("CADMILL_JOB_LEASE", format!("{}s", LEASE.as_secs()))
            .env("CADMILL_LOG_FORMAT", "json")
            .envs(self.more.iter().cloned())
            .current_dir(repository())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a log file"));
        if self.signing_key().exists() {
            command.env("CADMILL_AUDIT_SIGN_WITH", "key").env("CADMILL_AUDIT_KEY_FILE", self.signing_key());
        }
        if let Some(user) = self.user {
            std::os::unix::process::CommandExt::uid(&mut command, user);
            std::os::unix::process::CommandExt::gid(&mut command, user);
        }
        if let Some(failpoint) = failpoint {
            command.env(cadmill_converter::worker::failpoint::VARIABLE, failpoint);
        }
        let child = command.spawn().expect("the worker starts");
        let observer = self.observed.then(|| Observer::of(child.id(), trace));
        Worker { child, log, observer }
    }

    pub(crate) async fn job(&self, id: JobId) -> Job {
        self.jobs.store().get(id).await.expect("the store answers").expect("the job is there")
    }

    /// Waits until the condition holds for the job.
    pub(crate) async fn wait(&self, id: JobId, what: &str, is_so: impl Fn(&Job) -> bool) -> Job {
        let since = Instant::now();
        loop {
            let job = self.job(id).await;
            if is_so(&job) {
                return job;
            }
            assert!(since.elapsed() < PATIENCE, "never {what}: {job:?}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for the end of the job, which must be COMPLETED, and for its result.
    pub(crate) async fn completed(&self, id: JobId) -> (Job, Vec<u8>) {
        let job = self.wait(id, "ended", |job| job.state.is_terminal()).await;
        assert_eq!(job.state, State::Completed, "{job:?}\n{}", self.logs());
        let output = job.output.clone().expect("an output");
        assert_eq!(output.key.attempt(), Some(job.attempt), "the result is of the attempt that won");
        let content = self.read(&output).await;
        assert_eq!(output.sha256.as_deref(), Some(sha256(&content).as_str()));
        (job, content)
    }

    async fn read(&self, object: &Object) -> Vec<u8> {
        let mut content = Vec::new();
        while (content.len() as u64) < object.size_bytes {
            let start = content.len() as u64;
            let end = (start + (8 << 20)).min(object.size_bytes);
            content.extend_from_slice(&self.objects.read(object, start..end).await.expect("the result"));
        }
        content
    }

    /// Whether a message is visible or in flight.
    pub(crate) async fn has_messages(&self) -> bool {
        self.stores.messages().await > 0
    }

    /// Waits until no message is visible and none is in flight.
    pub(crate) async fn queue_is_empty(&self) {
        let since = Instant::now();
        loop {
            let count = self.stores.messages().await;
            if count == 0 {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{count} messages are left\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until no workspace is left.
    pub(crate) async fn workspace_is_empty(&self) {
        let since = Instant::now();
        loop {
            let left: Vec<_> = std::fs::read_dir(self.place.path()).expect("the place").flatten().collect();
            if left.is_empty() {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "left behind: {left:?}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Number of lines in all workers' logs that contain this text.
    pub(crate) fn said(&self, text: &str) -> usize {
        self.logs().lines().filter(|line| line.contains(text)).count()
    }

    /// Waits until a worker has logged this text.
    pub(crate) async fn wait_until_said(&self, text: &str) {
        self.wait_until_said_times(text, 1).await;
    }

    /// Waits until workers have logged this text so many times.
    pub(crate) async fn wait_until_said_times(&self, text: &str, times: usize) {
        let since = Instant::now();
        while self.said(text) < times {
            assert!(since.elapsed() < PATIENCE, "{text:?} was not logged {times} times\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn logs(&self) -> String {
        let mut all = String::new();
        for entry in std::fs::read_dir(self.data.path()).expect("the data directory").flatten() {
            if entry.path().extension().is_some_and(|e| e == "log") {
                all += &std::fs::read_to_string(entry.path()).unwrap_or_default();
            }
        }
        all
    }
}

fn upload_key(id: JobId) -> ObjectKey {
    ObjectKey::upload(id, NAME.parse().expect("a file name"))
}

/// How a task receives its upload.
pub(crate) enum Upload<'a> {
    Job(JobId),
    /// By standard input.
    Event(&'a str),
    /// By this variable of the environment.
    Variable(&'static str, &'a str),
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An archive of 17 MB whose conversion to DXF gives 10 MB or more: several ranges to download,
/// several parts to upload. It contains a line of `vertices`, and padding that is never read.
pub(crate) fn large_archive(vertices: u32) -> Vec<u8> {
    let mut geojson = String::from(
        r#"{"type":"FeatureCollection","features":[{"type":"Feature","properties":{},"geometry":{"type":"LineString","coordinates":["#,
    );
    for n in 0..vertices {
        let comma = if n == 0 { "" } else { "," };
        geojson += &format!("{comma}[{}.{:03},{}.{:03}]", n / 1000, n % 1000, n % 77, n % 999);
    }
    geojson += "]}}]}";
    let notes = vec![b'.'; 12 << 20];
    zipped(&[("line.geojson", Stored, geojson.as_bytes()), ("notes.txt", Stored, &notes)])
}
