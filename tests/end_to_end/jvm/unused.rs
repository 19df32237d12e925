//! Waiting processes that do not serve a job: because the job needs other caps, because they hang,
//! or because the engine cannot be loaded. What the job gets instead, and how often that is tried.

use super::warm::{archive, kill, ready, served, stops_clean, waiting, who, world};
use super::{classes, declared, jars};
use crate::pipeline::world::World;
use cadmill_converter::conversion::context::ConversionContext;
use cadmill_converter::conversion::description_cache::DescriptionCache;
use cadmill_converter::conversion::report::{Observer, Stage};
use cadmill_converter::conversion::request::ConversionRequest;
use cadmill_converter::conversion::{self};
use cadmill_converter::engine::registry::Engines;
use cadmill_converter::engine::supervisor::{Identity, Supervisor};
use cadmill_converter::engine::warm_pool::WarmPool;
use cadmill_converter::publish::destination::Destination;
use cadmill_converter::workspace::WorkspaceRoot;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::State;
use cadmill_core::domain::limits::{ArchiveLimits, Caps};
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tempfile::TempDir;
use zip::CompressionMethod::Stored;

/// An engine host that records the ids of its processes, and then runs the real host.
struct Counted(TempDir);

impl Counted {
    fn new() -> Self {
        Self::slow(0)
    }

    /// Runs the real host after this many seconds.
    fn slow(seconds: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let real = Path::new(env!("CARGO_BIN_EXE_cadmill")).with_file_name("cadmill-engine-host");
        let starts = directory.path().join("starts");
        let script = format!("#!/bin/sh\necho $$ >> {starts:?}\nsleep {seconds}\nexec {real:?}\n");
        let counted = Self(directory);
        std::fs::write(counted.program(), script).unwrap();
        std::fs::set_permissions(counted.program(), std::fs::Permissions::from_mode(0o755)).unwrap();
        counted
    }

    fn program(&self) -> PathBuf {
        self.0.path().join("host")
    }

    /// The process ids, in order of start.
    fn starts(&self) -> Vec<u32> {
        let text = std::fs::read_to_string(self.0.path().join("starts")).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}

struct Nobody;

impl Observer for Nobody {
    fn stage(&mut self, _: Stage) {}
    fn progress(&mut self, _: f64) {}
    fn engine(&mut self, _: &str, _: &Identity) {}
    fn warning(&mut self, _: &str, _: bool) {}
}

/// The process that serves a job with these caps.
fn serve(setting: &ConversionContext, caps: Caps) -> u32 {
    let directory = tempfile::tempdir().unwrap();
    // An archive: a plain local file is read in place, outside the workspace, which a waiting host
    // cannot do.
    let (input, output) = (directory.path().join("input.zip"), directory.path().join("out.stl"));
    std::fs::write(&input, archive("who")).unwrap();
    let order = ConversionRequest {
        format: "stl".to_owned(),
        engine: Some("double".to_owned()),
        root: None,
        options: Vec::new(),
        compress: Default::default(),
        strict: false,
        caps,
        archive: ArchiveLimits::default(),
        crash_retries: 0,
    };
    let destination = Destination::new(Some(&output)).unwrap();
    let cancel = AtomicBool::new(false);
    conversion::run(&order, &input, &destination, setting, &cancel, &mut Nobody).0.unwrap();
    let (process, count) = who(&std::fs::read_to_string(&output).unwrap());
    assert_eq!(count, 1);
    process
}

#[test]
fn a_job_with_other_caps_has_a_process_of_its_own() {
    let (place, counted) = (tempfile::tempdir_in("/dev/shm").unwrap(), Counted::new());
    let file = place.path().join("engines.toml");
    std::fs::write(&file, declared("double", classes(), "")).unwrap();
    let engines = Engines::from_file(&file).unwrap();
    let at = WorkspaceRoot::new(place.path().to_owned(), false);
    let supervisor = Supervisor::new(counted.program());
    // The cap on memory also determines the heap.
    let caps = Caps { memory_bytes: 1 << 30, ..Caps::default() };
    let hosts = WarmPool::new("double", &engines, at.clone(), supervisor.clone(), caps).unwrap();
    hosts.fill();
    let since = std::time::Instant::now();
    while counted.starts().is_empty() {
        assert!(since.elapsed() < Duration::from_secs(60), "none was started");
        std::thread::sleep(Duration::from_millis(2));
    }
    let setting = ConversionContext {
        engines,
        place: at,
        supervisor,
        hosts: Some(Arc::new(hosts)),
        descriptions: DescriptionCache::default(),
    };
    let others = [
        Caps { memory_bytes: caps.memory_bytes / 2, ..caps },
        Caps { memory_bytes: caps.memory_bytes * 2, ..caps },
        Caps { time: caps.time - Duration::from_secs(1), ..caps },
        // A smaller output limit is enforced from outside.
        Caps { output_bytes: caps.output_bytes + 1, ..caps },
        Caps { message_bytes: caps.message_bytes - 1, ..caps },
    ];
    for (index, other) in others.into_iter().enumerate() {
        let served = serve(&setting, other);
        assert_eq!(counted.starts().len(), 2 + index, "{other:?}");
        assert_eq!(counted.starts()[1 + index], served, "{other:?}");
    }
    let less = Caps { output_bytes: caps.output_bytes - 1, ..caps };
    assert_eq!(serve(&setting, less), counted.starts()[0], "the one that waited was not touched");
    assert_eq!(counted.starts().len(), 1 + others.len());
}

/// Short memory: the files of a job leave less of it for the engine.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_leaves_less_memory_has_a_process_of_its_own_and_the_next_one_what_waits() {
    let (mut world, _engines) = world(World::new().await, classes(), "", "assimp").await;
    world.set("CADMILL_LIMITS_MEMORY", "1G");
    // The memory reserved for a waiting process, for the engine, and for files of 1 MiB.
    world.set("CADMILL_WORKER_MEMORY", format!("{}", (96 << 20) + (1 << 30) + (1 << 20)));
    let (worker, process) = ready(&world, None).await;
    let more = vec![b'.'; 2 << 20];
    let large = crate::support::zipped(&[("input.obj", Stored, b"who"), ("more.txt", Stored, &more)]);
    let id = world.submit(&large, "stl").await;
    let (other, count) = served(&world, id).await;
    assert!(other != process && count == 1);
    assert_eq!(world.said("no job is served by a process of worker.warm"), 0);
    assert_eq!(waiting(&worker).await, process, "it waits on");
    let id = world.submit(&archive("who"), "stl").await;
    assert_eq!(served(&world, id).await, (process, 1));
    stops_clean(&world, worker).await;
}

