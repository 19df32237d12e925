//! `cadmill audit residue`: what is planted is found with its reason, and what has one is not.

use crate::pipeline;
use crate::pipeline::policies::Cloud;
use cadmill_core::cleanup::Cleanup;
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::domain::job::{JobSpec, Object};
use cadmill_core::domain::state::{Event, Policy};
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::clock::SystemClock;
use cadmill_core::ports::{EventQueue, JobStore, ObjectStore};
use cadmill_stores::adapters::aws::s3::Keeps;
use cadmill_stores::adapters::aws::{DynamoStore, S3Store, SqsQueue};
use cadmill_stores::adapters::embedded::{Database, EmbeddedS3};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// In the names of files.
const CANARY: &str = "canary-of-a-client";

/// An interval of the cleanup; a deletion is late after four of them.
const EVERY: &str = "1s";
const LATE: Duration = Duration::from_secs(6);

/// The verdict of an audit with these variables: its exit code and its report.
fn audit(variables: &[(&str, String)]) -> (Option<i32>, Value) {
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cadmill"));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CADMILL_"))
        {
            command.env_remove(name);
        }
        command.args(["audit", "residue", "--cleanup-every", EVERY]).args(more);
        command.envs(variables.iter().cloned()).output().expect("it runs")
    };
    let (text, json) = (run(&[]), run(&["--json"]));
    assert_eq!(text.status.code(), json.status.code());
    for output in [&text, &json] {
        for stream in [&output.stdout, &output.stderr] {
            let said = String::from_utf8_lossy(stream);
            assert!(!said.contains(CANARY), "it names a file: {said}");
        }
    }
    let said = String::from_utf8_lossy(&json.stdout).into_owned();
    let report: Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
    let said = String::from_utf8_lossy(&text.stdout);
    if let Some(found) = report["residue"].as_array() {
        let verdict = report["verdict"].as_str().expect("a verdict");
        assert!(said.lines().last().is_some_and(|line| line.starts_with(verdict)), "{said}");
        let lines = said.lines().filter(|line| line.contains("  age "));
        assert_eq!(lines.count(), found.len(), "{said}");
    }
    (json.status.code(), report)
}

/// Kind, role, job and reason of each finding, in order.
fn findings(report: &Value) -> Vec<(String, String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut found: Vec<_> = report["residue"]
        .as_array()
        .unwrap_or_else(|| panic!("{report:#}"))
        .iter()
        .map(|one| {
            let age = one["age_seconds"].as_u64();
            // All unfinished uploads of the emulator began in the same minute of 2010.
            assert!(age.is_some_and(|age| age < 5000 || (one["kind"] == "upload" && age > 1 << 28)), "{one}");
            (text(&one["kind"]), text(&one["role"]), text(&one["job_id"]), text(&one["reason"]))
        })
        .collect();
    found.sort();
    found
}

#[track_caller]
fn found(report: &Value, mut expected: Vec<(&str, &str, Option<JobId>, &str)>) {
    expected.sort_by_key(|(kind, role, job, reason)| (*kind, *role, job.map(|job| job.to_string()), *reason));
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(kind, role, job, reason)| {
            let job = job.map_or_else(|| "-".to_owned(), |job| job.to_string());
            (kind.to_owned(), role.to_owned(), job, reason.to_owned())
        })
        .collect();
    assert_eq!(findings(report), expected, "{report:#}");
    assert_eq!(report["residue_total"], expected.len());
}

/// Stores, and jobs in them.
struct Stores {
    jobs: Jobs,
    objects: Arc<dyn ObjectStore>,
    cleanup: Cleanup,
}

impl Stores {
    fn new(jobs: Arc<dyn JobStore>, objects: Arc<dyn ObjectStore>, queue: Arc<dyn EventQueue>) -> Self {
        let jobs = Jobs::new(jobs, Arc::new(SystemClock), Policy::default());
        let (bucket, name) = ("cadmill".to_owned(), "test".to_owned());
        let cleanup = Cleanup::new(jobs.clone(), Arc::clone(&objects), queue, bucket, name);
        Self { jobs, objects, cleanup }
    }

