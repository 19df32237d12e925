//! Tampered ledgers: each manipulation must be reported by name.

mod deletion;

use super::chain::{Chain, NameKey, ZERO_HASH, line_hash};
use super::citation::compare;
use super::line::{self, Field};
use super::record::*;
use super::verify::{Audit, Finding, Verdict, verify};
use super::*;
use crate::domain::job::{Millis, Stage};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use zeroize::Zeroizing;

struct Key {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl Key {
    fn new(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = PublicKey::from_raw(pair.public_key().as_ref().try_into().unwrap());
        Self { pair, public }
    }

    fn sign(&self, head: Head) -> SignedHead {
        let signature = self.pair.sign(&head.message());
        SignedHead { signature: Some(Signature::new(&self.public, signature.as_ref())), head }
    }
}

fn ledger(job: u8) -> LedgerId {
    LedgerId::of_attempt(JobId::from_random_bytes([job; 16]), 1)
}

fn birth(kind: Kind, role: FileRole, parent: FileId, name: &str) -> Creation {
    let key = NameKey::new(Zeroizing::new([7; 32]));
    Creation { kind, role, parent, name: key.name(name.as_bytes()) }
}

fn done(file: FileId, intent: u64, effect: Effect) -> Record {
    Record::Done { file, intent, ok: true, effect }
}

fn intent(file: FileId, intent: Intent) -> Record {
    Record::Intent { file, intent }
}

/// A job with a directory and two files, one of them created by the engine, all destroyed.
fn records() -> Vec<Record> {
    let posture = BTreeMap::from([("landlock".to_owned(), "on, version 6".to_owned())]);
    let wipe = || Intent::Wipe { method: "zeros-1".to_owned() };
    let content = "ab".repeat(32);
    vec![
        Record::Open {
            format: Format::V1,
            worker: "wörker 1".to_owned(),
            build: "0.1.0".to_owned(),
            posture,
        },
        Record::Stage { stage: Stage::Fetch, mark: Boundary::Begin },
        intent(1, Intent::Create(birth(Kind::Directory, FileRole::Workspace, 0, "in"))),
        done(1, 2, Effect::Create),
        intent(2, Intent::Create(birth(Kind::File, FileRole::Input, 1, "in/a.shp"))),
        done(2, 4, Effect::Create),
        intent(2, Intent::Write),
        done(2, 6, Effect::Write { bytes: 1000, content }),
        Record::Stage { stage: Stage::Fetch, mark: Boundary::End },
        Record::Found { file: 3, birth: birth(Kind::File, FileRole::Output, 1, "o.dxf"), bytes: 5 },
        intent(2, wipe()),
        intent(3, wipe()),
        done(3, 11, Effect::Wipe { bytes: 5, verified: true }),
        done(2, 10, Effect::Wipe { bytes: 1000, verified: true }),
        intent(2, Intent::Unlink),
        done(2, 14, Effect::Unlink),
        intent(3, Intent::Unlink),
        done(3, 16, Effect::Unlink),
        intent(1, Intent::Rmdir),
        done(1, 18, Effect::Rmdir),
        Record::Close {
            outcome: "completed".to_owned(),
            counts: Counts { created: 3, destroyed: 3, ..Counts::default() },
        },
    ]
}

/// The lines of these records, one second apart, with the clocks shifted by `shift`.
fn lines_of(id: LedgerId, records: &[Record], shift: impl Fn(usize) -> (i64, i64)) -> Vec<String> {
    let mut chain = Chain::new(id);
    let mut lines = Vec::new();
    for (at, record) in records.iter().enumerate() {
        let moved = |base: Millis, by: i64| base.saturating_add_signed(by);
        let ((wall, mono), passed) = (shift(at), 1000 * at as u64);
        let line = chain.line(record, moved(1_700_000_000_000 + passed, wall), moved(passed, mono));
        chain.push(&line);
        lines.push(line);
    }
    lines
}

fn lines() -> Vec<String> {
    lines_of(ledger(1), &records(), |_| (0, 0))
}

fn head_of(id: LedgerId, lines: &[String]) -> Head {
    Head::new(id, lines.len() as u64 - 1, &line_hash(lines.last().unwrap().as_bytes()))
}

/// Verifies these lines against the head of the genuine ledger.
fn audited(lines: &[String]) -> Audit {
    let key = Key::new(1);
    let head = key.sign(head_of(ledger(1), &self::lines()));
    verify(lines.concat().as_bytes(), Some(&head), Some(&key.public))
}

/// The codes of the findings, without consecutive duplicates.
fn codes(audit: &Audit) -> Vec<&'static str> {
    let mut codes: Vec<_> = audit.findings.iter().map(Finding::code).collect();
    codes.dedup();
    codes
}

