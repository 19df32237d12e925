//! Holds a job: renews the lease, keeps the message hidden, reports progress with each renewal (and
//! between renewals where the store's writes are cheap), and stops the work once the job no longer belongs to this worker.
//!
//! The lease is measured on this worker's own clock, from before the call that renewed it. Once a
//! whole lease has passed since then, another worker may own the job, and the work is void even
//! without notification.

use super::message::Delivery;
use cadmill_core::domain::counts::Counts;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::{EngineFacts, Job, Stage, State, Warnings};
use cadmill_core::domain::state::Event;
use cadmill_core::domain::trace::TraceParent;
use cadmill_core::jobs::{Change, Jobs};
use cadmill_core::ports::{EventQueue, PortError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Minimum time between writes that report a new stage.
const STAGE_INTERVAL: Duration = Duration::from_secs(1);

/// How often the record is read when nothing is written. It bounds how late a cancellation is seen.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The outcome of the ledger of an attempt whose worker was stopped. It is not a failure: the job
/// is retried.
const STOPPED: &str = "worker.stopped";

/// Why the work must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopReason {
    /// The worker is stopping.
    Stopping,
    /// The owner cancelled the job, or it has ended in another way.
    Ended,
    /// Another worker owns it.
    Superseded,
    /// The lease could not be renewed in time.
    Lapsed,
}

/// A claimed job, shared by the thread that processes it and the task that renews the lease.
#[derive(Debug)]
pub(super) struct JobLease {
    pub(super) id: JobId,
    trace: Option<TraceParent>,
    pub(super) attempt: u32,
    /// The work checks it at every step.
    pub(super) cancel: AtomicBool,
    delivery: Delivery,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    lost: Option<StopReason>,
    renewed: Instant,
    stage: Stage,
    progress: u16,
    millis: BTreeMap<Stage, u64>,
    warnings: Warnings,
    counts: Option<Counts>,
    facts: EngineFacts,
}

impl JobLease {
    /// `claimed` must be taken before the claim was sent.
    pub(super) fn new(job: &Job, delivery: Delivery, claimed: Instant) -> Arc<Self> {
        Arc::new(Self {
            id: job.id,
            trace: job.trace.clone(),
            attempt: job.attempt,
            cancel: AtomicBool::new(false),
            delivery,
            inner: Mutex::new(Inner {
                lost: None,
                renewed: claimed,
                stage: Stage::Fetch,
                progress: 0,
                millis: BTreeMap::new(),
                warnings: Warnings::default(),
                counts: None,
                facts: EngineFacts::default(),
            }),
        })
    }

    /// The id of the job's trace, for log lines.
    pub(super) fn trace_id(&self) -> Option<&str> {
        self.trace.as_ref().map(TraceParent::trace_id)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the job is lost; the first reason counts.
    pub(super) fn lose(&self, why: StopReason) {
        self.inner().lost.get_or_insert(why);
        self.cancel.store(true, Ordering::Relaxed);
    }

    /// Why the job was lost, if it was.
    pub(super) fn lost(&self) -> Option<StopReason> {
        self.inner().lost
    }

    /// The reason for a stop, as recorded in the attempt's ledger. A job that its worker released
    /// is not cancelled.
    pub(super) fn why_cancelled(&self) -> &'static str {
        match self.lost() {
            Some(StopReason::Stopping) => STOPPED,
            Some(StopReason::Superseded) => FailureCode::Superseded.as_str(),
            Some(StopReason::Lapsed) => FailureCode::StoreUnavailable.as_str(),
            Some(StopReason::Ended) | None => FailureCode::Cancelled.as_str(),
        }
    }

    /// Whether a whole lease has passed since the latest renewal.
    pub(super) fn lapsed(&self, lease: Duration) -> bool {
        self.inner().renewed.elapsed() >= lease
    }

    /// Begins a stage.
    pub(super) fn stage(&self, stage: Stage) {
        let mut inner = self.inner();
        (inner.stage, inner.progress) = (stage, 0);
    }

    /// Reports the fraction of the stage that is done, from 0 to 1.
    pub(super) fn progress(&self, fraction: f64) {
        // The fraction is at most 1, so the result is at most 1000.
        self.inner().progress = (fraction.clamp(0.0, 1.0) * 1000.0) as u16;
    }

    /// Records how long a stage took.
    pub(super) fn took(&self, stage: Stage, time: Duration) {
        self.inner().millis.insert(stage, cadmill_core::domain::limits::millis(time));
    }

    /// Records the warnings of the conversion, what it read and wrote, and what else its engine reports.
    pub(super) fn converted(&self, warnings: &Warnings, counts: Option<Counts>, facts: EngineFacts) {
        let mut inner = self.inner();
        inner.warnings.clone_from(warnings);
        inner.counts = counts;
        inner.facts = facts;
    }

    /// What is reported of the attempt so far.
    pub(super) fn report(&self) -> Event {
        let inner = self.inner();
        let (millis, warnings, facts) = (inner.millis.clone(), inner.warnings.clone(), inner.facts.clone());
        Event::Reported { attempt: self.attempt, millis, warnings, counts: inner.counts, facts }
    }

    /// The current stage, and its progress in thousandths.
    pub(super) fn current(&self) -> (Stage, u16) {
        let inner = self.inner();
        (inner.stage, inner.progress)
    }
}

