//! The engine process, from its confinement to its end.
//!
//! Three layers; none depends on one above it:
//!
//! - bottom: [`confinement`] and [`examination`] (the confinement of an engine, and what is observed
//!   of one, as data), [`frame`] (messages on a pipe) and [`protocol`] (the messages);
//! - middle: [`sandbox`] (the confinement, put in force by the process itself) and [`supervisor`]
//!   (the process, started, watched and ended by its parent);
//! - top: [`posture`] (what this machine can enforce), [`warm_pool`] (processes that are started
//!   ahead of their job) and `host/`, the program that loads the library.
//!
//! [`registry`] lists the engines, [`pin`] and [`jvm`] define what each of them loads, and
//! [`failure`] maps the end of a process to the failure of a job.
//!
//! No file here depends on jobs, archives or stores. This library never loads a native library:
//! `cadmill-engine-host` does that, one process for each conversion. Unsafe code is in [`sandbox`]
//! and [`crate::linux`] only.

pub mod confinement;
pub mod examination;
pub mod failure;
pub mod frame;
pub mod jvm;
pub mod pin;
pub mod plugin;
pub mod posture;
pub mod protocol;
pub mod registry;
#[allow(unsafe_code)]
pub mod sandbox;
pub mod supervisor;
pub mod warm_pool;
