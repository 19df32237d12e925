//! What Linux offers and the standard library lacks: `/proc`, mounts, privileges, waiting
//! for a child together with what it used.
//!
//! It knows no job, no engine and no workspace.

pub mod mounts;
pub mod privileges;
pub mod proc;
pub mod reap;
