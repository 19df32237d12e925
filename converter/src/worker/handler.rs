//! Processes a message up to the end of its job.
//!
//! Every path ends in a [`Settlement`], which decides what happens to the message. When in doubt,
//! the message stays in the queue.

use super::admission::{Admission, Share};
use super::attempt::{Attempt, Ended};
use super::context::{Active, Shared};
use super::failpoint;
use super::lease::random;
use super::message::{Delivery, Settlement};
use super::vigil::{Vigil, look_interval};
use crate::intake::{Remote, Source};
use crate::worker::lease::{JobLease, LeaseRenewer, StopReason};
use cadmill_core::cleanup::upload_key;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::{Job, JobFailure, Object, State};
use cadmill_core::domain::ledger::SignedHead;
use cadmill_core::domain::limits::Caps;
use cadmill_core::domain::state::{Denied, Event};
use cadmill_core::domain::upload_event::{self, NoticeError, UploadEvent};
use cadmill_core::jobs::Change;
use cadmill_core::metrics::{self, Attempt as AttemptEnd};
use cadmill_core::ports::event_queue::Message;
use cadmill_core::ports::{PortError, PortResult};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// After this many deliveries without an object, the event goes to the dead-letter queue.
const DELIVERIES_WITHOUT_OBJECT: u32 = 10;

/// How long to wait before retrying after a store did not answer.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// How long a job in a state that this version does not know is left to other workers, before this one
/// looks again. It is a fraction of what a message may be delivered before it becomes a dead letter.
const NEWER_PAUSE: Duration = Duration::from_secs(15);

/// How long a job waits in this worker for memory before it is returned to the queue.
const ROOM_WAIT: Duration = Duration::from_secs(30);

impl Shared {
    /// Processes a message and settles it.
    pub(super) async fn handle(self: Arc<Self>, message: Message, permit: Option<OwnedSemaphorePermit>) {
        let notices = match upload_event::parse(&message.body) {
            Ok(notices) => notices,
            Err(error @ NoticeError::Newer) => {
                tracing::warn!(message.id = %message.id, error = %error, "leaving the message to a worker of another version");
                return self.settle(&message, Settlement::Retry(NEWER_PAUSE)).await;
            }
            Err(error) => {
                tracing::error!(message.id = %message.id, error = %error, "the message is not an upload event");
                return self.settle(&message, Settlement::DeadLetter).await;
            }
        };
        let mut settle = Settlement::Delete;
        let mut permit = permit;
        let delivery = Delivery::of(message);
        for notice in &notices {
            match self.handle_event(notice, &delivery, permit.take()).await {
                Settlement::Delete => {}
                other => settle = other,
            }
        }
        if let Some(message) = delivery.message() {
            self.settle(&message, settle).await;
        }
    }

    async fn settle(&self, message: &Message, settle: Settlement) {
        let settled = match settle {
            Settlement::Delete => self.queue.delete(message).await,
            Settlement::DeadLetter => self.queue.dead_letter(message).await,
            Settlement::Retry(after) | Settlement::Released(after) => {
                self.queue.change_visibility(message, after).await
            }
            Settlement::Leave => Ok(()),
        };
        // The message is redelivered and settled then.
        if let Err(error) = settled {
            tracing::debug!(message.id = %message.id, error = %error, "could not settle the message");
        }
    }

