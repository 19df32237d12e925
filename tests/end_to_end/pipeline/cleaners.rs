//! `cadmill-cleanup` killed by the system while it makes a pass: after one of its requests was performed
//! and before it has the reply. The next one finishes the work.

use super::policies::Cloud;
use cadmill_core::cleanup::upload_key;
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::domain::job::{Deletion, Job, Millis, State};
use cadmill_core::domain::state::{Event, Policy};
use cadmill_core::domain::upload_event;
use cadmill_core::jobs::{Change, Jobs};
use cadmill_core::ports::clock::SystemClock;
use cadmill_core::ports::object_store::Purged;
use cadmill_core::ports::{Clock, EventQueue, ObjectStore};
use cadmill_stores::adapters::aws::{DynamoStore, S3Store, SqsQueue};
use cadmill_stores::conformance::iam::proxy::Disturbance;
use cadmill_stores::conformance::job_store::{new_job, new_owner};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Pause between two requests at which it is killed.
const STEP: usize = 11;

/// A clock that is as much behind as a test wants.
struct Behind(AtomicU64);

impl Clock for Behind {
    fn now(&self) -> Millis {
        SystemClock.now() - self.0.load(Ordering::Relaxed)
    }
}

/// Jobs that are due now, made as if in the past.
struct Past {
    clock: Arc<Behind>,
    jobs: Jobs,
    objects: S3Store,
    queue: SqsQueue,
}

/// The jobs of one run.
struct Made {
    fetched: JobId,
    cancelled: JobId,
    expiring: JobId,
    silent: JobId,
    record: JobId,
}

impl Past {
    async fn of(cloud: &Cloud) -> Self {
        let clock = Arc::new(Behind(AtomicU64::new(0)));
        let store = Arc::new(DynamoStore::new(cloud.world.jobs.clone()).await);
        let jobs = Jobs::new(store, Arc::clone(&clock) as Arc<dyn Clock>, Policy::default());
        let objects = S3Store::new(cloud.world.objects.clone()).await;
        Self { clock, jobs, objects, queue: SqsQueue::new(cloud.world.queue.clone()).await }
    }

    /// From now on, everything happens this long ago.
    fn ago(&self, millis: Millis) {
        self.clock.0.store(millis, Ordering::Relaxed);
    }

    async fn create(&self) -> Job {
        let order = new_job(&new_owner(), 1).order;
        self.jobs.create(JobId::random(), order).await.expect("created").0
    }

    async fn send(&self, id: JobId, event: Event) -> Job {
        match self.jobs.send(id, &event).await.expect("sent") {
            Change::Done(job) => *job,
            other => panic!("{event:?}: {other:?}"),
        }
    }

    async fn put(&self, key: &ObjectKey) {
        self.objects.put(key, b"content".to_vec().into()).await.expect("written");
    }

    async fn make(&self) -> Made {
        let policy = self.jobs.policy();
        self.ago(policy.record + 60_000);
        let record = self.create().await;
        self.send(record.id, Event::Cancelled).await;
        for before in [0, 1] {
            let deletion = Deletion {
                objects: 0,
                marks: 0,
                uploads: 0,
                confirmed_at: self.clock.now(),
                oldest_age_ms: None,
                by: "before".to_owned(),
                evidence: Default::default(),
            };
            self.send(record.id, Event::Purged { before, deletion, tries: Vec::new(), head: None }).await;
        }
        self.ago(policy.upload_window + 1_000);
        let expiring = self.create().await;
        let key = upload_key(expiring.id, &expiring.order.file_name);
        let upload = self.objects.begin_multipart(&key).await.expect("begun");
        self.objects.put_part(&key, &upload, 1, b"half".to_vec().into()).await.expect("a part");
        self.ago(policy.redeliver + 1_000);
        let silent = self.create().await;
        self.put(&upload_key(silent.id, &silent.order.file_name)).await;
        self.ago(1_000);
        let cancelled = self.create().await;
        self.put(&upload_key(cancelled.id, &cancelled.order.file_name)).await;
        self.send(cancelled.id, Event::Cancelled).await;
        let fetched = self.fetched().await;
        self.announced().await;
        Made { fetched, cancelled: cancelled.id, expiring: expiring.id, silent: silent.id, record: record.id }
    }

