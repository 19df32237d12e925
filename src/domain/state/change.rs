//! A change of a job's record.

use super::super::job::{Job, MAX_HEADS};
use super::event::Decision;
use crate::domain::ledger::SignedHead;

/// The decision that the job changes.
pub(super) fn accept(job: &Job, change: impl FnOnce(&mut Job)) -> Decision {
    let mut next = job.clone();
    change(&mut next);
    next.version += 1;
    Decision::Accept(Box::new(next))
}

/// Adds the head of a ledger. The oldest is dropped where there are too many.
pub(super) fn note_head(job: &mut Job, head: &SignedHead) {
    if job.audit.len() >= MAX_HEADS {
        job.audit.remove(0);
        job.audit_dropped = job.audit_dropped.saturating_add(1);
    }
    job.audit.push(head.clone());
}
