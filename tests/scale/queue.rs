//! The queue of events, as SQS keeps it, and the events of objects, which arrive late, twice, or never.

use crate::bill::Action;
use crate::limits::{Call, EVENT_DELAY, EVENT_LOST, EVENT_TWICE, MAX_DELIVERIES};
use crate::process::Process;
use crate::world::{World, locked};
use async_trait::async_trait;
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::domain::job::Millis;
use cadmill_core::domain::upload_event;
use cadmill_core::ports::PortResult;
use cadmill_core::ports::event_queue::{Depth, EventQueue, Message};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Name of the bucket in events.
pub(crate) const BUCKET: &str = "drawings";

/// How often messages that become visible by themselves are looked for.
const TICK: Duration = Duration::from_millis(250);

/// A message.
struct Kept {
    body: String,
    /// Of the newest delivery.
    receipt: u64,
    /// Of the newest time of hiding.
    timer: u64,
    is_ready: bool,
    deliveries: u32,
}

#[derive(Default)]
struct Inner {
    messages: HashMap<u64, Kept>,
    ready: VecDeque<u64>,
    /// Hidden messages: until when, and the number of their timer, which a
    /// later one replaces.
    hidden: BinaryHeap<Reverse<(Millis, u64, u64)>>,
    next: u64,
    dead: Vec<String>,
}

impl Inner {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn send(&mut self, body: String, visible: Millis) {
        let id = self.number();
        self.messages.insert(id, Kept { body, receipt: 0, timer: 0, is_ready: false, deliveries: 0 });
        self.hide(id, visible);
    }

    fn hide(&mut self, id: u64, until: Millis) {
        let timer = self.number();
        if let Some(kept) = self.messages.get_mut(&id) {
            (kept.timer, kept.is_ready) = (timer, false);
            self.hidden.push(Reverse((until, id, timer)));
        }
    }

    /// Shows what has been hidden for long enough; returns the number.
    fn show(&mut self, now: Millis) -> usize {
        let before = self.ready.len();
        while self.hidden.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            let Some(Reverse((_, id, timer))) = self.hidden.pop() else { break };
            if let Some(kept) = self.messages.get_mut(&id).filter(|kept| kept.timer == timer) {
                kept.is_ready = true;
                self.ready.push_back(id);
            }
        }
        self.ready.len() - before
    }

    fn receive(&mut self, max: u32, until: Millis) -> Vec<Message> {
        let mut received = Vec::new();
        while (received.len() as u32) < max {
            let Some(id) = self.ready.pop_front() else { break };
            let receipt = self.number();
            let Some(kept) = self.messages.get_mut(&id).filter(|kept| kept.is_ready) else { continue };
            kept.deliveries += 1;
            if kept.deliveries > MAX_DELIVERIES {
                self.bury(id);
                continue;
            }
            kept.receipt = receipt;
            received.push(Message {
                id: id.to_string(),
                receipt: receipt.to_string(),
                body: kept.body.clone(),
                deliveries: kept.deliveries,
            });
            self.hide(id, until);
        }
        received
    }

    /// The message, if this is its newest receipt: SQS ignores others.
    fn current(&self, message: &Message) -> Option<u64> {
        let (id, receipt) = (message.id.parse().ok()?, message.receipt.parse::<u64>().ok()?);
        self.messages.get(&id).is_some_and(|kept| kept.receipt == receipt).then_some(id)
    }

    fn bury(&mut self, id: u64) {
        if let Some(kept) = self.messages.remove(&id) {
            self.dead.push(kept.body);
        }
    }
}

/// The queue.
#[derive(Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    arrived: Notify,
}

impl Queue {
    /// Lets hidden messages become visible, for ever.
    pub(crate) async fn run(world: Arc<World>) {
        loop {
            let shown = locked(&world.queue.inner).show(world.now());
            (0..shown).for_each(|_| world.queue.arrived.notify_one());
            tokio::time::sleep(TICK).await;
        }
    }

    /// Messages that are there, visible or not.
    pub(crate) fn len(&self) -> usize {
        locked(&self.inner).messages.len()
    }

    /// Visible messages.
    pub(crate) fn ready(&self) -> usize {
        locked(&self.inner).ready.len()
    }

    /// The bodies of the dead letters.
    pub(crate) fn dead(&self) -> Vec<String> {
        locked(&self.inner).dead.clone()
    }

