//! Ledgers of deletions: what they record, what they refuse, and formats that are not known.

use super::*;
use crate::domain::failure::FailureCode;
use crate::domain::ledger::deletions;
use crate::domain::ledger::record::{PURGED, Purge};

fn purge() -> Purge {
    Purge {
        objects: 2,
        marks: 1,
        uploads: 1,
        confirmed_at: 1_700_000_000_500,
        oldest_age_ms: Some(60_000),
        by: "cleanup-1".to_owned(),
    }
}

fn id(part: u32) -> LedgerId {
    LedgerId::of_deletions(ledger(1).job, part)
}

fn opened(format: Format) -> Record {
    let (worker, build) = ("cleanup-1".to_owned(), "0.1.0".to_owned());
    Record::Open { format, worker, build, posture: BTreeMap::new() }
}

fn closed() -> Record {
    Record::Close { outcome: PURGED.to_owned(), counts: Counts::default() }
}

fn purged() -> Vec<Record> {
    vec![opened(Format::V2), Record::Purge(purge()), closed()]
}

/// The audit of these records, hashed and signed with the right key.
fn signed(id: LedgerId, records: &[Record]) -> Audit {
    let (key, lines) = (Key::new(1), lines_of(id, records, |_| (0, 0)));
    let head = key.sign(head_of(id, &lines));
    verify(lines.concat().as_bytes(), Some(&head), Some(&key.public))
}

#[test]
fn a_deletion_is_valid_and_says_what_was_deleted() {
    let audit = signed(id(1), &purged());
    assert_eq!((audit.verdict, audit.findings, audit.remarks), (Verdict::Valid, vec![], vec![]));
    assert_eq!(audit.story.purges, [purge()]);
    assert_eq!(
        (audit.story.format, audit.story.outcome.as_deref(), audit.story.counts()),
        (Some(Format::V2), Some(PURGED), Counts::default())
    );
    // Nothing was there, and the store does not say how old things were.
    let nothing = Purge { objects: 0, marks: 0, uploads: 0, oldest_age_ms: None, ..purge() };
    for purge in [nothing, Purge { oldest_age_ms: None, ..purge() }] {
        let audit = signed(id(1), &[opened(Format::V2), Record::Purge(purge), closed()]);
        assert_eq!((audit.verdict, audit.findings), (Verdict::Valid, vec![]));
    }
}

