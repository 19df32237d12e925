//! The HTTP API.
//!
//! This crate accesses neither files nor engines: it depends on the core and the stores, and never
//! on `native-sys` or the converter. It returns states, reasons and presigned requests; files are
//! transferred directly between the client and the object store.
//!
//! Errors are problem details (RFC 9457) with the stable failure code.

#![forbid(unsafe_code)]

pub mod auth;
pub mod client;
pub mod events;
pub mod extract;
pub mod listener;
pub mod middleware;
pub mod openapi;
pub mod polling;
pub mod problem;
pub mod rate_limits;
pub mod router;
pub mod routes;
pub mod schema;
pub mod settings;
pub mod start;
pub mod state;
pub mod status;
pub mod stop;
mod turns;
