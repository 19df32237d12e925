//! The deletion of everything that belongs to a job, with its evidence. The cleanup deletes what is
//! due, and the API what its caller does not need any more: by the same act.
//!
//! The order is: delete, list again until nothing is there, write the ledger, then write the job's record,
//! which has the deletion and the ledger's head. A program that dies before the last write leaves the job due:
//! the next one deletes again, finds nothing or more, and records that in another ledger.

use super::evidence::Ledgers;
use crate::domain::ids::Role;
use crate::domain::job::{Deletion, Evidence, Job, Millis};
use crate::domain::ledger::SignedHead;
use crate::domain::ledger::record::Purge;
use crate::domain::state::{self, Event};
use crate::jobs::{Change, Jobs};
use crate::metrics::{self, EvidenceOutcome};
use crate::ports::object_store::Purged;
use crate::ports::{ObjectStore, PortResult};
use std::sync::Arc;

/// Deletes what belongs to ended jobs.
#[derive(Clone)]
pub struct Deleter {
    jobs: Jobs,
    objects: Arc<dyn ObjectStore>,
    name: String,
    ledgers: Ledgers,
}

/// What a deletion has done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deleted {
    /// What was deleted.
    pub(super) purged: Purged,
    /// Whether this program could not write the ledger.
    pub(super) is_owed: bool,
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

    /// As [`Self::delete`], without evidence: a worker may still write, so the job stays due.
    ///
    /// # Errors
    /// As for [`Self::delete`].
    pub async fn clear(&self, job: &Job) -> PortResult<Purged> {
        debug_assert!(job.state.is_terminal(), "the files of a job that goes on are not deleted");
        // What cannot be deleted in one place keeps nothing in the other.
        let upload = self.objects.purge(Role::Upload, job.id).await;
        let processed = self.objects.purge(Role::Processed, job.id).await;
        Ok(upload?.and(processed?))
    }

    /// Deletes all objects and unfinished uploads of a job that has ended, lists them again until
    /// nothing is there, and records that. `job` is the record as it is now. A ledger that cannot be
    /// written is no error: the record says that it is owed.
    ///
    /// # Errors
    /// If a store fails, or something is always left. The job then stays due.
    pub async fn delete(&self, job: &Job) -> PortResult<Purged> {
        self.delete_and_record(job).await.map(|deleted| deleted.purged)
    }

    pub(super) async fn delete_and_record(&self, job: &Job) -> PortResult<Deleted> {
        let purged = self.clear(job).await?;
        let now = self.jobs.clock().now();
        let mut deletion = Deletion {
            objects: purged.objects,
            marks: purged.marks,
            uploads: purged.uploads,
            confirmed_at: now,
            oldest_age_ms: purged.oldest.map(|oldest| now.saturating_sub(oldest)),
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
        self.jobs.send(job.id, &Event::Purged { before: job.purges, deletion, head }).await?;
        metrics::purged(now.saturating_sub(self.due_since(job, now)));
        let Purged { objects, marks, uploads, .. } = purged;
        tracing::info!(job.id = %job.id, trace_id = job.trace_id(), objects, marks, uploads, "deleted everything of an ended job");
        Ok(Deleted { purged, is_owed })
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

/// The ledger of a deletion must still be written.
#[derive(Debug, Clone, Copy)]
struct Owed;
