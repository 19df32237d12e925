//! The deletions that the ledgers of a job record together.
//!
//! A program that dies while it records a deletion leaves a ledger without an end or without a head.
//! No sweep ends it, because another program may be recording at the same time; the next deletion
//! of the job is recorded in a ledger of its own, and found nothing or more to delete.

use super::LedgerId;
use super::record::Purge;
use super::verify::{Audit, Verdict};
use crate::domain::ids::JobId;

/// A deletion on record.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// The ledger with the record.
    pub ledger: LedgerId,
    /// The verdict on that ledger.
    pub verdict: Verdict,
    /// The deletion.
    pub purge: &'a Purge,
}

impl Recorded<'_> {
    /// Whether it is proven that a holder of the key has recorded it.
    pub fn is_proven(&self) -> bool {
        matches!(self.verdict, Verdict::Valid | Verdict::Unclean)
    }
}

/// The deletions of a job that these ledgers record, in the order of their times.
pub fn of_job<'a>(job: JobId, audits: impl IntoIterator<Item = &'a Audit>) -> Vec<Recorded<'a>> {
    let of_audit = |audit: &'a Audit| {
        let ledger = audit.ledger.filter(|ledger| ledger.job == job);
        let recorded = |ledger| {
            let purges = audit.story.purges.iter();
            purges.map(move |purge| Recorded { ledger, verdict: audit.verdict, purge })
        };
        ledger.map(recorded).into_iter().flatten()
    };
    let mut all: Vec<Recorded<'a>> = audits.into_iter().flat_map(of_audit).collect();
    all.sort_by_key(|recorded| (recorded.purge.confirmed_at, recorded.ledger));
    all
}

/// Adds to each ledger of a deletion that has no end whether a later one is among these.
pub fn compare(audits: &mut [&mut Audit]) {
    let proven: Vec<LedgerId> = audits
        .iter()
        .filter(|audit| audit.verdict == Verdict::Valid && !audit.story.purges.is_empty())
        .filter_map(|audit| audit.ledger)
        .collect();
    for audit in audits.iter_mut().filter(|audit| audit.verdict == Verdict::Incomplete) {
        let Some(ledger) = audit.ledger.filter(|ledger| ledger.is_of_deletions()) else { continue };
        let later = proven.iter().find(|other| other.job == ledger.job && other.part > ledger.part);
        audit.remarks.push(match later {
            Some(later) => format!("a later deletion is on record in {later}"),
            None => "no later deletion is among these".to_owned(),
        });
    }
}