#[track_caller]
fn assert_tampered(lines: &[String], expected: &[Finding]) {
    let audit = audited(lines);
    assert_eq!(audit.verdict, Verdict::Tampered);
    assert_eq!(audit.findings, expected, "{:?}", codes(&audit));
}

#[test]
fn a_genuine_ledger_is_valid_and_tells_what_happened() {
    let audit = audited(&lines());
    assert_eq!((audit.verdict, audit.findings, audit.remarks), (Verdict::Valid, vec![], vec![]));
    assert_eq!(audit.ledger, Some(ledger(1)));
    assert_eq!(audit.signed_by, Some(Key::new(1).public.id()));
    let life = &audit.story.lives[&2];
    assert_eq!((life.bytes, life.wiped, life.lifetime()), (Some(1000), Some(13_000), Some(10_000)));
    assert_eq!(
        (audit.story.worker.as_str(), audit.story.outcome.as_deref()),
        ("wörker 1", Some("completed"))
    );
    assert_eq!(audit.story.stages, [(Stage::Fetch, 1000, Some(8000))]);
    assert!(audit.story.lives[&3].found && !life.found);
}

#[test]
fn a_flipped_byte_is_named_by_its_record() {
    let mut lines = lines();
    lines[7] = lines[7].replace("\"bytes\":1000", "\"bytes\":1001");
    assert_tampered(&lines, &[Finding::Changed { seq: 7 }]);
    // A changed `prev` is reported as a change of the record that contains it.
    let mut lines = self::lines();
    let prev = line_hash(lines[6].as_bytes());
    lines[7] =
        lines[7].replace(&prev, &prev.replace(&prev[..1], if prev.starts_with('0') { "1" } else { "0" }));
    assert_tampered(&lines, &[Finding::Changed { seq: 7 }]);
    // A change after which the line is no longer a valid record.
    let mut lines = self::lines();
    lines[7] = lines[7].replace("\"act\":\"write\"", "\"act\":\"wrote\"");
    let why = "act has a word that is not known".to_owned();
    assert_tampered(&lines, &[Finding::Damaged { line: 8, why }]);
}

#[test]
fn a_dropped_record_is_named() {
    let mut lines = lines();
    lines.drain(5..8);
    assert_tampered(&lines, &[Finding::Dropped { from: 5, to: 7 }]);
    let mut lines = self::lines();
    lines.remove(0);
    assert_tampered(&lines, &[Finding::Dropped { from: 0, to: 0 }]);
}

#[test]
fn swapped_records_are_named() {
    let mut lines = lines();
    lines.swap(5, 6);
    let found = audited(&lines).findings;
    assert!(found.contains(&Finding::Reordered { seq: 6, expected: 5 }), "{found:?}");
    assert_eq!(codes(&audited(&lines)), ["chain.reordered"]);
}

#[test]
fn a_duplicated_record_is_named() {
    let mut lines = lines();
    lines.insert(6, lines[5].clone());
    assert_tampered(&lines, &[Finding::Duplicated { seq: 5 }]);
    // At another position.
    let mut lines = self::lines();
    lines.insert(12, lines[5].clone());
    let found = audited(&lines).findings;
    assert_eq!(found.first(), Some(&Finding::Duplicated { seq: 5 }), "{found:?}");
}

