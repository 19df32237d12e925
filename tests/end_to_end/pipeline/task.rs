//! The worker as a task that is started for one upload and then ends.

use super::pipe::Pipe;
use super::world::{LEASE, Upload, World, large_archive};
use crate::support::real;
use cadmill_core::domain::job::State;
use cadmill_core::domain::state::Event;
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// The exit code of a task whose job has not ended.
const NOT_ENDED: Option<i32> = Some(75);

#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_an_event_is_served_once_however_it_is_named() {
    let world = World::new().await;
    let archive = std::fs::read(real("gis/naturalearth_lowres.zip")).unwrap();
    let id = world.submit(&archive, "dxf").await;
    let event = world.event(id).await;
    assert_eq!(world.task(Upload::Event(&event), None).ended(), Some(0));
    let (job, dxf) = world.completed(id).await;
    assert_eq!(job.attempt, 1);
    assert!(dxf.ends_with(b"EOF\r\n"));
    // The event started a second task, and a user started a third by hand.
    assert_eq!(world.task(Upload::Event(&event), None).ended(), Some(0));
    assert_eq!(world.task(Upload::Job(id), None).ended(), Some(0));
    assert_eq!(world.job(id).await, job);
    world.workspace_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_named_a_job_serves_it() {
    let world = World::new().await;
    let id = world.submit(&large_archive(1000), "dxf").await;
    assert_eq!(world.task(Upload::Job(id), None).ended(), Some(0));
    world.completed(id).await;
}

/// ECS starts a task with variables and without standard input.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_finds_its_upload_in_the_environment() {
    let mut world = World::new().await;
    // Container files pass unset variables on as empty ones.
    world.set("CADMILL_JOB", "");
    let first = world.submit(&large_archive(1000), "dxf").await;
    let event = world.event(first).await;
    assert_eq!(world.task(Upload::Variable("CADMILL_EVENT", &event), None).ended(), Some(0));
    world.completed(first).await;
    let second = world.submit(&large_archive(1000), "dxf").await;
    let key = world.upload_key(second).to_string();
    assert_eq!(world.task(Upload::Variable("CADMILL_KEY", &key), None).ended(), Some(0));
    world.completed(second).await;
    // Objects of others in the same bucket.
    assert_eq!(world.task(Upload::Variable("CADMILL_KEY", "photos/cat.png"), None).ended(), Some(0));
    for (name, value) in [("CADMILL_EVENT", key.as_str()), ("CADMILL_KEY", event.as_str())] {
        let task = world.task(Upload::Variable(name, value), None);
        assert_eq!(task.ended(), Some(2), "{name}");
    }
    assert_eq!(world.said(world.upload_key(second).file().as_str()), 0, "a file name is in a log");
}

/// A Pipe deletes the message of a task that it has started. The job that the task gives back comes
/// again as another message, and the next task completes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_a_task_gives_back_is_announced_for_another_task() {
    let world = World::new().await;
    let id = world.submit(&large_archive(500_000), "dxf").await;
    let pipe = Pipe { world: &world };
    let message = pipe.message().await;
    let first = pipe.start(&message, Some("converting"));
    world.queue.delete(&message).await.expect("deleted");
    first.stopped().await;
    first.signal(Signal::TERM);
    first.signal(Signal::CONT);
    assert_eq!(first.ended(), NOT_ENDED);
    assert_eq!(world.job(id).await.state, State::Pending);
    pipe.drain(&[id]).await;
    let (job, _) = world.completed(id).await;
    assert_eq!((job.attempt, job.excused), (2, 1));
}