    /// Takes the job of one notice to its end.
    pub(super) async fn handle_event(
        self: &Arc<Self>,
        notice: &UploadEvent,
        delivery: &Delivery,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Settlement {
        if notice.bucket != self.settings.bucket {
            tracing::error!(job.id = %notice.job, "the event is for another bucket");
            return Settlement::DeadLetter;
        }
        let Some(entered) = self.enter(notice.job, delivery) else {
            return self.already_here(notice.job, delivery).await;
        };
        let mut road = EventHandler { shared: self, notice, delivery, permit, entered };
        match road.run().await {
            Ok(settle) => settle,
            Err(error @ PortError::Newer(_)) => {
                tracing::warn!(job.id = %notice.job, error = %error, "leaving the job to a worker of another version");
                Settlement::Retry(NEWER_PAUSE)
            }
            Err(error) => {
                tracing::warn!(job.id = %notice.job, error = %error, "leaving the job for later");
                Settlement::Retry(STORE_PAUSE)
            }
        }
    }

    fn enter(self: &Arc<Self>, job: JobId, delivery: &Delivery) -> Option<ActiveJobGuard> {
        let mut active = self.active();
        if active.contains_key(&job) {
            return None;
        }
        active.insert(job, Active { delivery: delivery.clone(), hold: None });
        metrics::worker_jobs(active.len());
        Some(ActiveJobGuard { shared: Arc::clone(self), job })
    }

    /// Settles a message of a job that another task of this worker owns. A copy may be deleted,
    /// because the message of that task stays until the job has ended.
    async fn already_here(&self, job: JobId, delivery: &Delivery) -> Settlement {
        let active = self.active().get(&job).map(|active| active.delivery.clone());
        let (Some(message), Some(active)) = (delivery.message(), active) else {
            return Settlement::Leave;
        };
        // If that task has no message, only this message brings the job back.
        if matches!(active, Delivery::None) || active.renew(&message) {
            return Settlement::Leave;
        }
        // If the job has just ended, the message names an object that must be deleted once that
        // task is done.
        let live =
            self.jobs.store().get(job).await.map(|job| job.is_some_and(|job| !job.state.is_terminal()));
        if live != Ok(true) {
            return Settlement::Retry(Duration::from_secs(1));
        }
        tracing::info!(job.id = %job, "ignoring a duplicate event");
        Settlement::Delete
    }
}

/// Registers the job as owned by this worker until dropped.
struct ActiveJobGuard {
    shared: Arc<Shared>,
    job: JobId,
}

impl Drop for ActiveJobGuard {
    fn drop(&mut self) {
        let mut active = self.shared.active();
        active.remove(&self.job);
        metrics::worker_jobs(active.len());
    }
}

/// Processes one notice.
struct EventHandler<'a> {
    shared: &'a Arc<Shared>,
    notice: &'a UploadEvent,
    delivery: &'a Delivery,
    permit: Option<OwnedSemaphorePermit>,
    entered: ActiveJobGuard,
}

/// A job that may run: its input, whose directory is read, and its share of the memory.
struct Admitted {
    input: Remote,
    share: Share,
}

/// The result of watching another worker's lease.
enum LeaseWatch {
    /// It did not change for a whole lease.
    Dead(u64),
    /// Its worker has renewed it.
    Renewed,
    /// The job's state has changed, or another worker has it.
    Changed,
    /// This worker is stopping.
    Stop,
}

