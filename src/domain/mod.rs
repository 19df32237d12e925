//! The domain: pure values and decisions. No file, socket or clock is touched here.

pub mod audit;
pub mod condition;
pub mod failure;
pub mod format;
pub mod ids;
pub mod job;
pub mod limits;
pub mod notice;
pub mod route;
pub mod state;
