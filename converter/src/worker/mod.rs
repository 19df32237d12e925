//! The worker: consumes events from the queue and takes jobs through their stages.
//!
//! ```text
//!   message -> notice -> job -> room? -> claim -> attempt -> end -> message deleted
//!                                          |
//!                                          +- another has it: watch its lease
//! ```
//!
//! A job is claimed by one conditional write and held by a lease ([`lease`]). The message is
//! deleted last, after the write that ends the job. If anything fails before that, the message is
//! redelivered to this worker or to another. A duplicate event has no effect.
//!
//! Jobs that do not fit the worker's memory are refused ([`admission`]). The worker never loads a
//! CAD library: engines run in separate processes.

pub mod admission;
mod attempt;
mod context;
pub mod failpoint;
mod handler;
mod late;
mod lease;
mod ledger;
mod message;
mod parts;
mod protection;
pub mod task;
mod upload;
mod vigil;

use crate::conversion::context::ConversionContext;
use crate::engine::warm_pool::{WAITING_BYTES, WarmPool};
use admission::Budget;
use attempt::OnThreads;
pub use attempt::{Attempt, Attempts, Ended};
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::{Job, Object};
use cadmill_core::domain::ledger::SignedHead;
use cadmill_core::domain::state::Event;
use cadmill_core::domain::trace::TraceParent;
use cadmill_core::domain::upload_event::{self, UploadEvent};
use cadmill_core::jobs::{Change, Jobs};
use cadmill_core::metrics::{self, Wipe};
use cadmill_core::ports::event_queue::Message;
use cadmill_core::ports::{EventQueue, ObjectStore, PortResult};
pub use context::WorkerSettings;
use context::{Active, Shared};
use lease::StopReason;
pub use ledger::{LedgerFactory, StageRecorder, posture_fields};
use message::{Delivery, Settlement};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use task::TaskMessage;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// How long one receive call waits for a message.
const WAIT: Duration = Duration::from_secs(10);

/// Interval between sweeps of what dead processes left.
const SWEEP_INTERVAL: Duration = Duration::from_secs(20);

/// Delay of the second sweep: an engine of `worker.warm` that cannot be loaded has failed by then,
/// and the operator who started the worker is still watching its log.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// A worker.
#[derive(Clone)]
pub struct Worker {
    shared: Arc<Shared>,
}