    /// A job whose result was fetched.
    async fn fetched(&self) -> JobId {
        let job = self.create().await;
        let key = upload_key(job.id, &job.order.file_name);
        self.put(&key).await;
        let object = self.objects.find(&key).await.expect("its upload");
        self.send(job.id, Event::Uploaded { object, sequencer: "7".to_owned(), at: None }).await;
        self.send(job.id, Event::Claimed { worker: "one".to_owned(), revision: 1, dead: None }).await;
        let key = ObjectKey::processed(job.id, 1, "plan.dxf".parse().expect("a name"));
        self.put(&key).await;
        let output = self.objects.find(&key).await.expect("its result");
        self.send(job.id, Event::Completed { attempt: 1, output }).await;
        self.send(job.id, Event::Dismissed).await;
        job.id
    }

    /// The jobs that a cleanup has announced. Takes all messages.
    async fn announced(&self) -> BTreeSet<JobId> {
        let mut jobs = BTreeSet::new();
        loop {
            let messages = self.queue.receive(10, Duration::ZERO, Duration::from_secs(60)).await;
            let messages = messages.expect("messages");
            if messages.is_empty() {
                return jobs;
            }
            for message in messages {
                let events = upload_event::parse(&message.body).expect("an event");
                jobs.extend(events.iter().filter(|event| event.reason == "Announced").map(|one| one.job));
                self.queue.delete(&message).await.expect("deleted");
            }
        }
    }

    /// Everything is done, once, and nothing but the upload of the job that goes on is left.
    async fn is_done(&self, made: &Made, what: &str) {
        let get = async |id| self.jobs.store().get(id).await.expect("an answer");
        assert_eq!(get(made.record).await, None, "{what}");
        for (id, state) in [
            (made.fetched, State::Completed),
            (made.cancelled, State::Cancelled),
            (made.expiring, State::Expired),
        ] {
            let job = get(id).await.expect("its record");
            assert_eq!(
                (job.state, job.purges, job.deletions.len(), job.retry),
                (state, 1, 1, None),
                "{what}"
            );
            for role in [Role::Upload, Role::Processed] {
                assert_eq!(self.objects.purge(role, id).await, Ok(Purged::default()), "{what}: {state:?}");
            }
        }
        let silent = get(made.silent).await.expect("its record");
        assert!(silent.state == State::Pending && silent.announced >= 1, "{what}: {silent:?}");
        self.objects.find(&upload_key(silent.id, &silent.order.file_name)).await.expect("its upload");
        assert!(self.announced().await.contains(&made.silent), "{what}");
        self.send(made.silent, Event::Cancelled).await;
        self.objects.purge(Role::Upload, made.silent).await.expect("deleted");
    }
}

/// A pass that nothing disturbs, and that has done everything.
fn finish(cloud: &Cloud, what: &str) {
    let (code, log) = cloud.cleanup_once(&[]).ended();
    assert_eq!(code, Some(0), "{what}: {log}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "in `make nightly`"]
async fn a_cleanup_that_is_killed_at_any_request_leaves_the_rest_to_the_next() {
    let cloud = Cloud::new().await;
    cloud.keep_versions().await;
    let past = Past::of(&cloud).await;
    let made = past.make().await;
    finish(&cloud, "undisturbed");
    let count = cloud.proxy.bill().requests.values().sum::<u64>();
    assert!(count > 150, "{count} requests");
    past.is_done(&made, "undisturbed").await;

    for request in (1..count).step_by(STEP) {
        let what = format!("killed at request {request} of {count}");
        let made = past.make().await;
        cloud.proxy.disturb(request, Disturbance::Hold);
        let cleaner = cloud.cleanup_once(&[]);
        let held = tokio::time::timeout(Duration::from_secs(30), cloud.proxy.held()).await;
        assert!(held.is_ok(), "{what}: it makes no such request\n{}", cleaner.log());
        // By SIGKILL.
        drop(cleaner);
        finish(&cloud, &what);
        past.is_done(&made, &what).await;
    }
}
