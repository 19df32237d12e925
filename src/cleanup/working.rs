//! The parts that a program works on. A part that is slow must not delay the others, nor the renewal of
//! the lease: a partition of an index may be throttled for minutes. So it goes on beside the next pass,
//! which leaves it out.

use super::round::Round;
use crate::domain::due::Part;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};

/// Parts that are worked on, each by a task. All end when this is dropped.
#[derive(Default)]
pub(super) struct Working {
    tasks: JoinSet<Round>,
    parts: HashMap<Id, Part>,
    /// Of the pass that began last.
    slots: Option<Arc<Semaphore>>,
}

impl Working {
    /// Begins with those of these parts that are not worked on, so many at once.
    pub(super) fn begin<W: Future<Output = Round> + Send + 'static>(
        &mut self,
        parts: &[Part],
        at_once: usize,
        work: impl Fn(Part) -> W,
    ) {
        let slots = Arc::new(Semaphore::new(at_once));
        let busy: HashSet<Part> = self.parts.values().copied().collect();
        for part in parts.iter().copied().filter(|part| !busy.contains(part)) {
            let (slots, work) = (Arc::clone(&slots), work(part));
            let task = async move {
                // Never closed.
                let _slot = slots.acquire().await;
                work.await
            };
            self.parts.insert(self.tasks.spawn(task).id(), part);
        }
        self.slots = Some(slots);
    }

    /// Waits until all parts are done, or until this time; returns what was done in those that are. Those
    /// that have not begun by then, because others are slow, begin all at once.
    pub(super) async fn until(&mut self, end: Option<Instant>) -> Round {
        let mut all = Round::default();
        while let Some(ended) = self.next(end).await {
            match ended {
                Ok((id, round)) => {
                    self.parts.remove(&id);
                    all.add(&round);
                }
                Err(error) => {
                    self.parts.remove(&error.id());
                    all.unlisted += 1;
                    tracing::error!(error = %error, "the cleanup of a part has panicked");
                }
            }
        }
        if let Some(slots) = self.slots.take() {
            slots.add_permits(self.parts.len());
        }
        all
    }

    /// The end of the next part; `None` if all are done or it is this time.
    async fn next(&mut self, end: Option<Instant>) -> Option<Result<(Id, Round), JoinError>> {
        let next = self.tasks.join_next_with_id();
        match end {
            Some(end) => timeout_at(end, next).await.ok().flatten(),
            None => next.await,
        }
    }
}
