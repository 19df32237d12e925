//! Opens what a configuration names, in the same way for every program.

pub mod deployment;
pub mod ledger;
pub mod logging;
pub mod program;
mod service;
pub mod stores;
