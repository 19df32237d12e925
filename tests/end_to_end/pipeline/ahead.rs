//! Native engine processes that are started ahead: ahead of the job, if `worker.warm` is set, and
//! always ahead of its input. They have the same properties as the Java ones in `jvm/warm.rs`.

use super::world::World;
use crate::jvm::warm::{
    all_waiting, another_serves_for_a_dead_one, another_serves_for_one_that_dies_with_the_job,
    another_user_serves, archive, each_serves_one, keep, ready, served, stops_clean, waiting,
};
use crate::misbehaviour::is_alive;
use crate::support::{Bench, children_of, real};
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::job::State;
use rustix::process::Signal;

/// A world whose workers convert OBJ with the engine double, and keep `warm` processes.
async fn double(warm: &str) -> World {
    let mut world = World::new().await;
    world.use_double();
    keep(&mut world, warm);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_has_a_process_of_its_own_that_waited_for_it() {
    each_serves_one(&double("assimp").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_died_before_its_job_costs_the_job_nothing() {
    another_serves_for_a_dead_one(&double("assimp").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_when_it_has_been_given_out_costs_the_job_nothing() {
    another_serves_for_one_that_dies_with_the_job(&double("assimp").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waited_under_a_user_id_of_its_own_reads_what_came_later() {
    another_user_serves(&double("assimp").await, ["tidy", "ok"]).await;
}

/// The process exists, without any data of the job, when the input has arrived.
#[tokio::test(flavor = "multi_thread")]
async fn without_one_that_waits_it_is_started_before_the_input_is_there() {
    let world = double("").await;
    let worker = world.worker("cold", Some("unpacked"));
    world.wait_until_said("ready").await;
    assert_eq!(children_of(worker.id()), [0u32; 0]);
    let id = world.submit(&archive("who"), "stl").await;
    worker.stopped().await;
    let started = children_of(worker.id());
    worker.signal(Signal::CONT);
    let (process, count) = served(&world, id).await;
    assert_eq!((started.as_slice(), count), (&[process][..], 1));
    assert_eq!(worker.terminate(), Some(0));
    world.workspace_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_one_does_that_waited_ends_as_it_always_does() {
    let mut world = double("assimp").await;
    world.set("CADMILL_LIMITS_TIMEOUT", "5s");
    world.set("CADMILL_LIMITS_MAX_OUTPUT", "16M");
    let (worker, _) = ready(&world, None).await;
    for (behaviour, code) in [
        ("escape", FailureCode::EngineRejected),
        ("segv", FailureCode::EngineCrashed),
        ("exit", FailureCode::EngineNoAnswer),
        ("orphan", FailureCode::EngineViolation),
        ("endless-file", FailureCode::LimitOutput),
        ("stubborn", FailureCode::LimitTime),
    ] {
        waiting(&worker).await;
        let id = world.submit(&archive(behaviour), "stl").await;
        let job = world.wait(id, "failed", |job| job.state.is_terminal()).await;
        assert_eq!(job.state, State::Failed, "{behaviour}: {job:?}");
        let failure = job.failure.unwrap();
        assert_eq!(failure.code, code, "{behaviour}: {failure:?}");
        assert!(!failure.message.contains("opened"), "{behaviour}: {failure:?}");
    }
    stops_clean(&world, worker).await;
}

/// Both kinds of native engine, as installed.
#[tokio::test(flavor = "multi_thread")]
async fn engines_that_waited_give_the_same_bytes() {
    let mut world = World::new().await;
    keep(&mut world, "gdal,assimp");
    let worker = world.worker("warm", None);
    world.wait_until_said("ready").await;
    let bench = Bench::new();
    for (name, format) in [
        ("gis/naturalearth_cities.zip", "dxf"),
        ("mesh/logo3d_obj.zip", "glb2"),
        ("gis/naturalearth_cities.zip", "geojson"),
        ("mesh/teapot.off", "stlb"),
    ] {
        let input = real(name);
        let before = all_waiting(&worker, 2).await;
        let file = input.file_name().unwrap().to_str().unwrap();
        let id = world.submit_as(file, &std::fs::read(&input).unwrap(), format).await;
        let warm = world.completed(id).await.1;
        let output = format!("{format}.out");
        bench.run(&["convert", input.to_str().unwrap(), "--to", format, "-o", &output]).succeeded();
        assert!(warm == std::fs::read(bench.path(&output)).unwrap(), "{name} to {format}: other bytes");
        let used = before.iter().filter(|&&process| !is_alive(process)).count();
        assert_eq!(used, 1, "{name} to {format}: not by one that waited");
    }
    all_waiting(&worker, 2).await;
    assert_eq!(worker.terminate(), Some(0));
    world.workspace_is_empty().await;
}
