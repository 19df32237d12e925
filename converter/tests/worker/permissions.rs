//! The worker with the permissions of its policy document and no others.

use super::*;
use cadmill_core::domain::upload_event;
use cadmill_core::ports::{Clock, PortError};
use cadmill_stores::adapters::restricted::RestrictedObjects;
use cadmill_stores::conformance::iam::Resources;
use cadmill_stores::conformance::iam::policy::Policy;

impl World {
    fn policy(&self) -> Policy {
        Resources::named(self.server.bucket(), "jobs", "events", "dead").policy("worker")
    }

    /// A world whose workers have this policy.
    fn under(mut self, policy: Policy) -> (Self, Arc<dyn ObjectStore>) {
        let all = Arc::clone(&self.objects);
        let bucket = format!("arn:aws:s3:::{}", self.server.bucket());
        self.objects = Arc::new(RestrictedObjects::new(Arc::clone(&all), &bucket, vec![policy]));
        (self, all)
    }
}

fn key(id: JobId) -> ObjectKey {
    ObjectKey::upload(id, "plan.zip".parse().unwrap())
}

/// No right to list is needed: the worker deletes the upload that it read, and leaves the rest to
/// cleanup.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_needs_no_right_to_list() {
    let world = World::new().await;
    let id = world.submit().await;
    let policy = world.policy();
    let (world, all) = world.under(policy);
    let unfinished = all.begin_multipart(&key(id)).await.unwrap();
    world.work(id, Scripts::default()).await;
    assert!(matches!(all.head(&key(id)).await, Err(PortError::NotFound(_))), "it is deleted");
    assert_eq!(all.parts(&key(id), &unfinished).await, Ok(Vec::new()), "that is for cleanup");
}

/// Without the right to delete, the job ends all the same, and its upload is left to cleanup.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_may_not_be_deleted_is_left_to_cleanup() {
    let world = World::new().await;
    let id = world.submit().await;
    let policy = world.policy().without("DeleteUploads", "s3:DeleteObject");
    let (world, all) = world.under(policy);
    world.work(id, Scripts::default()).await;
    all.head(&key(id)).await.expect("it is there");
}

/// An upload that may not be read looks like one that is missing: its event is buried, and neither
/// the job nor the upload is ended by it.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_may_not_be_read_loses_nothing() {
    let world = World::new().await;
    let id = world.submit().await;
    // Nine deliveries, as to a worker that tried.
    let short = Duration::from_secs(20);
    for _ in 0..9 {
        let messages = world.queue.receive(1, short, Duration::from_secs(60)).await.unwrap();
        let [message] = messages.as_slice() else { panic!("{messages:?}") };
        world.queue.change_visibility(message, Duration::ZERO).await.unwrap();
    }
    let policy = world.policy().without("ReadUploads", "s3:GetObject");
    let (mut world, all) = world.under(policy);
    let worker = world.start(Scripts::default());
    let since = Instant::now();
    while world.queue.dead_letters().await.unwrap() == 0 {
        assert!(since.elapsed() < PATIENCE, "the event is not buried");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    worker.end().await;
    let job = world.jobs.store().get(id).await.unwrap().unwrap();
    assert_eq!((job.state, job.attempt), (State::Pending, 0));
    let object = all.head(&key(id)).await.expect("it is there");
    // Cleanup announces it again, and with the permission it is converted.
    world.objects = all;
    let (bucket, event) = (world.server.bucket(), JobId::random().to_string());
    let event = upload_event::object_created(bucket, &object, "00", "Announced", &event, SystemClock.now());
    world.queue.send(&event).await.unwrap();
    world.work(id, Scripts::default()).await;
}
