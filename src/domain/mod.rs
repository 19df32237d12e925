//! The domain: pure values and decisions. No file, socket or clock is touched here.

pub mod condition;
pub mod failure;
pub mod format;
pub mod ids;
pub mod job;
pub mod ledger;
pub mod limits;
pub mod route;
pub mod state;
pub mod upload_event;
