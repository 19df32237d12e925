//! The adapters: the world as the ports want it.

pub mod aws;
pub mod embedded;
#[cfg(any(test, feature = "testing"))]
pub mod faulty;
pub mod ledger;