/// A Pipe deletes the message once the task runs, also if the task cannot do anything.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_outlives_a_task_that_cannot_begin() {
    let mut world = World::new().await;
    let id = world.submit(&large_archive(1000), "dxf").await;
    let message = Pipe { world: &world }.message().await;
    world.queue.delete(&message).await.expect("deleted");
    let (_, endpoint) =
        world.variables().into_iter().find(|(name, _)| *name == "CADMILL_S3_ENDPOINT").expect("an endpoint");
    // Nothing listens there.
    world.set("CADMILL_S3_ENDPOINT", "http://127.0.0.1:9");
    assert_eq!(world.task(Upload::Variable("CADMILL_EVENT", &message.body), None).ended(), Some(20));
    world.set("CADMILL_S3_ENDPOINT", endpoint);
    let pipe = Pipe { world: &world };
    let second = pipe.message().await;
    world.queue.delete(&second).await.expect("deleted");
    // Asked to stop before it has claimed anything.
    let stopped = pipe.start(&second, None);
    while !stopped.log().contains("ready") {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stopped.signal(Signal::TERM);
    if stopped.ended() == NOT_ENDED {
        pipe.drain(&[id]).await;
    }
    world.completed(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_its_upload_comes_again_later() {
    let world = World::new().await;
    let id = world.create(b"not uploaded", "dxf").await;
    let key = world.upload_key(id).to_string();
    let task = world.task(Upload::Variable("CADMILL_KEY", &key), None);
    assert_eq!(task.ended(), NOT_ENDED);
    assert_eq!(world.said("the upload is not there yet"), 1);
    assert!(!world.logs().contains(&key), "the key is in a log");
    let again = Pipe { world: &world }.message().await;
    let uploads = cadmill_core::domain::upload_event::parse(&again.body).expect("an event");
    assert_eq!(uploads.iter().map(|upload| upload.job).collect::<Vec<_>>(), [id]);
    // Of another bucket it is not an upload of this deployment.
    let foreign = again.body.replace("cadmill", "another");
    assert_eq!(world.task(Upload::Variable("CADMILL_EVENT", &foreign), None).ended(), Some(0));
}

/// The task of a duplicate event would idle beside the first for as long as that one works.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_task_leaves_a_job_to_the_worker_that_is_alive() {
    let world = World::new().await;
    let id = world.submit(&large_archive(1000), "dxf").await;
    let object = world.objects.head(&world.upload_key(id)).await.expect("the upload");
    let mut revision = 1;
    for event in [
        Event::Uploaded { object, sequencer: "01".to_owned(), at: None },
        Event::Claimed { worker: "another".to_owned(), revision, dead: None },
    ] {
        world.jobs.send(id, &event).await.expect("the store answers");
    }
    let task = world.task(Upload::Job(id), None);
    let since = Instant::now();
    while !task.log().contains("leaving the job to the worker that has it") {
        assert!(since.elapsed() < Duration::from_secs(120), "it stays\n{}", task.log());
        revision += 1;
        let event = Event::Renewed { attempt: 1, revision, progress: None };
        world.jobs.send(id, &event).await.expect("the store answers");
        tokio::time::sleep(LEASE / 10).await;
    }
    assert_eq!(task.ended(), NOT_ENDED);
    assert_eq!(world.job(id).await.attempt, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_refused_is_an_end_and_an_upload_that_is_missing_is_none() {
    let world = World::new().await;
    let refused = world.submit(b"no archive at all", "dxf").await;
    assert_eq!(world.task(Upload::Job(refused), None).ended(), Some(0));
    assert_eq!(world.job(refused).await.state, State::Failed);

    let missing = world.create(b"not uploaded", "dxf").await;
    assert_eq!(world.task(Upload::Job(missing), None).ended(), NOT_ENDED);
    let job = world.job(missing).await;
    assert_eq!((job.state, job.attempt), (State::Pending, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_refused() {
    let world = World::new().await;
    for rubbish in ["", "rubbish", "{}", "[]", "{\"detail\":7}"] {
        assert_eq!(world.task(Upload::Event(rubbish), None).ended(), Some(2), "{rubbish}");
    }
}

/// Two tasks for one upload, as when the event starts them directly: the second waits, and takes
/// over when the first dies.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_task_takes_over_from_a_dead_one() {
    let world = World::new().await;
    let id = world.submit(&large_archive(1000), "dxf").await;
    let first = world.task(Upload::Job(id), Some("converting"));
    first.stopped().await;
    let event = world.event(id).await;
    let second = world.task(Upload::Event(&event), None);
    first.kill();
    assert_eq!(second.ended(), Some(0));
    let (job, _) = world.completed(id).await;
    assert_eq!(job.attempt, 2);
    world.workspace_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_told_to_stop_gives_the_job_back() {
    let world = World::new().await;
    let id = world.submit(&large_archive(500_000), "dxf").await;
    let task = world.task(Upload::Job(id), Some("converting"));
    task.stopped().await;
    task.signal(Signal::TERM);
    task.signal(Signal::CONT);
    assert_eq!(task.ended(), NOT_ENDED);
    let job = world.job(id).await;
    assert_eq!((job.state, job.attempt, job.excused), (State::Pending, 1, 1));
    world.workspace_is_empty().await;
}
