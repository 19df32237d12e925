//! What is recorded of the deletions that follow the end of a job.
//!
//! A deletion is on record in the job's own record in any case. If a ledger must have it too and cannot
//! be written, the evidence is *owed*: the job is due earlier for that alone, while deletions keep
//! their times. A record is deleted at its time even if evidence is still owed.

use super::super::job::{Deletion, Evidence, Job, Millis, Retry};
use super::change::{accept, note_head};
use super::event::{Decision, Denied, Ignored};
use crate::domain::ledger::SignedHead;

pub(super) fn purged(
    job: &Job,
    before: u8,
    deletion: &Deletion,
    head: Option<&SignedHead>,
    now: Millis,
) -> Decision {
    if !job.state.is_terminal() {
        return Decision::Ignore(Ignored::NotNow);
    }
    if !head.is_none_or(|head| fits(job, head)) {
        return Decision::Deny(Denied::ForeignLedger);
    }
    // Of two programs that deleted at once, each has deleted something. One deletion is counted, and the
    // other is kept for its evidence.
    let counts = job.purges == before;
    let is_known = job.deletions.iter().any(|known| known.is_same(deletion));
    let has_evidence = !deletion.evidence.is_none() && job.deletions.len() < MAX_DELETIONS;
    if !counts && (is_known || !has_evidence) {
        return Decision::Ignore(Ignored::Duplicate);
    }
    accept(job, |next| {
        if counts {
            next.times.purged = Some(now);
            next.purges = next.purges.saturating_add(1);
        }
        next.deletions.push(deletion.clone());
        while next.deletions.len() > MAX_DELETIONS {
            let older = &next.deletions[..MAX_DELETIONS];
            let done = older.iter().position(|deletion| deletion.evidence != Evidence::Owed);
            next.deletions.remove(done.unwrap_or(0));
        }
        if let Some(head) = head.filter(|head| !knows(job, head)) {
            note_head(next, head);
        }
        owe(next, now);
    })
}

/// Maximum number of deletions in a record: a job has two, and more if programs delete at once.
const MAX_DELETIONS: usize = 4;

pub(super) fn evidenced(job: &Job, deletion: &Deletion, head: Option<&SignedHead>) -> Decision {
    if !head.is_none_or(|head| fits(job, head)) {
        return Decision::Deny(Denied::ForeignLedger);
    }
    let new = head.filter(|head| !knows(job, head));
    let is_meant = |known: &Deletion| known.evidence == Evidence::Owed && known.is_same(deletion);
    if new.is_none() && !job.deletions.iter().any(is_meant) {
        return Decision::Ignore(Ignored::Duplicate);
    }
    accept(job, |next| {
        for known in next.deletions.iter_mut().filter(|known| is_meant(known)) {
            let part = head.map(|head| head.head.ledger.part);
            known.evidence = part.map_or(Evidence::None, Evidence::Part);
        }
        // Two programs may have written it at once: then two ledgers have it.
        if let Some(head) = new {
            note_head(next, head);
        }
        if !owes(next) {
            next.owed = None;
        }
    })
}

pub(super) fn evidence_failed(job: &Job, before: u32, now: Millis) -> Decision {
    match job.owed {
        Some(owed) if owed.tries == before => {
            accept(job, |next| next.owed = Some(Retry::of_evidence(job.owed, now)))
        }
        _ => Decision::Ignore(Ignored::Duplicate),
    }
}

pub(super) fn postponed(job: &Job, before: u32, now: Millis) -> Decision {
    if job.retry.map_or(0, |retry| retry.tries) != before {
        return Decision::Ignore(Ignored::Duplicate);
    }
    accept(job, |next| next.retry = Some(Retry::after(job.retry, now)))
}

fn owes(job: &Job) -> bool {
    job.deletions.iter().any(|deletion| deletion.evidence == Evidence::Owed)
}

/// Sets when evidence is written that is owed now. Evidence that was owed before keeps its time.
fn owe(job: &mut Job, now: Millis) {
    if !owes(job) {
        job.owed = None;
    } else if job.owed.is_none() {
        job.owed = Some(Retry { tries: 0, at: now });
    }
}

/// Whether the head is that of the ledger of a deletion of this job.
fn fits(job: &Job, head: &SignedHead) -> bool {
    let ledger = head.head.ledger;
    let other = job.audit.iter().any(|known| known.head.ledger == ledger && known != head);
    ledger.job == job.id && ledger.is_of_deletions() && ledger.part > 0 && !other
}

fn knows(job: &Job, head: &SignedHead) -> bool {
    job.audit.contains(head)
}