    async fn job(&self) -> JobId {
        let id = JobId::random();
        let order = JobSpec {
            owner: "tester".parse().unwrap(),
            file_name: format!("{CANARY}.zip").parse().unwrap(),
            size_bytes: 7,
            sha256: None,
            format: "dxf".to_owned(),
            root: None,
            options: Default::default(),
            compress: Default::default(),
            strict: false,
            accept_gzip: false,
            result_ttl_seconds: None,
        };
        self.jobs.create(id, order).await.unwrap();
        id
    }

    async fn put(&self, key: &ObjectKey) -> Object {
        self.objects.put(key, b"content".to_vec().into()).await.unwrap();
        self.objects.find(key).await.unwrap()
    }

    async fn begin(&self, key: &ObjectKey) {
        let upload = self.objects.begin_multipart(key).await.unwrap();
        self.objects.put_part(key, &upload, 1, b"a part".to_vec().into()).await.unwrap();
    }

    /// A job that waits, one that runs, and one with a result: all with everything that they may have.
    async fn live(&self) -> JobId {
        let waits = self.job().await;
        self.begin(&upload(waits)).await;
        let runs = self.job().await;
        let mut ids = Vec::new();
        for id in [runs, self.job().await] {
            let object = self.put(&upload(id)).await;
            let uploaded = Event::Uploaded { object, sequencer: "1".to_owned(), at: None };
            let claimed = Event::Claimed { worker: "w".to_owned(), revision: 1, dead: None };
            for event in [uploaded, claimed] {
                self.jobs.send(id, &event).await.unwrap();
            }
            ids.push(id);
        }
        self.begin(&processed(runs)).await;
        let output = self.put(&processed(ids[1])).await;
        self.jobs.send(ids[1], &Event::Completed { attempt: 1, output }).await.unwrap();
        ids[1]
    }

    /// What has no reason, except what only one kind of store can have.
    async fn plant(&self) -> Vec<(&'static str, &'static str, Option<JobId>, &'static str)> {
        // Jobs without a record.
        let [lost, begun] = [JobId::random(), JobId::random()];
        self.put(&processed(lost)).await;
        self.begin(&upload(begun)).await;
        // A job whose deletion is due and not made.
        let due = self.job().await;
        self.put(&upload(due)).await;
        self.begin(&processed(due)).await;
        // And one whose deletion was made, to which a late client uploads once more.
        let late = self.job().await;
        self.put(&upload(late)).await;
        self.jobs.send(late, &Event::Cancelled).await.unwrap();
        assert!(self.cleanup.round().await.objects >= 1);
        self.put(&upload(late)).await;
        self.jobs.send(due, &Event::Cancelled).await.unwrap();
        tokio::time::sleep(LATE).await;
        vec![
            ("object", "processed", Some(lost), "no_record"),
            ("upload", "upload", Some(begun), "no_record"),
            ("object", "upload", Some(due), "deletion_due"),
            ("upload", "processed", Some(due), "deletion_due"),
            ("object", "upload", Some(late), "deletion_confirmed"),
        ]
    }
}

fn upload(job: JobId) -> ObjectKey {
    ObjectKey::upload(job, format!("{CANARY}.zip").parse().unwrap())
}

fn processed(job: JobId) -> ObjectKey {
    ObjectKey::processed(job, 1, format!("{CANARY}.dxf").parse().unwrap())
}

fn clean((code, report): (Option<i32>, Value)) {
    assert_eq!((code, &report["verdict"]), (Some(0), &json!("CLEAN")), "{report:#}");
    found(&report, Vec::new());
}

