//! Events that arrive after the job has ended, or before its record exists.

use super::*;
use cadmill_converter::worker::{Attempt, Attempts, Ended};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::job::{Deletion, Object};
use cadmill_core::domain::upload_event;
use cadmill_core::ports::{Clock, PortError};

fn key(id: JobId) -> ObjectKey {
    ObjectKey::upload(id, "plan.zip".parse().unwrap())
}

/// Sends the event of an object in a bucket.
async fn tell(world: &World, bucket: &str, key: &ObjectKey) {
    let object = world.objects.head(key).await.unwrap();
    let id = JobId::random().to_string();
    let event = upload_event::object_created(bucket, &object, "07", "PutObject", &id, SystemClock.now());
    world.queue.send(&event).await.unwrap();
}

async fn is_gone(world: &World, key: &ObjectKey) -> bool {
    match world.objects.head(key).await {
        Err(PortError::NotFound(_)) => true,
        other => other.map(|_| false).unwrap(),
    }
}

async fn until_gone(world: &World, key: &ObjectKey) {
    let since = Instant::now();
    while !is_gone(world, key).await {
        assert!(since.elapsed() < PATIENCE, "the object is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A failed deletion is retried: the message stays until it succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_object_is_deleted_also_at_the_second_try() {
    let world = World::new().await;
    let id = world.submit().await;
    world.jobs.send(id, &Event::Cancelled).await.unwrap();
    let objects = Script::new().on("delete", 1, Fault::Fail);
    let worker = world.start(Scripts { objects: objects.clone(), ..Scripts::default() });
    until_gone(&world, &key(id)).await;
    assert_eq!(objects.calls("delete"), 2);
    worker.end().await;
    let job = world.ended(id).await;
    assert_eq!((job.state, job.attempt), (State::Cancelled, 0));
}

/// When its record may be gone before the deletion arrives, the upload could be that of a new job.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_object_of_a_job_whose_record_ends_waits_for_that() {
    let world = World::new().await;
    // Deleted twice, so that the record ends in a minute.
    let policy = Policy { linger: 60_000, record: 1000, ..Policy::default() };
    let ending = Jobs::new(Arc::new(world.database.jobs()), Arc::new(SystemClock), policy);
    let id = world.submit().await;
    ending.send(id, &Event::Cancelled).await.unwrap();
    for before in [0, 1] {
        let deletion = Deletion {
            objects: 1,
            marks: 0,
            uploads: 0,
            confirmed_at: SystemClock.now(),
            oldest_age_ms: None,
            by: "cleanup".to_owned(),
            evidence: Default::default(),
        };
        ending.send(id, &Event::Purged { before, deletion, tries: Vec::new(), head: None }).await.unwrap();
    }
    let (objects, queue) = (Script::new(), Script::new());
    let scripts = Scripts { objects: objects.clone(), queue: queue.clone(), ..Scripts::default() };
    let worker = world.start(scripts);
    until(|| queue.calls("hide") >= 1).await;
    worker.end().await;
    assert_eq!(objects.calls("delete"), 0);
    assert!(!is_gone(&world, &key(id)).await);
}

/// An event affects only the upload that it names, in the worker's own bucket.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_deletes_its_own_upload_only() {
    let world = World::new().await;
    let (ended, unknown, named) = (world.submit().await, JobId::random(), JobId::random());
    world.jobs.send(ended, &Event::Cancelled).await.unwrap();
    // Results of an unknown job and of the ended one.
    let results = [ended, unknown].map(|id| ObjectKey::processed(id, 1, "plan.dxf".parse().unwrap()));
    for result in &results {
        world.objects.put(result, b"result".as_slice().into()).await.unwrap();
        tell(&world, world.server.bucket(), result).await;
    }
    // An event of another bucket, with the same key.
    world.objects.put(&key(named), b"upload".as_slice().into()).await.unwrap();
    let queue = &world.queue;
    let wait = Duration::from_secs(10);
    let mut own = Vec::new();
    while own.len() < 2 {
        own.extend(
            queue
                .receive(10, wait, Duration::from_secs(600))
                .await
                .unwrap()
                .into_iter()
                .filter(|m| m.body.contains("uploads/")),
        );
    }
    for message in own.iter().filter(|message| message.body.contains(&named.to_string())) {
        queue.delete(message).await.unwrap();
    }
    for message in own.iter().filter(|message| !message.body.contains(&named.to_string())) {
        queue.change_visibility(message, Duration::ZERO).await.unwrap();
    }
    tell(&world, "another", &key(named)).await;
    let worker = world.start(Scripts::default());
    until_gone(&world, &key(ended)).await;
    let since = Instant::now();
    while queue.dead_letters().await.unwrap() == 0 {
        assert!(since.elapsed() < PATIENCE, "the event of another bucket is not buried");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    worker.end().await;
    assert!(!is_gone(&world, &key(named)).await, "an event of another bucket deletes nothing");
    for result in &results {
        assert!(!is_gone(&world, result).await, "a result is not an upload");
    }
}

/// The record is not visible yet: the upload is kept and converted.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_record_comes_late_keeps_its_upload() {
    let world = World::new().await;
    let known = world.submit().await;
    let order = world.jobs.store().get(known).await.unwrap().unwrap().order;
    world.jobs.send(known, &Event::Cancelled).await.unwrap();
    let content = {
        let object = world.objects.head(&key(known)).await.unwrap();
        world.objects.read(&object, 0..object.size_bytes).await.unwrap()
    };
    let id = JobId::random();
    world.objects.put(&key(id), content).await.unwrap();
    let jobs = Script::new();
    let worker = world.start(Scripts { jobs: jobs.clone(), ..Scripts::default() });
    // Both events have been examined: one of them without a record.
    until(|| jobs.calls("get") >= 2).await;
    world.jobs.create(id, order).await.unwrap();
    let job = world.ended(id).await;
    worker.end().await;
    assert_eq!((job.state, job.attempt), (State::Completed, 1), "{job:?}");
}

