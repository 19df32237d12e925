//! The worker on servers that stand in for AWS, in both of its modes: as a service, and as a task
//! for each upload. The servers are moto, and others for each service, which differ from AWS in
//! other ways (docs/PIPELINE.md). `make test` runs one job in each mode on the others, with the
//! embedded object server for S3; the rest is in `make nightly`.

use super::pipe::Pipe;
use super::stores::Stores;
use super::world::{Worker, World, large_archive};
use crate::support::real;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::{Job, State};
use cadmill_stores::adapters::aws::s3::Keeps;

/// How a worker is started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Service,
    TaskPerUpload,
}

/// Which servers stand in for AWS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Moto,
    OthersWithEmbeddedS3,
    OthersWithVersitygw,
}

impl On {
    async fn world(self) -> World {
        let data = tempfile::tempdir().expect("a directory");
        let stores = match self {
            Self::Moto => Stores::moto().await,
            Self::OthersWithEmbeddedS3 => Stores::others_with_embedded_s3(data.path()).await,
            Self::OthersWithVersitygw => Stores::others_with_versitygw(Keeps::Objects).await,
        };
        World::on(stores, data)
    }
}

/// Serves these jobs and everything in the queue in this mode, and checks that nothing is left
/// behind.
async fn serve(world: &World, mode: Mode, jobs: &[JobId]) {
    match mode {
        Mode::Service => {
            let worker = world.worker("worker", None);
            for id in jobs {
                world.wait(*id, "ended", |job| job.state.is_terminal()).await;
            }
            world.queue_is_empty().await;
            assert_eq!(worker.terminate(), Some(0), "{}", world.logs());
        }
        Mode::TaskPerUpload => Pipe { world }.drain(jobs).await,
    }
    world.workspace_is_empty().await;
    assert_eq!(world.queue.dead_letters().await.expect("counted"), 0, "{}", world.logs());
}

