//! The writer: its ledgers verify, and it fails closed.

use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::job::{Millis, Stage};
use cadmill_core::domain::ledger::record::{Boundary, FileId, FileRole, Kind};
use cadmill_core::domain::ledger::verify::{Verdict, verify};
use cadmill_core::domain::ledger::{LedgerId, chain};
use cadmill_core::domain::ledger::{PublicKey, Signature};
use cadmill_core::ledger::*;
use cadmill_core::ports::PortResult;
use cadmill_core::ports::clock::SystemClock;
use cadmill_core::ports::{AuditSink, Clock, Signer};
use cadmill_stores::adapters::faulty::{Fault, FaultyAudit, Script};
use cadmill_stores::adapters::ledger::FileAudit;
use cadmill_stores::conformance::audit_sink::{new_id, signer};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

struct Bench {
    sink: Arc<FileAudit>,
    signer: Arc<LocalSigner>,
    _directory: tempfile::TempDir,
}

fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let sink = Arc::new(FileAudit::new(directory.path()).unwrap());
    Bench { sink, signer: Arc::new(signer()), _directory: directory }
}

fn opening(ledger: LedgerId) -> Opening {
    let posture = BTreeMap::from([("swap".to_owned(), "off".to_owned())]);
    Opening { ledger, worker: "w".to_owned(), posture }
}

impl Bench {
    fn open(&self, ledger: LedgerId) -> Ledger {
        self.open_on(self.sink.as_ref(), ledger).unwrap()
    }

    fn open_on(&self, sink: &dyn AuditSink, ledger: LedgerId) -> Result<Ledger, Failure> {
        Ledger::open(sink, Some(self.signer.clone()), Arc::new(SystemClock), opening(ledger))
    }

    fn audit(&self, ledger: LedgerId) -> cadmill_core::domain::ledger::verify::Audit {
        let head = self.sink.read_head(ledger).ok();
        verify(&self.sink.read(ledger).unwrap(), head.as_ref(), Some(&self.signer.public_key()))
    }
}

fn file(name: &[u8]) -> NewFile<'_> {
    NewFile { kind: Kind::File, role: FileRole::Input, parent: 0, name }
}

/// The life of a file from its announcement to its end; `acts` counts the actions on it that
/// really took place.
fn live(ledger: &Ledger, name: &[u8], acts: &AtomicU64) -> Result<(), Failure> {
    let token = ledger.create(file(name))?;
    acts.fetch_add(1, Ordering::SeqCst);
    let id = token.file();
    let filled = ledger.created(token, true).and_then(|id| {
        let token = ledger.write(id)?;
        let mut content = ledger.content();
        content.update(name);
        ledger.written(token, true, content.bytes(), Some(content))
    });
    destroy(ledger, id, name.len() as u64, acts);
    filled
}

fn destroy(ledger: &Ledger, file: FileId, bytes: u64, acts: &AtomicU64) {
    let token = ledger.wipe(file, "zeros-1");
    ledger.wiped(token, true, bytes, true);
    let token = ledger.unlink(file);
    acts.fetch_sub(1, Ordering::SeqCst);
    ledger.unlinked(token, true);
}

fn is_audit(failure: &Failure) -> bool {
    failure.code == FailureCode::Audit
}

#[test]
fn what_is_written_is_valid_and_names_nothing() {
    let (bench, id, acts) = (bench(), new_id(), AtomicU64::new(0));
    let ledger = bench.open(id);
    ledger.stage(Stage::Fetch, Boundary::Begin).unwrap();
    live(&ledger, b"secret-name.shp", &acts).unwrap();
    live(&ledger, b"secret-name.shp", &acts).unwrap();
    let found = ledger.found(NewFile { role: FileRole::Temporary, ..file(b"secret-other") }, 5);
    destroy(&ledger, found, 5, &AtomicU64::new(1));
    ledger.stage(Stage::Fetch, Boundary::End).unwrap();
    let head = ledger.close("completed").unwrap();
    assert_eq!(bench.sink.read_head(id), Ok(head.clone()));

    let audit = bench.audit(id);
    assert_eq!((audit.verdict, audit.findings, audit.remarks), (Verdict::Valid, vec![], vec![]));
    assert_eq!(audit.story.made().count(), 3);
    let names: Vec<&String> = audit.story.lives.values().map(|life| &life.birth.name).collect();
    assert!(names[0] == names[1] && names[0] != names[2], "the same name is recognised");
    let text = String::from_utf8(bench.sink.read(id).unwrap()).unwrap();
    assert!(!text.contains("secret"), "{text}");
    assert!(text.is_ascii() && text.lines().count() as u64 == head.head.last_seq + 1);
    assert!(is_audit(&ledger.create(file(b"x")).unwrap_err()), "it is closed");
}

