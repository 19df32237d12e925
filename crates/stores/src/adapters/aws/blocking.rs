//! Calls of the SDK from threads outside of a runtime.
//!
//! The audit ports block. Their adapters in this module run the SDK on a private runtime, so they
//! can be called from any thread; the calling thread waits.

use cadmill_core::ports::{PortError, PortResult};
use std::future::Future;
use std::sync::mpsc;
use tokio::runtime::{Builder, Runtime};

/// A runtime with one thread.
pub(super) struct Blocking(Option<Runtime>);

impl Blocking {
    pub(super) fn new() -> PortResult<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().thread_name("audit").build();
        let refused = |error: std::io::Error| PortError::Refused {
            operation: "starting the thread of the audit",
            reason: error.kind().to_string(),
        };
        runtime.map(|runtime| Self(Some(runtime))).map_err(refused)
    }

    /// Runs the future to completion; fails with [`PortError::Unknown`] if it did not complete.
    pub(super) fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl Future<Output = PortResult<T>> + Send + 'static,
    ) -> PortResult<T> {
        let lost = || PortError::Unknown { operation, reason: "its thread ended".to_owned() };
        let (answer, answered) = mpsc::sync_channel(1);
        let runtime = self.0.as_ref().ok_or_else(lost)?;
        runtime.spawn(async move {
            let _ = answer.send(work.await);
        });
        answered.recv().map_err(|_| lost())?
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        // May be dropped inside a runtime, where waiting for another one is not allowed.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
