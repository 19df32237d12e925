//! A metered queue.

use super::{counted, measured};
use async_trait::async_trait;
use cadmill_core::metrics::Store;
use cadmill_core::ports::event_queue::{Depth, Message};
use cadmill_core::ports::{EventQueue, PortResult};
use std::sync::Arc;
use std::time::Duration;

/// A metered queue.
#[derive(Clone)]
pub struct MeteredQueue(Arc<dyn EventQueue>);

impl MeteredQueue {
    /// Wraps the queue.
    pub fn new(inner: Arc<dyn EventQueue>) -> Self {
        Self(inner)
    }
}

#[async_trait]
impl EventQueue for MeteredQueue {
    async fn send_later(&self, body: &str, delay: Duration) -> PortResult<()> {
        measured(Store::Queue, "send", self.0.send_later(body, delay)).await
    }

    async fn receive(&self, max: u32, wait: Duration, hidden: Duration) -> PortResult<Vec<Message>> {
        counted(Store::Queue, "receive", self.0.receive(max, wait, hidden)).await
    }

    async fn change_visibility(&self, message: &Message, hidden: Duration) -> PortResult<()> {
        measured(Store::Queue, "change_visibility", self.0.change_visibility(message, hidden)).await
    }

    async fn delete(&self, message: &Message) -> PortResult<()> {
        measured(Store::Queue, "delete", self.0.delete(message)).await
    }

    async fn dead_letter(&self, message: &Message) -> PortResult<()> {
        measured(Store::Queue, "dead_letter", self.0.dead_letter(message)).await
    }

    async fn depth(&self) -> PortResult<Depth> {
        measured(Store::Queue, "depth", self.0.depth()).await
    }

    async fn dead_letters(&self) -> PortResult<u64> {
        measured(Store::Queue, "depth", self.0.dead_letters()).await
    }

    async fn receive_dead(&self, max: u32, hidden: Duration) -> PortResult<Vec<Message>> {
        counted(Store::Queue, "receive_dead", self.0.receive_dead(max, hidden)).await
    }

    async fn delete_dead(&self, message: &Message) -> PortResult<()> {
        measured(Store::Queue, "delete_dead", self.0.delete_dead(message)).await
    }

    async fn release_dead(&self, message: &Message) -> PortResult<()> {
        measured(Store::Queue, "release_dead", self.0.release_dead(message)).await
    }

    async fn check(&self) -> PortResult<()> {
        measured(Store::Queue, "check", self.0.check()).await
    }
}
