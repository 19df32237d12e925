//! Destruction of what engines leave, and its record.

use super::*;
use cadmill_core::domain::ledger::LedgerId;
use cadmill_core::domain::ledger::verify::{Audit, Verdict, verify};
use cadmill_core::ledger::{LocalSigner, Opening};
use cadmill_core::ports::clock::SystemClock;
use cadmill_core::ports::{AuditSink, Signer};
use cadmill_stores::adapters::ledger::FileAudit;
use cadmill_stores::conformance::audit_sink::{new_id, signer};
use std::os::unix::fs::{FileExt, PermissionsExt};

pub(super) struct Bench {
    pub(super) at: WorkspaceRoot,
    place: tempfile::TempDir,
    sink: FileAudit,
    signer: Arc<LocalSigner>,
    pub(super) id: LedgerId,
}

impl Bench {
    pub(super) fn new() -> Self {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let sink = FileAudit::new(&place.path().join("audit")).unwrap();
        let at = WorkspaceRoot::new(place.path().into(), false);
        Self { at, place, sink, signer: Arc::new(signer()), id: new_id() }
    }

    fn opening(&self) -> Opening {
        Opening { ledger: self.id, worker: "w".to_owned(), posture: Default::default() }
    }

    pub(super) fn open(&self) -> Arc<Ledger> {
        let signer: Arc<dyn Signer> = self.signer.clone();
        let clock = Arc::new(SystemClock);
        Arc::new(Ledger::open(&self.sink, Some(signer), clock, self.opening()).unwrap())
    }

    pub(super) fn audit(&self, id: LedgerId) -> Audit {
        let head = self.sink.read_head(id).ok();
        verify(&self.sink.read(id).unwrap(), head.as_ref(), Some(&self.signer.public_key()))
    }

    fn left(&self) -> usize {
        std::fs::read_dir(self.place.path()).unwrap().count() - 1
    }
}

/// Sweeps what was just abandoned. A process that another test has forked holds a copy of the lock
/// until it calls exec; until then the workspace counts as alive.
pub(super) fn swept(place: &WorkspaceRoot, recorder: Recorder<'_>) -> SweepReport {
    let sweep = |_| {
        let swept = place.sweep(recorder).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
        swept
    };
    (0..1000).map(sweep).find(|swept| *swept != SweepReport::default()).expect("something to sweep")
}