#[test]
fn several_threads_write_one_ledger() {
    let (bench, id, acts) = (bench(), new_id(), AtomicU64::new(0));
    let ledger = bench.open(id);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (ledger, acts) = (&ledger, &acts);
            scope.spawn(move || {
                for n in 0..50 {
                    live(ledger, format!("{thread}/{n}").as_bytes(), acts).unwrap();
                }
            });
        }
    });
    ledger.close("completed").unwrap();
    let audit = bench.audit(id);
    assert_eq!((audit.verdict, audit.records), (Verdict::Valid, 2 + 400 * 8));
    assert_eq!(audit.story.counts().destroyed, 400);
}

/// A sink that fails at its n-th write, for every n: no action without an intent on record, every
/// created file is destroyed, and the ledger is INCOMPLETE, never valid.
#[test]
fn a_sink_that_fails_at_any_write_fails_the_job_and_spares_no_file() {
    let names: [&[u8]; 3] = [b"a", b"b", b"c"];
    let whole = 2 + 3 * 8;
    for fault in [Fault::Fail, Fault::DropReply, Fault::Truncate(20)] {
        for n in 1..=whole {
            let (bench, id, acts) = (bench(), new_id(), AtomicU64::new(0));
            let script = Script::new().on("append", n, fault);
            let sink = FaultyAudit::new(bench.sink.clone(), script.clone());
            let opened = bench.open_on(&sink, id);
            let ended = opened.map_err(|f| vec![f]).and_then(|ledger| {
                let lives: Vec<_> =
                    names.iter().filter_map(|name| live(&ledger, name, &acts).err()).collect();
                let closed = ledger.close("completed");
                assert!(is_audit(closed.as_ref().unwrap_err()), "{n}: closed all the same");
                Err::<(), _>([lives, vec![closed.unwrap_err()]].concat())
            });
            assert!(ended.unwrap_err().iter().all(is_audit), "{n}");
            assert_eq!(acts.load(Ordering::SeqCst), 0, "{n}: a file was spared");
            assert_eq!(script.calls("append"), n, "nothing is written after a failure");
            let audit = bench.audit(id);
            // A close whose reply was lost is on record, but without a head: unsigned.
            let lost_close = n == whole && fault == Fault::DropReply;
            let expected = if lost_close { Verdict::Unsigned } else { Verdict::Incomplete };
            assert_eq!((audit.verdict, &audit.findings[..]), (expected, &[][..]), "{n} {fault:?}");
        }
    }
}

#[test]
fn destroying_is_never_held_up_and_what_is_unrecorded_is_counted() {
    let (bench, id) = (bench(), new_id());
    // open, intent, done of the first file; every later write fails.
    let sink = FaultyAudit::new(bench.sink.clone(), Script::new().on("append", 4, Fault::Fail));
    let ledger = bench.open_on(&sink, id).unwrap();
    let token = ledger.create(file(b"a")).unwrap();
    let made = ledger.created(token, true).unwrap();
    assert!(is_audit(&ledger.write(made).unwrap_err()));
    for _ in 0..3 {
        assert!(is_audit(&ledger.create(file(b"b")).unwrap_err()), "poisoned");
    }
    assert!(is_audit(&ledger.check().unwrap_err()));
    // The engine was running meanwhile: its files must be destroyed too.
    let found = ledger.found(file(b"c"), 9);
    assert_ne!(found, made);
    for file in [made, found] {
        let token = ledger.wipe(file, "zeros-1");
        ledger.wiped(token, true, 9, true);
        let token = ledger.unlink(file);
        ledger.unlinked(token, true);
    }
    ledger.incident("wipe.failed", made, "EIO");
    assert_eq!(ledger.unrecorded(), 5, "two wipes, two unlinks, one incident");
    assert!(is_audit(&ledger.close("infra.audit").unwrap_err()));
    assert_eq!(bench.audit(id).verdict, Verdict::Incomplete);
}

