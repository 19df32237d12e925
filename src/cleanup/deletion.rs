//! The deletion of everything that belongs to a job, with its evidence. The cleanup deletes what is
//! due, and the API what its caller does not need any more: by the same act.
//!
//! The order is: delete, list again until nothing is there, write the ledger, then write the job's record,
//! which has the deletion and the ledger's head. A program that dies before the last write leaves the job due:
//! the next one deletes again, finds nothing or more, and records that in another ledger. A deletion that
//! fails records what it has deleted, and the one that succeeds has that among its own.

use super::evidence::Ledgers;
use crate::domain::ids::Role;
use crate::domain::job::{Deletion, Evidence, Job, Millis, Unconfirmed};
use crate::domain::ledger::SignedHead;
use crate::domain::ledger::record::Purge;
use crate::domain::state::{self, Event};
use crate::jobs::{Change, Jobs, random};
use crate::metrics::{self, EvidenceOutcome};
use crate::ports::object_store::{Purged, Tally};
use crate::ports::{ObjectStore, PortError, PortResult};
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long a deletion by the API may take, and the note of what it has deleted by then: together less than
/// the API gives a request.
const WITHIN: Duration = Duration::from_secs(7);
const NOTE_WITHIN: Duration = Duration::from_secs(2);

/// Deletes what belongs to ended jobs.
#[derive(Clone)]
pub struct Deleter {
    jobs: Jobs,
    objects: Arc<dyn ObjectStore>,
    name: String,
    ledgers: Ledgers,
}

/// A try to delete everything of a job: what is known of it, whatever becomes of it.
pub(super) struct Try {
    id: u64,
    tally: Tally,
    deletion: OnceLock<Deletion>,
}

impl Try {
    /// A try that has deleted nothing yet.
    pub(super) fn new() -> Self {
        // Without random bytes, of two tries only one may be noted.
        let id = random("deleting everything of a job").unwrap_or_default();
        Self { id, tally: Tally::default(), deletion: OnceLock::new() }
    }

    /// What it has deleted.
    pub(super) fn purged(&self) -> Purged {
        self.tally.total()
    }
}

impl Deleter {
    /// `name` is the program's, for the evidence. No ledger is written.
    pub fn new(jobs: Jobs, objects: Arc<dyn ObjectStore>, name: String) -> Self {
        Self { jobs, objects, name, ledgers: Ledgers::Nowhere }
    }

    /// The same, with evidence in ledgers.
    #[must_use]
    pub fn with_ledgers(self, ledgers: Ledgers) -> Self {
        Self { ledgers, ..self }
    }

    /// The program's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As [`Self::delete`], without a confirmation: a worker may still write, so the job stays due. What was
    /// deleted is among the counts of the next deletion.
    ///
    /// # Errors
    /// As for [`Self::delete`].
    pub async fn clear(&self, job: &Job) -> PortResult<Purged> {
        let one = Try::new();
        let cleared = within(WITHIN, self.purge(job, &one.tally)).await;
        self.note(job, &one).await;
        cleared.map(|()| one.purged())
    }

    /// Deletes all objects and unfinished uploads of a job that has ended, lists them again until
    /// nothing is there, and records that. `job` is the record as it is now. A ledger that cannot be
    /// written is no error: the record says that it is owed.
    ///
    /// # Errors
    /// If a store fails, something is always left, or it takes longer than 7 s. The job then stays due.
    pub async fn delete(&self, job: &Job) -> PortResult<Purged> {
        let one = Try::new();
        let deleted = within(WITHIN, self.delete_and_record(job, &one)).await;
        if deleted.is_err() {
            self.note(job, &one).await;
        }
        deleted.map(|_| one.purged())
    }

    /// The same without a limit of time. If it fails or is dropped, [`Self::note`] records what it has
    /// deleted. Returns whether this program could not write the ledger.
    pub(super) async fn delete_and_record(&self, job: &Job, one: &Try) -> PortResult<bool> {
        self.purge(job, &one.tally).await?;
        let now = self.jobs.clock().now();
        let whole = job.unconfirmed.iter().fold(one.purged(), |whole, part| whole.and(part.purged));
        let mut deletion = Deletion {
            objects: whole.objects,
            marks: whole.marks,
            uploads: whole.uploads,
            confirmed_at: now,
            oldest_age_ms: whole.oldest.map(|oldest| now.saturating_sub(oldest)),
            by: self.name.clone(),
            evidence: Evidence::None,
        };
        let head = self.record(job, &deletion).await;
        let is_owed = head.is_err() && matches!(self.ledgers, Ledgers::Here(_));
        deletion.evidence = match &head {
            Err(Owed) => Evidence::Owed,
            Ok(None) => Evidence::None,
            Ok(Some(head)) => Evidence::Part(head.head.ledger.part),
        };
        let head = head.unwrap_or_default().map(Box::new);
        // From here on it may be on record, whatever this program hears of that.
        let _ = one.deletion.set(deletion.clone());
        let tries = job.unconfirmed.iter().map(|part| part.id).collect();
        let is_recorded = |there: &Job| there.deletions.iter().any(|known| known.is_same(&deletion));
        let event = Event::Purged { before: job.purges, deletion: deletion.clone(), tries, head };
        match self.jobs.send(job.id, &event).await? {
            Change::Done(there) | Change::Ignored(_, there) if !is_recorded(&there) => {
                // Another program's deletion is on record, which did not see what this one deleted.
                self.note(job, one).await;
            }
            _ => {}
        }
        metrics::purged(now.saturating_sub(self.due_since(job, now)));
        let Purged { objects, marks, uploads, .. } = whole;
        tracing::info!(job.id = %job.id, trace_id = job.trace_id(), objects, marks, uploads, "deleted everything of an ended job");
        Ok(is_owed)
    }

