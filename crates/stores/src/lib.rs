//! What the programs of cadmill are made of beside its rules: the adapters that get
//! from AWS or from this machine what the ports of the core ask for, the configuration
//! that names them, and the door of the HTTP servers.
//!
//! `adapters` implement the ports, `config` reads what the operator wants, `bootstrap`
//! opens what a configuration names, `connections` guards listening sockets. No rule of
//! a job is decided here.

#![forbid(unsafe_code)]

pub mod adapters;
pub mod bootstrap;
pub mod config;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod connections;
