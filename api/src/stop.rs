//! The signals that ask a program to stop.

use std::future::Future;
use tokio::signal::unix::{SignalKind, signal};

/// Completes at SIGTERM, which ECS sends, and at SIGINT. From this call on neither ends the process: as the first
/// process of a container it would not be ended by them anyway.
pub fn signalled() -> impl Future<Output = ()> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async {
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else { return };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