    async fn purge(&self, job: &Job, tally: &Tally) -> PortResult<()> {
        debug_assert!(job.state.is_terminal(), "the files of a job that goes on are not deleted");
        // What cannot be deleted in one place, or hangs, keeps nothing in the other.
        let upload = self.objects.purge_into(Role::Upload, job.id, tally);
        let processed = self.objects.purge_into(Role::Processed, job.id, tally);
        let (upload, processed) = futures_util::future::join(upload, processed).await;
        upload.and(processed)
    }

    /// Records what a try has deleted that is not on record as a deletion, for the evidence of the next one.
    /// If that fails, no evidence will have it.
    pub(super) async fn note(&self, job: &Job, one: &Try) {
        let purged = one.purged();
        if purged.is_nothing() {
            return;
        }
        let part = Unconfirmed { id: one.id, purged };
        let unless = one.deletion.get().cloned().map(Box::new);
        let event = Event::PurgedInPart { part, unless };
        let noted = self.jobs.send(job.id, &event);
        let Purged { objects, marks, uploads, .. } = purged;
        if let Err(error) = within(NOTE_WITHIN, noted).await {
            tracing::warn!(
                job.id = %job.id,
                trace_id = job.trace_id(),
                objects,
                marks,
                uploads,
                error = %error,
                "what was deleted of a job could not be recorded, and is in no evidence"
            );
        }
    }

    /// Since when the deletion of a job's objects was due. Evidence that is owed makes a job due earlier.
    fn due_since(&self, job: &Job, now: Millis) -> Millis {
        match (job.retry, job.owed) {
            (Some(retry), _) => retry.since(),
            (None, Some(_)) => state::served_at(job, self.jobs.policy(), now).min(now),
            (None, None) => job.due.unwrap_or(now),
        }
    }

    /// Writes the evidence that a job owes, as far as that is possible. Returns the record after that.
    ///
    /// # Errors
    /// If the store of the jobs fails. The job then stays due.
    pub(super) async fn settle(&self, mut job: Job) -> PortResult<Job> {
        let owed: Vec<Deletion> =
            job.deletions.iter().filter(|deletion| deletion.evidence == Evidence::Owed).cloned().collect();
        for deletion in owed {
            let event = match self.record(&job, &deletion).await {
                Ok(head) => Event::Evidenced { deletion, head: head.map(Box::new) },
                Err(Owed) => Event::EvidenceFailed { before: job.owed.map_or(0, |owed| owed.tries) },
            };
            let failed = matches!(event, Event::EvidenceFailed { .. });
            match self.jobs.send(job.id, &event).await? {
                Change::Done(next) | Change::Ignored(_, next) | Change::Denied(_, next) => job = *next,
                Change::Missing => return Ok(job),
            }
            if failed {
                break;
            }
        }
        Ok(job)
    }

    /// Says what no ledger will say: the record of the job is deleted although it owes evidence.
    pub(super) fn give_up(&self, job: &Job) {
        for deletion in job.deletions.iter().filter(|deletion| deletion.evidence == Evidence::Owed) {
            metrics::evidence(EvidenceOutcome::Lost);
            tracing::error!(
                job.id = %job.id,
                trace_id = job.trace_id(),
                objects = deletion.objects,
                marks = deletion.marks,
                uploads = deletion.uploads,
                confirmed_at_ms = deletion.confirmed_at,
                oldest_age_ms = deletion.oldest_age_ms,
                by = deletion.by,
                "the record of a job ends, and no ledger could be written of this deletion"
            );
        }
        if let Some(purged) = job.unconfirmed.iter().map(|part| part.purged).reduce(Purged::and) {
            tracing::error!(
                job.id = %job.id,
                trace_id = job.trace_id(),
                objects = purged.objects,
                marks = purged.marks,
                uploads = purged.uploads,
                "the record of a job ends, and no deletion was confirmed since these"
            );
        }
    }

    /// The head of the ledger of a deletion; `None` if no ledgers are kept.
    async fn record(&self, job: &Job, deletion: &Deletion) -> Result<Option<SignedHead>, Owed> {
        let writer = match &self.ledgers {
            Ledgers::Nowhere => return Ok(None),
            Ledgers::Elsewhere => return Err(Owed),
            Ledgers::Here(writer) => writer,
        };
        let purge = Purge {
            objects: deletion.objects,
            marks: deletion.marks,
            uploads: deletion.uploads,
            confirmed_at: deletion.confirmed_at,
            oldest_age_ms: deletion.oldest_age_ms,
            by: deletion.by.clone(),
        };
        match writer.write(job.id, job.deletion_ledgers(), &self.name, purge).await {
            Ok(head) => {
                metrics::evidence(EvidenceOutcome::Written);
                Ok(Some(head))
            }
            Err(failure) => {
                metrics::evidence(EvidenceOutcome::Failed);
                tracing::warn!(
                    job.id = %job.id,
                    trace_id = job.trace_id(),
                    code = failure.code.as_str(),
                    error = failure.message,
                    "a deletion is not on record in a ledger yet"
                );
                Err(Owed)
            }
        }
    }
}

/// Ends what takes longer than this. What was sent to a store may still take effect.
///
/// # Errors
/// Those of the work, and [`PortError::Unavailable`].
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = PortResult<T>>) -> PortResult<T> {
    let late = || PortError::Unavailable {
        operation: "the cleanup",
        reason: format!("not done within {} s", limit.as_secs()),
    };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
}

/// The ledger of a deletion must still be written.
#[derive(Debug, Clone, Copy)]
struct Owed;