impl EventHandler<'_> {
    async fn run(&mut self) -> PortResult<Settlement> {
        let id = self.notice.job;
        let mut dead = None;
        loop {
            if self.shared.stop.is_cancelled() {
                return Ok(Settlement::Retry(Duration::ZERO));
            }
            let Some(job) = self.shared.jobs.store().get(id).await? else {
                // Waiting must not occupy a slot.
                self.permit = None;
                if self.shared.is_unknown(id).await? {
                    return self.shared.delete_late(self.notice, None).await;
                }
                continue;
            };
            if job.state.is_terminal() {
                return self.shared.delete_late(self.notice, Some(&job)).await;
            }
            let Some(input) = job.input.clone() else {
                if let Some(settle) = self.look_for_upload(&job).await? {
                    return Ok(settle);
                }
                continue;
            };
            let held = job.lease.as_ref().map(|lease| lease.revision);
            if held.is_some() && held != dead {
                match self.watch(&job).await? {
                    LeaseWatch::Dead(revision) => dead = Some(revision),
                    // A task for an upload that another one processes would idle for as long as
                    // that one works. If that one dies, cleanup announces the job.
                    LeaseWatch::Renewed if self.delivery.message().is_none() => {
                        tracing::info!(job.id = %id, "leaving the job to the worker that has it");
                        return Ok(Settlement::Leave);
                    }
                    LeaseWatch::Renewed | LeaseWatch::Changed => dead = None,
                    LeaseWatch::Stop => return Ok(Settlement::Retry(Duration::ZERO)),
                }
                continue;
            }
            if self.permit.is_none() {
                self.permit = Arc::clone(&self.shared.slots).acquire_owned().await.ok();
            }
            let room = match self.room(&job, &input).await? {
                Some(room) => room,
                None => return Ok(Settlement::Retry(Duration::from_secs(1))),
            };
            if let Some(settle) = self.claim(&job, dead, room).await? {
                return Ok(settle);
            }
            dead = None;
        }
    }

    /// The event reports that the object exists; its size and version come from the store.
    async fn look_for_upload(&self, job: &Job) -> PortResult<Option<Settlement>> {
        match self.shared.objects.head(&upload_key(job.id, &job.order.file_name)).await {
            Ok(object) => {
                // The time of the event, and not of its delivery: a job waits from its upload on.
                let (sequencer, at) = (self.notice.sequencer.clone(), self.notice.at);
                let event = Event::Uploaded { object, sequencer, at };
                self.shared.jobs.send(job.id, &event).await?;
                Ok(None)
            }
            // A worker that may not list the bucket cannot tell a missing object from a refused one.
            // Burying the event loses neither: cleanup, which can tell, announces an upload that is
            // there again, and expires a job without one.
            Err(error @ (PortError::NotFound(_) | PortError::Hidden(_)))
                if self.delivery.message().is_some_and(|m| m.deliveries >= DELIVERIES_WITHOUT_OBJECT) =>
            {
                tracing::error!(job.id = %job.id, trace_id = job.trace_id(), error = %error, "event for an object that does not exist");
                Ok(Some(Settlement::DeadLetter))
            }
            Err(error @ PortError::Hidden(_)) => {
                tracing::warn!(job.id = %job.id, trace_id = job.trace_id(), error = %error, "the upload is not visible to the worker");
                Ok(Some(Settlement::Retry(STORE_PAUSE)))
            }
            Err(PortError::NotFound(_)) => {
                tracing::info!(job.id = %job.id, trace_id = job.trace_id(), "the upload is not there yet, or not any more");
                Ok(Some(Settlement::Retry(STORE_PAUSE)))
            }
            Err(error) => Err(error),
        }
    }

    /// Watches another worker's lease on this worker's clock, continuing from the last recorded
    /// observation. It occupies no slot meanwhile.
    async fn watch(&mut self, job: &Job) -> PortResult<LeaseWatch> {
        self.permit = None;
        let lease = self.shared.lease();
        let Some(held) = &job.lease else { return Ok(LeaseWatch::Changed) };
        let revision = held.revision;
        let mut vigil = Vigil::new(held.unchanged, Instant::now());
        let interval = look_interval(lease);
        tracing::info!(
            job.id = %job.id,
            trace_id = job.trace_id(),
            attempt = job.attempt,
            unchanged_ms = held.unchanged,
            "another worker has the job; watching its lease"
        );
        // Shorter than a whole lease: if this worker dies, another must continue soon.
        self.keep_hidden_for(4 * interval).await;
        let mut hidden = Instant::now();
        while vigil.unchanged(Instant::now()) < lease {
            tokio::select! {
                () = self.shared.stop.cancelled() => return Ok(LeaseWatch::Stop),
                () = tokio::time::sleep(interval) => {}
            }
            if hidden.elapsed() >= 2 * interval {
                hidden = Instant::now();
                self.keep_hidden_for(4 * interval).await;
            }
            let now = self.shared.jobs.store().get(job.id).await?;
            match now.and_then(|job| job.lease) {
                Some(now) if now.revision == revision => vigil.hear(now.unchanged, Instant::now()),
                Some(now) if now.worker == held.worker => return Ok(LeaseWatch::Renewed),
                _ => return Ok(LeaseWatch::Changed),
            }
            let seen = Event::Watched { revision, unchanged: vigil.millis(Instant::now()) };
            // The write only helps other watchers; this one continues without it.
            if let Err(error) = self.shared.jobs.send(job.id, &seen).await {
                tracing::debug!(job.id = %job.id, trace_id = job.trace_id(), error = %error, "could not write the observation of a lease");
            }
        }
        tracing::warn!(job.id = %job.id, trace_id = job.trace_id(), attempt = job.attempt, "the lease of another worker has expired");
        Ok(LeaseWatch::Dead(revision))
    }

    async fn keep_hidden(&self) {
        self.keep_hidden_for(self.shared.lease()).await;
    }

    async fn keep_hidden_for(&self, time: Duration) {
        if let Some(message) = self.delivery.message()
            && let Err(error) = self.shared.queue.change_visibility(&message, time).await
        {
            tracing::debug!(job.id = %self.notice.job, error = %error, "could not extend the visibility timeout of the message");
        }
    }

    /// Opens and checks the input, and reserves memory for the job. Returns a failure if the input
    /// is refused or can never fit, and `None` if other jobs hold the memory for too long.
    async fn room(&self, job: &Job, input: &Object) -> PortResult<Option<Result<Admitted, Failure>>> {
        let (objects, settings) = (Arc::clone(&self.shared.objects), &self.shared.settings);
        let opened = Remote::open(objects, &job.order, input.clone(), &settings.archive, settings.flow);
        let input = match opened.await? {
            Ok(input) => input,
            Err(failure) => return Ok(Some(Err(failure))),
        };
        let since = Instant::now();
        loop {
            match self.shared.budget.admit(
                input.needs_bytes(),
                settings.caps.memory_bytes,
                settings.caps.output_bytes,
            ) {
                Admission::Now(share) => return Ok(Some(Ok(Admitted { input, share }))),
                Admission::Never(failure) => return Ok(Some(Err(failure))),
                Admission::Later if since.elapsed() >= ROOM_WAIT => return Ok(None),
                Admission::Later => {}
            }
            tokio::select! {
                () = self.shared.stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
            self.keep_hidden().await;
        }
    }

    /// Claims the job and processes it; `None` if another worker was faster.
    async fn claim(
        &mut self,
        job: &Job,
        dead: Option<u64>,
        room: Result<Admitted, Failure>,
    ) -> PortResult<Option<Settlement>> {
        let shared = self.shared;
        let claimed = Instant::now();
        let event = Event::Claimed { worker: shared.settings.name.clone(), revision: random(), dead };
        let job = match shared.jobs.send(job.id, &event).await? {
            Change::Done(job) => job,
            Change::Denied(Denied::AttemptsSpent, _) => {
                let ended = shared.jobs.send(job.id, &Event::Abandoned { dead }).await?;
                return Ok(matches!(ended, Change::Done(_)).then_some(Settlement::DeadLetter));
            }
            Change::Ignored(..) | Change::Denied(..) | Change::Missing => return Ok(None),
        };
        tracing::info!(job.id = %job.id, trace_id = job.trace_id(), attempt = job.attempt, bytes = job.order.size_bytes, "claimed");
        failpoint::reached("claimed");
        let hold = JobLease::new(&job, self.delivery.clone(), claimed);
        if let Some(active) = shared.active().get_mut(&self.entered.job) {
            active.hold = Some(Arc::clone(&hold));
        }
        shared.claimed.notify_one();
        // The stop signal may have arrived before the job was registered.
        if shared.stop.is_cancelled() {
            hold.lose(StopReason::Stopping);
        }
        let keeper = {
            let keeper = LeaseRenewer {
                jobs: shared.jobs.clone(),
                queue: Arc::clone(&shared.queue),
                lease: shared.lease(),
            };
            let hold = Arc::clone(&hold);
            tokio::spawn(async move { keeper.run(&hold).await })
        };
        let ended = self.attempt(*job, room, &hold).await;
        let settle = self.conclude(&hold, ended).await;
        // A used host has exited; start one for the next job.
        shared.with_hosts(|hosts| hosts.fill()).await;
        keeper.abort();
        Ok(Some(settle))
    }

    /// Processes or refuses the job. Both are recorded in a ledger.
    async fn attempt(&self, job: Job, room: Result<Admitted, Failure>, hold: &Arc<JobLease>) -> Ended {
        let shared = self.shared;
        let (input, share) = match room {
            Ok(Admitted { input, share }) => (Ok(input), Some(share)),
            Err(failure) => (Err(failure), None),
        };
        let caps = shared.settings.caps;
        let own = share.as_ref().map(|share| (share.engine_bytes, share.output_bytes));
        let (memory_bytes, output_bytes) = own.unwrap_or((caps.memory_bytes, caps.output_bytes));
        let attempt = Attempt {
            job,
            input,
            hold: Arc::clone(hold),
            objects: Arc::clone(&shared.objects),
            runtime: tokio::runtime::Handle::current(),
            setting: shared.setting.clone(),
            recording: shared.recording.clone(),
            caps: Caps { memory_bytes, output_bytes, ..caps },
            archive: shared.settings.archive,
        };
        shared.attempts.run(attempt).await
    }

    /// Ends or releases the job, and decides how the message is settled.
    async fn conclude(&self, hold: &Arc<JobLease>, Ended { result, head }: Ended) -> Settlement {
        let attempt = hold.attempt;
        if !self.report(hold).await {
            self.note_head(head).await;
            return Settlement::Retry(self.shared.lease());
        }
        let (failure, stage) = match result {
            Ok(output) => return self.complete(hold, output, head).await,
            Err(failed) => failed,
        };
        let told =
            |failure: Failure| JobFailure { code: failure.code, message: failure.message, at: Some(stage) };
        let infra = failure.code.as_str().starts_with("infra.");
        let event = match hold.lost() {
            Some(StopReason::Ended) => {
                metrics::attempt_ended(AttemptEnd::Superseded);
                self.note_head(head).await;
                return Settlement::Delete;
            }
            Some(StopReason::Superseded) => {
                metrics::attempt_ended(AttemptEnd::Superseded);
                self.note_head(head).await;
                return Settlement::Retry(self.shared.lease());
            }
            Some(StopReason::Stopping) => Event::Released { attempt, failure: None },
            Some(StopReason::Lapsed) => {
                let failure = Failure::new(FailureCode::StoreUnavailable, "the lease could not be renewed");
                Event::Released { attempt, failure: Some(told(failure)) }
            }
            None if infra => {
                tracing::error!(job.id = %hold.id, trace_id = hold.trace_id(), attempt, code = %failure.code, stage = stage.as_str(), "the attempt failed with a system error");
                Event::Released { attempt, failure: Some(told(failure)) }
            }
            None => {
                tracing::info!(job.id = %hold.id, trace_id = hold.trace_id(), attempt, code = %failure.code, stage = stage.as_str(), "failed");
                Event::Failed { attempt, failure: told(failure) }
            }
        };
        metrics::attempt_ended(match &event {
            Event::Failed { .. } => AttemptEnd::Failed,
            Event::Released { failure: None, .. } => AttemptEnd::Stopped,
            _ => AttemptEnd::Retried,
        });
        match self.end(hold, &event, head).await {
            Some(job) => match (job.state, &event) {
                (State::Pending, Event::Released { failure: None, .. }) => {
                    Settlement::Released(Duration::ZERO)
                }
                (State::Pending, _) => Settlement::Released(backoff(attempt)),
                (State::Failed, Event::Released { .. }) => Settlement::DeadLetter,
                _ => Settlement::Delete,
            },
            None => Settlement::Retry(self.shared.lease()),
        }
    }

    /// Writes the stage times and the warnings, retrying until the lease expires: no job ends
    /// without its warnings. Returns whether the attempt may be ended.
    async fn report(&self, hold: &Arc<JobLease>) -> bool {
        loop {
            match self.shared.jobs.send(hold.id, &hold.report()).await {
                // Whether the job is still this worker's, is decided by the write that ends it.
                Ok(_) => return true,
                Err(_) if hold.lost().is_some() => return true,
                Err(error) if hold.lapsed(self.shared.lease()) => {
                    tracing::error!(job.id = %hold.id, trace_id = hold.trace_id(), error = %error, "could not write the report of the attempt");
                    return false;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    }

    async fn complete(&self, hold: &Arc<JobLease>, output: Object, head: Option<SignedHead>) -> Settlement {
        let bytes = output.size_bytes;
        let event = Event::Completed { attempt: hold.attempt, output };
        match self.end(hold, &event, head).await {
            Some(job) if job.state == State::Completed && job.attempt == hold.attempt => {
                metrics::attempt_ended(AttemptEnd::Completed);
                tracing::info!(job.id = %hold.id, trace_id = hold.trace_id(), attempt = hold.attempt, bytes, "completed");
                failpoint::reached("recorded");
                // The input is no longer needed. Only the version that was read: everything else under
                // the job's prefix is for cleanup, so the worker needs no right to list. If this
                // fails, cleanup deletes it too.
                if let Some(input) = &job.input
                    && let Err(error) = self.shared.objects.delete(&input.key, input.version.as_deref()).await
                {
                    tracing::warn!(job.id = %hold.id, trace_id = hold.trace_id(), error = %error, "the upload could not be deleted yet");
                }
                Settlement::Delete
            }
            ended => {
                metrics::attempt_ended(AttemptEnd::Superseded);
                tracing::warn!(
                    job.id = %hold.id,
                    trace_id = hold.trace_id(),
                    attempt = hold.attempt,
                    "the result came too late; not publishing it"
                );
                // Unless the job has ended, another worker's conversion may still need the message.
                if ended.is_some() { Settlement::Delete } else { Settlement::Retry(self.shared.lease()) }
            }
        }
    }

    async fn note_head(&self, head: Option<SignedHead>) {
        if let Some(head) = head {
            self.shared.note_head(head).await;
        }
    }

    /// Writes the end of the attempt with the head of its ledger, retrying until the lease expires.
    /// Returns the updated job, if this worker still owned it or it has ended.
    async fn end(&self, hold: &Arc<JobLease>, end: &Event, head: Option<SignedHead>) -> Option<Job> {
        let event = match head.clone() {
            Some(head) => Event::Audited { head: Box::new(head), end: Some(Box::new(end.clone())) },
            None => end.clone(),
        };
        loop {
            match self.shared.jobs.send(hold.id, &event).await {
                Ok(Change::Done(job) | Change::Ignored(_, job)) => return Some(*job),
                Ok(Change::Denied(_, job)) => {
                    // The files were destroyed in any case, so the head is kept.
                    self.note_head(head).await;
                    return job.state.is_terminal().then_some(*job);
                }
                Ok(Change::Missing) => return None,
                Err(error) if hold.lapsed(self.shared.lease()) => {
                    tracing::error!(job.id = %hold.id, trace_id = hold.trace_id(), error = %error, "could not write the end of the attempt");
                    return None;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    }
}

/// Delay before a job is retried.
fn backoff(attempt: u32) -> Duration {
    Duration::from_secs((2u64 << attempt.min(7)).min(120))
}
