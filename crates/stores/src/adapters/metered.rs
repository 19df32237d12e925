//! Wrappers of the ports that count each call by its outcome and measure how long it took.
//!
//! Every program wraps its stores in them. Without a recorder they cost one call more. Operations
//! have the names of the ports' methods; all checks of a store are one operation.

mod audit;
mod jobs;
mod objects;
mod queue;

pub use audit::{MeteredAudit, MeteredSigner};
pub use jobs::MeteredJobs;
pub use objects::MeteredObjects;
pub use queue::MeteredQueue;

use cadmill_core::metrics::{self, Store};
use cadmill_core::ports::PortResult;
use std::time::Instant;

async fn measured<T>(
    store: Store,
    operation: &'static str,
    call: impl Future<Output = PortResult<T>>,
) -> PortResult<T> {
    let began = Instant::now();
    let result = call.await;
    metrics::store_called(store, operation, result.as_ref().err(), Some(began.elapsed()));
    result
}

/// The same, for a call that waits for something else than the store.
async fn counted<T>(
    store: Store,
    operation: &'static str,
    call: impl Future<Output = PortResult<T>>,
) -> PortResult<T> {
    let result = call.await;
    metrics::store_called(store, operation, result.as_ref().err(), None);
    result
}

/// The same, for a call that blocks.
fn blocking<T>(store: Store, operation: &'static str, call: impl FnOnce() -> PortResult<T>) -> PortResult<T> {
    let began = Instant::now();
    let result = call();
    metrics::store_called(store, operation, result.as_ref().err(), Some(began.elapsed()));
    result
}