/// Creates what an engine may leave: links, second names, missing permissions, holes, deep nesting.
fn make_a_mess(workspace: &Workspace) {
    let (out, tmp) = (workspace.output(), workspace.scratch());
    let mut deep = tmp.clone();
    for _ in 0..70 {
        deep.push("d");
        std::fs::create_dir(&deep).unwrap();
    }
    std::fs::write(deep.join("file"), "deep").unwrap();
    std::fs::write(out.join("first"), "with two names").unwrap();
    std::fs::hard_link(out.join("first"), out.join("second")).unwrap();
    std::fs::write(out.join("locked"), "read only").unwrap();
    std::fs::set_permissions(out.join("locked"), PermissionsExt::from_mode(0o000)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", out.join("link")).unwrap();
    std::fs::create_dir(out.join("closed")).unwrap();
    std::fs::set_permissions(out.join("closed"), PermissionsExt::from_mode(0o000)).unwrap();
    let sparse = std::fs::File::create(out.join("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    std::fs::write(out.join("empty"), "").unwrap();
}

#[test]
fn an_engine_that_moves_its_directories_is_to_blame() {
    let bench = Bench::new();
    let ledger = bench.open();
    let workspace = bench.at.create_recorded(Arc::clone(&ledger)).unwrap();
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    std::fs::rename(workspace.output(), elsewhere.path().join("moved")).unwrap();
    let failure = workspace.scan().unwrap_err();
    assert_eq!(failure.code.as_str(), "engine.misbehaved", "{failure:?}");
    workspace.remove().unwrap();
    assert_eq!(bench.left(), 0);
}

#[test]
fn whatever_an_engine_leaves_is_destroyed_and_told() {
    let bench = Bench::new();
    let ledger = bench.open();
    let workspace = bench.at.create_recorded(Arc::clone(&ledger)).unwrap();
    make_a_mess(&workspace);
    workspace.scan().unwrap();
    workspace.clear_output().unwrap();
    make_a_mess(&workspace);
    workspace.remove().unwrap();
    ledger.close("completed").unwrap();
    let audit = bench.audit(bench.id);
    assert_eq!((audit.verdict, audit.findings, audit.remarks), (Verdict::Valid, vec![], vec![]));
    // Root and layout; two directories of the layout made again; twice the 71 + 7 entries of the
    // mess.
    assert_eq!(audit.story.counts().destroyed, 5 + 2 + 2 * (71 + 7));
    assert_eq!(bench.left(), 0);
}

/// Drops the capabilities that bypass file permissions, for this thread and those that it starts.
fn give_up_privileges() {
    use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
    let passes = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    let held = capabilities(None).unwrap();
    let left = |set: CapabilitySet| set - passes;
    let (effective, permitted) = (left(held.effective), left(held.permitted));
    set_capabilities(None, CapabilitySets { effective, permitted, inheritable: CapabilitySet::empty() })
        .unwrap();
}

/// Input files are read-only, also for a worker that is not root. They are overwritten
/// nevertheless, by the worker itself, or by the next one if it was killed.
#[test]
fn read_only_inputs_are_overwritten_by_any_user() {
    let filled = |workspace: &Workspace| {
        let filling = workspace.input_folder().unwrap().create("model.obj", FileRole::Input).unwrap();
        filling.file().write_all_at(b"plaintext", 0).unwrap();
        filling.complete(9, filling.content());
        drop(filling);
        let path = workspace.input().join("model.obj");
        assert!(std::fs::File::options().write(true).open(&path).is_err(), "its mode forbids that");
        std::fs::File::open(&path).unwrap()
    };
    let content = |held: &std::fs::File| {
        let mut left = [1; 9];
        held.read_exact_at(&mut left, 0).unwrap();
        left
    };
    let done = std::thread::spawn(move || {
        give_up_privileges();
        let bench = Bench::new();
        let ledger = bench.open();
        let workspace = bench.at.create_recorded(Arc::clone(&ledger)).unwrap();
        let held = filled(&workspace);
        assert_eq!(&content(&held), b"plaintext");
        workspace.remove().unwrap();
        assert_eq!(content(&held), [0; 9]);
        ledger.close("completed").unwrap();
        let audit = bench.audit(bench.id);
        assert_eq!((audit.verdict, audit.findings), (Verdict::Valid, vec![]));

        let mut workspace = bench.at.create().unwrap();
        let held = filled(&workspace);
        workspace.gone = true;
        drop(workspace);
        assert_eq!(swept(&bench.at, &|_| None), SweepReport { removed: 1, ..SweepReport::default() });
        assert_eq!(content(&held), [0; 9]);
    });
    done.join().unwrap();
}

/// A running program cannot be written to, so its file cannot be overwritten.
#[test]
fn a_file_that_cannot_be_overwritten_goes_and_is_an_incident() {
    let bench = Bench::new();
    let ledger = bench.open();
    let workspace = bench.at.create_recorded(Arc::clone(&ledger)).unwrap();
    let program = workspace.output().join("program");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let mut running = std::process::Command::new(&program).arg("60").spawn().unwrap();
    workspace.remove().unwrap();
    running.kill().unwrap();
    running.wait().unwrap();
    ledger.close("completed").unwrap();
    let audit = bench.audit(bench.id);
    assert_eq!((audit.verdict, bench.left()), (Verdict::Unclean, 0), "{:?}", audit.findings);
    assert_eq!(audit.story.incidents[0].code, "wipe.failed");
    assert_eq!(audit.story.unwiped().count(), 1);
}

/// A ledger is bounded. Files beyond the bound are destroyed too, and their number is reported.
#[test]
fn more_than_a_ledger_takes_is_a_cap_and_goes() {
    const MADE: usize = 30_000;
    let bench = Bench::new();
    let ledger = bench.open();
    let workspace = bench.at.create_recorded(Arc::clone(&ledger)).unwrap();
    for number in 0..MADE {
        std::fs::File::create(workspace.scratch().join(number.to_string())).unwrap();
    }
    std::fs::write(workspace.output().join("plain"), "plaintext").unwrap();
    let failure = workspace.scan().unwrap_err();
    assert_eq!(failure.code, FailureCode::LimitFiles);
    workspace.remove().unwrap();
    ledger.close(failure.code.as_str()).unwrap();
    assert_eq!(bench.left(), 0);
    let text = bench.sink.read(bench.id).unwrap();
    let records = text.iter().filter(|byte| **byte == b'\n').count();
    assert!(records < 3 * 21_100, "{records} records");
    let audit = bench.audit(bench.id);
    assert_eq!((audit.verdict, audit.findings.len()), (Verdict::Unclean, 0), "{:?}", audit.findings);
    let counts = audit.story.counts();
    assert_eq!((counts.created, counts.destroyed), (5 + 21_000, 5 + 21_000));
    assert_eq!(audit.story.incidents.len(), 1, "{:?}", audit.story.incidents);
    let incident = &audit.story.incidents[0];
    assert_eq!((incident.code.as_str(), incident.file), ("file.unlisted", 0));
    assert!(incident.note.starts_with("9001 more files"), "{}", incident.note);
}

#[test]
fn what_another_removed_and_what_is_linked_elsewhere_are_incidents() {
    let bench = Bench::new();
    let ledger = bench.open();
    let workspace = bench.at.create_recorded(Arc::clone(&ledger)).unwrap();
    let elsewhere = bench.place.path().join("audit/elsewhere");
    for name in ["gone", "linked"] {
        std::fs::write(workspace.output().join(name), "plaintext").unwrap();
    }
    std::fs::hard_link(workspace.output().join("linked"), &elsewhere).unwrap();
    workspace.scan().unwrap();
    std::fs::remove_file(workspace.output().join("gone")).unwrap();
    workspace.remove().unwrap();
    ledger.close("completed").unwrap();
    let audit = bench.audit(bench.id);
    assert_eq!((audit.verdict, audit.findings), (Verdict::Unclean, vec![]));
    let mut codes: Vec<&str> = audit.story.incidents.iter().map(|i| i.code.as_str()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["file.linked_elsewhere", "file.vanished"]);
    assert!(std::fs::read(elsewhere).unwrap().iter().all(|&byte| byte == 0), "its content is gone");
}

#[test]
fn a_sweep_is_told_in_a_ledger_that_cites_the_broken_one() {
    let bench = Bench::new();
    let ledger = bench.open();
    let mut workspace = bench.at.create_recorded(Arc::clone(&ledger)).unwrap();
    std::fs::write(workspace.output().join("a"), "plaintext").unwrap();
    // Killed: nothing is destroyed and the lock is released.
    workspace.gone = true;
    drop(workspace);
    let recorder = |left: LedgerId| {
        let signer: Arc<dyn Signer> = bench.signer.clone();
        let opening = Opening { ledger: left, ..bench.opening() };
        let ledger =
            Ledger::open_next_part(&bench.sink, Some(signer), Arc::new(SystemClock), opening).unwrap();
        ledger.sweep(left, bench.sink.read(left).ok().as_deref()).unwrap();
        Some(ledger)
    };
    let swept = swept(&bench.at, &recorder);
    assert_eq!((swept.removed, swept.left, swept.heads.len()), (1, 0, 1));
    assert_eq!(bench.audit(bench.id).verdict, Verdict::Incomplete);
    let audit = bench.audit(bench.id.next_part());
    assert_eq!((audit.verdict, audit.findings, audit.remarks), (Verdict::Valid, vec![], vec![]));
    assert_eq!((audit.story.sweeps[0].ledger, audit.story.counts().destroyed), (bench.id, 6));
    assert_eq!(bench.left(), 0);
}

#[test]
fn a_workspace_is_private_and_goes_away() {
    let workspace = WorkspaceRoot::new(DEFAULT.into(), false).create().unwrap();
    let root = workspace.input().parent().unwrap().to_owned();
    for directory in
        [root.clone(), root.join("pack"), workspace.input(), workspace.output(), workspace.scratch()]
    {
        assert_eq!(std::fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
    }
    std::fs::write(workspace.output().join("x"), "plaintext").unwrap();
    workspace.remove().unwrap();
    assert!(!root.exists());
}

#[test]
fn dropping_removes_too() {
    let workspace = WorkspaceRoot::new(DEFAULT.into(), false).create().unwrap();
    let root = workspace.input().parent().unwrap().to_owned();
    drop(workspace);
    assert!(!root.exists());
}

#[test]
fn a_disk_is_refused_unless_allowed_in_words() {
    // The build directory is on a disk, or at least not on a tmpfs, in all our builds.
    let disk = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    if is_memory(rustix::fs::statfs(&disk).unwrap().f_type.cast_unsigned()) {
        assert!(WorkspaceRoot::new(disk, false).create().is_ok());
        return;
    }
    let failure = WorkspaceRoot::new(disk.clone(), false).create().unwrap_err();
    assert_eq!(failure.code, FailureCode::WorkspaceUnavailable);
    assert!(failure.message.contains(DISK_WORDS), "{failure}");
    WorkspaceRoot::new(disk, true).create().unwrap().remove().unwrap();
}

#[test]
fn paths_are_hidden() {
    let workspace = WorkspaceRoot::new(DEFAULT.into(), false).create().unwrap();
    let text = format!("cannot open {}", workspace.input().join("a/b.shp").display());
    assert_eq!(workspace.hide(&text), "cannot open a/b.shp");
}

#[test]
fn a_missing_place_is_named() {
    let failure = WorkspaceRoot::new("/nonexistent/place".into(), false).create().unwrap_err();
    assert!(failure.message.contains("/nonexistent/place"), "{failure}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let workspace = WorkspaceRoot::new(DEFAULT.into(), false).create().unwrap();
    assert!(workspace.admit("the input", 1).is_ok());
    assert_eq!(workspace.admit("the input", u64::MAX).unwrap_err().code, FailureCode::WorkspaceFull);
}
