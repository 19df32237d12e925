//! Core of cadmill: the words every other crate speaks, and the rules of a job.
//!
//! `domain` is pure: failures, formats and routes, limits, the job and what may
//! happen to it. `ports` says what is needed of the world; who gets it, and from where,
//! is the business of other crates. There is no SDK, no database, no HTTP and no engine
//! library here, and no unsafe code.

#![forbid(unsafe_code)]

#[cfg(feature = "jobs")]
pub mod cleanup;
pub mod domain;
#[cfg(feature = "jobs")]
pub mod jobs;
#[cfg(feature = "jobs")]
pub mod ledger;
#[cfg(feature = "jobs")]
pub mod ports;

/// Version, git revision and target of this build, e.g. `0.1.0 (3f2a1b4c5d6e, x86_64-unknown-linux-gnu)`.
pub const BUILD: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("CADMILL_REVISION"), ", ", env!("CADMILL_TARGET"), ")");
