//! Shows the metrics of this process: on a listener of its own, in the text format of Prometheus,
//! and as log lines from which CloudWatch makes metrics.
//!
//! What is recorded, and where, is the core's ([`cadmill_core::metrics`]); this module installs the
//! recorder. Without `metrics.listen` and `metrics.emf` there is none.

mod emf;
mod listener;
mod text;

use crate::config::{Config, Program};
use crate::readiness::Readiness;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::metrics::{self, Kind, METRICS, Source};
use cadmill_core::ports::EventQueue;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// How often observations are taken from the recorder's buffers. They grow until then.
const UPKEEP: Duration = Duration::from_secs(5);

/// How often the messages of the queue are counted.
const COUNT: Duration = Duration::from_secs(15);

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    program: &'static str,
}

impl Metrics {
    /// Installs the recorder of this program if its configuration asks for metrics.
    ///
    /// # Errors
    /// `usage.invalid` if a recorder is installed already.
    pub fn install(config: &Config, program: Program, sources: &[Source]) -> Result<Option<Self>, Failure> {
        if config.metrics.listen.is_none() && !config.metrics.emf {
            return Ok(None);
        }
        let (recorder, metrics) = Self::recorder(program.as_str());
        ::metrics::set_global_recorder(recorder)
            .map_err(|_| Failure::new(FailureCode::UsageInvalid, "metrics were started before"))?;
        metrics::begin(sources);
        Ok(Some(metrics))
    }

    /// A recorder, and what it has recorded.
    fn recorder(program: &'static str) -> (PrometheusRecorder, Self) {
        let builder = METRICS.iter().fold(PrometheusBuilder::new(), |builder, metric| match metric.kind {
            // Fails without bounds only, and a test reads the list.
            Kind::Histogram(bounds) => builder
                .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)
                .unwrap_or_default(),
            Kind::Counter | Kind::Gauge => builder,
        });
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        (recorder, Self { handle, program })
    }

    /// All metrics, in the text format of Prometheus, each once and in the order of their names.
    pub fn render(&self) -> String {
        text::sorted(&self.handle.render())
    }

    /// Shows the metrics, and whether the stores respond, until the result is dropped.
    ///
    /// # Errors
    /// `infra.io`, with the address.
    pub async fn serve(&self, config: &Config, readiness: Readiness) -> Result<Shown, Failure> {
        let mut tasks = JoinSet::new();
        if let Some(address) = config.metrics.listen {
            let failed = |e| Failure::io(format_args!("listening on {address} for metrics"), &e);
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let bound = listener.local_addr().map_err(failed)?;
            // For a caller that configured port 0.
            eprintln!("metrics of {} on http://{bound}/metrics", self.program);
            tasks.spawn(listener::serve(listener, self.clone(), readiness));
        }
        if config.metrics.emf {
            tasks.spawn(emf::print(self.clone(), self.program));
        }
        let handle = self.handle.clone();
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                handle.run_upkeep();
            }
        });
        Ok(Shown(tasks))
    }
}

/// Metrics that are shown, until it is dropped.
#[derive(Debug)]
pub struct Shown(JoinSet<()>);

impl Shown {
    /// Measures the queue too. For one program of an installation: all would measure the same.
    #[must_use]
    pub fn with_queue(mut self, queue: Arc<dyn EventQueue>) -> Self {
        self.0.spawn(count_messages(queue));
        self
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

#[cfg(test)]
mod tests;
