//! What the programs count and measure for their operators: the one list of metrics, and the
//! functions that record them.
//!
//! [`list`] owns every name, with its kind, its help and its labels. Each label has a closed set of
//! values ([`label`]): a value outside the set becomes `other`, so that neither a request nor an
//! engines file can add time series. No label is a job, an owner, a key or a file name. Only the
//! functions of [`record`] record, one for each thing that happens; a name or a label that is not in
//! the list cannot be recorded.
//!
//! Recording goes through the facade crate `metrics`, as logging goes through `tracing`: without a
//! recorder, which a program installs if its configuration asks for metrics, it does nothing.

pub mod label;
pub mod list;
pub mod observation;
pub mod record;

pub use list::{Kind, METRICS, Metric, Source};
pub use record::*;