#[test]
fn a_cut_tail_is_named_by_the_head_and_incomplete_without_one() {
    let mut lines = lines();
    lines.truncate(12);
    assert_tampered(&lines, &[Finding::TailCut { last: 11, signed: 20 }]);
    let audit = verify(lines.concat().as_bytes(), None, None);
    assert_eq!((audit.verdict, audit.findings), (Verdict::Incomplete, vec![]));
    assert!(audit.remarks.iter().any(|remark| remark.contains("no close")), "{:?}", audit.remarks);
    // Torn in the middle of a record, as after a power failure.
    let text = lines.concat();
    let audit = verify(&text.as_bytes()[..text.len() - 9], None, None);
    assert_eq!((audit.verdict, audit.findings), (Verdict::Incomplete, vec![]));
}

#[test]
fn a_cut_and_continued_tail_is_named() {
    // With a valid chain that omits files which were in fact created.
    let mut records = records();
    records.drain(4..20);
    records[4] = Record::Close {
        outcome: "completed".to_owned(),
        counts: Counts { created: 1, residual: 1, ..Counts::default() },
    };
    let short = lines_of(ledger(1), &records, |_| (0, 0));
    assert_tampered(&short, &[Finding::TailCut { last: 4, signed: 20 }]);
    // As long as the genuine ledger.
    let mut records = self::records();
    records[7] = done(2, 6, Effect::Write { bytes: 10, content: String::new() });
    let long = lines_of(ledger(1), &records, |_| (0, 0));
    assert_tampered(&[&lines()[..7], &long[7..]].concat(), &[Finding::NotTheHead { seq: 20 }]);
    // Longer than the genuine ledger.
    let mut more = lines();
    let mut chain = Chain::new(ledger(1));
    more.iter().for_each(|line| chain.push(line));
    more.push(chain.line(
        &Record::Stage { stage: Stage::Wipe, mark: Boundary::Begin },
        1_700_000_060_000,
        60_000,
    ));
    let found = audited(&more).findings;
    assert_eq!(found.last(), Some(&Finding::TailAdded { last: 21, signed: 20 }), "{found:?}");
    assert_eq!(codes(&audited(&more)), ["record.contradiction", "head.tail_added"]);
}

#[test]
fn two_jobs_spliced_are_named() {
    let other = lines_of(ledger(2), &records(), |_| (0, 0));
    let spliced = [&lines()[..10], &other[10..]].concat();
    let found = audited(&spliced).findings;
    assert_eq!(found[0], Finding::Spliced { line: 11, of: ledger(2) });
    let whole = [lines(), other.clone()].concat();
    assert!(codes(&audited(&whole)).starts_with(&["chain.spliced"]));
    // The complete ledger of another job, under this job's head.
    assert_tampered(&other, &[Finding::HeadOfAnother { of: ledger(1) }]);
}

#[test]
fn everything_hashed_again_after_an_edit_fails_on_the_head() {
    let mut records = records();
    records[7] = done(2, 6, Effect::Write { bytes: 999, content: "ab".repeat(32) });
    records[13] = done(2, 10, Effect::Wipe { bytes: 999, verified: true });
    let edited = lines_of(ledger(1), &records, |_| (0, 0));
    assert_eq!(verify(edited.concat().as_bytes(), None, None).findings, []);
    assert_tampered(&edited, &[Finding::NotTheHead { seq: 20 }]);
    // With a head that matches the edited ledger but was not signed again.
    let key = Key::new(1);
    let genuine = key.sign(head_of(ledger(1), &lines()));
    let forged = SignedHead { head: head_of(ledger(1), &edited), ..genuine };
    let audit = verify(edited.concat().as_bytes(), Some(&forged), Some(&key.public));
    assert_eq!((audit.verdict, audit.findings), (Verdict::Tampered, vec![Finding::BadSignature]));
    let audit = verify(edited.concat().as_bytes(), Some(&forged), None);
    assert_eq!((audit.verdict, audit.findings), (Verdict::Tampered, vec![Finding::BadSignature]));
}

