//! The HTTP API.
//!
//! It owns no file and no engine: it depends on the core only, and never on
//! `native-sys`. What it can say so far: that it lives, which failures there
//! are, and which engine serves which format.
//!
//! Errors are problem details (RFC 9457) with the stable code of the failure.

#![forbid(unsafe_code)]

pub mod problem;
pub mod router;
