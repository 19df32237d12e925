//! From a message to the end of its job.
//!
//! Every road through here ends in a [`Settlement`]: what becomes of the message. When
//! in doubt it stays in the queue.

use super::admission::{Admission, Share};
use super::attempt::{Attempt, Ended, panicked};
use super::context::{Active, Shared};
use super::failpoint;
use super::lease::random;
use super::message::{Delivery, Settlement};
use super::vigil::{Vigil, look_interval};
use crate::intake::{Remote, Source};
use crate::stack;
use crate::worker::lease::{JobLease, LeaseRenewer, StopReason};
use cadmill_core::cleanup::upload_key;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ids::{JobId, Role};
use cadmill_core::domain::job::{Job, JobFailure, Object, Stage, State};
use cadmill_core::domain::ledger::SignedHead;
use cadmill_core::domain::limits::Caps;
use cadmill_core::domain::state::{Denied, Event};
use cadmill_core::domain::upload_event::{self, UploadEvent};
use cadmill_core::jobs::Change;
use cadmill_core::ports::event_queue::Message;
use cadmill_core::ports::{PortError, PortResult};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

/// After this many deliveries without an object the event is for nobody.
const DELIVERIES_WITHOUT_OBJECT: u32 = 10;

/// How long a store is left alone that did not answer.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// How long a job waits in this worker for room before another may try.
const ROOM_WAIT: Duration = Duration::from_secs(30);

impl Shared {
    /// Takes a message to its end.
    pub(super) async fn handle(self: Arc<Self>, message: Message, permit: Option<OwnedSemaphorePermit>) {
        let notices = match upload_event::parse(&message.body) {
            Ok(notices) => notices,
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
            Settlement::Retry(after) => self.queue.change_visibility(message, after).await,
            Settlement::Leave => Ok(()),
        };
        // It comes again and is judged again.
        if let Err(error) = settled {
            tracing::debug!(message.id = %message.id, error = %error, "could not settle the message");
        }
    }

    /// Takes one notice to the end of its job.
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
        Some(ActiveJobGuard { shared: Arc::clone(self), job })
    }

    /// The message of a job that another task of this worker has: a copy may go, for
    /// that task's own message stays until the job has ended.
    async fn already_here(&self, job: JobId, delivery: &Delivery) -> Settlement {
        let active = self.active().get(&job).map(|active| active.delivery.clone());
        let (Some(message), Some(active)) = (delivery.message(), active) else {
            return Settlement::Leave;
        };
        // Without a message of its own, that task is not what brings the job back.
        if matches!(active, Delivery::None) || active.renew(&message) {
            return Settlement::Leave;
        }
        // Of a job that has just ended it tells of an object that is to be deleted, when
        // that task is through.
        let live =
            self.jobs.store().get(job).await.map(|job| job.is_some_and(|job| !job.state.is_terminal()));
        if live != Ok(true) {
            return Settlement::Retry(Duration::from_secs(1));
        }
        tracing::info!(job.id = %job, "ignoring a duplicate event");
        Settlement::Delete
    }
}

/// The job is noted as this worker's while this lives.
struct ActiveJobGuard {
    shared: Arc<Shared>,
    job: JobId,
}

impl Drop for ActiveJobGuard {
    fn drop(&mut self) {
        self.shared.active().remove(&self.job);
    }
}

/// The way of one notice.
struct EventHandler<'a> {
    shared: &'a Arc<Shared>,
    notice: &'a UploadEvent,
    delivery: &'a Delivery,
    permit: Option<OwnedSemaphorePermit>,
    entered: ActiveJobGuard,
}

/// A job that may run: its input, of which the directory is known, and its share of
/// the memory.
struct Admitted {
    input: Remote,
    share: Share,
}

/// What watching another's lease ended with.
enum LeaseWatch {
    /// It did not change for a whole lease.
    Dead(u64),
    /// The job is in another situation.
    Changed,
    /// This worker is to stop.
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
                // A slot is for work.
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
                    LeaseWatch::Changed => dead = None,
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