    /// Sends the event of an object, as EventBridge does for uploads.
    pub(crate) fn object_created(&self, world: &World, key: &ObjectKey) {
        if key.role() != Role::Upload {
            return;
        }
        let now = world.now();
        let (lost, times, delays, id) = {
            let mut random = world.random();
            let lost = random.chance(EVENT_LOST);
            let times = if random.chance(EVENT_TWICE) { 2 } else { 1 };
            let delays = [0; 2].map(|_: u8| {
                let seconds = random.logarithmic(EVENT_DELAY.0, EVENT_DELAY.1);
                (seconds * 1000.0) as Millis
            });
            (lost, times, delays, random.bits())
        };
        let object = world.bucket().object(key);
        let Some(object) = object.filter(|_| !lost) else { return };
        let sequencer = format!("{now:016x}");
        let body =
            upload_event::object_created(BUCKET, &object, &sequencer, "PutObject", &id.to_string(), now);
        let mut inner = locked(&self.inner);
        for delay in &delays[..times] {
            inner.send(body.clone(), now + delay);
        }
    }
}

/// The queue, as a program sees it.
pub(crate) struct QueueEvents(pub(crate) Arc<Process>);

impl QueueEvents {
    fn request(action: Action) -> (Call, Action) {
        (Call::Queue, action)
    }
}

#[async_trait]
impl EventQueue for QueueEvents {
    async fn send_later(&self, body: &str, delay: Duration) -> PortResult<()> {
        let sent = |world: &World| {
            let visible = world.now() + delay.as_millis() as Millis;
            locked(&world.queue.inner).send(body.to_owned(), visible);
            Ok(())
        };
        self.0.call("sending a message", Self::request(Action::Send), sent).await
    }

    async fn receive(&self, max: u32, wait: Duration, hidden: Duration) -> PortResult<Vec<Message>> {
        let end = Instant::now() + wait;
        let hidden = hidden.as_millis() as Millis;
        let queue = &self.0.world.queue;
        // The request waits in the service until a message is there.
        while locked(&queue.inner).ready.is_empty() && !wait.is_zero() {
            if timeout_at(end, queue.arrived.notified()).await.is_err() {
                break;
            }
            self.0.alive().await;
        }
        let received = |world: &World| Ok(locked(&world.queue.inner).receive(max, world.now() + hidden));
        self.0.call("receiving messages", Self::request(Action::Receive), received).await
    }

    async fn change_visibility(&self, message: &Message, hidden: Duration) -> PortResult<()> {
        let changed = |world: &World| {
            let mut inner = locked(&world.queue.inner);
            if let Some(id) = inner.current(message) {
                inner.hide(id, world.now() + hidden.as_millis() as Millis);
            }
            Ok(())
        };
        self.0.call("hiding a message", Self::request(Action::ChangeVisibility), changed).await
    }

    async fn delete(&self, message: &Message) -> PortResult<()> {
        let deleted = |world: &World| {
            let mut inner = locked(&world.queue.inner);
            if let Some(id) = inner.current(message) {
                inner.messages.remove(&id);
            }
            Ok(())
        };
        self.0.call("deleting a message", Self::request(Action::DeleteMessage), deleted).await
    }

    async fn dead_letter(&self, message: &Message) -> PortResult<()> {
        let buried = |world: &World| {
            let mut inner = locked(&world.queue.inner);
            if let Some(id) = inner.current(message) {
                inner.bury(id);
            }
            Ok(())
        };
        self.0.world.bill.add(self.0.program, Action::Send, 1);
        self.0.call("burying a message", Self::request(Action::DeleteMessage), buried).await
    }

    async fn depth(&self) -> PortResult<Depth> {
        let inner = locked(&self.0.world.queue.inner);
        let (ready, all) = (inner.ready.len() as u64, inner.messages.len() as u64);
        Ok(Depth { ready, hidden: all - ready.min(all) })
    }

    async fn dead_letters(&self) -> PortResult<u64> {
        Ok(locked(&self.0.world.queue.inner).dead.len() as u64)
    }

    async fn check(&self) -> PortResult<()> {
        Ok(())
    }
}

/// The job that a dead letter names.
pub(crate) fn job_of(body: &str) -> Option<JobId> {
    upload_event::parse(body).ok()?.first().map(|event| event.job)
}
