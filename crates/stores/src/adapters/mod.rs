//! The adapters: implementations of the ports.

pub mod aws;
pub mod embedded;
#[cfg(any(test, feature = "testing"))]
pub mod faulty;
pub mod ledger;
pub mod metered;
#[cfg(any(test, feature = "testing"))]
pub mod restricted;