#[test]
fn another_keys_signature_is_named_and_none_at_all_is_unsigned() {
    let (mine, other) = (Key::new(1), Key::new(2));
    let (text, head) = (lines().concat(), head_of(ledger(1), &lines()));
    let signed = other.sign(head.clone());
    let audit = verify(text.as_bytes(), Some(&signed), Some(&mine.public));
    let expected = vec![Finding::AnotherKey { key_id: other.public.id() }];
    assert_eq!((audit.verdict, audit.findings), (Verdict::Tampered, expected));
    // A signature that claims to be from the expected key.
    let mut forged = signed.clone();
    let public = mine.sign(head.clone()).signature.unwrap();
    forged.signature = forged.signature.map(|s| Signature { signature: s.signature, ..public });
    let audit = verify(text.as_bytes(), Some(&forged), Some(&mine.public));
    assert_eq!(audit.findings, [Finding::BadSignature]);

    let unsigned = SignedHead { head, signature: None };
    for (head, key) in
        [(Some(&unsigned), Some(&mine.public)), (None, Some(&mine.public)), (Some(&signed), None)]
    {
        let audit = verify(text.as_bytes(), head, key);
        assert_eq!((audit.verdict, audit.findings.len()), (Verdict::Unsigned, 0));
        assert_eq!(audit.remarks.len(), 1, "{:?}", audit.remarks);
    }
}

#[test]
fn a_clock_that_was_set_back_is_named() {
    let signed = |lines: &[String]| {
        let key = Key::new(1);
        let head = key.sign(head_of(ledger(1), lines));
        verify(lines.concat().as_bytes(), Some(&head), Some(&key.public))
    };
    // The clock went back, and the clock merely fell behind.
    for by in [-60_000, -1500] {
        let lines = lines_of(ledger(1), &records(), |at| (if at < 9 { 0 } else { by }, 0));
        let expected = Finding::ClockSteppedBack { seq: 9, by_ms: by.unsigned_abs() };
        assert_eq!(signed(&lines).findings, [expected]);
    }
    let slewed = lines_of(ledger(1), &records(), |at| (-10 * at as i64, 0));
    assert_eq!(signed(&slewed).verdict, Verdict::Valid);
    let forward = lines_of(ledger(1), &records(), |at| (if at < 9 { 0 } else { 86_400_000 }, 0));
    assert_eq!(signed(&forward).verdict, Verdict::Valid, "a machine may have slept");
    let lines = lines_of(ledger(1), &records(), |at| (0, if at == 9 { -5000 } else { 0 }));
    assert_eq!(signed(&lines).findings[0], Finding::MonotonicBack { seq: 9 });
    // The writer noticed and recorded an incident.
    let mut records = records();
    let note = "the wall clock went back".to_owned();
    records.insert(20, Record::Incident { code: CLOCK_STEPPED_BACK.to_owned(), file: 0, note });
    if let Some(Record::Close { counts, .. }) = records.last_mut() {
        counts.incidents = 1;
    }
    let lines = lines_of(ledger(1), &records, |at| (if at < 20 { 0 } else { -60_000 }, 0));
    assert_eq!(signed(&lines).verdict, Verdict::Valid);
}

/// Contradictory records, hashed and signed again with the right key: no honest writer could have
/// written them, so they must be reported.
#[test]
fn contradictions_are_named_whoever_signed_them() {
    let signed = |records: &[Record]| {
        let (key, lines) = (Key::new(1), lines_of(ledger(1), records, |_| (0, 0)));
        let head = key.sign(head_of(ledger(1), &lines));
        verify(lines.concat().as_bytes(), Some(&head), Some(&key.public))
    };
    let change = |at: usize, record: Record| {
        let mut records = records();
        records[at] = record;
        signed(&records)
    };
    let wrong: Vec<(&str, Audit)> = vec![
        ("done without intent", change(4, done(1, 3, Effect::Create))),
        ("another act", change(7, done(2, 6, Effect::Unlink))),
        ("another file", change(7, done(1, 6, Effect::Write { bytes: 1, content: String::new() }))),
        ("a file twice", change(9, intent(2, Intent::Create(birth(Kind::File, FileRole::Input, 1, "x"))))),
        (
            "no such parent",
            change(
                9,
                Record::Found { file: 3, birth: birth(Kind::File, FileRole::Output, 9, "x"), bytes: 1 },
            ),
        ),
        ("a directory is filled", change(6, intent(1, Intent::Write))),
        ("opened twice", change(8, records()[0].clone())),
        ("never opened", change(0, records()[1].clone())),
        ("a stage ends twice", change(9, records()[8].clone())),
        (
            "false counts",
            change(20, Record::Close { outcome: "completed".to_owned(), counts: Counts::default() }),
        ),
        ("filled after its end", change(18, intent(2, Intent::Write))),
    ];
    for (what, audit) in wrong {
        assert_eq!(audit.verdict, Verdict::Tampered, "{what}");
        assert!(codes(&audit).contains(&"record.contradiction"), "{what}: {:?}", audit.findings);
    }
    let mut after = records();
    after.push(after[1].clone());
    assert_eq!(codes(&signed(&after)), ["record.contradiction"]);
}

