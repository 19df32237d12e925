//! The deletion of everything that belongs to a job, with its evidence. The cleanup deletes what is
//! due, and the API what its caller does not need any more: by the same act.

use crate::domain::ids::Role;
use crate::domain::job::{Deletion, Job};
use crate::domain::state::Event;
use crate::jobs::Jobs;
use crate::metrics;
use crate::ports::object_store::Purged;
use crate::ports::{ObjectStore, PortResult};
use std::sync::Arc;

/// Deletes what belongs to ended jobs.
#[derive(Clone)]
pub struct Deleter {
    jobs: Jobs,
    objects: Arc<dyn ObjectStore>,
    name: String,
}

impl Deleter {
    /// `name` is the program's, for the evidence.
    pub fn new(jobs: Jobs, objects: Arc<dyn ObjectStore>, name: String) -> Self {
        Self { jobs, objects, name }
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
        let mut purged = Purged::default();
        for role in [Role::Upload, Role::Processed] {
            purged = purged.and(self.objects.purge(role, job.id).await?);
        }
        Ok(purged)
    }

    /// Deletes all objects and unfinished uploads of a job that has ended, lists them again until
    /// nothing is there, and records that. `job` is the record as it is now.
    ///
    /// # Errors
    /// If a store fails, or something is always left. The job then stays due.
    pub async fn delete(&self, job: &Job) -> PortResult<Purged> {
        let purged = self.clear(job).await?;
        let now = self.jobs.clock().now();
        let deletion = Deletion {
            objects: purged.objects,
            marks: purged.marks,
            uploads: purged.uploads,
            confirmed_at: now,
            oldest_age_ms: purged.oldest.map(|oldest| now.saturating_sub(oldest)),
            by: self.name.clone(),
        };
        self.jobs.send(job.id, &Event::Purged { before: job.purges, deletion }).await?;
        let since = job.retry.map_or(job.due, |retry| Some(retry.since()));
        metrics::purged(now.saturating_sub(since.unwrap_or(now)));
        let Purged { objects, marks, uploads, .. } = purged;
        tracing::info!(job.id = %job.id, trace_id = job.trace_id(), objects, marks, uploads, "deleted everything of an ended job");
        Ok(purged)
    }
}
