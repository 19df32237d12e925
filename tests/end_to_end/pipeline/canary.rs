//! Puts a marker into the names and contents of the input, and searches for it afterwards.
//!
//! The search covers the workspace, the stores, the queue, the ledgers and the logs, whatever any
//! process wrote to `/tmp` and `/dev/shm` meanwhile, and the memory of the worker and of the
//! server, where the test user may read it. The objects of the job are deleted first, as the cleanup
//! does. The reason of a failure may quote names: it is for the owner, and only in the job's
//! record.

use super::world::{Worker, World};
use crate::serve::Installation;
use crate::support::{Bench, traces_of, zipped};
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::State;
use cadmill_core::domain::state::Event;
use rustix::process::Signal;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use zip::CompressionMethod::{self, Deflated, Stored};

struct Canary {
    world: World,
    marker: String,
    since: SystemTime,
}

impl Canary {
    async fn new() -> Self {
        let since = SystemTime::now() - Duration::from_secs(1);
        let marker = JobId::random().to_string().replace('-', "");
        assert_eq!(marker.len(), 32);
        Self { world: World::new().await, marker, since }
    }

    /// An archive with the marker in two names and in its content. The converted file has another
    /// name, because the result is named after it.
    fn archive(&self, geometry: &str) -> Vec<u8> {
        let marker = &self.marker;
        let feature =
            format!(r#"{{"type":"Feature","properties":{{"Layer":"{marker}"}},"geometry":{geometry}}}"#);
        let features = vec![feature; 2000].join(",");
        let line = format!(r#"{{"type":"FeatureCollection","features":[{features}]}}"#);
        self.zipped("line.geojson", &line, Stored)
    }

    /// A model for the engine double, which does what the first word says.
    fn model(&self, behaviour: &str) -> Vec<u8> {
        let model = format!("{behaviour} \n# {}\n", self.marker.repeat(1000));
        self.zipped("model.obj", &model, Deflated)
    }

    /// The file that is converted, and a second one full of the marker.
    fn zipped(&self, name: &str, content: &str, method: CompressionMethod) -> Vec<u8> {
        let marker = &self.marker;
        let (root, rest) = (format!("{marker}/{name}"), format!("{marker}.txt"));
        let full = marker.repeat(100_000);
        zipped(&[(&root, Deflated, content.as_bytes()), (&rest, method, full.as_bytes())])
    }

    /// Replaces the engine that reads models with the engine double, under caps.
    fn with_double_and_caps(mut self) -> Self {
        self.world.use_double();
        self.world.set("CADMILL_LIMITS_TIMEOUT", "5s");
        self.world.set("CADMILL_LIMITS_MEMORY", "256M");
        self.world.set("CADMILL_LIMITS_MAX_OUTPUT", "16M");
        self
    }

    fn good(&self) -> Vec<u8> {
        self.archive(r#"{"type":"LineString","coordinates":[[1,2],[3,4]]}"#)
    }

    /// A job whose worker has stopped itself while its engine runs.
    async fn converting(&self) -> (JobId, Worker) {
        let id = self.world.submit(&self.good(), "dxf").await;
        let worker = self.world.worker("first", Some("converting"));
        worker.stopped().await;
        (id, worker)
    }

    /// Every file below these paths that contains the marker, or has it in its name.
    fn found(&self, places: &[&Path]) -> Vec<PathBuf> {
        traces_of(&self.marker, self.since, places)
    }

    /// Whether the marker is in the memory of a process. `None` if this user may not read it.
    fn is_in_memory(&self, process: u32) -> Option<bool> {
        let memory = std::fs::File::open(format!("/proc/{process}/mem")).ok()?;
        let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).ok()?;
        // proc(5): first and last address, then the rights.
        let written = maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|r| r.starts_with("rw")));
        let ranges = written.filter_map(|line| {
            let (from, to) = line.split(' ').next()?.split_once('-')?;
            Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
        });
        for (from, to) in ranges {
            let mut content = vec![0; usize::try_from(to - from).ok()?];
            // Unreadable pages are skipped.
            if memory.read_exact_at(&mut content, from).is_err() {
                continue;
            }
            if memchr::memmem::find(&content, self.marker.as_bytes()).is_some() {
                return Some(true);
            }
        }
        Some(false)
    }

