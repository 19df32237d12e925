//! An independent observer, `strace`, checks the ledgers. It watches workers that do everything
//! that workers do, and that end in every way that workers end.
//!
//! **What is compared.** The observer's log has the system calls that create, rename and remove
//! names, and the lines written to ledgers, in one order, each with its thread. For everything in a
//! workspace:
//!
//! - a worker's thread creates or removes a name only between the lines that announce and report
//!   that act, and does nothing else in between; what is reported as failed was not done;
//! - a file number in the ledger is a single path from beginning to end, of the reported kind, in
//!   the reported directory. The ledger has only digests of names: equal names have equal digests,
//!   different names have different ones;
//! - what an engine created is reported as `found` when the engine is dead, and is removed like
//!   everything else; an engine never removes a name: its unlink moves the file aside;
//! - every line of every ledger was seen being written, as it stands in the file; its counts match
//!   what was seen; nothing is left;
//! - workers and engines create nothing outside workspaces, except the worker's own stores, ledgers
//!   and control groups.
//!
//! **What is not reported.** The workspace in which a worker tries its engines at startup has no
//! ledger, and never contains a file.
//!
//! Processes that hold plaintext are not dumpable: tracing them requires CAP_SYS_PTRACE.

mod compare;
mod deaths;
mod failures;
mod fixtures;
mod java;
mod told;
pub(crate) mod trace;

use super::world::{Worker, World};
use crate::support::zipped;
use cadmill_core::domain::ledger::verify::Verdict;
use cadmill_core::domain::ledger::{LedgerId, PublicKey};
use compare::{Agreed, Comparison, Watched};
use std::collections::BTreeMap;
use std::path::PathBuf;
use told::Told;
use trace::{Event, Kind, Observer, What, Who};
use zip::CompressionMethod::Deflated;

/// A world whose workers are observed, and the events of those that are dead.
struct Watch {
    world: World,
    key: PublicKey,
    seen: Vec<(Vec<Event>, bool)>,
}

impl Watch {
    /// `None` if this user cannot observe.
    fn of(world: World) -> Option<Self> {
        if !Observer::is_allowed() {
            println!("skipped: this user may not look into processes that are not dumpable");
            return None;
        }
        let world = world.observed();
        let key = world.sign();
        Some(Self { world, key, seen: Vec::new() })
    }

    /// Submits an archive, and waits for the end of its job: its failure code, if it failed.
    async fn outcome(&self, archive: &[u8]) -> Option<&'static str> {
        let id = self.world.submit(archive, "stl").await;
        let job = self.world.wait(id, "ended", |job| job.state.is_terminal()).await;
        job.failure.map(|failure| failure.code.as_str())
    }

    /// Submits an archive whose job must end with a failure of this code, or with none.
    async fn ends(&self, what: &str, archive: &[u8], code: Option<&str>) {
        let ended = self.outcome(archive).await;
        // A busy machine may reach the cap on time before another cap.
        let out_of_time = ended == Some("limit.time") && code.is_some_and(|code| code.starts_with("limit."));
        assert!(ended == code || out_of_time, "{what}: {ended:?}");
    }

    async fn new() -> Option<Self> {
        Self::of(World::new().await)
    }

    /// Asks a worker to end, which must succeed.
    fn stop(&mut self, worker: Worker) {
        let observer = worker.observer();
        assert_eq!(worker.terminate(), Some(0));
        self.seen.push((observer.saw(), false));
    }

    /// Kills a worker. `lost` if its workspaces disappear with it.
    fn kill(&mut self, worker: Worker, lost: bool) {
        let observer = worker.observer();
        worker.kill();
        self.seen.push((observer.saw(), lost));
    }

    fn ledgers(&self) -> BTreeMap<PathBuf, Told> {
        told::ledgers(&self.world.data().join("audit"), &self.world.ledgers(), &self.key)
    }

    fn compare(&self, ledgers: &BTreeMap<PathBuf, Told>) -> Result<Agreed, Vec<String>> {
        let workers: Vec<_> =
            self.seen.iter().map(|(events, lost)| Watched { events, lost: *lost }).collect();
        Comparison::run((self.world.place(), self.world.data()), ledgers, &workers)
    }

    /// Asserts that everything seen is reported, and vice versa.
    fn agrees(&self) -> (Agreed, Vec<(u32, Verdict)>) {
        let ledgers = self.ledgers();
        match self.compare(&ledgers) {
            Ok(agreed) => {
                println!("{agreed:?}");
                (agreed, ledgers.values().map(|told| (told.id.part, told.audit.verdict)).collect())
            }
            Err(wrong) => panic!("{} times:\n{}", wrong.len(), wrong.join("\n")),
        }
    }

    /// The same for this many jobs, none of whose workers was killed: each attempt has a valid
    /// ledger. On a busy machine a lease sometimes expires, and the job has a second attempt.
    fn each_is_valid(&self, jobs: usize) -> Agreed {
        let (agreed, verdicts) = self.agrees();
        assert!(verdicts.iter().all(|verdict| *verdict == (0, Verdict::Valid)), "{verdicts:?}");
        let ids: Vec<_> = self.ledgers().into_values().map(|told| told.id).collect();
        let firsts = ids.iter().filter(|id| id.attempt == 1).count();
        let follows =
            |id: &LedgerId| id.attempt == 1 || ids.contains(&LedgerId { attempt: id.attempt - 1, ..*id });
        assert!(firsts == jobs && ids.iter().all(follows), "{jobs} jobs: {ids:?}");
        agreed
    }
}