#[test]
fn what_was_not_destroyed_is_unclean() {
    let signed = |records: &[Record]| {
        let (key, lines) = (Key::new(1), lines_of(ledger(1), records, |_| (0, 0)));
        let head = key.sign(head_of(ledger(1), &lines));
        verify(lines.concat().as_bytes(), Some(&head), Some(&key.public))
    };
    let with = |change: &dyn Fn(&mut Vec<Record>), counts: Counts| {
        let mut records = records();
        change(&mut records);
        *records.last_mut().unwrap() = Record::Close { outcome: "completed".to_owned(), counts };
        let audit = signed(&records);
        assert_eq!(audit.findings, []);
        assert_eq!(audit.verdict, Verdict::Unclean);
        audit.remarks.join("; ")
    };
    let all = Counts { created: 3, destroyed: 3, ..Counts::default() };
    let left = Counts { destroyed: 2, residual: 1, ..all };
    let unwiped = with(&|r| r[13] = done(2, 10, Effect::Wipe { bytes: 1000, verified: false }), all);
    assert_eq!(unwiped, "files removed without a verified overwrite: 2");
    let partly = with(&|r| r[13] = done(2, 10, Effect::Wipe { bytes: 999, verified: true }), all);
    assert_eq!(partly, "files removed without a verified overwrite: 2");
    let kept = with(&|r| drop(r.drain(18..20)), left);
    assert_eq!(kept, "files that were there at its end: 1");
    let unfinished = with(&|r| drop(r.remove(19)), Counts { unfinished: 1, ..left });
    assert!(unfinished.contains("file 1: rmdir was begun"), "{unfinished}");
    let incident = Record::Incident { code: "wipe.failed".to_owned(), file: 2, note: "EIO".to_owned() };
    let told = with(&|r| r.insert(20, incident.clone()), Counts { incidents: 1, ..all });
    assert_eq!(told, "incident wipe.failed: EIO");
}

/// A truncated ledger, and the sweep that ends it, signed with this key.
fn swept(end: usize, cited: (u64, String), key: &Key) -> (Audit, Audit) {
    let broken = verify(lines()[..end].concat().as_bytes(), None, Some(&Key::new(1).public));
    let id = ledger(1).next_part();
    let opened = records().swap_remove(0);
    let sweep = Record::Sweep { ledger: ledger(1), last_seq: cited.0, last_hash: cited.1 };
    let close = Record::Close { outcome: "swept".to_owned(), counts: Counts::default() };
    let lines = lines_of(id, &[opened, sweep, close], |_| (0, 0));
    let head = key.sign(head_of(id, &lines));
    (broken, verify(lines.concat().as_bytes(), Some(&head), Some(&Key::new(1).public)))
}