/// The memory of the waiting process is reserved, so that any file of a job leaves too little.
#[tokio::test(flavor = "multi_thread")]
async fn where_no_job_can_have_what_waits_the_worker_says_so() {
    let (mut world, _engines) = world(World::new().await, classes(), "", "assimp").await;
    world.set("CADMILL_LIMITS_MEMORY", "1G");
    world.set("CADMILL_WORKER_MEMORY", format!("{}", (96 << 20) + (1 << 30)));
    let (worker, process) = ready(&world, None).await;
    world.wait_until_said("no job is served by a process of worker.warm").await;
    let id = world.submit(&archive("who"), "stl").await;
    assert_ne!(served(&world, id).await.0, process);
    stops_clean(&world, worker).await;
}

/// A process that is alive but does not read its commands.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_when_it_is_given_its_job_costs_the_job_seconds() {
    let (mut world, _engines) = world(World::new().await, classes(), "", "assimp").await;
    // Longer than the test may take: the job must not wait for the whole timeout.
    world.set("CADMILL_LIMITS_TIMEOUT", "1h");
    world.set("CADMILL_LOG_LEVEL", "debug");
    let (worker, hung) = ready(&world, None).await;
    world.wait_until_said("a warm engine host has loaded its engine").await;
    super::warm::signal(hung, Signal::STOP);
    let id = world.submit(&archive("who"), "stl").await;
    let (process, count) = served(&world, id).await;
    assert!(process != hung && count == 1);
    assert_eq!(world.job(id).await.attempt, 1);
    assert_eq!(world.said("a warm engine host did not accept its job and was killed"), 1);
    assert!(!crate::misbehaviour::is_alive(hung));
    stops_clean(&world, worker).await;
}

/// Its directories are moved to the job only after it has opened them by name.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_still_starting_serves_the_job_that_comes() {
    let (mut world, _engines) = world(World::new().await, classes(), "", "assimp").await;
    let slow = Counted::slow(1);
    world.set("CADMILL_ENGINE_HOST", slow.program().to_str().unwrap());
    let (worker, starting) = ready(&world, None).await;
    let id = world.submit(&archive("who"), "stl").await;
    assert_eq!(served(&world, id).await, (starting, 1));
    assert_eq!(world.job(id).await.attempt, 1);
    stops_clean(&world, worker).await;
}

