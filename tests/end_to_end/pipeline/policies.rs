//! The pipeline with the permissions of `docker/aws/policies` and no others: the API, the cleanup and
//! the worker have a key each, and a proxy before the emulator refuses what their documents do not
//! grant.
//!
//! A grant that no test uses is a right too many. So the tests here and in `afterwards` compare the
//! grants that were used with the documents; each that stays unused has its reason below.

use super::client::{Client, PATIENCE, Signed};
use super::processes::Service;
use crate::support::real;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::ports::{EventQueue, ObjectStore};
use cadmill_stores::adapters::aws::{S3Store, SqsQueue};
use cadmill_stores::conformance::iam::policy::{Grant, Policy};
use cadmill_stores::conformance::iam::proxy::Proxy;
use cadmill_stores::conformance::moto::{Moto, World};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Keys of the programs.
const API: &str = "api";
const CLEANUP: &str = "cleanup";
const WORKER: &str = "worker";

/// The services, and the proxy before them.
pub(crate) struct Cloud {
    moto: Moto,
    pub(crate) world: World,
    pub(crate) proxy: Proxy,
}

impl Cloud {
    pub(crate) async fn new() -> Self {
        let moto = Moto::start().await;
        let world = moto.world().await;
        let proxy = Proxy::start(moto.endpoint()).await;
        let cloud = Self { moto, world, proxy };
        let [api, cleanup, worker] = ["api", "cleanup", "worker"].map(|program| cloud.policy(program));
        cloud.proxy.attach(API, vec![api]);
        cloud.proxy.attach(CLEANUP, vec![cleanup]);
        cloud.proxy.attach(WORKER, vec![worker]);
        cloud
    }

    pub(crate) async fn keep_versions(&self) {
        self.moto.keep_versions(&self.world).await;
    }

    /// The bucket of the ledgers, which is made.
    pub(crate) async fn ledger_bucket(&self) -> String {
        self.moto.ledger_bucket(&self.world).await
    }

    pub(crate) fn policy(&self, program: &str) -> Policy {
        self.world.resources().policy(program)
    }

    /// The objects as the API sees them.
    pub(crate) async fn as_api(&self) -> S3Store {
        S3Store::new(self.world.through(&self.proxy.endpoint(), API).objects).await
    }

    pub(crate) fn variables(&self, program: &str) -> Vec<(&'static str, String)> {
        let world = self.world.through(&self.proxy.endpoint(), program);
        vec![
            ("CADMILL_BACKEND", "aws".to_owned()),
            ("CADMILL_AWS_REGION", world.objects.service.region),
            ("CADMILL_AWS_ENDPOINT", self.proxy.endpoint()),
            ("CADMILL_S3_BUCKET", world.objects.bucket),
            ("CADMILL_S3_PATH_STYLE", "true".to_owned()),
            ("CADMILL_DYNAMODB_TABLE", world.jobs.table),
            ("CADMILL_SQS_QUEUE_URL", world.queue.queue_url),
            ("CADMILL_SQS_DEAD_LETTER_URL", world.queue.dead_letter_url.expect("dead letters")),
            ("AWS_ACCESS_KEY_ID", program.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            // The key of the configuration comes first; nothing listens there.
            ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9".to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9".to_owned()),
            ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9".to_owned()),
        ]
    }