#[test]
fn a_sink_that_cannot_sync_or_seal_gives_no_head() {
    for (operation, call) in [("begin", 1), ("sync", 1), ("sync", 2), ("seal", 1)] {
        let (bench, id) = (bench(), new_id());
        let sink = FaultyAudit::new(bench.sink.clone(), Script::new().on(operation, call, Fault::Fail));
        let ended = bench.open_on(&sink, id).and_then(|ledger| ledger.close("completed"));
        assert!(is_audit(&ended.unwrap_err()), "{operation} {call}");
    }
}

struct Mute(PublicKey);

impl Signer for Mute {
    fn public_key(&self) -> PublicKey {
        self.0
    }

    fn sign(&self, _: &[u8]) -> PortResult<Vec<u8>> {
        Ok(vec![0; 64])
    }
}

#[test]
fn a_signature_that_is_none_gives_no_head() {
    let (bench, id) = (bench(), new_id());
    let mute = Arc::new(Mute(bench.signer.public_key()));
    let ledger = Ledger::open(bench.sink.as_ref(), Some(mute), Arc::new(SystemClock), opening(id)).unwrap();
    assert!(is_audit(&ledger.close("completed").unwrap_err()));
    assert!(bench.sink.read_head(id).is_err());
}

#[test]
fn without_a_key_the_head_is_unsigned() {
    let (bench, id) = (bench(), new_id());
    let ledger = Ledger::open(bench.sink.as_ref(), None, Arc::new(SystemClock), opening(id)).unwrap();
    assert_eq!(ledger.close("completed").unwrap().signature, None::<Signature>);
    assert_eq!(bench.audit(id).verdict, Verdict::Unsigned);
}

struct Stepping(AtomicU64);

impl Clock for Stepping {
    fn now(&self) -> Millis {
        // The fourth reading is an hour earlier.
        let looks = self.0.fetch_add(1, Ordering::SeqCst);
        if looks < 3 { 1_700_000_000_000 } else { 1_699_996_400_000 }
    }
}

#[test]
fn a_clock_that_is_set_back_is_noticed_and_named() {
    let (bench, id, acts) = (bench(), new_id(), AtomicU64::new(0));
    let clock = Arc::new(Stepping(AtomicU64::new(0)));
    let ledger = Ledger::open(bench.sink.as_ref(), Some(bench.signer.clone()), clock, opening(id)).unwrap();
    live(&ledger, b"a", &acts).unwrap();
    ledger.close("completed").unwrap();
    let audit = bench.audit(id);
    assert_eq!((audit.verdict, audit.findings), (Verdict::Valid, vec![]));
    assert_eq!(audit.remarks.len(), 1, "{:?}", audit.remarks);
    assert!(audit.remarks[0].starts_with("incident clock.stepped_back: the wall clock went back by 3600"));
}

#[test]
fn a_sweep_goes_on_where_a_killed_worker_stopped() {
    let (bench, id, acts) = (bench(), new_id(), AtomicU64::new(0));
    let killed = bench.open(id);
    let token = killed.create(file(b"a")).unwrap();
    drop((killed, token));

    let clock = Arc::new(SystemClock);
    let open = || {
        let signer: Arc<dyn Signer> = bench.signer.clone();
        Ledger::open_next_part(bench.sink.as_ref(), Some(signer), clock.clone(), opening(id)).unwrap()
    };
    let sweep = open();
    let left = bench.sink.read(id).unwrap();
    sweep.sweep(id, Some(&left)).unwrap();
    let found = sweep.found(NewFile { role: FileRole::Leftover, ..file(b"a") }, 3);
    acts.fetch_add(1, Ordering::SeqCst);
    destroy(&sweep, found, 3, &acts);
    sweep.close("swept").unwrap();
    assert_eq!(sweep.id(), id.next_part());
    assert_eq!(open().id(), id.next_part().next_part());

    assert_eq!(bench.audit(id).verdict, Verdict::Incomplete);
    let audit = bench.audit(sweep.id());
    assert_eq!((audit.verdict, audit.findings), (Verdict::Valid, vec![]));
    let predecessor = &audit.story.sweeps[0];
    let last = left.split_inclusive(|byte| *byte == b'\n').next_back().unwrap();
    assert_eq!((predecessor.ledger, predecessor.last_seq), (id, 1));
    assert_eq!(predecessor.last_hash, chain::line_hash(last));
    // A truncated ledger, and a missing one.
    let other = bench.open(new_id());
    other.sweep(id, Some(&left[..left.len() - 1])).unwrap();
    other.sweep(id, Some(b"")).unwrap();
    other.sweep(id, None).unwrap();
    other.close("swept").unwrap();
    let seen: Vec<_> = bench.audit(other.id()).story.sweeps.iter().map(|s| s.last_seq).collect();
    assert_eq!(seen, [0, 0, 0]);
}

