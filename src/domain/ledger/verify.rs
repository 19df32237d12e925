//! Verifies that a ledger is authentic and complete, and who wrote it.
//!
//! First the bytes: each line in canonical form, each hash, each number. Then the records: no end
//! without a beginning, correct counts, clocks that do not go back. Then the head: without it, a
//! ledger that was truncated, or edited and hashed again, looks complete. Every problem is reported
//! as a named finding. The meaning of records is checked only if the chain is intact.
//!
//! Of a ledger of a later format only what all formats share is checked: lines, numbers, hashes and the
//! head. It is not tampered with if these hold, and not valid either.

use super::chain::{ZERO_HASH, line_hash};
pub use super::finding::Finding;
use super::line::{self, Field};
use super::record::{CLOCK_STEPPED_BACK, Header, Record};
use super::{Format, LedgerId, PublicKey, SignedHead};
use crate::domain::failure::FailureCode;
use crate::domain::job::Millis;
use crate::domain::ledger::timeline::Timeline;
use std::collections::HashMap;

/// The result of verification; the first one that applies, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was modified after it was written.
    Tampered,
    /// It is of a format that this program does not know.
    Unknown,
    /// It has no `close`: its worker died or could no longer write.
    Incomplete,
    /// It is consistent, but nothing proves who wrote it.
    Unsigned,
    /// It is authentic, and records that something was not destroyed as required.
    Unclean,
    /// It is authentic, and everything was destroyed.
    Valid,
}

impl Verdict {
    /// The verdict as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tampered => "TAMPERED",
            Self::Unknown => "UNKNOWN",
            Self::Incomplete => "INCOMPLETE",
            Self::Unsigned => "UNSIGNED",
            Self::Unclean => "UNCLEAN",
            Self::Valid => "VALID",
        }
    }

    /// The corresponding failure code; `None` for a valid ledger.
    pub fn failure(self) -> Option<FailureCode> {
        match self {
            Self::Tampered => Some(FailureCode::AuditTampered),
            Self::Unknown => Some(FailureCode::AuditFormat),
            Self::Incomplete => Some(FailureCode::AuditIncomplete),
            Self::Unsigned => Some(FailureCode::AuditUnsigned),
            Self::Unclean => Some(FailureCode::AuditUnclean),
            Self::Valid => None,
        }
    }
}

/// The result of verifying a ledger.
#[derive(Debug, Clone)]
pub struct Audit {
    /// The verdict.
    pub verdict: Verdict,
    /// The ledger's id according to its first valid record; `None` if there is none.
    pub ledger: Option<LedgerId>,
    /// Number of lines.
    pub records: u64,
    /// Number and hash of its last line.
    pub last: Option<(u64, String)>,
    /// Evidence of tampering.
    pub findings: Vec<Finding>,
    /// Other remarks for the reader.
    pub remarks: Vec<String>,
    /// The events that it records.
    pub story: Timeline,
    /// Id of the signing key, if the signature was verified with a given key.
    pub signed_by: Option<String>,
    /// The name of its format, if this program does not know it.
    pub unknown_format: Option<String>,
}

/// Verifies a ledger: its bytes, its head, and the key that must have signed it. Without a key the
/// best verdict is [`Verdict::Unsigned`].
pub fn verify(bytes: &[u8], head: Option<&SignedHead>, key: Option<&PublicKey>) -> Audit {
    let lines = Lines::split(bytes);
    let mut audit = Audit {
        verdict: Verdict::Tampered,
        ledger: lines.ledger(),
        records: lines.whole.len() as u64,
        last: lines.last().map(|(seq, hash)| (seq, hash.to_owned())),
        findings: Vec::new(),
        remarks: Vec::new(),
        story: Timeline::default(),
        signed_by: None,
        unknown_format: lines.unknown.clone(),
    };
    // A program that dies when it has begun a ledger leaves no record or a part of one, and no head.
    if lines.whole.is_empty() && (head.is_some() || !is_begun(bytes)) {
        audit.findings.push(Finding::Empty);
    }
    lines.check_chain(&mut audit);
    lines.tell(&mut audit);
    if let Some(torn) = lines.torn {
        let why = "it does not end with an LF".to_owned();
        if audit.story.outcome.is_some() {
            audit.findings.push(Finding::Damaged { line: audit.records + 1, why });
        } else {
            audit.remarks.push(format!("the last {torn} bytes are the beginning of a record"));
        }
    }
    check_head(&lines, head, key, &mut audit);
    tell_what_is_left(&mut audit);
    audit.verdict = verdict(&audit);
    audit
}

