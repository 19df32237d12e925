//! What verification reports: evidence that a ledger was tampered with.

use super::LedgerId;
use crate::domain::job::Millis;
use std::fmt;

/// Evidence of tampering. Records are identified by their numbers, or by the line number (from 1)
/// if a line is not a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The file contains no record, and is not the beginning of a ledger without a head either.
    Empty,
    /// A line is not a valid record.
    Damaged {
        /// The line number.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The hash in the next record does not match this record.
    Changed {
        /// The record.
        seq: u64,
    },
    /// Records are missing.
    Dropped {
        /// The first missing record.
        from: u64,
        /// The last missing record.
        to: u64,
    },
    /// Records are out of order.
    Reordered {
        /// The record found.
        seq: u64,
        /// The record expected.
        expected: u64,
    },
    /// A record occurs twice.
    Duplicated {
        /// The record.
        seq: u64,
    },
    /// A record belongs to another ledger.
    Spliced {
        /// The line number.
        line: u64,
        /// The other ledger.
        of: LedgerId,
    },
    /// A record contradicts those before it.
    Contradiction {
        /// The record.
        seq: u64,
        /// The contradiction.
        why: String,
    },
    /// The wall clock went back without a recorded incident.
    ClockSteppedBack {
        /// The record.
        seq: u64,
        /// By how much, in milliseconds.
        by_ms: Millis,
    },
    /// The monotonic clock went back.
    MonotonicBack {
        /// The record.
        seq: u64,
    },
    /// The head belongs to another ledger.
    HeadOfAnother {
        /// That ledger.
        of: LedgerId,
    },
    /// Records at the end are missing.
    TailCut {
        /// The last record present.
        last: u64,
        /// The last record according to the signed head.
        signed: u64,
    },
    /// There are records after the last signed one.
    TailAdded {
        /// The last record present.
        last: u64,
        /// The last record according to the signed head.
        signed: u64,
    },
    /// The chain is consistent but does not lead to the head.
    NotTheHead {
        /// The last record.
        seq: u64,
    },
    /// The signature does not match this head.
    BadSignature,
    /// A sweep that ends this ledger saw a different last record.
    NotAsSwept {
        /// The sweep's ledger.
        by: LedgerId,
        /// The last record present.
        last: u64,
        /// The last record that the sweep saw.
        seen: u64,
    },
    /// The file has the name of another ledger.
    Misplaced {
        /// The ledger that the name means.
        named: LedgerId,
    },
    /// Another file has the same ledger.
    Copied {
        /// The number of files with it.
        files: u64,
    },
    /// The head is there, but the ledger is not.
    Missing,
    /// The head was signed with a key other than the given one.
    AnotherKey {
        /// The id of that key.
        key_id: String,
    },
}

impl Finding {
    /// A stable identifier of the finding.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Damaged { .. } => "line.damaged",
            Self::Changed { .. } => "chain.changed",
            Self::Dropped { .. } => "chain.dropped",
            Self::Reordered { .. } => "chain.reordered",
            Self::Duplicated { .. } => "chain.duplicated",
            Self::Spliced { .. } => "chain.spliced",
            Self::Contradiction { .. } => "record.contradiction",
            Self::ClockSteppedBack { .. } => "clock.stepped_back",
            Self::MonotonicBack { .. } => "clock.monotonic_back",
            Self::HeadOfAnother { .. } => "head.of_another",
            Self::TailCut { .. } => "head.tail_cut",
            Self::TailAdded { .. } => "head.tail_added",
            Self::NotTheHead { .. } => "head.mismatch",
            Self::BadSignature => "signature.bad",
            Self::NotAsSwept { .. } => "sweep.mismatch",
            Self::Misplaced { .. } => "ledger.misplaced",
            Self::Copied { .. } => "ledger.copied",
            Self::Missing => "ledger.missing",
            Self::AnotherKey { .. } => "signature.another_key",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is no record"),
            Self::Damaged { line, why } => write!(f, "line {line} is not a record: {why}"),
            Self::Changed { seq } => {
                write!(f, "record {seq} was changed, or the hash of it that record {} names", seq + 1)
            }
            Self::Dropped { from, to } if from == to => write!(f, "record {from} is missing"),
            Self::Dropped { from, to } => write!(f, "records {from} to {to} are missing"),
            Self::Reordered { seq, expected } => {
                write!(f, "record {seq} stands where record {expected} should")
            }
            Self::Duplicated { seq } => write!(f, "record {seq} is there twice"),
            Self::Spliced { line, of } => write!(f, "line {line} is of another ledger, {of}"),
            Self::Contradiction { seq, why } => write!(f, "record {seq}: {why}"),
            Self::ClockSteppedBack { seq, by_ms } => {
                write!(f, "record {seq}: the wall clock went back by {by_ms} ms and no incident says so")
            }
            Self::MonotonicBack { seq } => write!(f, "record {seq}: the clock that cannot be set went back"),
            Self::HeadOfAnother { of } => write!(f, "the head is that of another ledger, {of}"),
            Self::TailCut { last, signed } => {
                write!(f, "the end was cut off: record {last} is the last, the head was signed at {signed}")
            }
            Self::TailAdded { last, signed } => {
                write!(f, "records were added: record {last} is the last, the head was signed at {signed}")
            }
            Self::NotTheHead { seq } => write!(
                f,
                "the records up to {seq} are not those whose head was kept: the ledger was edited, or cut and \
                 continued, and hashed again"
            ),
            Self::BadSignature => f.write_str("the signature is not one of this head"),
            Self::NotAsSwept { by, last, seen } if last == seen => {
                write!(f, "the sweep {by} saw another record {seen} at its end: it was edited since")
            }
            Self::NotAsSwept { by, last, seen } => {
                write!(f, "record {last} is the last, the sweep {by} saw {seen}")
            }
            Self::Misplaced { named } => {
                write!(f, "the file has the name of ledger {named}, but another ledger is in it")
            }
            Self::Copied { files } => {
                write!(f, "{files} of these files have this ledger: one of them is a copy")
            }
            Self::Missing => f.write_str("the ledger is missing: only its head is there"),
            Self::AnotherKey { key_id } => write!(f, "another key has signed: {key_id}"),
        }
    }
}