/// One job for each engine: GDAL and Assimp.
fn inputs() -> [(Vec<u8>, &'static str); 2] {
    let read = |name| std::fs::read(real(name)).expect("a fixture");
    [(read("gis/naturalearth_lowres.zip"), "dxf"), (read("mesh/logo3d_obj.zip"), "glb")]
}

/// The result of a job of the first attempt, which must be a file of the format.
async fn result(world: &World, id: JobId, format: &str) -> Vec<u8> {
    let (job, result) = world.completed(id).await;
    assert_eq!(job.attempt, 1, "{job:?}");
    match format {
        "dxf" => assert!(result.ends_with(b"EOF\r\n"), "a whole DXF file"),
        _ => assert!(result.starts_with(b"glTF"), "a GLB file"),
    }
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_and_a_task_run_on_other_servers_than_moto() {
    let world = On::OthersWithEmbeddedS3.world().await;
    for (mode, (input, format)) in [Mode::Service, Mode::TaskPerUpload].into_iter().zip(inputs()) {
        let id = world.submit(&input, format).await;
        serve(&world, mode, &[id]).await;
        result(&world, id, format).await;
    }
}

/// Both engines, uploads in one piece and in parts, and duplicates of the events.
async fn every_job_is_done_once(on: On, mode: Mode) {
    let world = on.world().await;
    let mut jobs = Vec::new();
    for (input, format) in inputs() {
        let whole = world.submit(&input, format).await;
        let parts = world.submit_in_parts(&input, format).await;
        world.repeat_event(whole, 3).await;
        jobs.push((whole, parts, format));
    }
    let large = world.submit_in_parts(&large_archive(50_000), "dxf").await;
    let ids: Vec<_> = jobs.iter().flat_map(|&(whole, parts, _)| [whole, parts]).chain([large]).collect();
    serve(&world, mode, &ids).await;
    for (whole, parts, format) in jobs {
        let whole = result(&world, whole, format).await;
        assert!(result(&world, parts, format).await == whole, "the same, however it was uploaded");
    }
    result(&world, large, "dxf").await;
    assert_eq!(world.said("\"completed\""), 5, "one result for each job\n{}", world.logs());
}

/// Killed there: a second worker ends the job, once, and nothing is left.
async fn killed_at(failpoint: &str, on: On, mode: Mode) {
    let world = on.world().await;
    let id = world.submit(&large_archive(vertices(failpoint)), "dxf").await;
    match mode {
        Mode::Service => {
            let before = killed(&world, id, world.worker("first", Some(failpoint))).await;
            let second = world.worker("second", None);
            ended_once(&world, id, &before).await;
            assert_eq!(second.terminate(), Some(0), "{}", world.logs());
        }
        Mode::TaskPerUpload => {
            let pipe = Pipe { world: &world };
            let message = pipe.message().await;
            let before = killed(&world, id, pipe.start(&message, Some(failpoint))).await;
            pipe.give_back(&message).await;
            pipe.drain(&[id]).await;
            ended_once(&world, id, &before).await;
        }
    }
    assert_eq!(world.queue.dead_letters().await.expect("counted"), 0, "{}", world.logs());
}

/// Half an upload needs a result of several parts.
fn vertices(failpoint: &str) -> u32 {
    if failpoint == "half-uploaded" { 500_000 } else { 50_000 }
}

/// Kills the worker at its failpoint; returns the job at that time.
async fn killed(world: &World, id: JobId, worker: Worker) -> Job {
    worker.stopped().await;
    let job = world.job(id).await;
    worker.kill();
    job
}

/// A job whose end was recorded before the death keeps that end; otherwise the second attempt ends
/// it.
async fn ended_once(world: &World, id: JobId, before: &Job) {
    let (job, dxf) = world.completed(id).await;
    let recorded = before.state == State::Completed;
    assert_eq!(job.attempt, if recorded { 1 } else { 2 }, "{job:?}");
    assert!(!recorded || job.output == before.output, "the result that was recorded is the result");
    assert!(dxf.len() > 900 << 10 && dxf.ends_with(b"EOF\r\n"), "{} bytes", dxf.len());
    world.queue_is_empty().await;
    world.workspace_is_empty().await;
    assert_eq!(world.job(id).await, job, "nothing changed after the end");
}

/// EventBridge Pipes delete a message when the target has taken it (Amazon EventBridge User Guide,
/// "Amazon Simple Queue Service as a source"), and ECS has taken it when RunTask has answered. So
/// the message of a task that dies is gone, and the cleanup announces the job again.
async fn a_task_whose_message_is_gone_is_replaced(on: On) {
    let world = on.world().await;
    let id = world.submit(&large_archive(50_000), "dxf").await;
    let pipe = Pipe { world: &world };
    let message = pipe.message().await;
    let task = pipe.start(&message, Some("converting"));
    world.queue.delete(&message).await.expect("deleted");
    let before = killed(&world, id, task).await;
    let cleanup = world.cleanup();
    let since = std::time::Instant::now();
    while !world.has_messages().await {
        assert!(since.elapsed() < super::worker::PATIENCE, "the job was not announced again");
        cleanup.round().await;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    pipe.drain(&[id]).await;
    ended_once(&world, id, &before).await;
}

macro_rules! on_each {
    ($($module:ident = $on:ident, $mode:ident;)+) => { $(
        mod $module {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "in `make nightly`"]
            async fn every_job_is_done_once() {
                super::every_job_is_done_once(On::$on, Mode::$mode).await;
            }

            killed_at_each!(On::$on, Mode::$mode;
                claimed = "claimed", half_downloaded = "half-downloaded", unpacked = "unpacked",
                converting = "converting", converted = "converted", half_uploaded = "half-uploaded",
                uploaded = "uploaded", wiping = "wiping", recorded = "recorded",
            );
        }
    )+ };
}

macro_rules! killed_at_each {
    ($on:expr, $mode:expr; $($name:ident = $failpoint:literal,)+) => {
        mod killed_when {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                #[ignore = "in `make nightly`"]
                async fn $name() {
                    killed_at($failpoint, $on, $mode).await;
                }
            )+

            #[test]
            fn every_failpoint_is_tried() {
                assert_eq!([$($failpoint),+], cadmill_converter::worker::failpoint::ALL);
            }
        }
    };
}

on_each! {
    a_service_on_moto = Moto, Service;
    a_task_on_moto = Moto, TaskPerUpload;
    a_service_on_others = OthersWithVersitygw, Service;
    a_task_on_others = OthersWithVersitygw, TaskPerUpload;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "in `make nightly`"]
async fn a_task_whose_message_is_gone_is_replaced_on_moto() {
    a_task_whose_message_is_gone_is_replaced(On::Moto).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "in `make nightly`"]
async fn a_task_whose_message_is_gone_is_replaced_on_others() {
    a_task_whose_message_is_gone_is_replaced(On::OthersWithVersitygw).await;
}
