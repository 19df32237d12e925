//! Jobs on any stores, brought to each of their ends by a driven clock.

use super::memory::Memory;
use super::world::{ManualClock, POLICY, World};
use bytes::Bytes;
use cadmill_core::cleanup::crew::Membership;
use cadmill_core::cleanup::{Cleanup, upload_key};
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::job::{Job, JobFailure, Millis, Object};
use cadmill_core::domain::state::Event;
use cadmill_core::jobs::{Change, Jobs};
use cadmill_core::ports::{Clock, EventQueue, JobStore, ObjectStore, PortError};
use cadmill_stores::adapters::aws::{DynamoStore, S3Store, SqsQueue};
use cadmill_stores::adapters::faulty::{FaultyJobs, FaultyObjects, FaultyQueue, Script};
use cadmill_stores::conformance::job_store::{new_job, new_owner};
use cadmill_stores::conformance::moto::World as AwsWorld;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Pause between two passes.
pub(super) const EVERY: Millis = 15_000;

/// Stores, and the clock that the records are made by.
#[derive(Clone)]
pub(super) struct Ports {
    pub(super) clock: Arc<ManualClock>,
    pub(super) jobs: Arc<dyn JobStore>,
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) queue: Arc<dyn EventQueue>,
    pub(super) bucket: String,
    /// Where its objects are, if they are in memory.
    pub(super) memory: Option<Memory>,
}

pub(super) fn content() -> Bytes {
    Bytes::from_static(b"content")
}

impl Ports {
    pub(super) fn new(
        jobs: Arc<dyn JobStore>,
        objects: Arc<dyn ObjectStore>,
        queue: Arc<dyn EventQueue>,
        bucket: &str,
    ) -> Self {
        let clock = Arc::new(ManualClock(AtomicU64::new(1_000_000_000)));
        Self { clock, jobs, objects, queue, bucket: bucket.to_owned(), memory: None }
    }

    /// The embedded ones.
    pub(super) fn embedded(world: &World) -> Self {
        let (jobs, objects) = (Arc::new(world.database.jobs()), world.objects.clone());
        let ports = Self::new(jobs, objects, world.queue.clone(), world.server.bucket());
        Self { clock: Arc::clone(&world.clock), ..ports }
    }

    /// Those of servers that stand in for AWS.
    pub(super) async fn of_aws(world: &AwsWorld) -> Self {
        let jobs = Arc::new(DynamoStore::new(world.jobs.clone()).await);
        let objects = Arc::new(S3Store::new(world.objects.clone()).await);
        let queue = Arc::new(SqsQueue::new(world.queue.clone()).await);
        Self::new(jobs, objects, queue, &world.objects.bucket)
    }

    /// In memory; the requests to the objects are calls of this script.
    pub(super) fn in_memory(memory: &Memory) -> Self {
        let jobs = Arc::new(memory.jobs());
        let objects = Arc::new(memory.objects(Script::new()));
        let ports = Self::new(jobs, objects, Arc::new(memory.queue()), "bucket");
        Self { memory: Some(memory.clone()), ..ports }
    }

    /// The same stores as a program uses them whose calls are those of this script.
    pub(super) fn under(&self, script: &Script) -> Self {
        let objects: Arc<dyn ObjectStore> = match &self.memory {
            Some(memory) => Arc::new(memory.objects(script.clone())),
            None => Arc::new(FaultyObjects::new(Arc::clone(&self.objects), script.clone())),
        };
        Self {
            jobs: Arc::new(FaultyJobs::new(Arc::clone(&self.jobs), script.clone())),
            queue: Arc::new(FaultyQueue::new(Arc::clone(&self.queue), script.clone())),
            objects,
            ..self.clone()
        }
    }

    pub(super) fn now(&self) -> Millis {
        self.clock.now()
    }

    pub(super) fn pass(&self, millis: Millis) {
        self.clock.0.fetch_add(millis, Ordering::Relaxed);
    }

    /// Drives the clock to this time, which has not passed.
    #[track_caller]
    pub(super) fn until(&self, time: Millis) {
        let passed = self.clock.0.fetch_max(time, Ordering::Relaxed);
        assert!(passed <= time, "{time} has passed: it is {passed}");
    }

