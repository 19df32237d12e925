//! Processes that wait for a job: each serves one, a dead one costs nothing but time, and the
//! guarantees for other processes hold for them too. What applies equally to native engines is also
//! tested with one in `pipeline/ahead.rs`.

use super::{classes, declared, jars};
use crate::misbehaviour::is_alive;
use crate::pipeline::world::{Worker, World};
use crate::support::{Bench, children_of, real, zipped};
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::State;
use cadmill_core::domain::ledger::LedgerId;
use cadmill_core::domain::ledger::verify::{Verdict, verify};
use cadmill_core::ports::AuditSink;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A world whose workers convert OBJ with this Java library, and keep `warm` processes.
pub(crate) async fn world(
    mut world: World,
    library: &Path,
    keys: &str,
    warm: &str,
) -> (World, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), declared("assimp", library, keys)).unwrap();
    world.set("CADMILL_ENGINES_FILE", file.path().to_str().unwrap());
    keep(&mut world, warm);
    (world, file)
}

/// Workers of this world keep these processes, and serve one job at a time.
pub(crate) fn keep(world: &mut World, warm: &str) {
    world.set("CADMILL_WORKER_WARM", warm);
    world.set("CADMILL_WORKER_CONCURRENCY", "1");
}

/// The same with the double.
pub(crate) async fn double(warm: &str) -> (World, tempfile::NamedTempFile) {
    world(World::new().await, classes(), "", warm).await
}

/// Waits until exactly one process waits, and returns its id.
pub(crate) async fn waiting(worker: &Worker) -> u32 {
    all_waiting(worker, 1).await[0]
}

