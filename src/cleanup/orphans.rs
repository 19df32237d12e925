//! Objects of jobs that have no record, because the records were lost or restored from an old
//! backup. No client can request these objects, and nothing else would delete them.
//!
//! They are reported at once and deleted after a grace period, in which the missing records can be
//! restored. Objects that arrive while the record is missing are reported by their events.

use crate::domain::ids::{JobId, Role};
use crate::jobs::Jobs;
use crate::ports::{ObjectStore, PortError, PortResult};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Finds orphans. What it has seen is kept in memory only: a restart begins the grace period anew.
pub struct Orphans {
    jobs: Jobs,
    objects: Arc<dyn ObjectStore>,
    grace: Duration,
    seen: HashMap<JobId, Instant>,
}

/// Counts of one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orphaned {
    /// Jobs without a record that were first seen in this round.
    pub found: usize,
    /// Jobs without a record whose objects were deleted.
    pub deleted: usize,
}

impl Orphans {
    /// Deletes the objects of a job that has had no record for `grace`.
    pub fn new(jobs: Jobs, objects: Arc<dyn ObjectStore>, grace: Duration) -> Self {
        Self { jobs, objects, grace, seen: HashMap::new() }
    }

    /// Runs rounds forever, one every `pause`; `list` returns the jobs that have objects.
    pub async fn run<F, L>(mut self, pause: Duration, list: L)
    where
        F: Future<Output = PortResult<Vec<JobId>>> + Send,
        L: Fn() -> F + Send,
    {
        loop {
            let jobs = list().await;
            self.look(jobs).await;
            tokio::time::sleep(pause).await;
        }
    }

    /// One round over the jobs that have objects, which logs what it has found; whether nothing failed.
    pub async fn look(&mut self, jobs: PortResult<Vec<JobId>>) -> bool {
        let jobs = match jobs {
            Ok(jobs) => jobs,
            Err(error) => {
                tracing::warn!(error = %error, "could not list the objects without a job");
                return false;
            }
        };
        match self.round(&jobs, Instant::now()).await {
            Ok(round) => {
                if round.found > 0 {
                    tracing::error!(
                        jobs = round.found,
                        delete_after_s = self.grace.as_secs(),
                        "found objects of jobs that have no record: the records were lost or are older than the \
                         objects; stop and restore them, or the objects will be deleted"
                    );
                }
                if round.deleted > 0 {
                    tracing::warn!(jobs = round.deleted, "deleted the objects of jobs that have no record");
                }
                true
            }
            Err(error) => {
                tracing::warn!(error = %error, "objects without a job could not be deleted");
                false
            }
        }
    }

    /// Runs one round over the jobs that have objects. One that fails does not keep the others.
    ///
    /// # Errors
    /// The first failure of a store, after all jobs were tried.
    pub async fn round(&mut self, jobs: &[JobId], now: Instant) -> PortResult<Orphaned> {
        let present: HashSet<&JobId> = jobs.iter().collect();
        self.seen.retain(|id, _| present.contains(id));
        let mut round = Orphaned::default();
        let mut failure = None;
        for &id in jobs {
            let there = match self.jobs.store().get(id).await {
                // An unreadable record still exists, so its objects are not orphans; the round goes
                // on.
                Err(PortError::Corrupt { .. } | PortError::Newer(_)) => true,
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
                Ok(found) => found.is_some(),
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
            let mut is_left = false;
            for role in [Role::Upload, Role::Processed] {
                if let Err(error) = self.objects.purge(role, id).await {
                    failure.get_or_insert(error);
                    is_left = true;
                }
            }
            if is_left {
                continue;
            }
            self.seen.remove(&id);
            crate::metrics::orphans_deleted(1);
            round.deleted += 1;
        }
        failure.map_or(Ok(round), Err)
    }
}