/// Runs a test, and repeats it if the tracer failed: `strace` sometimes does so when a process is
/// killed while its group is stopped ("ptrace(PTRACE_LISTEN, …): Input/output error"). The worker
/// cannot continue then, so nothing was observed.
async fn while_observed<F>(test: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    const GAVE_UP: &str = "strace: ptrace(PTRACE_";
    for _ in 0..3 {
        let Err(ended) = tokio::spawn(test()).await else { return };
        let panic = ended.into_panic();
        if !panic.downcast_ref::<String>().is_some_and(|text| text.contains(GAVE_UP)) {
            std::panic::resume_unwind(panic);
        }
        println!("the tracer gave up");
    }
    panic!("the tracer gave up three times");
}

/// Tests the comparison itself on a job with every kind of event: an event that is left out or
/// added must be detected.
#[tokio::test(flavor = "multi_thread")]
async fn one_thing_too_few_or_too_many_is_noticed() {
    let Some(mut watch) = Watch::new().await else { return };
    let worker = watch.world.worker("first", None);
    let id = watch.world.submit(&archive(), "fgb").await;
    watch.world.completed(id).await;
    watch.world.queue_is_empty().await;
    watch.stop(worker);
    let (agreed, verdicts) = watch.agrees();
    assert_eq!(verdicts, [(0, Verdict::Valid)]);
    // The output, and a file that its writer created and removed.
    assert_eq!(agreed.found, 2, "{agreed:?}");
    assert!(agreed.made > 10 && agreed.removed == agreed.made + 2, "{agreed:?}");

    let ledgers = watch.ledgers();
    let events = watch.seen[0].0.clone();
    let place = watch.world.place().to_owned();
    let matters = |event: &Event| match &event.what {
        What::Make { path, .. } | What::Remove { path, .. } => path.starts_with(&place),
        What::Rename { .. } | What::Record { .. } => true,
    };
    let (mut dropped, mut added) = (0, 0);
    for at in (0..events.len()).filter(|at| matters(&events[*at])) {
        let event = &events[at];
        let mut fewer = events.clone();
        fewer.remove(at);
        watch.seen = vec![(fewer, false)];
        assert!(watch.compare(&ledgers).is_err(), "nobody misses {event:?}");
        dropped += 1;
        for (who, extra) in extras(event) {
            let mut more = events.clone();
            more.insert(at + 1, Event { who, what: extra, ..event.clone() });
            watch.seen = vec![(more, false)];
            assert!(watch.compare(&ledgers).is_err(), "nobody sees what {who:?} does after {event:?}");
            added += 1;
        }
    }
    println!("{dropped} dropped, {added} added");
    assert!(dropped > 100 && added > 60, "{dropped} dropped, {added} added");
}

/// Files in folders, one of which is converted.
fn archive() -> Vec<u8> {
    let point = r#"{"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[1,2]}}"#;
    let points = [point; 3].join(",");
    let points = format!(r#"{{"type":"FeatureCollection","features":[{points}]}}"#);
    zipped(&[
        ("data/points/points.geojson", Deflated, points.as_bytes()),
        ("data/points/notes.txt", Deflated, b"data/points/notes.txt"),
        ("data/README.txt", Deflated, b"data/README.txt"),
        ("empty.txt", Deflated, b""),
    ])
}

/// Unexpected events to add beside an event.
fn extras(event: &Event) -> Vec<(Who, What)> {
    let (What::Make { path, .. } | What::Remove { path, .. }) = &event.what else { return Vec::new() };
    let beside = path.with_file_name("beside");
    let make = |kind| What::Make { path: beside.clone(), kind, exclusive: true };
    let again = What::Remove { path: path.clone(), directory: event.is_of_directory() };
    let rename = What::Rename { from: path.clone(), to: beside.clone() };
    let makers = [Who::Worker, Who::Engine, Who::Other].map(|who| (who, make(Kind::File)));
    let others = [(Who::Worker, make(Kind::Directory)), (Who::Engine, again), (Who::Engine, rename)];
    makers.into_iter().chain(others).collect()
}
