//! The signals that ask a program to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Completes at SIGTERM, which ECS sends, and at SIGINT.
pub async fn signalled() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
