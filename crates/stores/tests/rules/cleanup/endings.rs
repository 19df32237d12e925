//! After each way in which a job can end, nothing of it is in the store within its limit and one pause
//! between two passes: no object, no version, no delete marker, no part of an unfinished upload. Listed
//! here by the API of S3 itself, over the whole bucket.

use super::fixture::{EVERY, Ports, content};
use super::world::{POLICY, World};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use cadmill_core::cleanup::deletion::Deleter;
use cadmill_core::cleanup::upload_key;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::job::{Job, Millis, State};
use cadmill_core::domain::state::Event;
use cadmill_stores::adapters::aws::s3::Keeps;
use cadmill_stores::adapters::aws::{S3Settings, S3Store};
use cadmill_stores::conformance::moto::Moto;
use cadmill_stores::conformance::versitygw::Versitygw;
use std::sync::Arc;

/// How a job ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The client has confirmed it, and the API could delete everything.
    Fetched,
    /// The same, but the API could not.
    FetchedAndLeft,
    NeverFetched,
    Failed,
    CancelledBeforeTheUpload,
    CancelledAtWork,
    Expired,
    /// By a URL that was still valid after the end.
    UploadedLate,
    /// An upload in parts that its client has left.
    HalfUploaded,
    /// Each of its workers was killed, with half a result.
    WorkersKilled,
}

const ENDINGS: [Ending; 10] = [
    Ending::Fetched,
    Ending::FetchedAndLeft,
    Ending::NeverFetched,
    Ending::Failed,
    Ending::CancelledBeforeTheUpload,
    Ending::CancelledAtWork,
    Ending::Expired,
    Ending::UploadedLate,
    Ending::HalfUploaded,
    Ending::WorkersKilled,
];

/// A bucket as any tool of S3 sees it.
struct Raw {
    client: Client,
    bucket: String,
    /// Whether it keeps versions.
    versions: bool,
}

impl Raw {
    fn new(settings: &S3Settings, versions: bool) -> Self {
        let keys = settings.service.credentials.as_ref().expect("keys");
        let (access, secret) = (&keys.access_key, &keys.secret_key);
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(settings.service.region.clone()))
            .credentials_provider(Credentials::new(access, secret, None, None, "test"))
            .endpoint_url(settings.service.endpoint.as_deref().expect("an endpoint"))
            .force_path_style(true)
            .build();
        Self { client: Client::from_conf(config), bucket: settings.bucket.clone(), versions }
    }

    /// Everything of a job in the whole bucket, each with what it is.
    async fn left(&self, id: JobId) -> Vec<String> {
        let mut all = self.all().await;
        all.retain(|one| one.contains(&id.to_string()));
        all
    }

    /// Everything in the bucket.
    async fn all(&self) -> Vec<String> {
        let all = self.client.list_objects_v2().bucket(&self.bucket).send().await.unwrap();
        let versions = self.client.list_object_versions().bucket(&self.bucket).send().await;
        // Only a server without versions may lack the listing.
        let versions = if self.versions {
            versions.unwrap()
        } else {
            versions.unwrap_or_else(|_| ListObjectVersionsOutput::builder().build())
        };
        let uploads = self.client.list_multipart_uploads().bucket(&self.bucket).send().await.unwrap();
        assert_ne!(all.is_truncated, Some(true), "one page");
        assert!(versions.is_truncated != Some(true) && uploads.is_truncated != Some(true), "one page");
        let objects = all.contents().iter().map(|one| ("object", one.key()));
        let versions_of = versions.versions().iter().map(|one| ("version", one.key()));
        let marks = versions.delete_markers().iter().map(|one| ("mark", one.key()));
        let uploads = uploads.uploads().iter().map(|one| ("upload", one.key()));
        let each = objects.chain(versions_of).chain(marks).chain(uploads);
        each.map(|(what, key)| format!("{what} {}", key.unwrap_or_default())).collect()
    }

    /// What another tool leaves in a bucket that keeps versions: the object replaced, deleted, and
    /// written again.
    async fn meddle(&self, key: &ObjectKey) {
        if !self.versions {
            return;
        }
        let put =
            || self.client.put_object().bucket(&self.bucket).key(key.to_string()).body(content().into());
        put().send().await.unwrap();
        self.client.delete_object().bucket(&self.bucket).key(key.to_string()).send().await.unwrap();
        put().send().await.unwrap();
    }
}

