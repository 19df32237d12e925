//! The worker's ledgers: each attempt has one, it is complete, and without it no file is created.

use super::*;
use cadmill_core::domain::ledger::record::{Act, FileRole, Kind, Record};
use cadmill_core::domain::ledger::verify::{Audit, Verdict, verify};
use cadmill_core::domain::ledger::{LedgerId, SignedHead, line};
use cadmill_core::ports::{AuditLog, PortResult};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

impl World {
    /// Verifies the ledger of an attempt against the head in the job's record.
    fn audit(&self, job: &Job, attempt: u32) -> Audit {
        let id = LedgerId::of_attempt(job.id, attempt);
        let head = job.audit.iter().find(|head| head.head.ledger == id);
        assert_eq!(head, self.ledgers.read_head(id).ok().as_ref(), "the record's head is that of the sink");
        let bytes = self.ledgers.read(id).unwrap_or_default();
        verify(&bytes, head, Some(&self.signer.public_key()))
    }
}

/// An archive of one small file in two nested directories.
fn small_archive() -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    writer.start_file("secret-a/secret-b/secret-line.geojson", options).unwrap();
    writer.write_all(br#"{"type":"LineString","coordinates":[[1,2],[3,4]]}"#).unwrap();
    writer.finish().unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_succeeds_has_a_valid_ledger_of_everything() {
    let world = World::new().await;
    let id = world.submit().await;
    let job = world.work(id, Scripts::default()).await;
    let audit = world.audit(&job, 1);
    assert_eq!((audit.verdict, audit.findings, audit.remarks), (Verdict::Valid, vec![], vec![]));
    let count = |role, kind| {
        let of = |life: &cadmill_core::domain::ledger::timeline::FileHistory| {
            life.birth.role == role && life.birth.kind == kind
        };
        audit.story.made().filter(|(_, life)| of(life)).count()
    };
    // The input directory is listed twice: emptying it makes it again.
    assert_eq!([count(FileRole::Input, Kind::Directory), count(FileRole::Input, Kind::File)], [2, 5]);
    assert_eq!([count(FileRole::Workspace, Kind::Directory), count(FileRole::Output, Kind::File)], [1, 1]);
    let digests = audit.story.made().filter(|(_, life)| life.content.len() == 64).count();
    assert_eq!(digests, 5, "each file of the input has a digest");
    let stages: Vec<&str> = audit.story.stages.iter().map(|(stage, ..)| stage.as_str()).collect();
    assert_eq!(stages, ["fetch", "convert", "publish", "wipe"]);
    assert!(audit.story.stages.iter().all(|(.., end)| end.is_some()));
    assert_eq!(audit.story.posture["swap"], "off");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_the_output_is_told_too() {
    let world = World::new().await;
    let id = world.submit_with(Compress::Always).await;
    let worker = world.start(Scripts::default());
    let job = world.ended(id).await;
    worker.end().await;
    let audit = world.audit(&job, 1);
    assert_eq!((audit.verdict, audit.remarks), (Verdict::Valid, vec![]));
    let outputs = audit
        .story
        .made()
        .filter(|(_, life)| life.birth.role == FileRole::Output && life.birth.kind == Kind::File);
    assert_eq!(outputs.count(), 2, "the file that the engine wrote, and the archive of the output");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_or_is_refused_has_a_valid_ledger_with_its_reason() {
    let world = World::new().await;
    let mut damaged = small_archive();
    let at = damaged.windows(4).position(|four| four == b"json").unwrap() + 8;
    damaged[at] ^= 0xff;
    let cases = [(damaged, "input.archive."), (b"PK\x03\x04 no archive".to_vec(), "input.archive.")];
    for (archive, code) in cases {
        let id = world.submit_archive(archive, Compress::Never).await;
        let worker = world.start(Scripts::default());
        let job = world.ended(id).await;
        worker.end().await;
        let failure = job.failure.as_ref().unwrap().code.as_str();
        assert!(failure.starts_with(code), "{failure}");
        let audit = world.audit(&job, 1);
        assert_eq!((audit.verdict, audit.remarks), (Verdict::Valid, vec![]), "{failure}");
        assert_eq!(audit.story.outcome.as_deref(), Some(failure));
        assert_eq!(std::fs::read_dir(world.place.path()).unwrap().count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_keeps_the_head_of_its_ledger() {
    let world = World::new().await;
    let id = world.submit().await;
    let objects = Script::new().on("put", 1, Fault::Delay(Duration::from_secs(4)));
    let worker = world.start(Scripts { objects: objects.clone(), ..Scripts::default() });
    until(|| objects.calls("put") == 1).await;
    world.jobs.send(id, &Event::Cancelled).await.unwrap();
    let since = Instant::now();
    let job = loop {
        let job = world.jobs.store().get(id).await.unwrap().unwrap();
        if !job.audit.is_empty() {
            break job;
        }
        assert!(since.elapsed() < PATIENCE, "no head: {job:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    worker.end().await;
    assert_eq!(job.state, State::Cancelled);
    let audit = world.audit(&job, 1);
    assert_eq!((audit.verdict, audit.remarks), (Verdict::Valid, vec![]));
}

/// A sink that inspects the location at every write: it never holds more entries than were
/// announced, and never fewer than were recorded as existing.
struct Watchful {
    inner: Arc<dyn AuditSink>,
    place: PathBuf,
    seen: Arc<Mutex<Vec<String>>>,
}

struct WatchfulLog {
    inner: Box<dyn AuditLog>,
    place: PathBuf,
    seen: Arc<Mutex<Vec<String>>>,
    /// Files that may exist, and files that must exist, not counting the engine's.
    most: i64,
    least: i64,
}

impl AuditSink for Watchful {
    fn begin(&self, ledger: LedgerId) -> PortResult<Box<dyn AuditLog>> {
        let (place, seen) = (self.place.clone(), Arc::clone(&self.seen));
        Ok(Box::new(WatchfulLog { inner: self.inner.begin(ledger)?, place, seen, most: 0, least: 0 }))
    }

    fn read(&self, ledger: LedgerId) -> PortResult<Vec<u8>> {
        self.inner.read(ledger)
    }

    fn read_head(&self, ledger: LedgerId) -> PortResult<SignedHead> {
        self.inner.read_head(ledger)
    }
}

impl AuditLog for WatchfulLog {
    fn append(&mut self, bytes: &[u8]) -> PortResult<()> {
        let there = entries(&self.place);
        let fields = line::parse(bytes.strip_suffix(b"\n").unwrap()).unwrap();
        let (_, record) = Record::read(fields).unwrap();
        // Checked before this record is stored: what it announces must not have happened yet. Files
        // of an engine exist before they are found.
        let found = matches!(record, Record::Found { .. });
        if !found && (there > self.most || there < self.least) {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let told = format!("{there} files, not {} to {}, before {text}", self.least, self.most);
            self.seen.lock().unwrap().push(told);
        }
        self.inner.append(bytes)?;
        match record {
            Record::Intent { intent, .. } => match intent.act() {
                Act::Create => self.most += 1,
                Act::Unlink | Act::Rmdir => self.least -= 1,
                _ => {}
            },
            Record::Done { effect, ok, .. } => match effect.act() {
                Act::Create if ok => self.least += 1,
                Act::Create => self.most -= 1,
                Act::Unlink | Act::Rmdir if ok => self.most -= 1,
                Act::Unlink | Act::Rmdir => self.least += 1,
                _ => {}
            },
            // An engine was running; from here on its files count too.
            Record::Found { .. } => (self.most, self.least) = (self.most + 1, self.least + 1),
            _ => {}
        }
        Ok(())
    }

    fn sync(&mut self) -> PortResult<()> {
        self.inner.sync()
    }

    fn seal(&mut self, head: &SignedHead) -> PortResult<()> {
        self.inner.seal(head)
    }
}

/// Files and directories in a location, not counting those that an engine is making.
fn entries(place: &Path) -> i64 {
    let mut count = 0;
    let mut pending = vec![place.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            count += 1;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(entry.path());
            }
        }
    }
    count
}

/// The sink fails at its n-th write, for every n of a job: no file is created without an intent on
/// record, the job fails with `infra.audit`, and everything is destroyed.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_fails_at_any_write_fails_the_job_and_nothing_is_left() {
    let world = World::new().await;
    let whole = attempt_on_a_sink_that_fails(&world, u32::MAX).await;
    assert!(whole > 40, "{whole}");
    for n in 1..=whole {
        attempt_on_a_sink_that_fails(&world, n).await;
    }
}

/// Returns the number of records written.
async fn attempt_on_a_sink_that_fails(world: &World, n: u32) -> u32 {
    let id = world.submit_archive(small_archive(), Compress::Never).await;
    let script = Script::new().on("append", n, Fault::Fail);
    let seen = Arc::default();
    let faulty = Arc::new(FaultyAudit::new(world.ledgers.clone(), script.clone()));
    let place = world.place.path().to_owned();
    let sink = Arc::new(Watchful { inner: faulty, place, seen: Arc::clone(&seen) });
    let jobs = jobs_of(Arc::new(world.database.jobs()), 1);
    let worker = world.start_on(sink, jobs, Scripts::default(), 1, 8 << 30);
    let job = world.ended(id).await;
    worker.end().await;
    assert_eq!(*seen.lock().unwrap(), Vec::<String>::new(), "write {n}");
    assert_eq!(entries(world.place.path()), 0, "write {n}: something is left");
    let audit = world.audit(&job, 1);
    if n == u32::MAX {
        assert_eq!((job.state, audit.verdict), (State::Completed, Verdict::Valid));
    } else {
        let code = job.failure.as_ref().map(|failure| failure.code.as_str());
        assert_eq!((job.state, code), (State::Failed, Some("infra.audit")), "write {n}: {job:?}");
        assert_eq!((job.audit.len(), job.output.is_none()), (0, true), "write {n}");
        let text = world.ledgers.read(LedgerId::of_attempt(id, 1)).unwrap_or_default();
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count() as u32, n - 1);
        let found = (audit.verdict, &audit.findings[..]);
        assert_eq!(found, (Verdict::Incomplete, &[][..]), "write {n}");
    }
    script.calls("append")
}

/// The same for the other calls of a sink; the next attempt succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_fails_once_costs_an_attempt() {
    let world = World::new().await;
    for (operation, call) in [("begin", 1), ("sync", 1), ("sync", 4), ("seal", 1)] {
        let id = world.submit_archive(small_archive(), Compress::Never).await;
        let script = Script::new().on(operation, call, Fault::Fail);
        let worker = world.start(Scripts { audit: script, ..Scripts::default() });
        let job = world.ended(id).await;
        worker.end().await;
        assert_eq!((job.state, job.attempt), (State::Completed, 2), "{operation} {call}: {job:?}");
        assert_eq!(world.audit(&job, 2).verdict, Verdict::Valid);
        assert_eq!(entries(world.place.path()), 0);
    }
}
