//! The contract of each port as one suite, which every adapter and wrapper runs.
//!
//! A suite panics if the contract is violated. It uses new names in each run, so that stores may
//! be shared and need not be empty.

pub mod audit_sink;
pub mod dynalite;
pub mod elasticmq;
pub mod event_queue;
pub mod http;
pub mod iam;
pub mod job_store;
pub mod meter;
pub mod moto;
pub mod object_store;
pub mod other_version;
mod process;
pub mod versitygw;
pub mod world;