    pub(crate) fn api(&self, more: &[(&'static str, &str)]) -> Service {
        let mut variables = self.variables(API);
        variables.push(("CADMILL_API_LISTEN", "127.0.0.1:0".to_owned()));
        // Metrics count the messages of both queues.
        variables.push(("CADMILL_METRICS_LISTEN", "0".to_owned()));
        variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Service::start("cadmill-api", &[], &variables)
    }

    pub(crate) fn cleanup(&self, more: &[(&'static str, &str)]) -> Service {
        let mut variables = self.variables(CLEANUP);
        variables.push(("CADMILL_CLEANUP_EVERY", "2s".to_owned()));
        variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Service::start("cadmill-cleanup", &[], &variables)
    }

    /// One pass over everything that is due.
    pub(crate) fn cleanup_once(&self, more: &[(&'static str, &str)]) -> Service {
        let mut variables = self.variables(CLEANUP);
        variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Service::start("cadmill-cleanup", &["--once"], &variables)
    }

    pub(crate) fn worker(&self, more: &[(&'static str, &str)]) -> Service {
        let mut variables = self.variables(WORKER);
        variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Service::worker(&variables)
    }

    /// Checks that nothing was refused, and that every grant was used except those of this table.
    #[track_caller]
    pub(crate) fn suffices(&self, unused: &[Unused]) {
        // At its start a worker asks whether it may list, and goes on without.
        let (mut refused, unknown) = (self.proxy.refused(), self.proxy.unknown());
        refused.retain(|refusal| (&*refusal.program, &*refusal.access.action) != (WORKER, "s3:ListBucket"));
        assert!(refused.is_empty() && unknown.is_empty(), "{refused:?} {unknown:?}");
        let used = self.proxy.used();
        let all = ["api", "cleanup", "worker"].map(|program| self.policy(program));
        let left: Vec<Grant> =
            all.iter().flat_map(Policy::grants).filter(|grant| !used.contains(grant)).collect();
        let listed = |grant: &Grant| {
            unused.iter().any(|(policy, sid, action, _)| {
                (*policy, *sid, *action) == (&*grant.policy, &*grant.sid, &*grant.action)
            })
        };
        let left: Vec<_> = left.iter().filter(|grant| !listed(grant)).collect();
        assert!(left.is_empty(), "granted and not used: {left:#?}");
    }
}

/// Policy, statement, action, and why a test does not use it.
pub(crate) type Unused = (&'static str, &'static str, &'static str, &'static str);

const LEDGERS: &str = "ledgers are files here; adapters/aws/tests/audit.rs and `evidence` write them to a bucket with this policy";
const KEYS: &str = "the emulator has no Ed25519 keys; adapters/aws/tests/audit.rs signs with this policy";
const AGENT: &str = "the agent of ECS uses it for the task; pipeline/protection.rs has a server for it";
const ABORT: &str =
    "only if the upload of a large result fails; adapters/aws/tests/permissions.rs aborts one";
const TIMING: &str = "only if a worker is busy for long; adapters/aws/tests/permissions.rs uses it";
const ROUND: &str = "only if the cleanup finds something due before the test ends";
const HOURS: &str = "only long after a job; adapters/aws/tests/permissions.rs uses it";
const CLIENT: &str = "only if a client asks for it; the run in a bucket with versions does";
const LATE_PARTS: &str =
    "only for an upload in parts that its client left; adapters/aws/tests/permissions.rs aborts one";
const ON_REQUEST: &str =
    "the API has deleted the job's files; adapters/aws/tests/permissions.rs has the cleanup do it";
const METRICS: &str = "only with metrics; adapters/aws/tests/permissions.rs uses it";
const VERSIONS: &str = "only in a bucket that keeps versions";
const NO_VERSIONS: &str = "only in a bucket that has never kept versions";

/// Unused in a bucket that keeps versions.
pub(crate) const WITH_VERSIONS: [Unused; 36] = [
    ("worker", "ProtectTask", "ecs:GetTaskProtection", AGENT),
    ("worker", "ProtectTask", "ecs:UpdateTaskProtection", AGENT),
    ("worker", "KeepLedgers", "s3:PutObject", LEDGERS),
    ("worker", "KeepLedgers", "s3:PutObjectRetention", LEDGERS),
    ("worker", "KeepLedgers", "s3:GetObject", LEDGERS),
    ("worker", "SignLedgers", "kms:GetPublicKey", KEYS),
    ("worker", "SignLedgers", "kms:Sign", KEYS),
    ("api", "KeepLedgers", "s3:PutObject", LEDGERS),
    ("api", "KeepLedgers", "s3:PutObjectRetention", LEDGERS),
    ("api", "KeepLedgers", "s3:GetObject", LEDGERS),
    ("api", "SignLedgers", "kms:GetPublicKey", KEYS),
    ("api", "SignLedgers", "kms:Sign", KEYS),
    ("cleanup", "KeepLedgers", "s3:PutObject", LEDGERS),
    ("cleanup", "KeepLedgers", "s3:PutObjectRetention", LEDGERS),
    ("cleanup", "KeepLedgers", "s3:GetObject", LEDGERS),
    ("cleanup", "SignLedgers", "kms:GetPublicKey", KEYS),
    ("cleanup", "SignLedgers", "kms:Sign", KEYS),
    ("worker", "WriteResults", "s3:AbortMultipartUpload", ABORT),
    ("worker", "WriteResults", "s3:ListMultipartUploadParts", ABORT),
    ("worker", "TakeEvents", "sqs:SendMessage", TIMING),
    ("worker", "TakeEvents", "sqs:ChangeMessageVisibility", TIMING),
    ("cleanup", "EndRecords", "dynamodb:BatchGetItem", ROUND),
    ("cleanup", "EndRecords", "dynamodb:UpdateItem", HOURS),
    ("cleanup", "EndRecords", "dynamodb:DeleteItem", HOURS),
    ("cleanup", "AnnounceUploads", "sqs:SendMessage", HOURS),
    ("cleanup", "FindObjects", "s3:GetBucketVersioning", NO_VERSIONS),
    ("cleanup", "DeleteObjects", "s3:DeleteObject", NO_VERSIONS),
    ("worker", "DeleteUploads", "s3:DeleteObject", NO_VERSIONS),
    ("api", "SignDownloads", "s3:GetObject", NO_VERSIONS),
    ("api", "FindRemains", "s3:GetBucketVersioning", NO_VERSIONS),
    ("api", "DeleteOnRequest", "s3:DeleteObject", NO_VERSIONS),
    ("cleanup", "DeleteObjects", "s3:AbortMultipartUpload", LATE_PARTS),
    ("cleanup", "DeleteObjects", "s3:ListMultipartUploadParts", LATE_PARTS),
    ("cleanup", "SiftDeadLetters", "sqs:GetQueueAttributes", METRICS),
    ("cleanup", "SiftDeadLetters", "sqs:DeleteMessage", HOURS),
    ("cleanup", "SiftDeadLetters", "sqs:ChangeMessageVisibility", HOURS),
];

/// Unused in a bucket that has never kept versions, of what the other run uses.
const ONLY_WITH_VERSIONS: [Unused; 12] = [
    ("worker", "ReadUploads", "s3:GetObjectVersion", VERSIONS),
    ("worker", "DeleteUploads", "s3:DeleteObjectVersion", VERSIONS),
    ("api", "SignDownloads", "s3:GetObjectVersion", VERSIONS),
    ("cleanup", "DeleteObjects", "s3:DeleteObjectVersion", VERSIONS),
    ("api", "ListRecords", "dynamodb:Query", CLIENT),
    ("api", "KeepRecords", "dynamodb:BatchGetItem", CLIENT),
    ("worker", "BuryEvents", "sqs:SendMessage", CLIENT),
    ("api", "TakeUploads", "s3:AbortMultipartUpload", CLIENT),
    ("api", "DeleteOnRequest", "s3:DeleteObjectVersion", VERSIONS),
    ("api", "DeleteOnRequest", "s3:AbortMultipartUpload", CLIENT),
    ("cleanup", "FindObjects", "s3:GetBucketVersioning", ON_REQUEST),
    ("cleanup", "DeleteObjects", "s3:DeleteObject", ON_REQUEST),
];

/// Unused in a bucket that has never kept versions.
pub(crate) fn without_versions() -> Vec<Unused> {
    let shared = WITH_VERSIONS.into_iter().filter(|(.., why)| *why != NO_VERSIONS);
    shared.chain(ONLY_WITH_VERSIONS).collect()
}

/// What the API lists, calls and confirms beside a job's way, so that its grants are used: a list
/// of jobs, and an event that is not one.
pub(crate) async fn the_rest_is_used(cloud: &Cloud, client: &Client) {
    let (status, _) = client.call("GET", "/api/jobs", None).await;
    assert_eq!(status, 200);
    let queue = SqsQueue::new(cloud.world.queue.clone()).await;
    queue.send("rubbish").await.expect("sent");
    let since = Instant::now();
    while queue.dead_letters().await.expect("a count") == 0 {
        assert!(since.elapsed() < PATIENCE, "the message is not buried");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn key(job: &str) -> ObjectKey {
    let job: JobId = job.parse().expect("an id");
    ObjectKey::upload(job, "plan.zip".parse().expect("a name"))
}

/// Every program without a permission says which one it is, and loses nothing meanwhile; with the
/// permission it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_named_and_loses_nothing() {
    let cloud = Cloud::new().await;
    cloud.keep_versions().await;
    let [api, cleanup, worker] = ["api", "cleanup", "worker"].map(|program| cloud.policy(program));
    let admin = S3Store::new(cloud.world.objects.clone()).await;
    let archive = std::fs::read(real("gis/naturalearth_lowres.zip")).expect("a fixture");

    // Cleanup that could not tell a missing upload from a refused one does not start.
    for action in ["s3:ListBucket", "s3:ListBucketVersions"] {
        cloud.proxy.attach(CLEANUP, vec![cleanup.clone().without("FindObjects", action)]);
        let (code, log) = cloud.cleanup(&[]).ended();
        assert_eq!(code, Some(20), "{log}");
        assert!(
            log.contains("infra.store_refused") && log.contains(&format!("{action} is not granted")),
            "{log}"
        );
    }

    // A worker that may not read: the job waits for the permission.
    cloud.proxy.attach(CLEANUP, vec![cleanup.clone()]);
    let mut server = cloud.api(&[]);
    let client = Client { url: server.wait_for("listening on ") };
    // Without a cleanup program no plaintext is taken in.
    let order = serde_json::json!({"file_name": "plan.zip", "size_bytes": 1, "target_format": "dxf"});
    let (status, refusal) = client.call("POST", "/api/jobs", Some(order)).await;
    assert_eq!((status, refusal["code"].as_str()), (503, Some("infra.no_cleanup")), "{refusal}");
    let mut cleaner = cloud.cleanup(&[]);
    cleaner.wait_for("cleaning up every");
    client.is_ready().await;
    cloud.proxy.attach(WORKER, vec![worker.clone().without("ReadUploads", "s3:GetObject")]);
    let mut converter = cloud.worker(&[]);
    converter.wait_for("ready");
    assert!(converter.log().contains("s3:ListBucket is not granted"), "{}", converter.log());
    let (job, upload) = client.create("plan.zip", archive.len()).await;
    assert_eq!(Signed::of(&upload).put(&archive).await.status, 200);
    converter.wait_for("the upload is not visible to the worker");
    assert!(converter.log().contains("not found or not permitted"), "{}", converter.log());
    assert_eq!(client.status(&job).await["state"], "PENDING");
    admin.head(&key(&job)).await.expect("the upload is there");
    cloud.proxy.attach(WORKER, vec![worker]);
    let services = [&server, &converter];
    client.wait(&job, "COMPLETED", &services).await;

    // A purge that may not delete versions: they stay until it may.
    let weak = cleanup.clone().without("DeleteObjects", "s3:DeleteObjectVersion");
    cloud.proxy.attach(CLEANUP, vec![weak]);
    cloud.proxy.attach(API, vec![api.clone().without("DeleteOnRequest", "s3:DeleteObjectVersion")]);
    let (other, upload) = client.create("plan.zip", archive.len()).await;
    let (status, _) = client.call("DELETE", &format!("/api/jobs/{other}"), None).await;
    assert_eq!(status, 200);
    let (status, _) = client.call("POST", &format!("/api/jobs/{job}/downloaded"), None).await;
    assert_eq!(status, 204, "the job has ended all the same");
    drop(upload);
    server.wait_for("s3:DeleteObjectVersion is not granted");
    cleaner.wait_for("the cleanup of a job failed");
    let result = client.status(&job).await;
    assert_eq!(result["state"], "COMPLETED", "{result}");
    cloud.proxy.attach(API, vec![api]);
    cloud.proxy.attach(CLEANUP, vec![cleanup]);
    cleaner.wait_for("deleted everything of an ended job");

    // What was refused is what was taken away.
    let refused: BTreeSet<String> =
        cloud.proxy.refused().into_iter().map(|refusal| refusal.access.action).collect();
    let expected = ["s3:DeleteObjectVersion", "s3:GetObject", "s3:ListBucket", "s3:ListBucketVersions"];
    assert_eq!(refused, expected.map(str::to_owned).into());
    assert_eq!(cloud.proxy.unknown(), [""; 0]);
}
