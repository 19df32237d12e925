//! The HTTP API.
//!
//! It owns no file and no engine: it depends on the core and the stores, and never
//! on `native-sys` or the converter. It hands out states, reasons and presigned requests;
//! files go between the client and the object store.
//!
//! Errors are problem details (RFC 9457) with the stable code of the failure.

#![forbid(unsafe_code)]

pub mod auth;
pub mod client;
pub mod extract;
pub mod listener;
pub mod middleware;
pub mod openapi;
pub mod polling;
pub mod problem;
pub mod rate_limits;
pub mod readiness;
pub mod router;
pub mod routes;
pub mod schema;
pub mod settings;
pub mod start;
pub mod state;