fn verdict(audit: &Audit) -> Verdict {
    let counts = audit.story.counts();
    let incident = audit.story.incidents.iter().any(|incident| incident.code != CLOCK_STEPPED_BACK);
    let unclean = counts.residual + counts.unfinished > 0 || incident;
    if !audit.findings.is_empty() {
        Verdict::Tampered
    } else if audit.unknown_format.is_some() {
        Verdict::Unknown
    } else if audit.story.outcome.is_none() {
        Verdict::Incomplete
    } else if audit.signed_by.is_none() {
        Verdict::Unsigned
    } else if unclean || audit.story.unwiped().next().is_some() {
        Verdict::Unclean
    } else {
        Verdict::Valid
    }
}

/// A complete line.
struct Line<'a> {
    raw: &'a [u8],
    hash: String,
    /// The record is `None` in a ledger of an unknown format.
    record: Result<(Header, Option<Record>), String>,
}

struct Lines<'a> {
    whole: Vec<Line<'a>>,
    /// Number of bytes after the last LF.
    torn: Option<usize>,
    /// The name of the format, if it is not known.
    unknown: Option<String>,
}

impl<'a> Lines<'a> {
    fn split(bytes: &'a [u8]) -> Self {
        let mut whole = Vec::new();
        let mut torn = None;
        let unknown = bytes.split(|byte| *byte == b'\n').next().and_then(unknown_format);
        let read = |fields| match unknown {
            Some(_) => Header::read(fields).map(|header| (header, None)),
            None => Record::read(fields).map(|(header, record)| (header, Some(record))),
        };
        for raw in bytes.split_inclusive(|byte| *byte == b'\n') {
            match raw.strip_suffix(b"\n") {
                Some(text) => {
                    let fields = line::parse(text).map_err(|error| error.to_string());
                    whole.push(Line { raw, hash: line_hash(raw), record: fields.and_then(read) });
                }
                None => torn = Some(raw.len()),
            }
        }
        Self { whole, torn, unknown }
    }

    fn ledger(&self) -> Option<LedgerId> {
        self.whole.iter().find_map(|line| line.record.as_ref().ok()).map(|(header, _)| header.ledger)
    }

    /// Checks numbers and hashes. After each break, the check resumes at the current line, so that
    /// one break is reported once.
    fn check_chain(&self, audit: &mut Audit) {
        let later = |seq: u64, from: usize| {
            self.whole[from..].iter().any(|line| matches!(&line.record, Ok((header, _)) if header.seq == seq))
        };
        let mut seen: HashMap<u64, &[u8]> = HashMap::new();
        let (mut expected, mut prev, mut sure) = (0, ZERO_HASH, true);
        for (at, line) in self.whole.iter().enumerate() {
            let number = at as u64 + 1;
            match &line.record {
                Err(why) => {
                    audit.findings.push(Finding::Damaged { line: number, why: why.clone() });
                    (expected, sure) = (expected + 1, false);
                }
                Ok((header, _)) if Some(header.ledger) != audit.ledger => {
                    audit.findings.push(Finding::Spliced { line: number, of: header.ledger });
                    sure = false;
                }
                Ok((header, _)) => {
                    let seq = header.seq;
                    if seen.get(&seq) == Some(&line.raw) {
                        audit.findings.push(Finding::Duplicated { seq });
                    } else if seq > expected && !later(expected, at) {
                        audit.findings.push(Finding::Dropped { from: expected, to: seq - 1 });
                    } else if seq != expected {
                        audit.findings.push(Finding::Reordered { seq, expected });
                    } else if sure && header.prev != prev {
                        let changed = Finding::Changed { seq: seq.saturating_sub(1) };
                        // If the `prev` of the previous record did not match either, that record
                        // itself was changed, including its `prev`, and not the one before it.
                        let this = Finding::Changed { seq: seq.saturating_sub(2) };
                        audit.findings.retain(|finding| *finding != this);
                        audit.findings.push(changed);
                    }
                    seen.insert(seq, line.raw);
                    // A record reported as out of order is not reported again for its hash.
                    (expected, sure) = (expected.max(seq + 1), seq >= expected);
                }
            }
            prev = &line.hash;
        }
    }

    /// Checks the meaning of the records and their clocks.
    fn tell(&self, audit: &mut Audit) {
        let whole = audit.findings.is_empty();
        let mut last: Option<&Header> = None;
        let records = self.whole.iter().filter_map(|line| line.record.as_ref().ok());
        for (header, record) in records.filter_map(|(header, record)| Some((header, record.as_ref()?))) {
            let told = audit.story.tell(header, record);
            if !whole {
                continue;
            }
            let seq = header.seq;
            if let Err(why) = told {
                audit.findings.push(Finding::Contradiction { seq, why });
            }
            if let Some(last) = last {
                let named = matches!(record, Record::Incident { code, .. } if code == CLOCK_STEPPED_BACK);
                if header.mono_ms < last.mono_ms {
                    audit.findings.push(Finding::MonotonicBack { seq });
                }
                if let Some(by_ms) = stepped_back(last, header).filter(|_| !named) {
                    audit.findings.push(Finding::ClockSteppedBack { seq, by_ms });
                }
            }
            last = Some(header);
        }
    }