impl Worker {
    /// Creates a worker on these stores. It runs until `stop` is cancelled.
    pub fn new(
        settings: WorkerSettings,
        setting: ConversionContext,
        recording: LedgerFactory,
        jobs: Jobs,
        objects: Arc<dyn ObjectStore>,
        queue: Arc<dyn EventQueue>,
        stop: CancellationToken,
    ) -> Self {
        let waiting = setting.hosts.as_ref().map_or(0, |hosts| hosts.kept().saturating_mul(WAITING_BYTES));
        let budget = Budget::new(settings.memory_bytes.saturating_sub(waiting))
            .in_place(setting.place.size_bytes(), settings.concurrency);
        metrics::worker_memory(budget.total(), 0);
        metrics::worker_jobs(0);
        let slots = Arc::new(Semaphore::new(settings.concurrency.max(1) as usize));
        let active = Mutex::default();
        let receiving = AtomicBool::new(false);
        let shared = Shared {
            settings,
            setting,
            recording,
            attempts: Arc::new(OnThreads),
            jobs,
            objects,
            queue,
            budget,
            slots,
            receiving,
            claimed: Notify::new(),
            stop,
            active,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The same worker, whose attempts are made by `attempts` instead of on threads, with engine
    /// processes: for a simulation of many jobs, in which an attempt only lets time pass.
    ///
    /// # Panics
    /// If the worker was cloned before.
    #[must_use]
    pub fn attempting(mut self, attempts: Arc<dyn Attempts>) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("a worker that was not cloned yet");
        shared.attempts = attempts;
        self
    }

    /// Processes messages until it is stopped. Then it kills running engines, wipes, releases the
    /// jobs, and returns within [`WorkerSettings::stop_within`]. Returns whether everything was
    /// done in that time.
    pub async fn run(&self) -> bool {
        let shared = &self.shared;
        shared.warn_of_idle_hosts();
        let tasks = TaskTracker::new();
        // They end with this future, however it ends.
        let aside = [
            tokio::spawn(Arc::clone(shared).sweep_now_and_then()),
            tokio::spawn(Arc::clone(shared).look_for_late_ones(tasks.clone())),
            tokio::spawn(Arc::clone(shared).protect_while_busy()),
        ];
        let aside = aside.map(AbortOnDropHandle::new);
        while let Some((message, permit)) = shared.next().await {
            let shared = Arc::clone(shared);
            tasks.spawn(async move { shared.handle(message, Some(permit)).await });
        }
        drop(aside);
        tracing::info!(jobs = tasks.len(), "stopping");
        shared.lose_all();
        shared.with_hosts(|hosts| hosts.close()).await;
        tasks.close();
        // Part of the time is left for the exit of the process itself.
        let within = shared.settings.stop_within.saturating_sub(Duration::from_secs(1));
        let done = tokio::time::timeout(within, tasks.wait()).await.is_ok();
        if !done {
            tracing::error!(
                "not every job was released in time; their leases will expire, and the next sweep removes their files"
            );
        }
        done
    }

    /// Takes the jobs of this message to their ends, and nothing else: for a task that is started
    /// for one upload. Returns whether nothing is left to do.
    ///
    /// A task has no message that is delivered again, and nothing restarts a task that failed. So
    /// this sends the event of a job that must be tried again to the queue, and whatever starts
    /// tasks from the queue starts another one. If that fails, or if the task dies, cleanup
    /// announces the job when it is due.
    pub async fn run_once(&self, message: &TaskMessage) -> bool {
        let shared = &self.shared;
        // No job follows that could use a warm host.
        shared.with_hosts(|hosts| hosts.close()).await;
        shared.sweep().await;
        let stopper = {
            let shared = Arc::clone(shared);
            tokio::spawn(async move {
                shared.stop.cancelled().await;
                shared.lose_all();
            })
        };
        if message.uploads.is_empty() {
            tracing::info!("skipped: the event or key is not of an upload of cadmill");
        }
        let mut done = true;
        let mut again = false;
        for notice in &message.uploads {
            match shared.handle_event(notice, &Delivery::None, None).await {
                // What would be buried is in the log, and cannot be tried again.
                Settlement::Delete | Settlement::DeadLetter => {}
                Settlement::Leave => done = false,
                Settlement::Released(_) | Settlement::Retry(_) => again = true,
            }
        }
        stopper.abort();
        if again {
            shared.try_again(message).await;
        }
        done && !again
    }
}

impl Shared {
    /// The next message, with a slot to process it; `None` when the worker is stopping.
    async fn next(&self) -> Option<(Message, tokio::sync::OwnedSemaphorePermit)> {
        loop {
            let work = async {
                let permit = Arc::clone(&self.slots).acquire_owned().await.ok()?;
                let lease = self.lease();
                self.receiving.store(true, Ordering::Relaxed);
                let received = self.queue.receive(1, WAIT, lease).await;
                self.receiving.store(false, Ordering::Relaxed);
                match received {
                    Ok(messages) => Some(messages.into_iter().next().map(|message| (message, permit))),
                    Err(error) => {
                        tracing::warn!(error = %error, "could not receive messages");
                        tokio::time::sleep(Duration::from_secs(2)).await;
                        Some(None)
                    }
                }
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                // A cancelled receive leaves its message hidden for one lease at most.
                found = work => match found {
                    Some(Some(message)) => return Some(message),
                    Some(None) => {}
                    None => return None,
                },
            }
        }
    }

    /// Sends the event to the queue again, or that of a job that was named without one.
    async fn try_again(&self, message: &TaskMessage) {
        match message.send_again(&*self.queue).await {
            Ok(Some(times)) => {
                tracing::info!(times, "sent the event again; another task must process it");
            }
            Ok(None) => {
                for notice in message.uploads.iter().filter(|notice| notice.key.is_none()) {
                    self.announce(notice).await;
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, "could not send the event again; cleanup announces the job when it is due");
            }
        }
    }