/// Brings a job to this end. Returns it, and the time until which its files may stay.
async fn brought_to(ending: Ending, ports: &Ports, raw: &Raw) -> (Job, Millis) {
    let meddled = async |job: Job| {
        raw.meddle(&upload_key(job.id, &job.order.file_name)).await;
        job
    };
    match ending {
        Ending::Fetched | Ending::FetchedAndLeft => {
            let job = meddled(ports.completed().await).await;
            ports.half(&ObjectKey::processed(job.id, 2, "plan.dxf".parse().unwrap())).await;
            ports.pass(POLICY.retention / 2);
            assert!(!raw.left(job.id).await.is_empty(), "it waits for its client");
            let job = ports.send(job.id, Event::Dismissed).await;
            if ending == Ending::Fetched {
                let deleter = Deleter::new(ports.all(), Arc::clone(&ports.objects), "api".to_owned());
                deleter.delete(&job).await.unwrap();
                assert_eq!(raw.left(job.id).await, [""; 0], "on the request of the client");
            }
            (job, ports.now())
        }
        Ending::NeverFetched => {
            let job = meddled(ports.completed().await).await;
            let limit = ports.now() + POLICY.retention;
            (job, limit)
        }
        Ending::Failed => {
            let job = meddled(ports.failed().await).await;
            (job, ports.now())
        }
        Ending::CancelledBeforeTheUpload => {
            let job = ports.create().await;
            ports.half(&upload_key(job.id, &job.order.file_name)).await;
            (ports.send(job.id, Event::Cancelled).await, ports.now())
        }
        Ending::CancelledAtWork => {
            let job = meddled(ports.claimed().await).await;
            (ports.send(job.id, Event::Cancelled).await, ports.now())
        }
        Ending::Expired => {
            let job = ports.create().await;
            (job, ports.now() + POLICY.upload_window)
        }
        Ending::HalfUploaded => {
            let job = ports.create().await;
            let key = upload_key(job.id, &job.order.file_name);
            ports.half(&key).await;
            ports.half(&key).await;
            (job, ports.now() + POLICY.upload_window)
        }
        Ending::UploadedLate => {
            let job = ports.create().await;
            ports.send(job.id, Event::Cancelled).await;
            let (cleanup, _) = ports.cleanup("before");
            cleanup.round().await;
            let job = meddled(ports.get(job.id).await.unwrap()).await;
            if !raw.versions {
                ports.upload(&job).await;
            }
            ports.half(&upload_key(job.id, &job.order.file_name)).await;
            (job, ports.now() + POLICY.linger)
        }
        Ending::WorkersKilled => {
            let job = meddled(ports.uploaded().await).await;
            for attempt in 1..=POLICY.max_attempts {
                let job = ports.claim(job.id).await;
                ports.half(&ObjectKey::processed(job.id, attempt, "plan.dxf".parse().unwrap())).await;
                ports.result(job.id, attempt).await;
                // The cleanup wakes it, and the next worker has watched its lease.
                ports.pass(3 * POLICY.lease);
                let (cleanup, _) = ports.cleanup("before");
                assert_eq!(cleanup.round().await.announced, 1);
                assert!(!raw.left(job.id).await.is_empty(), "a job that goes on");
            }
            let dead = ports.get(job.id).await.unwrap().lease.map(|lease| lease.revision);
            (ports.send(job.id, Event::Abandoned { dead }).await, ports.now())
        }
    }
}

/// The table: until its limit the files are there, and one pause later they are not.
async fn nothing_is_left(ports: &Ports, raw: &Raw) {
    for ending in ENDINGS {
        let (job, limit) = brought_to(ending, ports, raw).await;
        let (cleanup, _) = ports.cleanup("one");
        if limit > ports.now() {
            let before = raw.left(job.id).await;
            ports.until(limit - 1);
            cleanup.round().await;
            assert_eq!(raw.left(job.id).await, before, "{ending:?}: what may stay until its limit");
            assert_eq!(before.is_empty(), ending == Ending::Expired, "{ending:?}");
        } else if ending != Ending::Fetched {
            assert!(!raw.left(job.id).await.is_empty(), "{ending:?}: there is something to delete");
        }
        ports.until(limit + EVERY);
        let round = cleanup.round().await;
        assert!(round.is_whole(), "{ending:?}: {round:?}");
        assert_eq!(raw.left(job.id).await, [""; 0], "{ending:?}");
        let record = ports.get(job.id).await.expect("its record says what was");
        let deletion =
            record.deletions.last().unwrap_or_else(|| panic!("{ending:?}: no evidence: {record:?}"));
        assert!(
            deletion.confirmed_at <= limit + EVERY && record.state.is_terminal(),
            "{ending:?}: {record:?}"
        );
        assert_ne!(record.state, State::Processing);
    }
    // And at last the records.
    let (cleanup, _) = ports.cleanup("one");
    for pause in [POLICY.linger, POLICY.record + POLICY.linger] {
        ports.pass(pause);
        assert!(cleanup.round().await.is_whole());
    }
    assert_eq!(raw.all().await, [""; 0]);
}

#[tokio::test]
async fn nothing_is_left_on_one_machine() {
    let world = World::new().await;
    nothing_is_left(&Ports::embedded(&world), &Raw::new(&world.server.settings(), false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_in_a_bucket_of_moto_that_keeps_versions() {
    let moto = Moto::start().await;
    let world = moto.world().await;
    moto.keep_versions(&world).await;
    let ports = Ports::of_aws(&world).await;
    nothing_is_left(&ports, &Raw::new(&world.objects, true)).await;
}

/// Its objects are on a disk, and their versions too. The records and the queue are the embedded ones.
async fn on_versitygw(keeps: Keeps) {
    let world = World::new().await;
    let server = Versitygw::start().await;
    let settings = server.bucket(keeps).await;
    let objects = Arc::new(S3Store::new(settings.clone()).await);
    let ports = Ports { objects, bucket: settings.bucket.clone(), ..Ports::embedded(&world) };
    nothing_is_left(&ports, &Raw::new(&settings, keeps == Keeps::Versions)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "in `make nightly`"]
async fn nothing_is_left_in_versitygw() {
    on_versitygw(Keeps::Objects).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "in `make nightly`"]
async fn nothing_is_left_in_a_bucket_of_versitygw_that_keeps_versions() {
    on_versitygw(Keeps::Versions).await;
}