    pub(super) fn all(&self) -> Jobs {
        Jobs::new(Arc::clone(&self.jobs), Arc::clone(&self.clock) as Arc<dyn Clock>, POLICY)
    }

    /// A cleanup program of this name that has just started.
    pub(super) fn cleanup(&self, name: &str) -> (Cleanup, Membership) {
        let (objects, queue) = (Arc::clone(&self.objects), Arc::clone(&self.queue));
        let cleanup = Cleanup::new(self.all(), objects, queue, self.bucket.clone(), name.to_owned());
        (cleanup, Membership::new(self.all(), name.to_owned(), Duration::from_millis(EVERY)))
    }

    pub(super) async fn get(&self, id: JobId) -> Option<Job> {
        self.jobs.get(id).await.unwrap()
    }

    pub(super) async fn send(&self, id: JobId, event: Event) -> Job {
        match self.all().send(id, &event).await.unwrap() {
            Change::Done(job) => *job,
            other => panic!("{event:?}: {other:?}"),
        }
    }

    pub(super) async fn create(&self) -> Job {
        let order = new_job(&new_owner(), 1).order;
        self.all().create(JobId::random(), order).await.unwrap().0
    }

    /// Writes the upload. Its event is lost, or not yet there.
    pub(super) async fn upload(&self, job: &Job) -> Object {
        let key = upload_key(job.id, &job.order.file_name);
        self.objects.put(&key, content()).await.unwrap();
        self.objects.find(&key).await.unwrap()
    }

    /// A job whose upload has arrived.
    pub(super) async fn uploaded(&self) -> Job {
        let job = self.create().await;
        let object = self.upload(&job).await;
        self.send(job.id, Event::Uploaded { object, sequencer: "7".to_owned(), at: None }).await
    }

    /// The next attempt on a job, by a worker that finds the last one dead.
    pub(super) async fn claim(&self, id: JobId) -> Job {
        let job = self.get(id).await.unwrap();
        let dead = job.lease.as_ref().map(|lease| lease.revision);
        let revision = u64::from(job.attempt) + 1;
        self.send(id, Event::Claimed { worker: format!("w{revision}"), revision, dead }).await
    }

    /// The result of this attempt.
    pub(super) async fn result(&self, id: JobId, attempt: u32) -> Object {
        let key = ObjectKey::processed(id, attempt, "plan.dxf".parse().unwrap());
        self.objects.put(&key, content()).await.unwrap();
        self.objects.find(&key).await.unwrap()
    }

    /// An upload in parts of this key, of which one part has arrived.
    pub(super) async fn half(&self, key: &ObjectKey) -> String {
        let upload = self.objects.begin_multipart(key).await.unwrap();
        self.objects.put_part(key, &upload, 1, content()).await.unwrap();
        upload
    }

    /// A job that a worker has, with half a result.
    pub(super) async fn claimed(&self) -> Job {
        let job = self.uploaded().await;
        let job = self.claim(job.id).await;
        self.half(&ObjectKey::processed(job.id, job.attempt, "plan.dxf".parse().unwrap())).await;
        job
    }

    /// A job with a result.
    pub(super) async fn completed(&self) -> Job {
        let job = self.uploaded().await;
        let job = self.claim(job.id).await;
        let output = self.result(job.id, job.attempt).await;
        self.send(job.id, Event::Completed { attempt: job.attempt, output }).await
    }

    pub(super) async fn failed(&self) -> Job {
        let job = self.claimed().await;
        let failure = JobFailure { code: FailureCode::EngineRejected, message: "no".to_owned(), at: None };
        self.send(job.id, Event::Failed { attempt: job.attempt, failure }).await
    }

    /// As far as the stores watch.
    #[track_caller]
    pub(super) fn has_deleted_nothing_live(&self) {
        if let Some(memory) = &self.memory {
            assert_eq!(memory.violations(), [""; 0]);
        }
    }

    pub(super) async fn has(&self, key: &ObjectKey) -> bool {
        match self.objects.find(key).await {
            Ok(_) => true,
            Err(PortError::NotFound(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }
}