    /// Sends the event of an upload to the queue again.
    async fn announce(&self, notice: &UploadEvent) {
        let announced = match self.jobs.store().get(notice.job).await {
            Ok(Some(Job { state, input: Some(object), trace, .. })) if !state.is_terminal() => {
                self.send_event(notice, &object, trace.as_ref()).await
            }
            Ok(_) => return,
            Err(error) => Err(error),
        };
        match announced {
            Ok(()) => {
                tracing::info!(job.id = %notice.job, "announced the job again; another task must process it");
            }
            Err(error) => {
                tracing::warn!(job.id = %notice.job, error = %error, "could not announce the job again; cleanup does it when the job is due");
            }
        }
    }

    async fn send_event(
        &self,
        notice: &UploadEvent,
        object: &Object,
        trace: Option<&TraceParent>,
    ) -> PortResult<()> {
        let (id, now) = (JobId::random().to_string(), self.jobs.clock().now());
        let bucket = &self.settings.bucket;
        let body = upload_event::object_created(bucket, object, &notice.sequencer, "Released", &id, now);
        self.queue.send(&upload_event::traced(body, trace)).await
    }

    fn lease(&self) -> Duration {
        Duration::from_millis(self.jobs.policy().lease)
    }

    fn active(&self) -> MutexGuard<'_, HashMap<JobId, Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose_all(&self) {
        for active in self.active().values() {
            if let Some(hold) = &active.hold {
                hold.lose(StopReason::Stopping);
            }
        }
    }

    /// Warns if the files of any job leave its engine less memory than the cap of a warm host.
    fn warn_of_idle_hosts(&self) {
        let (room, limit) = (self.budget.total(), self.settings.caps.memory_bytes);
        if self.setting.hosts.as_ref().is_some_and(|hosts| hosts.kept() > 0) && room <= limit {
            tracing::warn!(
                room_bytes = room,
                limit_bytes = limit,
                "no job is served by a process of worker.warm: worker.memory leaves less than limits.memory beside the files of a job"
            );
        }
    }

    async fn sweep_now_and_then(self: Arc<Self>) {
        let mut pause = FIRST_LOOK;
        loop {
            self.with_hosts(|hosts| hosts.fill()).await;
            self.sweep().await;
            tokio::time::sleep(pause).await;
            pause = SWEEP_INTERVAL;
        }
    }

    /// Runs `act` on the pool of warm hosts, on a thread that may block.
    async fn with_hosts(&self, act: fn(&WarmPool)) {
        let hosts = self.setting.hosts.clone().filter(|hosts| hosts.kept() > 0);
        if let Some(hosts) = hosts
            && let Err(error) = tokio::task::spawn_blocking(move || act(&hosts)).await
        {
            tracing::error!(error = %error, "could not maintain the warm engine hosts");
        }
    }

    /// Removes what killed processes left in the workspace location.
    async fn sweep(&self) {
        let (place, recording) = (self.setting.place.clone(), self.recording.clone());
        let swept = tokio::task::spawn_blocking(move || place.sweep(&|left| recording.sweep(left))).await;
        metrics::swept();
        let swept = match swept {
            Ok(Ok(swept)) => swept,
            Ok(Err(error)) => {
                return tracing::error!(error = %error, "could not sweep the workspace directory");
            }
            Err(error) => return tracing::error!(error = %error, "sweeping failed"),
        };
        metrics::wiped(Wipe::Swept, swept.removed);
        metrics::wiped(Wipe::Failed, swept.left);
        if swept != crate::workspace::SweepReport::default() {
            tracing::warn!(
                removed = swept.removed,
                left = swept.left,
                "removed the workspaces of a dead process"
            );
        }
        for head in swept.heads {
            self.note_head(head).await;
        }
    }

    /// Stores the head of a ledger in the job's record, whatever the job's state. If that fails,
    /// the head is still stored beside the ledger.
    async fn note_head(&self, head: SignedHead) {
        let ledger = head.head.ledger;
        match self.jobs.send(ledger.job, &Event::Audited { head: Box::new(head), end: None }).await {
            Ok(Change::Done(_) | Change::Ignored(..)) => {}
            Ok(Change::Denied(..) | Change::Missing) => {
                tracing::warn!(job.id = %ledger.job, ledger = %ledger, "ledger head rejected by the job record");
            }
            Err(error) => {
                tracing::warn!(job.id = %ledger.job, ledger = %ledger, error = %error, "could not store the head of a ledger in the job record");
            }
        }
    }
}