#[test]
fn what_would_contradict_the_ledger_is_never_written() {
    let (bench, id) = (bench(), new_id());
    let ledger = bench.open(id);
    assert!(is_audit(&ledger.write(77).unwrap_err()), "no such file");
    assert!(ledger.check().is_err(), "the caller's account is wrong, so nothing of it is believed");
    assert_eq!(bench.audit(id).verdict, Verdict::Incomplete);
}

#[test]
fn keys_are_those_of_openssl_and_openssl_verifies() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let openssl = |arguments: &[&str]| {
        let done = Command::new("openssl").args(arguments).current_dir(&directory).output();
        let done = done.expect("openssl is installed");
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", "key.pem"]);
    openssl(&["pkey", "-in", "key.pem", "-pubout", "-out", "pub.pem"]);
    let signer = LocalSigner::from_file(&path("key.pem")).unwrap();
    let public = PublicKey::from_pem(&std::fs::read(path("pub.pem")).unwrap()).unwrap();
    assert_eq!(signer.public_key(), public);
    assert_eq!(public.to_pem(), std::fs::read_to_string(path("pub.pem")).unwrap());
    std::fs::write(path("head"), b"a message").unwrap();
    std::fs::write(path("sig"), signer.sign(b"a message").unwrap()).unwrap();
    let verify = "pkeyutl -verify -pubin -inkey pub.pem -rawin -in head -sigfile sig";
    openssl(&verify.split(' ').collect::<Vec<_>>());

    openssl(&["genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "ec.pem"]);
    for (name, text) in [("ec.pem", None), ("pub.pem", None), ("none.pem", Some("hunter2")), ("gone", None)] {
        if let Some(text) = text {
            std::fs::write(path(name), text).unwrap();
        }
        let refused = LocalSigner::from_file(&path(name)).unwrap_err();
        assert!(is_audit(&refused) && !refused.message.contains("hunter2"), "{}", refused.message);
    }
    assert!(!format!("{signer:?}").contains("PRIVATE"));
}

#[test]
fn what_a_configuration_names_is_opened() {
    use cadmill_stores::bootstrap::ledger::Auditing;
    use cadmill_stores::config::{Program, parse};
    let directory = tempfile::tempdir().unwrap();
    let (key, ledgers) = (directory.path().join("key.pem"), directory.path().join("ledgers"));
    let pair = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let pem = pem::encode(&pem::Pem::new("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref()));
    std::fs::write(&key, &pem).unwrap();
    let open = |signing: &str| {
        let text = format!("audit.directory = '{}'\n{signing}", ledgers.display());
        Auditing::open(&parse(&text, Program::Serve).unwrap().0)
    };
    for signing in [
        format!("audit.sign_with = 'key'\naudit.key_file = '{}'", key.display()),
        format!("audit.sign_with = 'key'\naudit.key = '''{pem}'''"),
    ] {
        let Auditing { sink, signer } = open(&signing).unwrap();
        let (id, public) = (new_id(), signer.as_ref().unwrap().public_key());
        let ledger = Ledger::open(sink.as_ref(), signer, Arc::new(SystemClock), opening(id)).unwrap();
        let head = ledger.close("completed").unwrap();
        let audit = verify(&sink.read(id).unwrap(), Some(&head), Some(&public));
        assert_eq!(audit.verdict, Verdict::Valid);
        assert!(ledgers.join(id.job.to_string()).join("1-0.jsonl").is_file());
    }
    assert!(open("").unwrap().signer.is_none());
    let missing = open("audit.sign_with = 'key'\naudit.key_file = '/nonexistent'").err().unwrap();
    assert!(is_audit(&missing) && missing.message.contains("/nonexistent"), "{}", missing.message);
}
