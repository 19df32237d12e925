//! Core of cadmill: the words every other crate speaks.
//!
//! Owns the failure codes, the table of formats and routes, and the limits.
//! It does no I/O, knows no engine library and no AWS service, and contains no
//! unsafe code.

#![forbid(unsafe_code)]

pub mod domain;

/// Version, git revision and target of this build, e.g. `0.1.0 (3f2a1b4c5d6e, x86_64-unknown-linux-gnu)`.
pub const BUILD: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("CADMILL_REVISION"), ", ", env!("CADMILL_TARGET"), ")");
