//! Core of cadmill: the words every other crate speaks, and the rules of a job.
//!
//! `domain` is pure: failures, formats and routes, limits, the job and what may
//! happen to it. `ports` says what is needed of the world, `adapters` gets it from
//! AWS or from this machine, `config` reads what the operator wants. It knows no
//! engine library and contains no unsafe code.

#![forbid(unsafe_code)]

pub mod adapters;
pub mod audit;
pub mod config;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod connections;
pub mod domain;
pub mod jobs;
pub mod logging;
pub mod ports;
pub mod reaper;
pub mod stores;

/// Version, git revision and target of this build, e.g. `0.1.0 (3f2a1b4c5d6e, x86_64-unknown-linux-gnu)`.
pub const BUILD: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("CADMILL_REVISION"), ", ", env!("CADMILL_TARGET"), ")");
