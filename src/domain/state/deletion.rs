//! What is recorded of the deletions that follow the end of a job.
//!
//! A deletion is on record in the job's own record in any case. If a ledger must have it too and cannot
//! be written, the evidence is *owed*: the job is due earlier for that alone, while deletions keep
//! their times. A record is deleted at its time even if evidence is still owed.

use super::super::job::{Deletion, Evidence, Job, Millis, Retry, Unconfirmed};
use super::change::{accept, note_head};
use super::event::{Decision, Denied, Ignored};
use crate::domain::ledger::SignedHead;

/// Maximum number of deletions in a record: a job has two, and more if programs delete at once.
const MAX_DELETIONS: usize = 4;

/// Maximum number of tries whose counts are kept apart.
const MAX_UNCONFIRMED: usize = 4;

/// `tries` are those whose counts the deletion has.
pub(super) fn purged(
    job: &Job,
    before: u8,
    (deletion, tries): (&Deletion, &[u64]),
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
    let is_known = job.deletions.iter().any(|known| known.is_same(deletion))
        || head.is_some_and(|head| knows(job, head));
    if !counts && (is_known || deletion.evidence.is_none()) {
        return Decision::Ignore(Ignored::Duplicate);
    }
    accept(job, |next| {
        if counts {
            next.times.purged = Some(now);
            next.purges = next.purges.saturating_add(1);
        }
        next.unconfirmed.retain(|part| !tries.contains(&part.id));
        next.deletions.push(deletion.clone());
        if next.deletions.len() > MAX_DELETIONS {
            make_room(&mut next.deletions);
        }
        if let Some(head) = head.filter(|head| !knows(job, head)) {
            note_head(next, head);
        }
        owe(next, now);
    })
}

/// Leaves one deletion less: without one that a ledger has, or with two of those as one that only the record
/// has. Nothing that is not in a ledger is lost.
fn make_room(deletions: &mut Vec<Deletion>) {
    let is_in_ledger = |deletion: &Deletion| matches!(deletion.evidence, Evidence::Part(_));
    if let Some(oldest) = deletions.iter().take(MAX_DELETIONS).position(is_in_ledger) {
        deletions.remove(oldest);
        return;
    }
    // Owed or not: of the first three deletions two are alike. So the last is still there as it was sent, and
    // is known if it is sent again.
    for later in 1..deletions.len() {
        let is_alike = |older: &usize| deletions[*older].evidence == deletions[later].evidence;
        if let Some(older) = (0..later).find(is_alike) {
            deletions[later] = deletions[older].and(&deletions[later]);
            deletions.remove(older);
            return;
        }
    }
}

pub(super) fn purged_in_part(job: &Job, part: Unconfirmed, unless: Option<&Deletion>) -> Decision {
    if !job.state.is_terminal() || part.purged.is_nothing() {
        return Decision::Ignore(Ignored::NotNow);
    }
    let is_deletion = |known: &Deletion| unless.is_some_and(|deletion| deletion.is_same(known));
    if job.unconfirmed.iter().any(|known| known.id == part.id) || job.deletions.iter().any(is_deletion) {
        return Decision::Ignore(Ignored::Duplicate);
    }
    accept(job, |next| {
        next.unconfirmed.push(part);
        if next.unconfirmed.len() > MAX_UNCONFIRMED {
            let oldest = next.unconfirmed.remove(0);
            next.unconfirmed[0].purged = oldest.purged.and(next.unconfirmed[0].purged);
        }
    })
}

pub(super) fn evidenced(job: &Job, deletion: &Deletion, head: Option<&SignedHead>) -> Decision {
    // The id is that of a new job by now.
    if !job.state.is_terminal() {
        return Decision::Ignore(Ignored::NotNow);
    }
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

pub(super) fn postponed(job: &Job, before: u32, is_nearer: bool, now: Millis) -> Decision {
    if job.retry.map_or(0, |retry| retry.tries) != before {
        return Decision::Ignore(Ignored::Duplicate);
    }
    let first = job.retry.map_or(job.due, |retry| Some(retry.since()));
    let retry = if is_nearer { Retry::soon(job.retry, now) } else { Retry::after(job.retry, now) };
    accept(job, |next| next.retry = Some(retry.due_first(first)))
}

fn owes(job: &Job) -> bool {
    job.deletions.iter().any(|deletion| deletion.evidence == Evidence::Owed)
}

/// Sets when evidence is written that is owed now. Evidence that was owed before keeps its time.
fn owe(job: &mut Job, now: Millis) {
    if !owes(job) {
        job.owed = None;
    } else if job.owed.is_none() {
        job.owed = Some(Retry { tries: 0, at: now, first: None });
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
