//! The engine process, from its confinement to its end.
//!
//! Three storeys, none of which knows one above it:
//!
//! - the ground: [`confinement`] (what holds an engine, as data), [`frame`] (messages on a
//!   pipe) and [`protocol`] (what they say);
//! - the middle: [`sandbox`] (the confinement, put in force by the process itself) and
//!   [`supervisor`] (the process, started, watched and ended by its parent);
//! - the top: [`posture`] (what this machine can put in force), [`warm_pool`] (processes
//!   that are ready ahead of their job) and `host/`, the program that loads the library.
//!
//! [`registry`] knows the engines, [`pin`] and [`jvm`] what each loads, and [`failure`]
//! turns the end of a process into the failure of a job.
//!
//! No file here knows a job, an archive or a store. This library never loads a native
//! library: that does `cadmill-engine-host`, one process for each conversion. Unsafe code is
//! in [`sandbox`] and [`crate::linux`] only.

pub mod confinement;
pub mod failure;
pub mod frame;
pub mod jvm;
pub mod pin;
pub mod posture;
pub mod protocol;
pub mod registry;
#[allow(unsafe_code)]
pub mod sandbox;
pub mod supervisor;
pub mod warm_pool;
