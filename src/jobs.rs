//! Changing jobs: read, decide, write conditionally, and retry if another writer was faster or the
//! reply was lost.
//!
//! All events reach a store through this module. After a lost reply the outcome of the write is not
//! assumed: the job is read back and the event is applied again. If the write did succeed, the
//! event is then a duplicate.
//!
//! With a quota, a job is counted in the usage of its owner before it is created, and no longer after
//! it has ended; see [`crate::domain::quota`].

use crate::domain::failure::{Failure, FailureCode};
use crate::domain::ids::JobId;
use crate::domain::job::{Job, JobSpec};
use crate::domain::quota::{Exceeded, Place, Quota, Step};
use crate::domain::state::{Decision, Denied, Event, Ignored, Policy, apply, created};
use crate::domain::trace::TraceParent;
use crate::metrics;
use crate::metrics::observation::Observation;
use crate::ports::job_store::{Created, Replaced};
use crate::ports::{Clock, JobStore, PortError, PortResult};
use crate::retry::pause;
use crate::usage::Usages;
use std::sync::Arc;
use std::time::Duration;

/// The jobs of a store, changed under a policy.
#[derive(Clone)]
pub struct Jobs {
    store: Arc<dyn JobStore>,
    clock: Arc<dyn Clock>,
    policy: Policy,
    usages: Usages,
    quota: Option<Quota>,
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

/// Why a job was not created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCreated {
    /// It would exceed the quota of its owner.
    #[error(transparent)]
    Quota(#[from] Exceeded),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] PortError),
}

/// How long the end of a job may be delayed in order to free its place. The cleanup frees what was
/// not freed in this time.
const FREE_WITHIN: Duration = Duration::from_secs(5);

/// Maximum number of times an event is applied before giving up. Each further round means that
/// another writer changed the job in between, or that a reply was lost.
pub const ROUNDS: u32 = 8;

impl Jobs {
    /// Creates a handle to the jobs of this store.
    pub fn new(store: Arc<dyn JobStore>, clock: Arc<dyn Clock>, policy: Policy) -> Self {
        let usages = Usages::new(Arc::clone(&store), Arc::clone(&clock));
        Self { store, clock, policy, usages, quota: None }
    }

    /// The same jobs; those that are created are counted, up to this quota for each owner.
    #[must_use]
    pub fn with_quota(mut self, quota: Quota) -> Self {
        self.quota = Some(quota);
        self
    }