    /// The process is still running, and its memory contains nothing of the job, not even in the
    /// buffer of a connection to the store. Idle connections are closed after 30 s.
    fn assert_forgotten(&self, process: u32) {
        let deadline = SystemTime::now() + Duration::from_secs(120);
        loop {
            match self.is_in_memory(process) {
                Some(false) => return,
                None => return println!("skipped: this user may not look into the memory of others"),
                Some(true) => assert!(SystemTime::now() < deadline, "the marker is in the memory"),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What is left of a job when its objects are deleted.
    async fn left(&self, id: JobId) -> Vec<PathBuf> {
        self.world.workspace_is_empty().await;
        self.world.purge(id).await;
        self.found(&[self.world.data(), Path::new("/tmp"), Path::new("/dev/shm")])
    }

    async fn assert_gone(&self, id: JobId) {
        let left = self.left(id).await;
        assert!(left.is_empty(), "the marker is left in {left:?}");
    }
}

/// The search finds the marker where it must be while the job runs: in the workspace, by name and
/// by content, and in the uploaded object.
#[tokio::test(flavor = "multi_thread")]
async fn the_search_finds_it_in_the_middle_of_a_job() {
    let canary = Canary::new().await;
    let (_, worker) = canary.converting().await;
    let found = canary.found(&[canary.world.place()]);
    let ends = |end: &str| found.iter().any(|path| path.to_string_lossy().ends_with(end));
    let marker = &canary.marker;
    assert!(ends(marker) && ends(&format!("{marker}.txt")) && ends("line.geojson"), "{found:?}");
    assert!(!canary.found(&[canary.world.data()]).is_empty(), "the object that was uploaded");
    assert_ne!(canary.is_in_memory(worker.id()), Some(false), "names of the job under way");
    worker.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_job_that_completed() {
    let canary = Canary::new().await;
    let worker = canary.world.worker("first", None);
    let id = canary.world.submit(&canary.good(), "dxf").await;
    let (_, dxf) = canary.world.completed(id).await;
    let layer = memchr::memmem::find(&dxf, canary.marker.as_bytes());
    assert!(layer.is_some(), "the marker is in the result, as it should be");
    canary.assert_gone(id).await;
    canary.assert_forgotten(worker.id());
}

/// Refused for the archive's central directory, for its content, and by the engine.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_job_that_failed() {
    for cause in ["input.archive.crc", "input.archive.truncated", "engine.rejected"] {
        let canary = Canary::new().await;
        let mut archive = match cause {
            "engine.rejected" => canary.archive("][ no geometry"),
            _ => canary.good(),
        };
        let stored = memchr::memmem::rfind(&archive, canary.marker.repeat(2).as_bytes()).unwrap();
        match cause {
            // The marker stays intact elsewhere in the entry.
            "input.archive.crc" => archive[stored] ^= 1,
            "input.archive.truncated" => archive.truncate(stored),
            _ => {}
        }
        let worker = canary.world.worker("first", None);
        let id = canary.world.submit(&archive, "dxf").await;
        let job = canary.world.wait(id, "ended", |job| job.state.is_terminal()).await;
        let failure = job.failure.expect("a failure");
        assert_eq!(failure.code.as_str(), cause, "{failure:?}");
        let quoted = failure.message.contains(&canary.marker);
        let mut left = canary.left(id).await;
        // The job's record quotes the name of the entry to its owner.
        left.retain(|path| !(quoted && path.to_string_lossy().contains("jobs.sqlite")));
        assert!(left.is_empty(), "{cause}: the marker is left in {left:?}");
        // SQLite's own buffers, which are outside our control, keep what was in the record.
        if !quoted {
            canary.assert_forgotten(worker.id());
        }
    }
}

/// Ended by the caps on time, memory and output, and by a crash.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_jobs_whose_engine_was_ended() {
    let causes = [
        ("loop", "limit.time"),
        ("allocate", "limit.memory"),
        ("endless-file", "limit.output"),
        ("segv", "engine.crashed"),
    ];
    let canary = Canary::new().await.with_double_and_caps();
    let worker = canary.world.worker("first", None);
    for (behaviour, cause) in causes {
        let id = canary.world.submit(&canary.model(behaviour), "stl").await;
        let job = canary.world.wait(id, "ended", |job| job.state.is_terminal()).await;
        let failure = job.failure.expect("a failure");
        assert_eq!(failure.code.as_str(), cause, "{failure:?}");
        assert!(!failure.message.contains(&canary.marker), "{failure:?}");
        canary.assert_gone(id).await;
    }
    canary.assert_forgotten(worker.id());
}

/// Everything but the worker in one process: the API, the stores, and the object server, which the
/// content passed through both ways.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_in_the_memory_of_the_server() {
    let canary = Canary::new().await;
    let installation = Installation::whole();
    let served = installation.serve(&[]);
    let bench = Bench::new();
    let input = bench.path("plan.zip");
    std::fs::write(&input, canary.good()).unwrap();
    let (input, output) = (input.to_str().unwrap(), bench.path("out.dxf"));
    let server = ["--server", &served.url, "-o", output.to_str().unwrap()];
    bench.run(&[&["submit", input, "--to", "dxf"], &server[..]].concat()).succeeded();
    assert!(memchr::memmem::find(&std::fs::read(output).unwrap(), canary.marker.as_bytes()).is_some());
    canary.assert_forgotten(served.id());

    // The search reads this memory: it finds the content of a request that is still incomplete.
    let address = served.url.trim_start_matches("http://").trim_end_matches('/');
    let mut client = std::net::TcpStream::connect(address).unwrap();
    write!(client, "GET /api/health HTTP/1.1\r\nX-Marker: {}\r\n", canary.marker).unwrap();
    let deadline = SystemTime::now() + Duration::from_secs(5);
    while canary.is_in_memory(served.id()) == Some(false) {
        assert!(SystemTime::now() < deadline, "what the server has just read is not found");
    }
    drop(client);
    canary.assert_forgotten(served.id());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_job_that_was_cancelled() {
    let canary = Canary::new().await;
    let (id, worker) = canary.converting().await;
    canary.world.jobs.send(id, &Event::Cancelled).await.unwrap();
    worker.signal(Signal::CONT);
    canary.world.queue_is_empty().await;
    assert_eq!(canary.world.job(id).await.state, State::Cancelled);
    canary.assert_gone(id).await;
    canary.assert_forgotten(worker.id());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_by_a_worker_that_was_told_to_stop() {
    let canary = Canary::new().await;
    let (id, worker) = canary.converting().await;
    worker.signal(Signal::TERM);
    worker.signal(Signal::CONT);
    assert_eq!(worker.terminate(), Some(0));
    canary.assert_gone(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_by_a_worker_that_was_killed_when_another_has_come() {
    let canary = Canary::new().await;
    let (id, worker) = canary.converting().await;
    worker.kill();
    let _second = canary.world.worker("second", None);
    canary.world.completed(id).await;
    canary.assert_gone(id).await;
}
