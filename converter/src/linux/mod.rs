//! Linux features that the standard library lacks: `/proc`, mounts, privileges, waiting for a child
//! together with its resource usage.
//!
//! It does not depend on jobs, engines or workspaces.

pub mod mounts;
pub mod privileges;
pub mod proc;
pub mod reap;
pub mod signal;
