//! `cadmill-cleanup --once`: one pass over all that a cleanup looks after.

use super::processes::Service;
use super::world::World;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::state::Event;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn one_pass_looks_after_jobs_dead_letters_and_objects_without_a_job() {
    let world = World::new().await;
    let (ended, live) = (world.create(b"plan", "dxf").await, world.create(b"plan", "dxf").await);
    let mut events = Vec::new();
    for id in [ended, live] {
        world.objects.put(&world.upload_key(id), b"plan".to_vec().into()).await.expect("an upload");
        events.push(world.event(id).await);
    }
    world.jobs.send(ended, &Event::Cancelled).await.expect("cancelled");
    let orphan = ObjectKey::upload(JobId::random(), "plan.zip".parse().expect("a name"));
    world.objects.put(&orphan, b"plan".to_vec().into()).await.expect("an object");
    // All messages of the uploads become dead letters, with one of each job.
    for event in events {
        world.queue.send(&event).await.expect("a message");
    }
    while let Some(message) = next(&world).await {
        world.queue.dead_letter(&message).await.expect("a dead letter");
    }
    let before = world.queue.dead_letters().await.expect("counted");

    let (code, log) = Service::start("cadmill-cleanup", &["--once"], &world.variables()).ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("deleted 1 objects"), "{log}");
    assert!(log.contains("found objects of jobs that have no record"), "{log}");
    assert!(world.objects.find(&orphan).await.is_ok(), "its record may be restored");
    assert!(world.objects.find(&world.upload_key(live)).await.is_ok());
    let left = world.queue.dead_letters().await.expect("counted");
    assert!((1..before).contains(&left), "{left} of {before}");
    for letter in world.queue.receive_dead(10, Duration::from_secs(60)).await.expect("dead letters") {
        assert!(!letter.body.contains(&ended.to_string()), "of the job that has ended");
    }
}

async fn next(world: &World) -> Option<cadmill_core::ports::event_queue::Message> {
    let received = world.queue.receive(1, Duration::from_secs(1), Duration::from_secs(60)).await;
    received.expect("received").pop()
}