/// The sweep serves as the head of the ledger that it ends.
#[test]
fn a_broken_ledger_is_compared_with_the_sweep_that_ends_it() {
    let hash = |seq: usize| line_hash(lines()[seq].as_bytes());
    let compared = |end: usize, cited: (u64, String), key: u8| {
        let (mut broken, mut sweep) = swept(end, cited, &Key::new(key));
        compare(&mut [&mut broken, &mut sweep]);
        (broken, sweep.verdict)
    };
    let (broken, sweep) = compared(9, (8, hash(8)), 1);
    assert_eq!((broken.verdict, sweep), (Verdict::Incomplete, Verdict::Valid));
    assert!(broken.remarks.last().unwrap().contains("saw the same last record, 8"), "{:?}", broken.remarks);

    let by = ledger(1).next_part();
    for (end, cited, last, seen) in [
        (8, (8, hash(8)), 7, 8),         // cut since
        (10, (8, hash(8)), 9, 8),        // continued since
        (9, (8, "0f".repeat(32)), 8, 8), // edited and hashed again since
    ] {
        let (broken, sweep) = compared(end, cited, 1);
        assert_eq!((broken.verdict, sweep), (Verdict::Tampered, Verdict::Valid));
        assert_eq!(broken.findings, [Finding::NotAsSwept { by, last, seen }]);
        assert_eq!(codes(&broken), ["sweep.mismatch"]);
    }
    // A sweep that could not read the ledger, and a sweep that was itself tampered with.
    let (broken, _) = compared(9, (0, ZERO_HASH.to_owned()), 1);
    assert_eq!((broken.verdict, broken.findings.len()), (Verdict::Incomplete, 0));
    let (broken, sweep) = compared(8, (8, hash(8)), 2);
    assert_eq!((broken.verdict, sweep), (Verdict::Incomplete, Verdict::Tampered));
    assert_eq!(broken.remarks.last().unwrap(), "no sweep that ends it is among these");
    // The sweep without the ledger.
    let (_, mut sweep) = swept(9, (8, hash(8)), &Key::new(1));
    compare(&mut [&mut sweep]);
    assert_eq!(sweep.verdict, Verdict::Valid);
    assert!(sweep.remarks[0].ends_with("which is not among these"), "{:?}", sweep.remarks);
}

/// Every record can be read back; a missing or additional member is rejected.
#[test]
fn records_are_read_strictly() {
    let mut records = records();
    records.push(Record::Incident { code: "x".to_owned(), file: 0, note: "ä".to_owned() });
    records.push(Record::Sweep { ledger: ledger(3), last_seq: 4, last_hash: "0".repeat(64) });
    let (objects, marks, uploads, confirmed_at, by) = (1, 2, 3, 4, "cleanup".to_owned());
    records.push(Record::Purge(Purge { objects, marks, uploads, confirmed_at, oldest_age_ms: Some(5), by }));
    for record in records {
        let header = Header { ledger: ledger(1), seq: 3, prev: "a".repeat(64), at_ms: 1, mono_ms: 2 };
        let fields = record.fields(&header);
        assert_eq!(Record::read(fields.clone()), Ok((header, record.clone())));
        for name in fields.keys() {
            let mut less = fields.clone();
            less.remove(name);
            // Known or not.
            let optional = name == "oldest_age_ms";
            assert_eq!(Record::read(less).is_ok(), optional, "{} without {name}", record.type_word());
            let mut other = fields.clone();
            let swapped = match &fields[name] {
                Field::Number(_) => Field::Text("1".into()),
                Field::Text(_) => Field::Number(1),
            };
            other.insert(name.clone(), swapped);
            assert!(Record::read(other).is_err(), "{} with another {name}", record.type_word());
        }
        let mut more = fields.clone();
        more.insert("extra".into(), Field::Number(1));
        assert!(Record::read(more).unwrap_err().contains("extra"));
    }
}

#[test]
fn names_are_recognised_and_not_told() {
    let key = |seed| NameKey::new(Zeroizing::new([seed; 32]));
    assert_eq!(key(1).name(b"a"), key(1).name(b"a"));
    assert_ne!(key(1).name(b"a"), key(2).name(b"a"));
    let mut content = key(1).content();
    content.update(b"a");
    assert_eq!(content.bytes(), 1);
    assert_ne!(content.finish(), key(1).name(b"a"), "a name is told from a content");
    // HMAC-SHA-256, computed independently: python3 -c "import hmac; print(hmac.new(bytes([1]*32),
    // b'name\0a','sha256').hexdigest())"
    assert_eq!(key(1).name(b"a"), "6cdb1ee632ef7aa04a7d064b3cfb1c3dd97445ae875d9c5a80538936f1685390");
}

