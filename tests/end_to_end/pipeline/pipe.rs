//! The queue's side of a task for each upload: what EventBridge Pipes do between SQS and ECS.

use super::worker::{PATIENCE, Worker};
use super::world::{Upload, World};
use cadmill_core::domain::ids::JobId;
use cadmill_core::ports::event_queue::Message;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// How long a message is hidden while a task works on it: longer than any task here takes.
const HIDDEN: Duration = Duration::from_secs(300);

/// Takes messages from the queue of a world, one at a time, and starts tasks for them.
pub(crate) struct Pipe<'a> {
    pub(crate) world: &'a World,
}

impl Pipe<'_> {
    /// Waits for the next message.
    pub(crate) async fn message(&self) -> Message {
        let since = Instant::now();
        loop {
            let received = self.world.queue.receive(1, SECOND, HIDDEN).await.expect("received");
            if let Some(message) = received.into_iter().next() {
                return message;
            }
            assert!(since.elapsed() < PATIENCE, "no message came\n{}", self.world.logs());
        }
    }

    /// Starts the task of a message, whose body is in the task's environment.
    pub(crate) fn start(&self, message: &Message, failpoint: Option<&str>) -> Worker {
        self.world.task(Upload::Variable("CADMILL_EVENT", &message.body), failpoint)
    }

    /// Makes the message visible again, as after the end of its visibility timeout.
    pub(crate) async fn give_back(&self, message: &Message) {
        self.world.queue.change_visibility(message, Duration::ZERO).await.expect("shown again");
    }

    /// Starts a task for each message until these jobs have ended and none is left. The message of a
    /// task that fails stays.
    pub(crate) async fn drain(&self, jobs: &[JobId]) {
        let mut jobs = jobs.to_vec();
        loop {
            while let Some(id) = jobs.last()
                && self.world.job(*id).await.state.is_terminal()
            {
                jobs.pop();
            }
            if jobs.is_empty() && !self.world.has_messages().await {
                return;
            }
            let message = self.message().await;
            match self.start(&message, None).ended() {
                Some(0) => self.world.queue.delete(&message).await.expect("deleted"),
                _ => self.give_back(&message).await,
            }
        }
    }
}
