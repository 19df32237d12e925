//! Shows metrics while a program runs.

use super::recorder::Metrics;
use super::{emf, listener};
use crate::config::Config;
use crate::readiness::Readiness;
use cadmill_core::domain::failure::Failure;
use cadmill_core::metrics;
use cadmill_core::ports::EventQueue;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

/// How often observations are taken from the recorder's buffers.
const UPKEEP: Duration = Duration::from_secs(5);

/// How often the messages of the queue are counted.
const COUNT: Duration = Duration::from_secs(15);

/// Metrics that are shown, until it is dropped.
#[derive(Debug)]
pub struct Shown {
    tasks: JoinSet<()>,
    printer: Option<Printer>,
}

/// The task that prints, and what stops it.
#[derive(Debug)]
struct Printer {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Shows the metrics, and whether the stores respond, as the configuration says.
///
/// # Errors
/// `infra.io`, with the address.
pub async fn show(metrics: &Metrics, config: &Config, readiness: Readiness) -> Result<Shown, Failure> {
    let mut tasks = JoinSet::new();
    if let Some(address) = config.metrics.listen {
        let failed = |e| Failure::io(format_args!("listening on {address} for metrics"), &e);
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        // For a caller that configured port 0.
        eprintln!("metrics of {} on http://{bound}/metrics", metrics.program());
        tasks.spawn(listener::serve(listener, metrics.clone(), readiness));
    }
    let printer = config.metrics.emf.then(|| {
        let (stop, stopped) = oneshot::channel();
        Printer { stop, task: tokio::spawn(emf::print(metrics.clone(), stopped)) }
    });
    let metrics = metrics.clone();
    tasks.spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            metrics.keep_up();
        }
    });
    Ok(Shown { tasks, printer })
}

impl Shown {
    /// Measures the queue too. For one program of an installation: all would measure the same.
    #[must_use]
    pub fn with_queue(mut self, queue: Arc<dyn EventQueue>) -> Self {
        self.tasks.spawn(count_messages(queue));
        self
    }

    /// Ends it, and prints what was recorded since the last time.
    pub async fn end(self) {
        if let Some(Printer { stop, task }) = self.printer {
            let _ = stop.send(());
            let _ = task.await;
        }
    }
}

/// A queue that cannot be counted is left out: the caller may have no permission for one of both.
async fn count_messages(queue: Arc<dyn EventQueue>) {
    loop {
        let (depth, dead) = tokio::join!(queue.depth(), queue.dead_letters());
        for error in [depth.as_ref().err(), dead.as_ref().err()].into_iter().flatten() {
            tracing::debug!(error = %error, "could not count the messages of a queue");
        }
        if let Ok(depth) = depth {
            metrics::queue_messages(depth.ready, depth.hidden);
        }
        if let Ok(dead) = dead {
            metrics::dead_letters(dead);
        }
        tokio::time::sleep(COUNT).await;
    }
}
