//! The domain: pure values and decisions. This module accesses no file, socket or clock.

#[cfg(feature = "jobs")]
pub mod coding;
pub mod condition;
pub mod contents;
pub mod counts;
pub mod failure;
pub mod format;
#[cfg(feature = "jobs")]
pub mod ids;
#[cfg(feature = "jobs")]
pub mod job;
#[cfg(feature = "jobs")]
pub mod ledger;
pub mod limits;
pub mod option_spec;
#[cfg(feature = "jobs")]
pub mod preset;
#[cfg(feature = "jobs")]
pub mod quota;
pub mod removed;
pub mod route;
#[cfg(feature = "jobs")]
pub mod state;
pub mod text;
#[cfg(feature = "jobs")]
pub mod upload_event;
