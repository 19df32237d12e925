//! Changing jobs: read, decide, write conditionally, and retry if another writer was faster or the
//! reply was lost.
//!
//! All events reach a store through this module. After a lost reply the outcome of the write is not
//! assumed: the job is read back and the event is applied again. If the write did succeed, the
//! event is then a duplicate.

use crate::domain::failure::{Failure, FailureCode};
use crate::domain::ids::JobId;
use crate::domain::job::Job;
use crate::domain::state::{Decision, Denied, Event, Ignored, Policy, apply, created};
use crate::ports::job_store::{Created, Replaced};
use crate::ports::{Clock, JobStore, PortError, PortResult};
use std::sync::Arc;
use std::time::Duration;

/// The jobs of a store, changed under a policy.
#[derive(Clone)]
pub struct Jobs {
    store: Arc<dyn JobStore>,
    clock: Arc<dyn Clock>,
    policy: Policy,
}

/// The outcome of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The event was applied; this is the changed job.
    Done(Box<Job>),
    /// Nothing changed, and the sender may go on; this is the current job.
    Ignored(Ignored, Box<Job>),
    /// Nothing changed, and the sender must stop; this is the current job.
    Denied(Denied, Box<Job>),
    /// The job does not exist.
    Missing,
}

/// Maximum number of times an event is applied before giving up. Each further round means that
/// another writer changed the job in between, or that a reply was lost.
pub const ROUNDS: u32 = 8;

impl Jobs {
    /// Creates a handle to the jobs of this store.
    pub fn new(store: Arc<dyn JobStore>, clock: Arc<dyn Clock>, policy: Policy) -> Self {
        Self { store, clock, policy }
    }

    /// The store itself, for reading.
    pub fn store(&self) -> &dyn JobStore {
        &*self.store
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Creates a job, or returns the existing one with this id; the flag is true if the job was
    /// created.
    ///
    pub async fn create(&self, id: JobId, order: crate::domain::job::JobSpec) -> PortResult<(Job, bool)> {
        let job = created(id, order, &self.policy, self.clock.now());
        for round in 0.. {
            match self.store.create(&job).await {
                Ok(Created::New) => return Ok((job, true)),
                // Written in an earlier round whose reply was lost.
                Ok(Created::Exists(there)) if round > 0 && *there == job => return Ok((job, true)),
                Ok(Created::Exists(there)) => return Ok((*there, false)),
                Err(error) if error.is_transient() && round < 2 => pause(round).await,
                Err(error) => return Err(error),
            }
        }
        unreachable!("the third round returns")
    }

    /// Applies an event to a job.
    ///
    pub async fn send(&self, id: JobId, event: &Event) -> PortResult<Change> {
        let mut known = None;
        let mut last = None;
        for round in 0..ROUNDS {
            let job = match known.take() {
                Some(job) => job,
                None => match self.store.get(id).await {
                    Ok(Some(job)) => Box::new(job),
                    Ok(None) => return Ok(Change::Missing),
                    Err(error) if error.is_transient() => {
                        last = Some(error);
                        pause(round).await;
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            let next = match apply(&job, event, &self.policy, self.clock.now()) {
                Decision::Accept(next) => next,
                Decision::Ignore(why) => return Ok(settled(why, job, round)),
                Decision::Deny(why) => return Ok(Change::Denied(why, job)),
            };
            match self.store.replace(&next).await {
                Ok(Replaced::Done) => return Ok(Change::Done(next)),
                Ok(Replaced::Conflict(None)) => return Ok(Change::Missing),
                // Written in an earlier round whose reply was lost.
                Ok(Replaced::Conflict(Some(there))) if there == next => return Ok(Change::Done(next)),
                Ok(Replaced::Conflict(Some(there))) => known = Some(there),
                Err(error) if error.is_transient() => {
                    last = Some(error);
                    pause(round).await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or(PortError::Unavailable {
            operation: "changing a job",
            reason: "it was changed concurrently too often".to_owned(),
        }))
    }

    /// Like [`Jobs::send`], for an event that must be applied: returns the job, whether the event
    /// was applied now or before.
    ///
    pub async fn must(&self, id: JobId, event: &Event) -> Result<Job, Failure> {
        match self.send(id, event).await? {
            Change::Done(job) | Change::Ignored(_, job) => Ok(*job),
            Change::Denied(..) | Change::Missing => {
                Err(Failure::new(FailureCode::Superseded, "the job is no longer this worker's"))
            }
        }
    }
}

/// A duplicate in a later round is this event itself: its earlier reply was lost.
fn settled(why: Ignored, job: Box<Job>, round: u32) -> Change {
    if why == Ignored::Duplicate && round > 0 { Change::Done(job) } else { Change::Ignored(why, job) }
}

/// Exponential backoff of 20 ms, 40 ms, … 1.28 s, each shortened by up to half at random, so that
/// writers that collided do not collide again.
async fn pause(round: u32) {
    let full = 20u64 << round.min(6);
    let mut byte = [0u8; 1];
    let chance = getrandom::fill(&mut byte).map_or(0, |()| u64::from(byte[0]));
    tokio::time::sleep(Duration::from_millis(full - full * chance / 512)).await;
}