#[test]
fn ledgers_of_attempts_stay_in_the_first_format() {
    assert_eq!((Format::of(ledger(1)), Format::of(id(1))), (Format::V1, Format::V2));
    // The ledger of a real job, as an earlier version wrote it.
    let file = |name: &str| {
        std::fs::read(format!("{}/tests/fixtures/stored/signed/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let head: SignedHead = serde_json::from_slice(&file("1-0.head.json")).unwrap();
    let key = PublicKey::from_pem(&file("pub.pem")).unwrap();
    let audit = verify(&file("1-0.jsonl"), Some(&head), Some(&key));
    assert_eq!((audit.verdict, audit.findings), (Verdict::Valid, vec![]));
    assert_eq!(audit.story.format, Some(Format::V1));
    // All its records are valid in the second format, too.
    let mut records = records();
    records[0] = opened(Format::V2);
    assert_eq!(signed(ledger(1), &records).verdict, Verdict::Valid);
}

/// Records that no honest writer writes, hashed and signed with the right key.
#[test]
fn contradictions_of_deletions_are_named() {
    let of_attempt = |format| {
        let mut records = records();
        records[0] = opened(format);
        records.insert(20, Record::Purge(purge()));
        signed(ledger(1), &records)
    };
    let with =
        |record: Record| signed(id(1), &[opened(Format::V2), Record::Purge(purge()), record, closed()]);
    let aged = Purge { objects: 0, marks: 0, uploads: 0, ..purge() };
    let wrong: Vec<(&str, Audit)> = vec![
        ("in the first format", signed(id(1), &[opened(Format::V1), Record::Purge(purge()), closed()])),
        ("in an attempt of the first format", of_attempt(Format::V1)),
        ("in an attempt", of_attempt(Format::V2)),
        ("no deletion", signed(id(1), &[opened(Format::V2), closed()])),
        ("a stage", with(Record::Stage { stage: Stage::Wipe, mark: Boundary::Begin })),
        (
            "a file",
            with(Record::Found { file: 1, birth: birth(Kind::File, FileRole::Input, 0, "x"), bytes: 1 }),
        ),
        ("a sweep", with(Record::Sweep { ledger: ledger(1), last_seq: 0, last_hash: "0".repeat(64) })),
        ("the age of nothing", signed(id(1), &[opened(Format::V2), Record::Purge(aged), closed()])),
    ];
    for (what, audit) in wrong {
        assert_eq!(audit.verdict, Verdict::Tampered, "{what}");
        assert_eq!(codes(&audit), ["record.contradiction"], "{what}: {:?}", audit.findings);
    }
}

#[test]
fn an_altered_deletion_is_named() {
    let key = Key::new(1);
    let genuine = lines_of(id(1), &purged(), |_| (0, 0));
    let head = key.sign(head_of(id(1), &genuine));
    let audited = |lines: &[String]| verify(lines.concat().as_bytes(), Some(&head), Some(&key.public));
    let mut flipped = genuine.clone();
    flipped[1] = flipped[1].replace("\"objects\":2", "\"objects\":3");
    assert_eq!(audited(&flipped).findings, [Finding::Changed { seq: 1 }]);
    let mut dropped = genuine.clone();
    dropped.remove(1);
    assert_eq!(audited(&dropped).findings, [Finding::Dropped { from: 1, to: 1 }]);
    // Hashed again: the head does not match.
    let other = Purge { confirmed_at: 1_700_000_000_000, ..purge() };
    let again = lines_of(id(1), &[opened(Format::V2), Record::Purge(other), closed()], |_| (0, 0));
    assert_eq!(audited(&again).findings, [Finding::NotTheHead { seq: 2 }]);
    // The ledger of another deletion of the job under this head.
    let later = lines_of(id(2), &purged(), |_| (0, 0));
    assert_eq!(audited(&later).findings, [Finding::HeadOfAnother { of: id(1) }]);
}

/// A later version may add types of records and members, but not change what all formats share.
#[test]
fn a_later_format_is_not_known_and_not_tampered_with() {
    let key = Key::new(1);
    let newer = |lines: Vec<String>| {
        let mut prev = ZERO_HASH.to_owned();
        let mut newer: Vec<String> = Vec::new();
        for line in lines {
            let mut fields = line::parse(line.trim_end().as_bytes()).unwrap();
            fields.insert("prev".into(), Field::Text(prev.clone().into()));
            if fields.contains_key("format") {
                fields.insert("format".into(), Field::Text("cadmill-ledger/3".into()));
            } else {
                fields.insert("type".into(), Field::Text("shredded".into()));
            }
            newer.push(line::encode(&fields));
            prev = line_hash(newer.last().unwrap().as_bytes());
        }
        newer
    };
    let lines = newer(lines());
    let head = key.sign(head_of(ledger(1), &lines));
    let audited = |lines: &[String]| verify(lines.concat().as_bytes(), Some(&head), Some(&key.public));
    let audit = audited(&lines);
    assert_eq!((audit.verdict, &audit.findings[..]), (Verdict::Unknown, &[][..]));
    assert_eq!(audit.verdict.failure(), Some(FailureCode::AuditFormat));
    assert_eq!((audit.ledger, audit.unknown_format.as_deref()), (Some(ledger(1)), Some("cadmill-ledger/3")));
    assert!(audit.remarks[0].contains("cadmill-ledger/3"), "{:?}", audit.remarks);
    // What all formats share is checked.
    let mut changed = lines.clone();
    changed[7] = changed[7].replace("\"bytes\":1000", "\"bytes\":1001");
    assert_eq!(
        (audited(&changed).verdict, codes(&audited(&changed))),
        (Verdict::Tampered, vec!["chain.changed"])
    );
    assert_eq!(codes(&audited(&lines[..12])), ["head.tail_cut"]);
    // The format of a known ledger was changed alone.
    let mut relabelled = self::lines();
    relabelled[0] = relabelled[0].replace("cadmill-ledger/1", "cadmill-ledger/3");
    assert_eq!(codes(&super::audited(&relabelled)), ["chain.changed", "head.mismatch"][..1]);
    // Names that no version has.
    for name in ["cadmill-ledger/", "cadmill-ledger/1.0", "another/3"] {
        let mut named = self::lines();
        named[0] = named[0].replace("cadmill-ledger/1", name);
        assert_eq!(super::audited(&named).findings[0].code(), "line.damaged", "{name}");
    }
}

#[test]
fn deletions_are_listed_for_their_job_and_an_unfinished_one_is_followed_by_another() {
    let first = signed(id(1), &purged());
    let later = Purge { objects: 0, marks: 0, uploads: 0, oldest_age_ms: None, ..purge() };
    let later = Purge { confirmed_at: later.confirmed_at + 1000, ..later };
    let second = signed(id(3), &[opened(Format::V2), Record::Purge(later.clone()), closed()]);
    // Its program died while it recorded.
    let torn = lines_of(id(2), &purged(), |_| (0, 0))[..1].concat();
    let mut torn = verify(torn.as_bytes(), None, Some(&Key::new(1).public));
    let others = signed(LedgerId::of_deletions(ledger(2).job, 1), &purged());
    let all = [&second, &others, &torn, &first];
    let recorded = deletions::of_job(ledger(1).job, all);
    assert_eq!(
        recorded.iter().map(|one| (one.ledger, one.purge)).collect::<Vec<_>>(),
        [(id(1), &purge()), (id(3), &later)]
    );
    assert!(recorded.iter().all(deletions::Recorded::is_proven));
    let (mut first, mut second) = (first, second);
    deletions::compare(&mut [&mut torn, &mut first]);
    assert_eq!(torn.remarks.pop().as_deref(), Some("no later deletion is among these"));
    deletions::compare(&mut [&mut torn, &mut first, &mut second]);
    assert_eq!(torn.remarks.pop(), Some(format!("a later deletion is on record in {}", id(3))));
    compare(&mut [&mut torn, &mut second]);
    assert!(!torn.remarks.iter().any(|remark| remark.contains("sweep")), "{:?}", torn.remarks);
}

/// A program that dies early leaves less than a record.
#[test]
fn the_beginning_of_a_ledger_is_incomplete_and_nothing_else_is() {
    let line = lines_of(id(1), &purged(), |_| (0, 0)).swap_remove(0);
    for length in [0, 1, 9, 10, line.len() - 1] {
        let audit = verify(&line.as_bytes()[..length], None, None);
        assert_eq!((audit.verdict, audit.findings), (Verdict::Incomplete, vec![]), "{length}");
    }
    let head = Key::new(1).sign(head_of(id(1), &lines()));
    for (bytes, head) in [(&b"x"[..], None), (b"{\"b", None), (b"", Some(&head))] {
        let audit = verify(bytes, head, None);
        assert_eq!((audit.verdict, audit.findings.contains(&Finding::Empty)), (Verdict::Tampered, true));
    }
}

#[test]
fn a_head_is_the_head_of_its_file() {
    let file = place::path(std::path::Path::new("/ledgers"), id(2));
    assert_eq!(place::named(&file), Some(id(2)));
}
