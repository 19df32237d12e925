//! Opens what a configuration names, for every program in the same way.

pub mod ledger;
pub mod logging;
pub mod stores;
