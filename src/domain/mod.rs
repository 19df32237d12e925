//! The domain: pure values and decisions. No file, socket or clock is touched here.

pub mod condition;
pub mod failure;
pub mod format;
#[cfg(feature = "jobs")]
pub mod ids;
#[cfg(feature = "jobs")]
pub mod job;
#[cfg(feature = "jobs")]
pub mod ledger;
pub mod limits;
pub mod route;
#[cfg(feature = "jobs")]
pub mod state;
#[cfg(feature = "jobs")]
pub mod upload_event;
