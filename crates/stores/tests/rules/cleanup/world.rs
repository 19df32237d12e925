//! The embedded stores, a manual clock, and rounds of the cleanup under faults and permissions.

use bytes::Bytes;
use cadmill_core::cleanup::*;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::job::{Job, Millis, Object};
use cadmill_core::domain::state::{Event, Policy};
use cadmill_core::domain::upload_event;
use cadmill_core::domain::upload_event::UploadEvent;
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::Clock;
use cadmill_core::ports::{EventQueue, ObjectStore, PortError};
use cadmill_stores::adapters::aws::s3::S3Store;
use cadmill_stores::adapters::embedded::{Database, EmbeddedS3};
use cadmill_stores::adapters::faulty::{Fault, FaultyJobs, FaultyObjects, FaultyQueue, Script};
use cadmill_stores::adapters::restricted::RestrictedObjects;
use cadmill_stores::conformance::iam::Resources;
use cadmill_stores::conformance::iam::policy::Policy as Permissions;
use cadmill_stores::conformance::job_store::{new_job, new_owner};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(super) struct ManualClock(pub(super) AtomicU64);

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }
}

pub(super) struct World {
    pub(super) clock: Arc<ManualClock>,
    pub(super) database: Database,
    pub(super) objects: Arc<S3Store>,
    pub(super) queue: Arc<dyn EventQueue>,
    pub(super) server: EmbeddedS3,
    pub(super) data: tempfile::TempDir,
}

/// Scripts of faults for the three ports.
#[derive(Default)]
pub(super) struct Scripts {
    pub(super) jobs: Script,
    pub(super) objects: Script,
    pub(super) queue: Script,
}

pub(super) const POLICY: Policy = Policy {
    max_attempts: 3,
    upload_window: 1_000_000,
    lease: 10_000,
    redeliver: 100_000,
    retention: 500_000,
    linger: 300_000,
    record: 9_000_000,
};

