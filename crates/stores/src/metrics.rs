//! Shows the metrics of this process: on a listener of its own, in the text format of Prometheus,
//! and as log lines from which CloudWatch makes metrics.
//!
//! What is recorded, and where, is the core's ([`cadmill_core::metrics`]); this module installs the
//! recorder. Without `metrics.listen` and `metrics.emf` there is none.

mod emf;
mod listener;
mod recorder;
mod show;
mod text;

pub use recorder::Metrics;
pub use show::{Shown, show};

#[cfg(test)]
mod tests;
