//! Events that arrive after the job has ended.
//!
//! A presigned request stays valid until it expires, even after its job has ended and the upload
//! was deleted: anyone who holds it can write the object again. The event of that object triggers
//! its immediate deletion, by key and version. If the event is lost, the second purge of the job
//! deletes the object (`job.linger`).
//!
//! Such an event should not wait behind conversions. While every slot is taken, the worker scans the
//! queue: it processes late events and returns all others. A scan makes requests for each message that
//! waits, so after a long one the worker rests in proportion: a backlog must not multiply the requests of its jobs.
//! An event that no scan finds is processed when a slot receives it.

use super::context::Shared;
use super::lease::random;
use super::message::Settlement;
use cadmill_core::cleanup::upload_key;
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::domain::job::Job;
use cadmill_core::domain::state::served_at;
use cadmill_core::domain::upload_event::{self, UploadEvent};
use cadmill_core::ports::PortResult;
use cadmill_core::ports::event_queue::Message;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// How long a job must be unknown before its objects are deleted. Records are created before
/// anything can be uploaded; the delay covers a store that is being restored or replicated.
const UNKNOWN: Duration = Duration::from_secs(2);

/// Shortest pause until an event is looked at again that arrived when the record of its job ends.
const RECORD_PAUSE: Duration = Duration::from_secs(60);

/// Shortest pause between two scans of the queue.
const PAUSE: Duration = Duration::from_secs(3);

/// Pause after a scan for each request that it made beyond [`SHORT`]: half a request a second, however long the
/// queue is.
const PER_REQUEST: Duration = Duration::from_secs(2);

/// Requests of a scan of a short queue, of five messages. Its jobs do not wait for long.
const SHORT: u32 = 12;

/// Receive calls per scan, each for ten messages.
const CALLS: usize = 10;

/// Visibility timeout of the messages of a scan, should this worker die.
const HIDDEN: Duration = Duration::from_secs(10);

/// After this many deliveries a returned message is sent anew, so that scans do not make it a dead
/// letter.
const DELIVERIES: u32 = 3;

/// Messages that are known to belong to live jobs. Beyond this number they are forgotten.
const KNOWN: usize = 20_000;

impl Shared {
    /// Whether the job still has no record after a while.
    pub(super) async fn is_unknown(&self, id: JobId) -> PortResult<bool> {
        tokio::time::sleep(UNKNOWN).await;
        Ok(self.jobs.store().get(id).await?.is_none())
    }

    /// Deletes the object of a job that has ended or has no record. The notice must be of the
    /// worker's own bucket.
    pub(super) async fn delete_late(
        &self,
        notice: &UploadEvent,
        job: Option<&Job>,
    ) -> PortResult<Settlement> {
        let state = job.map_or("none", |job| job.state.as_str());
        let named = notice.key.clone().filter(|key| is_upload_of(key, notice.job));
        // A notice that came without an event names no object.
        let Some(key) = named.or_else(|| job.map(|job| upload_key(job.id, &job.order.file_name))) else {
            tracing::info!(job.id = %notice.job, state, "ignoring an event for an unknown job");
            return Ok(Settlement::Delete);
        };
        if let Some(after) = job.and_then(|job| self.record_ends(job)) {
            tracing::info!(job.id = %notice.job, state, "event received when the record of the job ends; waiting for that");
            return Ok(Settlement::Retry(after));
        }
        self.objects.delete(&key, notice.version.as_deref()).await?;
        tracing::info!(job.id = %notice.job, state, "event received after the job ended; deleting its object");
        Ok(Settlement::Delete)
    }

    /// When to come back, if the record of a job that has ended may be gone before a deletion of this worker
    /// has arrived: after that a new job may have the same id, and its upload the same key. A deletion takes
    /// less than half of `job.linger`.
    fn record_ends(&self, job: &Job) -> Option<Duration> {
        let (now, margin) = (self.jobs.clock().now(), self.jobs.policy().linger / 2);
        if job.purges < 2 {
            return None;
        }
        let due = match (job.owed, job.retry) {
            (None, None) => job.due?,
            // It is due for a ledger, or for another try; its record ends at its own time.
            _ => served_at(&Job { owed: None, retry: None, ..job.clone() }, self.jobs.policy(), now),
        };
        let left = due.saturating_sub(now);
        (left < margin).then(|| Duration::from_millis(left).max(RECORD_PAUSE))
    }

    /// Scans the queue now and then while every slot is taken.
    pub(super) async fn look_for_late_ones(self: Arc<Self>, tasks: TaskTracker) {
        let mut known = HashSet::new();
        let mut pause = PAUSE;
        loop {
            // Jitter, so that workers do not scan at the same moment.
            let jitter = random() % u64::try_from(pause.as_millis() / 6).unwrap_or(1).max(1);
            tokio::time::sleep(pause + Duration::from_millis(jitter)).await;
            pause = PAUSE;
            if self.is_busy() {
                let requests = self.look_through(&tasks, &mut known).await;
                pause = PAUSE.max(PER_REQUEST * requests.saturating_sub(SHORT));
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.slots.available_permits() == 0 && !self.receiving.load(Ordering::Relaxed)
    }

    /// Returns the number of its requests to the queue and to the store of the jobs.
    async fn look_through(self: &Arc<Self>, tasks: &TaskTracker, known: &mut HashSet<String>) -> u32 {
        let mut back: Vec<Message> = Vec::new();
        let mut requests = 0;
        for _ in 0..CALLS {
            requests += 1;
            let received = match self.queue.receive(10, Duration::ZERO, HIDDEN).await {
                Ok(received) => received,
                Err(error) => {
                    tracing::debug!(error = %error, "could not receive from the queue");
                    break;
                }
            };
            let none = received.is_empty();
            for message in received {
                // The record, and what becomes of the message.
                requests += if known.contains(&message.id) { 1 } else { 2 };
                if !known.contains(&message.id) && self.is_late(&message).await {
                    let shared = Arc::clone(self);
                    tasks.spawn(async move { shared.handle(message, None).await });
                } else {
                    back.push(message);
                }
            }
            // A free slot may want one of the messages that are held here.
            if none || !self.is_busy() {
                break;
            }
        }
        if known.len() > KNOWN {
            known.clear();
        }
        for message in back {
            known.insert(message.id.clone());
            self.give_back(&message).await;
        }
        requests
    }

    /// Whether all jobs that the message names are over. A message that cannot be decided now is
    /// handled at its regular delivery.
    async fn is_late(&self, message: &Message) -> bool {
        let Ok(notices) = upload_event::parse(&message.body) else { return false };
        for notice in &notices {
            let job = self.jobs.store().get(notice.job).await;
            let over = job.is_ok_and(|job| job.is_none_or(|job| job.state.is_terminal()));
            if !over || notice.bucket != self.settings.bucket {
                return false;
            }
        }
        !notices.is_empty()
    }

    async fn give_back(&self, message: &Message) {
        let given = if message.deliveries > DELIVERIES {
            // The copy is sent first: a duplicate message is harmless.
            match self.queue.send(&message.body).await {
                Ok(()) => self.queue.delete(message).await,
                Err(error) => Err(error),
            }
        } else {
            self.queue.change_visibility(message, Duration::ZERO).await
        };
        // The message becomes visible again by itself.
        if let Err(error) = given {
            tracing::debug!(message.id = %message.id, error = %error, "could not return a message to the queue");
        }
    }
}

/// Whether the key is an upload of this job: no other object may be deleted because of an event.
fn is_upload_of(key: &ObjectKey, job: JobId) -> bool {
    key.role() == Role::Upload && key.job() == job
}
