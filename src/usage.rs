//! Changing what an owner has in flight: read, decide, write conditionally, and retry if another
//! writer was faster or the reply was lost.
//!
//! All changes of a usage reach a store through this module; the decisions are those of
//! [`crate::domain::quota`]. The record of a job is always read after the usage: then a mark that
//! another process drops in between makes the write fail.

use crate::domain::ids::Owner;
use crate::domain::quota::{Exceeded, Place, Quota, Step, Usage};
use crate::ports::job_store::UsageReplaced;
use crate::ports::{Clock, JobStore, PortError, PortResult};
use crate::retry::pause;
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

/// Maximum number of times a change is made before giving up. Usages are changed more often than
/// jobs: by each creation and each end of an owner's jobs.
const ROUNDS: u32 = 12;

/// Changes of this process to usages of different owners that may be made at once. Two changes of one
/// owner would only make each other fail.
const LANES: usize = 64;

/// Maximum number of confirmed steps that are remembered. Of others the job record is read.
const REMEMBERED: usize = 4096;

/// The usages of a store.
#[derive(Clone)]
pub(crate) struct Usages {
    store: Arc<dyn JobStore>,
    clock: Arc<dyn Clock>,
    lanes: Arc<[tokio::sync::Mutex<()>; LANES]>,
    confirmed: Arc<Mutex<Confirmed>>,
}

/// Steps that the record of their job shows, oldest first. The next change of the usage drops their
/// marks. Without this memory, e.g. after a restart, the records are read instead.
#[derive(Default)]
struct Confirmed {
    steps: HashMap<Owner, Vec<(u64, Step)>>,
    order: VecDeque<Owner>,
}

impl Confirmed {
    fn add(&mut self, owner: &Owner, reservation: u64, step: Step) {
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
            && let Some(steps) = self.steps.get_mut(&oldest)
        {
            steps.remove(0);
            if steps.is_empty() {
                self.steps.remove(&oldest);
            }
        }
        self.order.push_back(owner.clone());
        self.steps.entry(owner.clone()).or_default().push((reservation, step));
    }

    fn take(&mut self, owner: &Owner) -> Vec<(u64, Step)> {
        self.order.retain(|other| other != owner);
        self.steps.remove(owner).unwrap_or_default()
    }
}

/// A change of a usage.
#[derive(Clone, Copy)]
enum Change<'a> {
    Reserve(&'a Quota),
    Withdraw,
    Release,
}

impl Usages {
    pub(crate) fn new(store: Arc<dyn JobStore>, clock: Arc<dyn Clock>) -> Self {
        let lanes = Arc::new(std::array::from_fn(|_| tokio::sync::Mutex::default()));
        Self { store, clock, lanes, confirmed: Arc::default() }
    }

    /// Counts a job that is about to be created.
    pub(crate) async fn reserve(
        &self,
        owner: &Owner,
        place: &Place,
        quota: &Quota,
    ) -> PortResult<Result<(), Exceeded>> {
        self.change(owner, place, Change::Reserve(quota)).await
    }

    /// Takes a reservation back with which no job was created.
    pub(crate) async fn withdraw(&self, owner: &Owner, place: &Place) -> PortResult<()> {
        self.change(owner, place, Change::Withdraw).await.map(drop)
    }

    /// Subtracts a job that has ended.
    pub(crate) async fn release(&self, owner: &Owner, place: &Place) -> PortResult<()> {
        self.change(owner, place, Change::Release).await.map(drop)
    }

    /// Remembers that the record of the job shows this step.
    pub(crate) fn confirm(&self, owner: &Owner, reservation: u64, step: Step) {
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner).add(owner, reservation, step);
    }

    async fn change(
        &self,
        owner: &Owner,
        place: &Place,
        change: Change<'_>,
    ) -> PortResult<Result<(), Exceeded>> {
        let _lane = self.lane(owner).lock().await;
        let confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner).take(owner);
        let mut known: Option<Box<Usage>> = None;
        let mut last = None;
        for round in 0..ROUNDS {
            let usage = match known.take() {
                Some(usage) => *usage,
                None => match self.store.usage(owner).await {
                    Ok(usage) => usage.unwrap_or_else(|| Usage::new(owner.clone())),
                    Err(error) if error.is_transient() => {
                        last = Some(error);
                        pause(round).await;
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            let mut next = usage.clone();
            for &(reservation, step) in &confirmed {
                next.confirm(reservation, step);
            }
            let outcome = match self.decide(&mut next, place, change).await {
                Ok(outcome) => outcome,
                Err(error) if error.is_transient() => {
                    last = Some(error);
                    pause(round).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if next == usage {
                return Ok(outcome);
            }
            next.version += 1;
            match self.store.replace_usage(&next).await {
                Ok(UsageReplaced::Done) => return Ok(outcome),
                Ok(UsageReplaced::Conflict(there)) => {
                    // Another process. The first time it is most likely done.
                    if round > 0 {
                        pause(round - 1).await;
                    }
                    known = there;
                }
                Err(error) if error.is_transient() => {
                    last = Some(error);
                    pause(round).await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or(PortError::Unavailable {
            operation: "changing the usage of an owner",
            reason: "it was changed concurrently too often".to_owned(),
        }))
    }

    async fn decide(
        &self,
        usage: &mut Usage,
        place: &Place,
        change: Change<'_>,
    ) -> PortResult<Result<(), Exceeded>> {
        let now = self.clock.now();
        for reservation in usage.doubtful(now) {
            let Some(mark) = usage.marks.get(&reservation) else { continue };
            let record = match self.store.get(mark.job).await {
                Ok(record) => record,
                // Whether it is counted is not known; the mark stays until the record is repaired, behind the others.
                Err(PortError::Corrupt { .. } | PortError::Newer(_)) => {
                    if let Some(mark) = usage.marks.get_mut(&reservation) {
                        mark.at = now;
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            usage.compare(reservation, record.as_ref(), now);
        }
        match change {
            Change::Reserve(quota) => return Ok(usage.reserve(place, quota, now)),
            Change::Withdraw => usage.withdraw(place),
            Change::Release if usage.needs_record(place) => {
                let record = self.store.get(place.job).await?;
                if record.is_some_and(|job| job.counted == Some(place.reservation)) {
                    usage.release(place, now);
                }
            }
            Change::Release => usage.release(place, now),
        }
        Ok(Ok(()))
    }

    fn lane(&self, owner: &Owner) -> &tokio::sync::Mutex<()> {
        let mut hasher = DefaultHasher::new();
        owner.hash(&mut hasher);
        &self.lanes[(hasher.finish() % LANES as u64) as usize]
    }
}
