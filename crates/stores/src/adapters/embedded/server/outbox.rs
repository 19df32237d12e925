//! Sends events from the index to the queue.
//!
//! An event stays in the index until the queue has it. If the process dies in between, the event
//! is sent again: delivery is at least once anyway.

use super::index::Index;
use cadmill_core::ports::{EventQueue, PortResult};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Pause after a failure.
const AGAIN: Duration = Duration::from_secs(1);

/// Runs until it is stopped. `made` signals that there may be events to send.
pub(super) async fn run(
    index: Arc<Index>,
    queue: Arc<dyn EventQueue>,
    made: Arc<Notify>,
    mut stop: watch::Receiver<bool>,
) {
    let mut failing = false;
    loop {
        let result = carry(&index, &*queue).await;
        if let Err(error) = &result
            && !failing
        {
            tracing::warn!(error = %error, "Upload events cannot be sent; retrying");
        }
        failing = result.is_err();
        let wait = async {
            match failing {
                true => tokio::time::sleep(AGAIN).await,
                // `Notify` stores a permit if it is notified while no task waits.
                false => made.notified().await,
            }
        };
        tokio::select! {
            () = wait => {}
            _ = stop.changed() => return,
        }
    }
}

async fn carry(index: &Index, queue: &dyn EventQueue) -> PortResult<()> {
    loop {
        let waiting = index.waiting().await?;
        if waiting.is_empty() {
            return Ok(());
        }
        for (id, body) in waiting {
            queue.send(&body).await?;
            index.sent(id).await?;
        }
    }
}
