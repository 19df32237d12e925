//! The parts that the programs of cadmill share beside the core: the adapters that implement the
//! core's ports on AWS or on this machine, the configuration that names them, and the listening
//! sockets of the HTTP servers.
//!
//! `adapters` implement the ports, `config` reads the operator's settings, `bootstrap` opens what
//! a configuration names, `connections` guards listening sockets, `metrics` shows what was counted
//! and measured, `readiness` asks the stores, `residue` compares them, `healthcheck` asks a program. The rules of jobs are decided
//! in the core, not here.

#![forbid(unsafe_code)]

pub mod adapters;
pub mod bootstrap;
pub mod config;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod connections;
pub mod healthcheck;
pub mod metrics;
pub mod readiness;
pub mod residue;