    /// The store itself, for reading.
    pub fn store(&self) -> &dyn JobStore {
        &*self.store
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether the time in which a job waits for its upload is over.
    pub fn is_too_late_for_upload(&self, job: &Job) -> bool {
        self.clock.now() >= job.times.created.saturating_add(self.policy.upload_window)
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Creates a job, or returns the existing one with this id; the flag is true if the job was
    /// created.
    ///
    /// # Errors
    /// [`NotCreated::Quota`] if the owner has too much in flight, and no job has this id.
    pub async fn create(&self, id: JobId, order: JobSpec) -> Result<(Job, bool), NotCreated> {
        self.create_traced(id, order, None).await
    }

    /// The same, for a request of this trace.
    ///
    /// # Errors
    /// As for [`Jobs::create`].
    pub async fn create_traced(
        &self,
        id: JobId,
        order: JobSpec,
        trace: Option<TraceParent>,
    ) -> Result<(Job, bool), NotCreated> {
        let mut job = created(id, order, &self.policy, self.clock.now());
        job.trace = trace;
        let Some(quota) = &self.quota else { return Ok(self.insert(job).await?) };
        let place = Place { reservation: random("creating a job")?, job: id, bytes: job.order.size_bytes };
        job.counted = Some(place.reservation);
        let owner = job.order.owner.clone();
        if let Err(exceeded) = self.usages.reserve(&owner, &place, quota).await? {
            // A request that is repeated needs no second place.
            return match self.store.get(id).await? {
                Some(there) => Ok((there, false)),
                None => Err(exceeded.into()),
            };
        }
        // If this fails, the job may have been created or not. The owner's usage is compared with the
        // record later.
        let (job, new) = match self.insert(job).await {
            Err(error @ PortError::Newer(_)) => {
                // It is there, and is not this one.
                let _ = self.usages.withdraw(&owner, &place).await;
                return Err(error.into());
            }
            inserted => inserted?,
        };
        if new {
            self.usages.confirm(&owner, place.reservation, Step::Reserved);
        } else if let Err(error) = self.usages.withdraw(&owner, &place).await {
            tracing::debug!(job.id = %id, error = %error, "a reservation remains for a minute");
        }
        Ok((job, new))
    }

    async fn insert(&self, job: Job) -> PortResult<(Job, bool)> {
        let inserted = self.try_insert(job).await?;
        if let (job, true) = &inserted {
            metrics::job_created(&job.order.format);
        }
        Ok(inserted)
    }

    async fn try_insert(&self, job: Job) -> PortResult<(Job, bool)> {
        for round in 0.. {
            match self.store.create(&job).await {
                Ok(Created::New) => return Ok((job, true)),
                // Written in an earlier round whose reply was lost.
                Ok(Created::Exists(there)) if round > 0 && *there == job => return Ok((job, true)),
                // The same, after a reply that the store's client lost and asked for again: no other
                // creation has this reservation.
                Ok(Created::Exists(there)) if job.counted.is_some() && there.counted == job.counted => {
                    return Ok((*there, true));
                }
                Ok(Created::Exists(there)) => return Ok((*there, false)),
                Err(error) if error.is_transient() && round < 2 => pause(round).await,
                // An earlier round may have written it.
                Err(PortError::Newer(operation)) if round > 0 => {
                    let reason = "another version has changed the record since".to_owned();
                    return Err(PortError::Unknown { operation, reason });
                }
                Err(error) => return Err(error),
            }
        }
        unreachable!("the third round returns")
    }

    /// Applies an event to a job. Frees the place of a job that has ended; a failure to do so is
    /// logged only, because the cleanup frees it later.
    ///
    pub async fn send(&self, id: JobId, event: &Event) -> PortResult<Change> {
        let change = self.apply(id, event).await?;
        Ok(match change {
            Change::Done(job) => Change::Done(self.free_soon(job).await),
            Change::Ignored(why, job) => Change::Ignored(why, self.free_soon(job).await),
            other => other,
        })
    }

    /// Frees the place of a job, if it has ended and is counted; returns the job after that. May be
    /// repeated, by any process.
    ///
    /// # Errors
    /// If the store fails. The place may then be free, but the record does not show it.
    pub async fn free(&self, job: Job) -> PortResult<Job> {
        let Some(place) = Place::of(&job).filter(|_| job.state.is_terminal()) else { return Ok(job) };
        self.usages.release(&job.order.owner, &place).await?;
        let reservation = place.reservation;
        match self.apply(job.id, &Event::Uncounted { reservation }).await? {
            Change::Done(next) | Change::Ignored(_, next) => {
                self.usages.confirm(&job.order.owner, reservation, Step::Released);
                Ok(*next)
            }
            Change::Denied(_, next) => Ok(*next),
            Change::Missing => Ok(job),
        }
    }

    async fn free_soon(&self, job: Box<Job>) -> Box<Job> {
        if job.counted.is_none() || !job.state.is_terminal() {
            return job;
        }
        match tokio::time::timeout(FREE_WITHIN, self.free((*job).clone())).await {
            Ok(Ok(next)) => Box::new(next),
            Ok(Err(error)) => {
                tracing::warn!(job.id = %job.id, trace_id = job.trace_id(), error = %error, "the job's place is not free until the cleanup");
                job
            }
            Err(_) => {
                tracing::warn!(job.id = %job.id, trace_id = job.trace_id(), "the job's place is not free until the cleanup");
                job
            }
        }
    }

    /// Applies an event to a job, and nothing else.
    async fn apply(&self, id: JobId, event: &Event) -> PortResult<Change> {
        let mut observed = Observation::default();
        let change = self.try_apply(id, event, &mut observed).await?;
        if let Change::Done(job) = &change {
            observed.record(job);
        }
        Ok(change)
    }

    /// `observed` is that of the last write that was tried.
    async fn try_apply(&self, id: JobId, event: &Event, observed: &mut Observation) -> PortResult<Change> {
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
            *observed = Observation::of(&job, event, &next);
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

/// A number that is drawn once only.
pub(crate) fn random(operation: &'static str) -> PortResult<u64> {
    let mut bytes = [0u8; 8];
    getrandom::fill(&mut bytes)
        .map_err(|_| PortError::Unavailable { operation, reason: "no random bytes".to_owned() })?;
    Ok(u64::from_be_bytes(bytes))
}
