//! Changing jobs: read, judge, write over what was judged, and again when another
//! was faster or the reply was lost.
//!
//! This is the only road from an event to a store. A write whose reply was lost is
//! never guessed at: the job is read back and judged again, and its own write then
//! shows as a duplicate.

use crate::domain::failure::{Failure, FailureCode};
use crate::domain::ids::JobId;
use crate::domain::job::Job;
use crate::domain::state::{Decision, Denied, Event, Ignored, Policy, apply, created};
use crate::ports::job_store::{Created, Replaced};
use crate::ports::{Clock, JobStore, PortError, PortResult};
use std::sync::Arc;
use std::time::Duration;

/// The jobs of a store under a policy.
#[derive(Clone)]
pub struct Jobs {
    store: Arc<dyn JobStore>,
    clock: Arc<dyn Clock>,
    policy: Policy,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It happened; the job after it.
    Done(Box<Job>),
    /// Nothing changed and nothing is wrong; the job as it is.
    Ignored(Ignored, Box<Job>),
    /// Nothing changed and the sender must not go on; the job as it is.
    Denied(Denied, Box<Job>),
    /// There is no such job.
    Missing,
}

/// Judgements of one event before giving up. Each round but the first means that
/// another wrote the job in between, or that a reply was lost.
pub const ROUNDS: u32 = 8;

impl Jobs {
    /// Jobs of this store.
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

    /// The time.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Creates a job, or finds the one of this id.
    ///
    /// # Errors
    /// Of the store. A reply that was lost shows as [`Created::Exists`] with the same order.
    pub async fn create(&self, id: JobId, order: crate::domain::job::JobSpec) -> PortResult<(Job, bool)> {
        let job = created(id, order, &self.policy, self.clock.now());
        for round in 0.. {
            match self.store.create(&job).await {
                Ok(Created::New) => return Ok((job, true)),
                // The write whose reply was lost in an earlier round.
                Ok(Created::Exists(there)) if round > 0 && *there == job => return Ok((job, true)),
                Ok(Created::Exists(there)) => return Ok((*there, false)),
                Err(error) if error.is_transient() && round < 2 => pause(round).await,
                Err(error) => return Err(error),
            }
        }
        unreachable!("the third round returns")
    }

    /// Lets an event happen to a job.
    ///
    /// # Errors
    /// Of the store, when it stays unavailable for several rounds: then the event
    /// may or may not have happened, and sending it again is safe.
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
                // Ours, written in a round whose reply was lost.
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

    /// The same for an event that must happen: the job after it, whether it happened
    /// now or before.
    ///
    /// # Errors
    /// Of the store; `infra.superseded` when it is denied or the job is gone.
    pub async fn must(&self, id: JobId, event: &Event) -> Result<Job, Failure> {
        match self.send(id, event).await? {
            Change::Done(job) | Change::Ignored(_, job) => Ok(*job),
            Change::Denied(..) | Change::Missing => {
                Err(Failure::new(FailureCode::Superseded, "the job is no longer this worker's"))
            }
        }
    }
}

/// A duplicate that is seen in a later round is this very event, whose reply was lost.
fn settled(why: Ignored, job: Box<Job>, round: u32) -> Change {
    if why == Ignored::Duplicate && round > 0 { Change::Done(job) } else { Change::Ignored(why, job) }
}

/// 20 ms, 40 ms, … 1.28 s, each less up to half by chance, so that those who
/// collided do not do so again.
async fn pause(round: u32) {
    let full = 20u64 << round.min(6);
    let mut byte = [0u8; 1];
    let chance = getrandom::fill(&mut byte).map_or(0, |()| u64::from(byte[0]));
    tokio::time::sleep(Duration::from_millis(full - full * chance / 512)).await;
}