/// A world whose engine has a class path without a converter, and a host that counts its starts.
async fn broken(warm: &str) -> (World, TempDir, tempfile::NamedTempFile, Counted) {
    let nothing = tempfile::tempdir().unwrap();
    let (mut world, engines) = world(World::new().await, nothing.path(), "", warm).await;
    let counted = Counted::new();
    world.set("CADMILL_ENGINE_HOST", counted.program().to_str().unwrap());
    (world, nothing, engines, counted)
}

async fn fails_clearly(world: &World, id: JobId) {
    let job = world.wait(id, "failed", |job| job.state.is_terminal()).await;
    assert_eq!((job.state, job.attempt), (State::Failed, 1), "{job:?}");
    let failure = job.failure.unwrap();
    assert_eq!(failure.code, FailureCode::EngineLibraryMissing, "{failure:?}");
    assert!(failure.message.contains("io.cadmill.Converter"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_cannot_be_loaded_is_tried_once_a_job() {
    let (world, _nothing, _engines, counted) = broken("").await;
    let worker = world.worker("broken", None);
    world.wait_until_said("ready").await;
    let before = counted.starts().len();
    for jobs in 1..=2 {
        let id = world.submit(&archive("who"), "stl").await;
        fails_clearly(&world, id).await;
        assert_eq!(counted.starts().len() - before, jobs);
    }
    assert_eq!(world.said("starting another"), 0);
    assert_eq!(worker.terminate(), Some(0));
    world.workspace_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_cannot_be_loaded_is_not_started_ahead_again_and_again() {
    let (world, _nothing, _engines, counted) = broken("assimp").await;
    let worker = world.worker("broken", None);
    world.wait_until_said("ready").await;
    // The end of each job checks the waiting processes.
    for _ in 0..3 {
        let id = world.submit(&archive("who"), "stl").await;
        fails_clearly(&world, id).await;
    }
    world.wait_until_said("the engine cannot be loaded").await;
    assert_eq!(world.said("engine.library_missing\",\"reason"), 1);
    let settled = counted.starts().len();
    let id = world.submit(&archive("who"), "stl").await;
    fails_clearly(&world, id).await;
    assert_eq!(counted.starts().len() - settled, 1, "the job's own");
    assert_eq!(worker.terminate(), Some(0));
    world.workspace_is_empty().await;
}

/// The operator who starts the worker reads this, before a first job arrives.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_cannot_be_loaded_is_told_before_there_is_a_job() {
    let (world, _nothing, _engines, _counted) = broken("assimp").await;
    let worker = world.worker("broken", None);
    world.wait_until_said("the engine cannot be loaded").await;
    assert_eq!(worker.terminate(), Some(0));
    world.workspace_is_empty().await;
}

/// The directories of a waiting process are moved within the worker's private mount.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_in_a_private_workspace_serves_its_job() {
    if !crate::pipeline::private::is_given() {
        return;
    }
    let private = World::with_private_workspaces().await;
    let (world, _engines) = world(private, classes(), "", "assimp").await;
    let (worker, first) = ready(&world, None).await;
    let id = world.submit(&archive("who"), "stl").await;
    assert_eq!(served(&world, id).await, (first, 1));
    let second = waiting(&worker).await;
    let id = world.submit(&archive("ordinary"), "stl").await;
    assert_eq!(world.completed(id).await.1, b"converted\n");
    assert!(!crate::misbehaviour::is_alive(second), "the second job was another's");
    let outside = crate::support::tree(world.place());
    assert_eq!(outside.len(), 1, "the mount point and nothing else: {outside:?}");
    assert_eq!(world.said("starting another"), 0);
    let killed = waiting(&worker).await;
    kill(killed);
    let id = world.submit(&archive("who"), "stl").await;
    assert_ne!(served(&world, id).await.0, killed);
    stops_clean(&world, worker).await;
}

/// The jar of an engine other than the waiting one.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_another_engine_is_left_alone() {
    let _ = jars();
    let (world, _engines) = world(World::new().await, classes(), "", "assimp-jvm").await;
    let (worker, process) = ready(&world, None).await;
    let id = world.submit(&archive("who"), "stl").await;
    assert_ne!(served(&world, id).await.0, process);
    assert_eq!(waiting(&worker).await, process);
    stops_clean(&world, worker).await;
}