/// Renews the lease of a claimed job.
pub(super) struct LeaseRenewer {
    pub(super) jobs: Jobs,
    pub(super) queue: Arc<dyn EventQueue>,
    pub(super) lease: Duration,
}

impl LeaseRenewer {
    /// Renews the lease until the task is aborted or the job is lost.
    pub(super) async fn run(&self, hold: &JobLease) {
        let tick = (self.lease / 8).min(Duration::from_millis(500));
        let mut told = (Stage::Fetch, 0);
        let mut looked = Instant::now();
        let mut wrote = Instant::now();
        let interval = self.jobs.store().progress_interval();
        while hold.lost().is_none() {
            tokio::time::sleep(tick).await;
            if hold.lapsed(self.lease) {
                tracing::warn!(job.id = %hold.id, trace_id = hold.trace_id(), attempt = hold.attempt, "the lease expired");
                hold.lose(StopReason::Lapsed);
                return;
            }
            let (stage, progress) = hold.current();
            let renewed = hold.inner().renewed;
            let is_news = match interval {
                _ if stage != told.0 => wrote.elapsed() >= STAGE_INTERVAL,
                Some(interval) => progress != told.1 && wrote.elapsed() >= interval,
                None => false,
            };
            if renewed.elapsed() >= self.lease / 3 {
                if self.renew(hold, (stage, progress)).await {
                    (told, wrote) = ((stage, progress), Instant::now());
                }
            } else if is_news {
                wrote = Instant::now();
                let event = Event::Progressed { attempt: hold.attempt, stage, progress };
                if self.send(hold, &event).await {
                    told = (stage, progress);
                }
            } else if looked.elapsed().min(wrote.elapsed()) >= LOOK_INTERVAL.min(self.lease / 3) {
                looked = Instant::now();
                self.look(hold).await;
            }
        }
    }

    async fn renew(&self, hold: &JobLease, progress: (Stage, u16)) -> bool {
        let before = Instant::now();
        let progress = Some(progress);
        let event = Event::Renewed { attempt: hold.attempt, revision: random(), progress };
        let done = self.send(hold, &event).await;
        if done {
            hold.inner().renewed = before;
        }
        // If the message becomes visible again, the duplicate is harmless.
        if let Some(message) = hold.delivery.message()
            && let Err(error) = self.queue.change_visibility(&message, self.lease).await
        {
            tracing::debug!(job.id = %hold.id, trace_id = hold.trace_id(), error = %error, "could not extend the visibility timeout of the message");
        }
        done
    }

    /// Sends an event of the lease holder. Returns whether it was applied.
    async fn send(&self, hold: &JobLease, event: &Event) -> bool {
        match self.jobs.send(hold.id, event).await {
            Ok(Change::Done(_) | Change::Ignored(..)) => true,
            Ok(Change::Denied(_, job)) => {
                hold.lose(if job.state.is_terminal() { StopReason::Ended } else { StopReason::Superseded });
                false
            }
            Ok(Change::Missing) => {
                hold.lose(StopReason::Ended);
                false
            }
            // A program of another version has the job.
            Err(PortError::Newer(_)) => {
                hold.lose(StopReason::Superseded);
                false
            }
            // Retried at the next tick, until the lease lapses.
            Err(error) => {
                tracing::warn!(job.id = %hold.id, trace_id = hold.trace_id(), error = %error, "the job could not be written");
                false
            }
        }
    }

    async fn look(&self, hold: &JobLease) {
        match self.jobs.store().get(hold.id).await {
            Ok(Some(job)) if job.state == State::Processing && job.attempt == hold.attempt => {}
            Ok(Some(job)) if !job.state.is_terminal() => hold.lose(StopReason::Superseded),
            Ok(_) => hold.lose(StopReason::Ended),
            Err(PortError::Newer(_)) => hold.lose(StopReason::Superseded),
            Err(error) => {
                tracing::debug!(job.id = %hold.id, trace_id = hold.trace_id(), error = %error, "the job could not be read")
            }
        }
    }
}

/// A random number for lease revisions. It lets a writer whose reply was lost recognise its own
/// write. Without a random source, the time still distinguishes two writes of one worker.
pub(super) fn random() -> u64 {
    let nanoseconds = |since: Duration| since.as_nanos() as u64;
    let now = || SystemTime::UNIX_EPOCH.elapsed().map(nanoseconds).unwrap_or_default();
    getrandom::u64().unwrap_or_else(|_| now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_job_that_its_owner_ended_is_cancelled() {
        let job = cadmill_stores::conformance::job_store::new_job(&"ann".parse().unwrap(), 1);
        let hold = || JobLease::new(&job, Delivery::None, Instant::now());
        assert_eq!(hold().why_cancelled(), "job.cancelled");
        for (why, told) in [
            (StopReason::Stopping, "worker.stopped"),
            (StopReason::Superseded, "infra.superseded"),
            (StopReason::Lapsed, "infra.store_unavailable"),
            (StopReason::Ended, "job.cancelled"),
        ] {
            let hold = hold();
            hold.lose(why);
            // The first reason counts.
            hold.lose(StopReason::Ended);
            assert_eq!(hold.why_cancelled(), told);
        }
    }
}
