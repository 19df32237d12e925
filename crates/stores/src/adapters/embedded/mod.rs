//! Everything on one machine: no account, no network but loopback.
//!
//! Jobs and queue are in one SQLite file, the objects in a directory behind a server that speaks
//! S3. Several processes may share the file; one process serves the directory.

pub mod medium;
pub mod server;
pub mod sqlite;

pub use medium::Medium;
pub use server::EmbeddedS3;
pub use sqlite::{Database, SqliteJobs, SqliteQueue};