impl World {
    pub(super) async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let database = Database::open(&data.path().join("jobs.sqlite"), 100).unwrap();
        let queue: Arc<dyn EventQueue> = Arc::new(database.queue());
        let server = EmbeddedS3::start(data.path(), ([127, 0, 0, 1], 0).into(), Arc::clone(&queue), &[])
            .await
            .unwrap();
        let objects = Arc::new(S3Store::new(server.settings()).await);
        let clock = Arc::new(ManualClock(AtomicU64::new(1_000_000_000)));
        Self { clock, database, objects, queue, server, data }
    }

    pub(super) fn pass(&self, millis: Millis) {
        self.clock.0.fetch_add(millis, Ordering::Relaxed);
    }

    pub(super) fn jobs(&self, script: Script) -> Jobs {
        let store = FaultyJobs::new(Arc::new(self.database.jobs()), script);
        Jobs::new(Arc::new(store), Arc::clone(&self.clock) as Arc<dyn Clock>, POLICY)
    }

    pub(super) async fn create(&self) -> Job {
        self.create_as(JobId::random()).await
    }

    pub(super) async fn create_as(&self, id: JobId) -> Job {
        let order = new_job(&new_owner(), 1).order;
        self.jobs(Script::new()).create(id, order).await.unwrap().0
    }

    /// Uploads, and takes the resulting event out of the queue.
    pub(super) async fn upload(&self, job: &Job) -> Object {
        let key = upload_key(job.id, &job.order.file_name);
        self.put(&key).await;
        let events = self.events(Duration::from_secs(20)).await;
        assert_eq!(events.iter().map(|event| event.job).collect::<Vec<_>>(), [job.id]);
        self.objects.head(&key).await.unwrap()
    }

    pub(super) async fn put(&self, key: &ObjectKey) {
        self.objects.put(key, Bytes::from_static(b"content")).await.unwrap();
    }

    pub(super) async fn send(&self, id: JobId, event: Event) {
        let change = self.jobs(Script::new()).send(id, &event).await.unwrap();
        assert!(matches!(change, cadmill_core::jobs::Change::Done(_)), "{change:?}");
    }

    /// A job that has been uploaded and claimed, and its result.
    pub(super) async fn claimed(&self) -> (Job, Object) {
        self.claimed_as(JobId::random()).await
    }

    pub(super) async fn claimed_as(&self, id: JobId) -> (Job, Object) {
        let job = self.create_as(id).await;
        let object = self.upload(&job).await;
        self.send(job.id, Event::Uploaded { object, sequencer: "7".to_owned(), at: None }).await;
        self.send(job.id, Event::Claimed { worker: "one".to_owned(), revision: 1, dead: None }).await;
        let key = ObjectKey::processed(job.id, 1, "plan.dxf".parse().unwrap());
        self.put(&key).await;
        (self.get(job.id).await.unwrap(), self.objects.head(&key).await.unwrap())
    }

    pub(super) async fn completed(&self) -> (JobId, ObjectKey) {
        self.completed_as(JobId::random()).await
    }

    pub(super) async fn completed_as(&self, id: JobId) -> (JobId, ObjectKey) {
        let (job, output) = self.claimed_as(id).await;
        let key = output.key.clone();
        self.send(job.id, Event::Completed { attempt: 1, output }).await;
        (job.id, key)
    }

    pub(super) async fn get(&self, id: JobId) -> Option<Job> {
        self.jobs(Script::new()).store().get(id).await.unwrap()
    }

    /// Takes the events that are in the queue.
    pub(super) async fn events(&self, wait: Duration) -> Vec<UploadEvent> {
        let mut notices = Vec::new();
        let mut wait = wait;
        loop {
            let messages = self.queue.receive(10, wait, Duration::from_secs(60)).await.unwrap();
            if messages.is_empty() {
                return notices;
            }
            for message in messages {
                notices.extend(upload_event::parse(&message.body).unwrap());
                self.queue.delete(&message).await.unwrap();
            }
            wait = Duration::ZERO;
        }
    }

    pub(super) async fn announced(&self) -> Vec<JobId> {
        self.events(Duration::ZERO).await.into_iter().map(|event| event.job).collect()
    }

    pub(super) async fn has(&self, key: &ObjectKey) -> bool {
        match self.objects.head(key).await {
            Ok(_) => true,
            Err(PortError::NotFound(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }

    pub(super) async fn round(&self) -> Round {
        self.round_with(Scripts::default()).await
    }

    pub(super) async fn round_with(&self, scripts: Scripts) -> Round {
        let objects = Arc::new(FaultyObjects::new(Arc::clone(&self.objects) as _, scripts.objects));
        let queue = Arc::new(FaultyQueue::new(Arc::clone(&self.queue), scripts.queue));
        let bucket = self.server.bucket().to_owned();
        timeless(
            Cleanup::new(self.jobs(scripts.jobs), objects, queue, bucket, "test".to_owned()).round().await,
        )
    }

    /// A round with the permissions of the policy and no others.
    pub(super) async fn round_under(&self, policy: Permissions) -> Round {
        let bucket = format!("arn:aws:s3:::{}", self.server.bucket());
        let objects = RestrictedObjects::new(Arc::clone(&self.objects) as _, &bucket, vec![policy]);
        let (queue, bucket) = (Arc::clone(&self.queue), self.server.bucket().to_owned());
        timeless(
            Cleanup::new(self.jobs(Script::new()), Arc::new(objects), queue, bucket, "test".to_owned())
                .round()
                .await,
        )
    }

    pub(super) fn policy(&self, program: &str) -> Permissions {
        Resources::named(self.server.bucket(), "jobs", "events", "dead").policy(program)
    }

    /// Checks that nothing is done until this much time has passed.
    pub(super) async fn not_before(&self, millis: Millis) {
        self.pass(millis - 1);
        assert_eq!(self.round().await, Round::default());
        self.pass(1);
    }
}

/// Without how long the work was due.
pub(super) fn timeless(round: Round) -> Round {
    Round { overdue: [0; 2], ..round }
}

/// Every write of a record fails, however often it is retried.
pub(super) fn no_writes() -> Script {
    (1..=100).fold(Script::new(), |script, call| script.on("replace", call, Fault::Fail))
}

pub(super) const NOTHING: Round = Round {
    expired: 0,
    announced: 0,
    objects: 0,
    uploads: 0,
    records: 0,
    failed: 0,
    unreadable: 0,
    newer: 0,
    unlisted: 0,
    overdue: [0; 2],
};
