//! The dead letters of jobs that have ended go, and all others stay.

use cadmill_core::cleanup::dead_letters::{DeadLetters, Sifted};
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::job::Object;
use cadmill_core::domain::state::{Event, Policy};
use cadmill_core::domain::upload_event::object_created;
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::clock::SystemClock;
use cadmill_core::ports::{EventQueue, PortError};
use cadmill_stores::adapters::embedded::Database;
use cadmill_stores::adapters::faulty::{Fault, FaultyJobs, FaultyQueue, Script};
use cadmill_stores::conformance::job_store::{new_job, new_owner};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const BUCKET: &str = "cadmill";

struct World {
    database: Database,
    jobs: Jobs,
    queue: Arc<dyn EventQueue>,
    _data: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let database = Database::open(&data.path().join("jobs.sqlite"), 100).unwrap();
        let jobs = Jobs::new(Arc::new(database.jobs()), Arc::new(SystemClock), Policy::default());
        let queue = Arc::new(database.queue());
        Self { database, jobs, queue, _data: data }
    }

    /// The cleanup of dead letters, with faults.
    fn dead_letters(&self, jobs: &Script, queue: &Script) -> DeadLetters {
        let store = Arc::new(FaultyJobs::new(Arc::new(self.database.jobs()), jobs.clone()));
        let queue = Arc::new(FaultyQueue::new(Arc::clone(&self.queue), queue.clone()));
        let jobs = Jobs::new(store, Arc::new(SystemClock), Policy::default());
        DeadLetters::new(jobs, queue, BUCKET.to_owned())
    }

    async fn job(&self) -> JobId {
        let job = new_job(&new_owner(), 1);
        self.jobs.create(job.id, job.order.clone()).await.unwrap().0.id
    }

    async fn ended(&self) -> JobId {
        let id = self.job().await;
        self.jobs.send(id, &Event::Cancelled).await.unwrap();
        id
    }

    async fn bury(&self, body: &str) {
        self.queue.send(body).await.unwrap();
        let messages = self.queue.receive(1, Duration::from_secs(5), Duration::from_secs(60)).await.unwrap();
        self.queue.dead_letter(&messages[0]).await.unwrap();
    }

    /// The bodies of all dead letters.
    async fn left(&self) -> BTreeSet<String> {
        let queue = self.database.queue();
        let mut left = BTreeSet::new();
        loop {
            let letters = queue.receive_dead(10, Duration::from_secs(60)).await.unwrap();
            if letters.is_empty() {
                return left;
            }
            left.extend(letters.into_iter().map(|letter| letter.body));
        }
    }
}

fn event(job: JobId, bucket: &str) -> String {
    let key = ObjectKey::upload(job, "plan.zip".parse().unwrap());
    let object =
        Object { key, size_bytes: 7, etag: "e".to_owned(), version: None, sha256: None, encoded: None };
    object_created(bucket, &object, "01", "PutObject", &JobId::random().to_string(), 1)
}

#[tokio::test]
async fn dead_letters_of_ended_jobs_go_and_others_stay() {
    let world = World::new();
    let (live, ended) = (world.job().await, world.ended().await);
    let kept = [event(live, BUCKET), event(ended, "another-bucket"), "rubbish".to_owned()];
    let gone = [event(ended, BUCKET), event(JobId::random(), BUCKET)];
    for body in kept.iter().chain(&gone) {
        world.bury(body).await;
    }
    // More than one receive call has.
    for _ in 0..25 {
        world.bury(&event(ended, BUCKET)).await;
    }
    let sift = world.dead_letters(&Script::new(), &Script::new());
    assert_eq!(sift.pass().await, Ok(Sifted { deleted: 27, left: 3 }));
    assert_eq!(world.left().await, kept.clone().into());
    assert_eq!(sift.pass().await, Ok(Sifted { deleted: 0, left: 3 }));
    world.jobs.send(live, &Event::Cancelled).await.unwrap();
    assert_eq!(sift.pass().await, Ok(Sifted { deleted: 1, left: 2 }));
    assert_eq!(world.left().await, kept[1..].iter().cloned().collect());
}

/// Whatever fails, a letter of a job that goes on is never deleted, and the next pass ends the work.
#[tokio::test]
async fn a_pass_that_fails_is_made_good_by_the_next() {
    for (operation, call, fault) in [
        ("receive_dead", 1, Fault::Fail),
        ("receive_dead", 2, Fault::DropReply),
        ("delete_dead", 1, Fault::Fail),
        ("delete_dead", 1, Fault::DropReply),
        ("delete_dead", 2, Fault::Twice),
        ("release_dead", 1, Fault::Fail),
        ("get", 1, Fault::Fail),
    ] {
        let world = World::new();
        let live = event(world.job().await, BUCKET);
        world.bury(&live).await;
        for _ in 0..11 {
            let ended = world.ended().await;
            world.bury(&event(ended, BUCKET)).await;
        }
        let script = Script::new().on(operation, call, fault);
        let sift = world.dead_letters(&script, &script);
        let first = sift.pass().await;
        let failed = matches!(first, Err(PortError::Unavailable { .. } | PortError::Unknown { .. }));
        let is_harmless = ["release_dead", "get"].contains(&operation) || fault == Fault::Twice;
        assert_eq!(failed, !is_harmless, "{operation} {fault:?}: {first:?}");
        assert!(script.calls(operation) >= call, "{operation} was called");
        // A pass that breaks off may have ended in the middle of the queue: the next begins there.
        for _ in 0..2 {
            sift.pass().await.unwrap();
        }
        assert_eq!(world.left().await, BTreeSet::from([live]), "{operation} {fault:?}");
    }
}
