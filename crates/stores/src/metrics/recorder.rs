//! The recorder of this process, and what it has recorded.

use super::text;
use crate::config::{Config, Program};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::metrics::{self, Kind, METRICS, Source};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

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
    pub(super) fn recorder(program: &'static str) -> (PrometheusRecorder, Self) {
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

    /// Takes observations from the recorder's buffers, which grow until then.
    pub(super) fn keep_up(&self) {
        self.handle.run_upkeep();
    }

    /// The name of the program.
    pub(super) fn program(&self) -> &'static str {
        self.program
    }
}