    fn last(&self) -> Option<(u64, &str)> {
        let line = self.whole.last()?;
        let seq = line.record.as_ref().map_or(self.whole.len() as u64 - 1, |(header, _)| header.seq);
        Some((seq, &line.hash))
    }
}

/// Whether these may be the first bytes of a ledger.
fn is_begun(bytes: &[u8]) -> bool {
    /// Of every record: its members are sorted.
    const FIRST: &[u8] = b"{\"at_ms\":";
    bytes.starts_with(FIRST) || FIRST.starts_with(bytes)
}

/// The name of the format in this first line, if this program does not know it.
fn unknown_format(first: &[u8]) -> Option<String> {
    match line::parse(first).ok()?.remove("format") {
        Some(Field::Text(name)) if Format::is_unknown(&name) => Some(name.into_owned()),
        _ => None,
    }
}

/// How far the wall clock fell behind the monotonic clock between two records, in milliseconds.
/// `None` if it did not go back and fell behind by at most a second: NTP slews a clock by slowing
/// it down.
pub fn stepped_back(before: &Header, after: &Header) -> Option<Millis> {
    const TOLERANCE: Millis = 1000;
    let due = before.at_ms + after.mono_ms.saturating_sub(before.mono_ms);
    let behind = due.saturating_sub(after.at_ms);
    (after.at_ms < before.at_ms || behind > TOLERANCE).then_some(behind)
}

fn check_head(lines: &Lines<'_>, head: Option<&SignedHead>, key: Option<&PublicKey>, audit: &mut Audit) {
    let Some(SignedHead { head, signature }) = head else {
        audit.remarks.push("there is no head: whether the end was cut off cannot be seen".to_owned());
        return;
    };
    let message = head.message();
    match (signature, key) {
        (None, _) => audit.remarks.push("the head is not signed".to_owned()),
        (Some(signature), Some(key)) if signature.key_id != key.id() => {
            audit.findings.push(Finding::AnotherKey { key_id: signature.key_id.clone() });
        }
        (Some(signature), Some(key)) if signature.is_good(key, &message) => audit.signed_by = Some(key.id()),
        (Some(signature), None)
            if signature.hinted_key().is_some_and(|key| signature.is_good(&key, &message)) =>
        {
            audit.remarks.push(format!(
                "the head is signed by the key {}; give that key to make sure that it is yours",
                signature.key_id
            ));
        }
        (Some(_), _) => audit.findings.push(Finding::BadSignature),
    }
    if head.format != super::HEAD_FORMAT {
        audit.findings.push(Finding::BadSignature);
    }
    if audit.ledger.is_some_and(|ledger| ledger != head.ledger) {
        audit.findings.push(Finding::HeadOfAnother { of: head.ledger });
        return;
    }
    let Some((last, hash)) = lines.last() else { return };
    let signed = head.last_seq;
    match last.cmp(&signed) {
        std::cmp::Ordering::Less => audit.findings.push(Finding::TailCut { last, signed }),
        std::cmp::Ordering::Greater => audit.findings.push(Finding::TailAdded { last, signed }),
        // If the chain is broken, that was already reported.
        std::cmp::Ordering::Equal if hash != head.last_hash && audit.findings.is_empty() => {
            audit.findings.push(Finding::NotTheHead { seq: last });
        }
        std::cmp::Ordering::Equal => {}
    }
}

/// Adds remarks about what the ledger itself records as irregular.
fn tell_what_is_left(audit: &mut Audit) {
    if let Some(format) = &audit.unknown_format {
        audit.remarks.push(format!(
            "its format is {format}, which this version does not know: what it records was not checked"
        ));
        return;
    }
    let story = &audit.story;
    let list = |files: Vec<u64>| {
        let shown: Vec<String> = files.iter().take(20).map(u64::to_string).collect();
        let more = if files.len() > shown.len() { ", …" } else { "" };
        format!("{}{more}", shown.join(", "))
    };
    let mut remarks = Vec::new();
    let residual: Vec<u64> = story.residual().collect();
    if !residual.is_empty() {
        let when = if story.outcome.is_some() { "at its end" } else { "where it breaks off" };
        remarks.push(format!("files that were there {when}: {}", list(residual)));
    }
    let unwiped: Vec<u64> = story.unwiped().collect();
    if !unwiped.is_empty() {
        remarks.push(format!("files removed without a verified overwrite: {}", list(unwiped)));
    }
    for (file, act) in story.unfinished() {
        remarks.push(format!("file {file}: {} was begun and its end is not recorded", act.as_str()));
    }
    for incident in &story.incidents {
        remarks.push(format!("incident {}: {}", incident.code, incident.note));
    }
    if story.outcome.is_none() && audit.findings.is_empty() {
        remarks.push("there is no close record: its worker died or could not record any more".to_owned());
    }
    audit.remarks.extend(remarks);
}
