//! Port: the queue of events, with at-least-once delivery.
//!
//! A received message is hidden for a while and is delivered again if it is not deleted. It is
//! deleted only after the job has ended.

use super::PortResult;
use async_trait::async_trait;
use std::time::Duration;

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Identical for each delivery of the message.
    pub id: String,
    /// Receipt of this delivery; a later delivery invalidates it.
    pub receipt: String,
    /// The message body.
    pub body: String,
    /// Number of deliveries, including this one.
    pub deliveries: u32,
}

/// Numbers of messages of a queue; approximate on some queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Visible to receivers.
    pub ready: u64,
    /// Hidden: a receiver has them, or they were sent to be visible later.
    pub hidden: u64,
}

/// Delivers events.
///
/// - Order is not preserved, and a message may be delivered more than once.
/// - A stale receipt has no effect: [`EventQueue::delete`] and [`EventQueue::change_visibility`]
///   return [`super::PortError::NotFound`] or do nothing.
#[async_trait]
pub trait EventQueue: Send + Sync {
    /// Sends a message.
    async fn send(&self, body: &str) -> PortResult<()> {
        self.send_later(body, Duration::ZERO).await
    }

    /// Sends a message that becomes visible after `delay`, at most 15 minutes (the maximum of SQS).
    async fn send_later(&self, body: &str, delay: Duration) -> PortResult<()>;

    /// Receives up to `max` messages (1 to 10) and hides them from other receivers for `hidden`.
    /// Waits up to `wait` (at most 20 s) for the first one.
    async fn receive(&self, max: u32, wait: Duration, hidden: Duration) -> PortResult<Vec<Message>>;

    /// Hides a received message for this long from now; zero makes it available at once.
    async fn change_visibility(&self, message: &Message, hidden: Duration) -> PortResult<()>;

    /// Deletes a received message.
    async fn delete(&self, message: &Message) -> PortResult<()>;

    /// Moves a received message to the dead-letter queue.
    async fn dead_letter(&self, message: &Message) -> PortResult<()>;

    /// Numbers of messages in the queue.
    async fn depth(&self) -> PortResult<Depth>;

    /// Number of messages in the dead-letter queue; approximate on some queues.
    async fn dead_letters(&self) -> PortResult<u64>;

    /// Receives up to `max` dead letters (1 to 10) and hides them, for this receiver at least, for `hidden`
    /// or until a call returns none. None if the dead letters cannot be received.
    async fn receive_dead(&self, max: u32, hidden: Duration) -> PortResult<Vec<Message>> {
        let _ = (max, hidden);
        Ok(Vec::new())
    }

    /// Deletes a dead letter that was received.
    async fn delete_dead(&self, message: &Message) -> PortResult<()> {
        let _ = message;
        Ok(())
    }

    /// Makes a dead letter that was received available again.
    async fn release_dead(&self, message: &Message) -> PortResult<()> {
        let _ = message;
        Ok(())
    }

    /// Checks that the queue responds.
    async fn check(&self) -> PortResult<()>;
}