#[test]
fn ledger_ids_have_one_form() {
    let id = LedgerId { part: 3, attempt: 12, ..ledger(1) };
    assert_eq!(id.to_string().parse(), Ok(id));
    let job = id.job;
    for bad in [
        "",
        "x/1/0",
        &format!("{job}/1"),
        &format!("{job}/01/0"),
        &format!("{job}/1/0/"),
        &format!("{job}/+1/0"),
    ] {
        assert!(bad.parse::<LedgerId>().is_err(), "{bad}");
    }
}

#[test]
fn keys_are_read_from_pem() {
    let key = Key::new(1).public;
    assert_eq!(PublicKey::from_pem(key.to_pem().as_bytes()), Ok(key));
    assert!(PublicKey::from_pem(b"").is_err());
    assert!(PublicKey::from_pem(key.to_pem().replace("PUBLIC", "PRIVATE").as_bytes()).is_err());
    assert_eq!(PublicKey::from_der(&key.to_der()[..43]), Err(key::KeyError::Kind));
}

fn genuine() -> &'static (String, SignedHead, PublicKey) {
    static GENUINE: LazyLock<(String, SignedHead, PublicKey)> = LazyLock::new(|| {
        let key = Key::new(1);
        (lines().concat(), key.sign(head_of(ledger(1), &lines())), key.public)
    });
    &GENUINE
}

proptest! {
    #[test]
    fn any_changed_byte_is_caught(at in any::<prop::sample::Index>(), by in 1u8..=255) {
        let (text, head, key) = genuine();
        let mut bytes = text.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        let audit = verify(&bytes, Some(head), Some(key));
        prop_assert_eq!(audit.verdict, Verdict::Tampered, "byte {} by {}", at, by);
        // It is never valid without the head either.
        prop_assert!(verify(&bytes, None, Some(key)).verdict != Verdict::Valid);
    }

    #[test]
    fn any_removed_or_added_piece_is_caught(
        from in any::<prop::sample::Index>(),
        length in 1usize..400,
        put in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (text, head, key) = genuine();
        let mut bytes = text.clone().into_bytes();
        let from = from.index(bytes.len());
        let to = (from + length).min(bytes.len());
        let piece: Vec<u8> = bytes.drain(from..to).collect();
        if let Some(put) = put {
            let at = put.index(bytes.len() + 1);
            bytes.splice(at..at, piece);
        }
        prop_assume!(bytes != text.as_bytes());
        prop_assert_eq!(verify(&bytes, Some(head), Some(key)).verdict, Verdict::Tampered);
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (_, head, key) = genuine();
        prop_assert_eq!(verify(&bytes, Some(head), Some(key)).verdict, Verdict::Tampered);
    }
}

/// A changed byte in the head or in its signature.
#[test]
fn any_changed_byte_of_the_head_is_caught() {
    let (text, head, key) = genuine();
    let file = head.to_file();
    assert_eq!(serde_json::from_slice::<SignedHead>(&file).unwrap(), *head);
    let mut caught = 0;
    for at in 0..file.len() {
        let mut bytes = file.clone();
        bytes[at] ^= 1;
        if let Ok(other) = serde_json::from_slice::<SignedHead>(&bytes)
            && other != *head
        {
            // The public key is only a hint; verification does not rely on it.
            let hint = |head: &SignedHead| head.signature.as_ref().map(|s| s.public_key.clone());
            if hint(&other) == hint(head) {
                let audit = verify(text.as_bytes(), Some(&other), Some(key));
                assert_eq!(audit.verdict, Verdict::Tampered, "byte {at}");
                caught += 1;
            }
        }
    }
    assert!(caught > 200, "{caught}");
}

#[test]
fn the_head_is_what_jq_prints() {
    let (_, head, _) = genuine();
    let message = String::from_utf8(head.head.message()).unwrap();
    let value = serde_json::to_value(&head.head).unwrap();
    assert_eq!(message, value.to_string(), "sorted keys, no spaces");
    assert!(line::parse(message.as_bytes()).is_ok());
}