fn blob(data: &Path, name: &str, age: Duration) -> PathBuf {
    let path = data.join("blobs").join(name);
    std::fs::write(&path, "content").unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_is_compared_while_it_is_served_and_when_it_is_not() {
    let data = TempDir::new().unwrap();
    let variables = [("CADMILL_DATA_DIR", data.path().to_str().unwrap().to_owned())];
    let (code, report) = audit(&variables);
    assert_eq!(
        (code, &report["error"]["code"]),
        (Some(25), &json!("infra.data_directory")),
        "not one of ours"
    );

    let database = Database::open(&data.path().join("jobs.sqlite"), 100).unwrap();
    clean(audit(&variables));
    let queue = Arc::new(database.queue());
    let server =
        EmbeddedS3::start(data.path(), ([127, 0, 0, 1], 0).into(), queue.clone(), &[]).await.unwrap();
    let objects = Arc::new(S3Store::new(server.settings()).await);
    let stores = Stores::new(Arc::new(database.jobs()), objects, queue);
    let completed = stores.live().await;
    clean(audit(&variables));
    // A job that has ended, and was deleted.
    stores.jobs.send(completed, &Event::Dismissed).await.unwrap();
    assert!(stores.cleanup.round().await.is_whole());
    clean(audit(&variables));

    let mut planted = stores.plant().await;
    let left = blob(data.path(), "0123456789ABCDEF0123456789ABCDEF", Duration::from_secs(500));
    // An upload on its way.
    blob(data.path(), "FEDCBA9876543210FEDCBA9876543210", Duration::ZERO);
    planted.push(("file", "-", None, "not_in_the_index"));
    let (code, report) = audit(&variables);
    assert_eq!((code, &report["verdict"]), (Some(36), &json!("RESIDUE")), "{report:#}");
    found(&report, planted.clone());
    assert_eq!(report["deleted_files"], "unlinked");
    server.stop().await;
    let (code, report) = audit(&variables);
    assert_eq!(code, Some(36));
    found(&report, planted.clone());

    // Deletions that ended between the index and the file: of a job that is due, and of one that goes on.
    let (.., due, _) = planted[2];
    let (due, live) = (due.unwrap(), stores.job().await);
    let index = rusqlite::Connection::open(data.path().join("objects.sqlite")).unwrap();
    for (name, key, age) in [("A", upload(due), 0), ("B", processed(live), 3600), ("C", upload(live), 0)] {
        let name = name.repeat(32);
        blob(data.path(), &name, Duration::ZERO);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() - age;
        let sql = "INSERT INTO removals(blob, key, since) VALUES(?1, ?2, ?3 * 1000)";
        index.execute(sql, (name, key.to_string(), i64::try_from(since).unwrap())).unwrap();
    }
    drop(index);
    planted.push(("file", "upload", Some(due), "deletion_due"));
    let old = ("file", "processed", Some(live), "not_in_the_index");
    let (code, report) = audit(&variables);
    assert_eq!(code, Some(36));
    found(&report, planted.iter().copied().chain([old]).collect());
    std::fs::remove_file(data.path().join("blobs").join("B".repeat(32))).unwrap();

    // A record that cannot be read hides nothing else.
    let unread = Some(due);
    let file = rusqlite::Connection::open(data.path().join("jobs.sqlite")).unwrap();
    let changed = file.execute("UPDATE jobs SET record = '{}' WHERE id = ?1", [due.to_string()]);
    assert_eq!(changed, Ok(1));
    let (code, report) = audit(&variables);
    assert_eq!((code, &report["unreadable_records"]), (Some(36), &json!(1)));
    let mut readable = planted;
    readable.retain(|(.., job, _)| *job != unread);
    found(&report, readable);

    // What is left of a directory whose objects are gone: nothing but that record.
    std::fs::remove_file(left).unwrap();
    for name in ["objects.sqlite", "objects.sqlite-wal"] {
        let _ = std::fs::remove_file(data.path().join(name));
    }
    std::fs::remove_dir_all(data.path().join("blobs")).unwrap();
    clean(audit(&variables));
}

/// What is planted in a bucket that keeps versions, after an audit of what has a reason has found nothing.
async fn plant_versions(
    stores: &Stores,
    variables: &[(&str, String)],
) -> Vec<(&'static str, &'static str, Option<JobId>, &'static str)> {
    clean(audit(variables));
    let completed = stores.live().await;
    clean(audit(variables));
    stores.jobs.send(completed, &Event::Dismissed).await.unwrap();
    assert!(stores.cleanup.round().await.is_whole());
    clean(audit(variables));

    let mut planted = stores.plant().await;
    // A deletion by key hides an object behind a marker.
    let hidden = JobId::random();
    stores.put(&upload(hidden)).await;
    stores.objects.delete(&upload(hidden), None).await.unwrap();
    planted.extend([
        ("object", "upload", Some(hidden), "no_record"),
        ("marker", "upload", Some(hidden), "no_record"),
    ]);
    planted
}

/// With the permissions of the cleanup and no others, in a bucket that keeps versions.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_compared_with_its_versions() {
    let cloud = Cloud::new().await;
    cloud.keep_versions().await;
    let objects = Arc::new(S3Store::new(cloud.world.objects.clone()).await);
    let jobs = Arc::new(DynamoStore::new(cloud.world.jobs.clone()).await);
    let queue = Arc::new(SqsQueue::new(cloud.world.queue.clone()).await);
    let stores = Stores::new(jobs, objects, queue);
    let variables = cloud.variables("cleanup");
    let mut planted = plant_versions(&stores, &variables).await;
    planted.push(("object", "-", None, "unknown_place"));
    let endpoint = cloud.world.objects.service.endpoint.clone().unwrap();
    let elsewhere = format!("{endpoint}/{}/elsewhere/{CANARY}.txt", cloud.world.objects.bucket);
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    agent.put(&elsewhere).send("content").unwrap();
    let (code, report) = audit(&variables);
    assert_eq!((code, &report["verdict"]), (Some(36), &json!("RESIDUE")), "{report:#}");
    found(&report, planted);
    assert_eq!((&report["not_looked_at"], &report["deleted_files"]), (&json!([]), &Value::Null));
    assert!(cloud.proxy.refused().is_empty(), "{:?}", cloud.proxy.refused());
    let parts: Vec<_> =
        report["residue"].as_array().unwrap().iter().filter(|one| one["kind"] == "upload").collect();
    assert!(parts.iter().all(|one| one["size_bytes"] == 6), "{parts:?}");

    // Without one of the permissions the rest is looked at.
    let weak = cloud.policy("cleanup").without("FindObjects", "s3:ListBucketMultipartUploads");
    cloud.proxy.attach("cleanup", vec![weak]);
    let (code, report) = audit(&variables);
    assert_eq!(code, Some(36));
    assert!(report["not_looked_at"].to_string().contains("s3:ListBucketMultipartUploads"), "{report:#}");
    for action in ["s3:ListBucketVersions", "dynamodb:GetItem"] {
        let sid = if action.starts_with("s3") { "FindObjects" } else { "EndRecords" };
        let weak = cloud.policy("cleanup").without("FindObjects", "s3:ListBucketMultipartUploads");
        cloud.proxy.attach("cleanup", vec![weak.without(sid, action)]);
        let (code, report) = audit(&variables);
        let verdict = if action.starts_with("s3") { "UNSEEN" } else { "RESIDUE" };
        assert_eq!(report["verdict"], verdict, "{action}: {report:#}");
        assert_eq!(code, Some(if verdict == "UNSEEN" { 37 } else { 36 }));
    }
}

/// On a server that keeps versions as AWS does, and verifies signatures. Everything that is found can be
/// deleted, and nothing is left then.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "in `make nightly`"]
async fn a_bucket_of_versitygw_is_compared_with_its_versions() {
    let world = pipeline::stores::Stores::others_with_versitygw(Keeps::Versions).await;
    let stores = Stores::new(world.jobs.clone(), world.objects.clone(), world.queue.clone());
    let variables = world.variables();
    let planted = plant_versions(&stores, variables).await;
    let (code, report) = audit(variables);
    assert_eq!((code, &report["verdict"]), (Some(36), &json!("RESIDUE")), "{report:#}");
    found(&report, planted.clone());
    for (.., job, _) in planted {
        for role in [Role::Upload, Role::Processed] {
            stores.objects.purge(role, job.unwrap()).await.unwrap();
        }
    }
    clean(audit(variables));
}