    /// The event says that the object is there; the store says what it is.
    async fn look_for_upload(&self, job: &Job) -> PortResult<Option<Settlement>> {
        match self.shared.objects.head(&upload_key(job.id, &job.order.file_name)).await {
            Ok(object) => {
                let event = Event::Uploaded { object, sequencer: self.notice.sequencer.clone() };
                self.shared.jobs.send(job.id, &event).await?;
                Ok(None)
            }
            Err(PortError::NotFound(_))
                if self.delivery.message().is_some_and(|m| m.deliveries >= DELIVERIES_WITHOUT_OBJECT) =>
            {
                tracing::error!(job.id = %job.id, "event for an object that does not exist");
                Ok(Some(Settlement::DeadLetter))
            }
            Err(PortError::NotFound(_)) => Ok(Some(Settlement::Retry(STORE_PAUSE))),
            Err(error) => Err(error),
        }
    }

    /// Watches another's lease on this worker's clock, from where the last one who watched it
    /// was interrupted. It takes no slot meanwhile.
    async fn watch(&mut self, job: &Job) -> PortResult<LeaseWatch> {
        self.permit = None;
        let lease = self.shared.lease();
        let Some(held) = &job.lease else { return Ok(LeaseWatch::Changed) };
        let revision = held.revision;
        let mut vigil = Vigil::new(held.unchanged, Instant::now());
        let interval = look_interval(lease);
        tracing::info!(
            job.id = %job.id,
            attempt = job.attempt,
            unchanged_ms = held.unchanged,
            "another worker has the job; watching its lease"
        );
        // Not for a whole lease: if this worker dies, another is to go on soon.
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
                Some(held) if held.revision == revision => vigil.hear(held.unchanged, Instant::now()),
                _ => return Ok(LeaseWatch::Changed),
            }
            let seen = Event::Watched { revision, unchanged: vigil.millis(Instant::now()) };
            // It is for others; this one goes on without.
            if let Err(error) = self.shared.jobs.send(job.id, &seen).await {
                tracing::debug!(job.id = %job.id, error = %error, "could not write the observation of a lease");
            }
        }
        tracing::warn!(job.id = %job.id, attempt = job.attempt, "the lease of another worker has expired");
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

    /// The input, judged, and room for the job; a failure when it is refused or will
    /// never fit, nothing when others use what it needs for too long.
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

    /// Claims the job and works on it; nothing when another was faster.
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
        tracing::info!(job.id = %job.id, attempt = job.attempt, bytes = job.order.size_bytes, "claimed");
        failpoint::reached("claimed");
        let hold = JobLease::new(job.id, job.attempt, self.delivery.clone(), claimed);
        if let Some(active) = shared.active().get_mut(&self.entered.job) {
            active.hold = Some(Arc::clone(&hold));
        }
        // The signal may have come between the look at it and the entry.
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
        // One that was used has gone; the next job finds another.
        shared.with_hosts(|hosts| hosts.fill()).await;
        keeper.abort();
        Ok(Some(settle))
    }

    /// Works on the job, or refuses it, on a thread of its own. Both are recorded.
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
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let started = std::thread::Builder::new().name("attempt".to_owned()).spawn(move || {
            // Nobody waits for it any more when the runtime is gone.
            let _ = sender.send(stack::cleared(|| attempt.run()));
        });
        if let Err(error) = started {
            return Ended::unrecorded(Failure::io("starting a thread", &error), Stage::Fetch);
        }
        // The sender is dropped without a word when the thread panics.
        receiver.await.unwrap_or_else(|_| Ended::unrecorded(panicked(), hold.current().0))
    }

    /// Ends the job, or gives it back, and says what becomes of the message.
    async fn conclude(&self, hold: &Arc<JobLease>, Ended { result, head }: Ended) -> Settlement {
        let attempt = hold.attempt;
        let stages = Event::StagesEnded { attempt, millis: hold.current().2 };
        if let Err(error) = self.shared.jobs.send(hold.id, &stages).await {
            tracing::debug!(job.id = %hold.id, error = %error, "could not write the stage times");
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
                self.note_head(head).await;
                return Settlement::Delete;
            }
            Some(StopReason::Superseded) => {
                self.note_head(head).await;
                return Settlement::Retry(self.shared.lease());
            }
            Some(StopReason::Stopping) => Event::Released { attempt, failure: None },
            Some(StopReason::Lapsed) => {
                let failure = Failure::new(FailureCode::StoreUnavailable, "the lease could not be renewed");
                Event::Released { attempt, failure: Some(told(failure)) }
            }
            None if infra => {
                tracing::error!(job.id = %hold.id, attempt, code = %failure.code, stage = stage.as_str(), "the attempt failed with a system error");
                Event::Released { attempt, failure: Some(told(failure)) }
            }
            None => {
                tracing::info!(job.id = %hold.id, attempt, code = %failure.code, stage = stage.as_str(), "failed");
                Event::Failed { attempt, failure: told(failure) }
            }
        };
        match self.end(hold, &event, head).await {
            Some(job) => match (job.state, &event) {
                (State::Pending, Event::Released { failure: None, .. }) => Settlement::Retry(Duration::ZERO),
                (State::Pending, _) => Settlement::Retry(backoff(attempt)),
                (State::Failed, Event::Released { .. }) => Settlement::DeadLetter,
                _ => Settlement::Delete,
            },
            None => Settlement::Retry(self.shared.lease()),
        }
    }

    async fn complete(&self, hold: &Arc<JobLease>, output: Object, head: Option<SignedHead>) -> Settlement {
        let bytes = output.size_bytes;
        let event = Event::Completed { attempt: hold.attempt, output };
        match self.end(hold, &event, head).await {
            Some(job) if job.state == State::Completed && job.attempt == hold.attempt => {
                tracing::info!(job.id = %hold.id, attempt = hold.attempt, bytes, "completed");
                failpoint::reached("recorded");
                // Nobody needs the input any more. If this fails, the cleanup does it.
                if let Err(error) = self.shared.objects.purge(Role::Upload, hold.id).await {
                    tracing::warn!(job.id = %hold.id, error = %error, "the upload could not be deleted yet");
                }
                Settlement::Delete
            }
            ended => {
                tracing::warn!(
                    job.id = %hold.id,
                    attempt = hold.attempt,
                    "the result came too late; not publishing it"
                );
                // Another's conversion still needs a message to fall back on.
                if ended.is_some() { Settlement::Delete } else { Settlement::Retry(self.shared.lease()) }
            }
        }
    }

    async fn note_head(&self, head: Option<SignedHead>) {
        if let Some(head) = head {
            self.shared.note_head(head).await;
        }
    }

    /// Writes the end of the attempt with the head of its ledger, however long the store
    /// does not answer, until the lease is over. The job after it, if it is ours or has
    /// ended.
    async fn end(&self, hold: &Arc<JobLease>, end: &Event, head: Option<SignedHead>) -> Option<Job> {
        let event = match head.clone() {
            Some(head) => Event::Audited { head: Box::new(head), end: Some(Box::new(end.clone())) },
            None => end.clone(),
        };
        loop {
            match self.shared.jobs.send(hold.id, &event).await {
                Ok(Change::Done(job) | Change::Ignored(_, job)) => return Some(*job),
                Ok(Change::Denied(_, job)) => {
                    // The files were destroyed all the same.
                    self.note_head(head).await;
                    return job.state.is_terminal().then_some(*job);
                }
                Ok(Change::Missing) => return None,
                Err(error) if hold.lapsed(self.shared.lease()) => {
                    tracing::error!(job.id = %hold.id, error = %error, "could not write the end of the attempt");
                    return None;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    }
}

/// How long a job waits before it is tried again.
fn backoff(attempt: u32) -> Duration {
    Duration::from_secs((2u64 << attempt.min(7)).min(120))
}