/// Attempts that go on until they are cancelled.
struct Endless;

impl Attempts for Endless {
    fn run(&self, attempt: Attempt) -> futures_util::future::BoxFuture<'_, Ended> {
        Box::pin(async move {
            while !attempt.is_cancelled() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ended::unrecorded(Failure::new(FailureCode::Cancelled, "cancelled"), Stage::Fetch)
        })
    }
}

/// While the only slot is taken: the late event among those that wait is found, and the others cost half a
/// request a second, however many they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_looked_through_seldom_while_every_slot_is_taken() {
    let world = World::new().await;
    let running = world.submit().await;
    let queue = Script::new();
    let scripts = Scripts { queue: queue.clone(), ..Scripts::default() };
    let worker = world.start_attempting(scripts, Arc::new(Endless));
    let since = Instant::now();
    loop {
        let job = world.jobs.store().get(running).await.unwrap().unwrap();
        if job.state == State::Processing {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "it is never claimed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let order = world.jobs.store().get(running).await.unwrap().unwrap().order;
    let ended = world.submit().await;
    world.jobs.send(ended, &Event::Cancelled).await.unwrap();
    for _ in 0..150 {
        let id = JobId::random();
        world.jobs.create(id, order.clone()).await.unwrap();
        let object = Object {
            key: key(id),
            size_bytes: 7,
            etag: "e".to_owned(),
            version: None,
            sha256: None,
            encoded: None,
        };
        let event_id = JobId::random().to_string();
        let now = SystemClock.now();
        let event =
            upload_event::object_created(world.server.bucket(), &object, "07", "PutObject", &event_id, now);
        world.queue.send(&event).await.unwrap();
    }
    let since = Instant::now();
    until_gone(&world, &key(ended)).await;
    // Ten receive calls of a scan, and as many returns as there are messages, are the most.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let calls = ["receive", "hide", "send", "delete"].map(|name| queue.calls(name));
    let seconds = since.elapsed().as_secs();
    assert!(calls[0] >= 2, "it looks: {calls:?}");
    assert!(u64::from(calls.iter().sum::<u32>()) <= 240 + seconds, "{calls:?} in {seconds} s");
    worker.end().await;
}