/// Waits until exactly this many processes wait, and returns their ids.
pub(crate) async fn all_waiting(worker: &Worker, count: usize) -> Vec<u32> {
    let since = Instant::now();
    loop {
        let processes = children_of(worker.id());
        if processes.len() == count && processes.iter().all(|&process| is_alive(process)) {
            return processes;
        }
        assert!(since.elapsed() < PATIENCE, "{count} are to wait: {processes:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether the process runs under another user id than this one.
fn is_another_user(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    let id: u32 = line.split_whitespace().next().unwrap().parse().unwrap();
    id != rustix::process::getuid().as_raw()
}

/// A worker that keeps a process of the double ready, and that process.
pub(crate) async fn ready(world: &World, failpoint: Option<&str>) -> (Worker, u32) {
    let worker = world.worker("warm", failpoint);
    world.wait_until_said("ready").await;
    let process = waiting(&worker).await;
    (worker, process)
}

pub(crate) fn kill(process: u32) {
    signal(process, Signal::KILL);
}

pub(crate) fn signal(process: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(process).unwrap()).unwrap(), signal).unwrap();
}

/// An archive with an input of the double.
pub(crate) fn archive(behaviour: &str) -> Vec<u8> {
    zipped(&[("input.obj", zip::CompressionMethod::Deflated, behaviour.as_bytes())])
}

/// The process that served the job, and the number of jobs it had served by then.
pub(crate) async fn served(world: &World, id: JobId) -> (u32, u32) {
    who(&String::from_utf8(world.completed(id).await.1).unwrap())
}

/// The same, from the output of `who`.
pub(crate) fn who(output: &str) -> (u32, u32) {
    let words: Vec<&str> = output.split_whitespace().collect();
    let number = |after: &str| {
        let index = words.iter().position(|word| *word == after).unwrap();
        words[index + 1].parse().unwrap()
    };
    (number("process"), number("served"))
}

pub(crate) async fn stops_clean(world: &World, worker: Worker) {
    let left = waiting(&worker).await;
    assert_eq!(worker.terminate(), Some(0));
    assert!(!is_alive(left), "a waiting process outlives its worker");
    world.workspace_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_has_a_process_of_its_own_that_waited_for_it() {
    let (world, _engines) = double("assimp").await;
    each_serves_one(&world).await;
}

/// Three jobs, each served by the waiting process and recorded in its ledger.
pub(crate) async fn each_serves_one(world: &World) {
    let key = world.sign();
    let (worker, _) = ready(world, None).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let waiting = waiting(&worker).await;
        assert!(!seen.contains(&waiting), "it waits for a second job");
        let id = world.submit(&archive("who"), "stl").await;
        assert_eq!(served(world, id).await, (waiting, 1));
        let ledger = LedgerId::of_attempt(id, 1);
        let (bytes, head) =
            (world.ledgers().read(ledger).unwrap(), world.ledgers().read_head(ledger).unwrap());
        let audit = verify(&bytes, Some(&head), Some(&key));
        assert_eq!((audit.verdict, &audit.findings), (Verdict::Valid, &vec![]), "{audit:?}");
        seen.push(waiting);
    }
    stops_clean(world, worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_one_that_waits_a_job_has_a_process_of_its_own_too() {
    let (world, _engines) = double("").await;
    let worker = world.worker("cold", None);
    world.wait_until_said("ready").await;
    assert_eq!(children_of(worker.id()), [0u32; 0]);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let id = world.submit(&archive("who"), "stl").await;
        let (process, count) = served(&world, id).await;
        assert_eq!(count, 1);
        assert!(!seen.contains(&process));
        seen.push(process);
    }
    assert_eq!(worker.terminate(), Some(0));
    world.workspace_is_empty().await;
}

/// Temporary files, the current directory and its absolute path were all moved.
#[tokio::test(flavor = "multi_thread")]
async fn what_harmless_converters_do_works_in_directories_that_were_moved() {
    let (world, _engines) = double("assimp").await;
    let (worker, _) = ready(&world, None).await;
    let id = world.submit(&archive("ordinary"), "stl").await;
    assert_eq!(world.completed(id).await.1, b"converted\n");
    stops_clean(&world, worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_died_before_its_job_costs_the_job_nothing() {
    let (world, _engines) = double("assimp").await;
    another_serves_for_a_dead_one(&world).await;
}

/// The waiting process is killed before a job arrives.
pub(crate) async fn another_serves_for_a_dead_one(world: &World) {
    let (worker, dead) = ready(world, None).await;
    kill(dead);
    let id = world.submit(&archive("who"), "stl").await;
    let (process, count) = served(world, id).await;
    assert!(process != dead && count == 1);
    assert_eq!(world.job(id).await.attempt, 1);
    stops_clean(world, worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_when_it_has_been_given_out_costs_the_job_nothing() {
    let (world, _engines) = double("assimp").await;
    another_serves_for_one_that_dies_with_the_job(&world).await;
}

/// The waiting process is killed with the job assigned to it, and before it has received the job.
pub(crate) async fn another_serves_for_one_that_dies_with_the_job(world: &World) {
    let (worker, given_out) = ready(world, Some("unpacked")).await;
    let id = world.submit(&archive("who"), "stl").await;
    worker.stopped().await;
    kill(given_out);
    worker.signal(Signal::CONT);
    let (process, count) = served(world, id).await;
    assert!(process != given_out && count == 1);
    assert_eq!(world.job(id).await.attempt, 1);
    assert_eq!(world.said("a warm engine host exited before its job"), 1);
    stops_clean(world, worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waited_is_confined_as_the_others_are() {
    let (world, _engines) = double("assimp").await;
    let (worker, _) = ready(&world, None).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let written = elsewhere.path().join("written");
    for (behaviour, code) in [
        ("read /etc/passwd".to_owned(), FailureCode::EngineRejected),
        (format!("write {}", written.display()), FailureCode::EngineRejected),
        (format!("exec {}", written.display()), FailureCode::EngineRejected),
        ("exit".to_owned(), FailureCode::EngineNoAnswer),
    ] {
        waiting(&worker).await;
        let id = world.submit(&archive(&behaviour), "stl").await;
        let job = world.wait(id, "failed", |job| job.state.is_terminal()).await;
        assert_eq!(job.state, State::Failed, "{behaviour}: {job:?}");
        assert_eq!(job.failure.map(|failure| failure.code), Some(code), "{behaviour}");
        assert!(!written.exists(), "{behaviour}: it left something");
    }
    stops_clean(&world, worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_process_dies_with_its_worker_and_the_next_one_clears_up() {
    let (world, _engines) = double("assimp").await;
    let (worker, left) = ready(&world, None).await;
    worker.kill();
    let since = Instant::now();
    while is_alive(left) {
        assert!(since.elapsed() < PATIENCE, "it outlives its worker");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let second = world.worker("second", None);
    world.wait_until_said("removed the workspaces of a dead process").await;
    stops_clean(&world, second).await;
}

/// Where the worker may change file ownership: the files arrive once the directories have been
/// handed over.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_waited_under_a_user_id_of_its_own_reads_what_came_later() {
    let (world, _engines) = double("assimp").await;
    another_user_serves(&world, ["ordinary", "ok"]).await;
}

/// These behaviours, in processes that run under another user id.
pub(crate) async fn another_user_serves(world: &World, behaviours: [&str; 2]) {
    std::fs::set_permissions(world.place(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (worker, process) = ready(world, None).await;
    if !is_another_user(process) {
        println!("skipped: this host gives no process a user id of its own");
    }
    for behaviour in behaviours {
        waiting(&worker).await;
        let id = world.submit(&archive(behaviour), "stl").await;
        assert_eq!(world.completed(id).await.1, b"converted\n");
    }
    stops_clean(world, worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_converter_that_waited_gives_the_same_bytes() {
    let jars = jars();
    let jar = |name: &str| jars.join("assimp").join(name).to_str().unwrap().to_owned();
    let others: Vec<String> = ["lwjgl-3.3.6.jar", "lwjgl-assimp-3.3.6.jar"].into_iter().map(jar).collect();
    let keys = format!("class_path = {others:?}\nnatives = {:?}", jar("natives"));
    let (world, _engines) =
        world(World::new().await, Path::new(&jar("cadmill-assimp.jar")), &keys, "assimp").await;
    let (worker, _) = ready(&world, None).await;
    let bench = Bench::new();
    for name in ["mesh/logo3d_obj.zip", "mesh/earth_ball_obj.zip"] {
        let input = real(name);
        let output = format!("{}.glb", name.len());
        waiting(&worker).await;
        let id = world.submit(&std::fs::read(&input).unwrap(), "glb2").await;
        let warm = world.completed(id).await.1;
        let path = input.to_str().unwrap();
        bench.run(&["convert", path, "--to", "glb2", "--engine", "assimp-jvm", "-o", &output]).succeeded();
        assert!(warm == std::fs::read(bench.path(&output)).unwrap(), "{name}: other bytes");
    }
    stops_clean(&world, worker).await;
}
