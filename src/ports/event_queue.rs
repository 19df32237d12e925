//! Port: the queue of events, delivered at least once.
//!
//! A message that was received is hidden for a while and comes back if it is not
//! deleted. It is deleted only after the job has ended.

use super::PortResult;
use async_trait::async_trait;
use std::time::Duration;

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The same at each delivery.
    pub id: String,
    /// For this delivery; a later one makes it worthless.
    pub receipt: String,
    /// What was sent.
    pub body: String,
    /// Times that it was delivered, this one included.
    pub deliveries: u32,
}

/// Delivers events.
///
/// - Order is not kept, and a message may come twice.
/// - A stale receipt deletes nothing: [`EventQueue::delete`] and
///   [`EventQueue::hide`] answer [`super::PortError::NotFound`] or do nothing.
#[async_trait]
pub trait EventQueue: Send + Sync {
    /// Sends a message.
    async fn send(&self, body: &str) -> PortResult<()>;

    /// Up to `max` messages (1 to 10), hidden from others for `hidden`. Waits up to
    /// `wait` (at most 20 s) for the first.
    async fn receive(&self, max: u32, wait: Duration, hidden: Duration) -> PortResult<Vec<Message>>;

    /// Hides a received message for this long from now on; zero makes it come at once.
    async fn change_visibility(&self, message: &Message, hidden: Duration) -> PortResult<()>;

    /// Deletes a received message.
    async fn delete(&self, message: &Message) -> PortResult<()>;

    /// Moves a received message to where the dead letters lie.
    async fn dead_letter(&self, message: &Message) -> PortResult<()>;

    /// Number of dead letters; approximate on some queues.
    async fn dead_letters(&self) -> PortResult<u64>;

    /// Whether the queue answers.
    async fn check(&self) -> PortResult<()>;
}
