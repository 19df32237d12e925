//! A queue with injected faults.

use super::Script;
use async_trait::async_trait;
use cadmill_core::ports::event_queue::{Depth, Message};
use cadmill_core::ports::{EventQueue, PortResult};
use std::sync::Arc;
use std::time::Duration;

/// A queue with a script of faults.
#[derive(Clone)]
pub struct FaultyQueue {
    inner: Arc<dyn EventQueue>,
    script: Script,
}

impl FaultyQueue {
    /// Wraps the queue, with the faults of the script.
    pub fn new(inner: Arc<dyn EventQueue>, script: Script) -> Self {
        Self { inner, script }
    }
}

#[async_trait]
impl EventQueue for FaultyQueue {
    async fn send_later(&self, body: &str, delay: Duration) -> PortResult<()> {
        self.script.play("send", || self.inner.send_later(body, delay)).await
    }

    async fn receive(&self, max: u32, wait: Duration, hidden: Duration) -> PortResult<Vec<Message>> {
        self.script.play("receive", || self.inner.receive(max, wait, hidden)).await
    }

    async fn change_visibility(&self, message: &Message, hidden: Duration) -> PortResult<()> {
        self.script.play("hide", || self.inner.change_visibility(message, hidden)).await
    }

    async fn delete(&self, message: &Message) -> PortResult<()> {
        self.script.play("delete", || self.inner.delete(message)).await
    }

    async fn dead_letter(&self, message: &Message) -> PortResult<()> {
        self.script.play("bury", || self.inner.dead_letter(message)).await
    }

    async fn depth(&self) -> PortResult<Depth> {
        self.script.play("depth", || self.inner.depth()).await
    }

    async fn dead_letters(&self) -> PortResult<u64> {
        self.script.play("dead_letters", || self.inner.dead_letters()).await
    }

    async fn receive_dead(&self, max: u32, hidden: Duration) -> PortResult<Vec<Message>> {
        self.script.play("receive_dead", || self.inner.receive_dead(max, hidden)).await
    }

    async fn delete_dead(&self, message: &Message) -> PortResult<()> {
        self.script.play("delete_dead", || self.inner.delete_dead(message)).await
    }

    async fn release_dead(&self, message: &Message) -> PortResult<()> {
        self.script.play("release_dead", || self.inner.release_dead(message)).await
    }

    async fn check(&self) -> PortResult<()> {
        self.script.play("check", || self.inner.check()).await
    }
}
