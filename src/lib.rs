//! Core of cadmill: the types that every other crate uses, and the rules of a job.
//!
//! `domain` is pure: failures, formats and routes, limits, and the job with its state machine.
//! `ports` defines the interfaces to the outside world; other crates implement and wire them. This
//! crate has no SDK, database, HTTP or engine library, and no unsafe code.

#![forbid(unsafe_code)]

#[cfg(feature = "jobs")]
pub mod cleanup;
pub mod domain;
#[cfg(feature = "jobs")]
pub mod jobs;
#[cfg(feature = "jobs")]
pub mod ledger;
#[cfg(feature = "jobs")]
pub mod metrics;
#[cfg(feature = "jobs")]
pub mod ports;
#[cfg(feature = "jobs")]
mod retry;
#[cfg(feature = "jobs")]
mod usage;

/// Version, git revision and target of this build, e.g. `0.1.0 (3f2a1b4c5d6e, x86_64-unknown-linux-gnu)`.
pub const BUILD: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("CADMILL_REVISION"), ", ", env!("CADMILL_TARGET"), ")");
