//! Objects of jobs that there is no record of: the records were lost, or put back from an
//! old copy. Nobody can ask for them and nothing else would delete them.
//!
//! They are reported at once and deleted after a time in which a record that was missed
//! can be put back. Of objects that come while the record is missing their events say so.

use crate::domain::ids::{JobId, Role};
use crate::jobs::Jobs;
use crate::ports::{ObjectStore, PortError, PortResult};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Looks for orphans. What it has seen it forgets with its process: a restart gives them
/// their time again.
pub struct Orphans {
    jobs: Jobs,
    objects: Arc<dyn ObjectStore>,
    grace: Duration,
    seen: HashMap<JobId, Instant>,
}

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orphaned {
    /// Jobs without a record that were not known before.
    pub found: usize,
    /// Jobs without a record whose objects were deleted.
    pub deleted: usize,
}

impl Orphans {
    /// Deletes the objects of a job that has had no record for `grace`.
    pub fn new(jobs: Jobs, objects: Arc<dyn ObjectStore>, grace: Duration) -> Self {
        Self { jobs, objects, grace, seen: HashMap::new() }
    }

    /// Round after round; `list` names the jobs that there are objects of.
    pub async fn run<F, L>(mut self, list: L)
    where
        F: Future<Output = PortResult<Vec<JobId>>> + Send,
        L: Fn() -> F + Send,
    {
        let pause = (self.grace / 4).clamp(Duration::from_secs(5), Duration::from_secs(300));
        loop {
            match list().await {
                Ok(jobs) => self.report(&jobs).await,
                Err(error) => tracing::warn!(error = %error, "could not list the objects without a job"),
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn report(&mut self, jobs: &[JobId]) {
        match self.round(jobs, Instant::now()).await {
            Ok(round) => {
                if round.found > 0 {
                    tracing::error!(
                        jobs = round.found,
                        delete_after_s = self.grace.as_secs(),
                        "found objects of jobs that have no record: jobs.sqlite was lost or is older than the objects; \
                         stop and restore it, or the objects will be deleted"
                    );
                }
                if round.deleted > 0 {
                    tracing::warn!(jobs = round.deleted, "deleted the objects of jobs that have no record");
                }
            }
            Err(error) => tracing::warn!(error = %error, "objects without a job could not be deleted"),
        }
    }

    /// One round over the jobs that there are objects of.
    ///
    /// # Errors
    /// Of the stores; what is left is done in another round.
    pub async fn round(&mut self, jobs: &[JobId], now: Instant) -> PortResult<Orphaned> {
        let present: HashSet<&JobId> = jobs.iter().collect();
        self.seen.retain(|id, _| present.contains(id));
        let mut round = Orphaned::default();
        for &id in jobs {
            let there = match self.jobs.store().get(id).await {
                // A record that cannot be read is one all the same, and stops nothing.
                Err(PortError::Corrupt { .. }) => true,
                found => found?.is_some(),
            };
            if there {
                self.seen.remove(&id);
                continue;
            }
            let since = *self.seen.entry(id).or_insert_with(|| {
                round.found += 1;
                now
            });
            if now.saturating_duration_since(since) < self.grace {
                continue;
            }
            for role in [Role::Upload, Role::Processed] {
                self.objects.purge(role, id).await?;
            }
            self.seen.remove(&id);
            round.deleted += 1;
        }
        Ok(round)
    }
}
