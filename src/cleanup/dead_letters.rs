//! Dead letters of jobs that have ended: they have the keys of objects, and so the names of files, and are
//! of no use any more.
//!
//! A dead letter of a job that goes on, and a message that is no upload event, are left for an operator.
//! They are looked through seldom, so that an alarm about dead letters is seen before they go; the log of
//! the worker has the reason of each.

use crate::domain::upload_event;
use crate::jobs::Jobs;
use crate::metrics;
use crate::ports::event_queue::Message;
use crate::ports::{EventQueue, PortError, PortResult};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// Messages of one receive call.
const BATCH: u32 = 10;

/// Receive calls of one pass. A queue with more is looked through in several passes.
const CALLS: u32 = 100;

/// How long a pass hides what it looks at, should it die.
const HIDDEN: Duration = Duration::from_secs(120);

/// Removes dead letters.
#[derive(Clone)]
pub struct DeadLetters {
    jobs: Jobs,
    queue: Arc<dyn EventQueue>,
    bucket: String,
}

/// Counts of one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sifted {
    /// Dead letters that were deleted.
    pub deleted: u64,
    /// Those that were left.
    pub left: u64,
}

impl DeadLetters {
    /// Of the uploads to this bucket.
    pub fn new(jobs: Jobs, queue: Arc<dyn EventQueue>, bucket: String) -> Self {
        Self { jobs, queue, bucket }
    }

    /// Runs passes forever, one every `pause`.
    pub async fn run(&self, pause: Duration) -> Infallible {
        loop {
            self.sift().await;
            tokio::time::sleep(pause).await;
        }
    }

    /// One pass, which logs what it has done; whether nothing failed.
    pub async fn sift(&self) -> bool {
        match self.pass().await {
            Ok(Sifted { deleted: 0, .. }) => true,
            Ok(Sifted { deleted, left }) => {
                tracing::info!(deleted, left, "deleted dead letters of jobs that ended");
                true
            }
            Err(error) => {
                // Without the permission they stay, as long as their queue keeps them.
                tracing::warn!(error = %error, "could not look through the dead letters");
                false
            }
        }
    }

    /// One pass over at most a thousand dead letters.
    ///
    /// # Errors
    /// If the queue fails. A job that cannot be read leaves its dead letters.
    pub async fn pass(&self) -> PortResult<Sifted> {
        let (mut sifted, mut left) = (Sifted::default(), Vec::new());
        let mut looked = Ok(());
        for _ in 0..CALLS {
            let received = match self.queue.receive_dead(BATCH, HIDDEN).await {
                Ok(received) if received.is_empty() => break,
                Ok(received) => received,
                Err(error) => {
                    looked = Err(error);
                    break;
                }
            };
            for message in received {
                if !self.is_over(&message).await {
                    sifted.left += 1;
                    left.push(message);
                    continue;
                }
                match self.queue.delete_dead(&message).await {
                    Ok(()) => {
                        sifted.deleted += 1;
                        metrics::dead_letter_deleted();
                    }
                    // Another cleanup program was faster.
                    Err(PortError::NotFound(_)) => {}
                    Err(error) => looked = Err(error),
                }
            }
            if looked.is_err() {
                break;
            }
        }
        for message in &left {
            // It becomes visible again by itself.
            if let Err(error) = self.queue.release_dead(message).await {
                tracing::debug!(message.id = %message.id, error = %error, "a dead letter stays hidden for a while");
            }
        }
        looked.map(|()| sifted)
    }

    /// Whether all jobs that the message names have ended or have no record any more. A record that
    /// cannot be read is one.
    async fn is_over(&self, message: &Message) -> bool {
        let Ok(notices) = upload_event::parse(&message.body) else { return false };
        for notice in &notices {
            let over = match self.jobs.store().get(notice.job).await {
                Ok(job) => job.is_none_or(|job| job.state.is_terminal()),
                Err(_) => false,
            };
            if !over || notice.bucket != self.bucket {
                return false;
            }
        }
        !notices.is_empty()
    }
}
