//! Audit sinks of one machine: files, standard output, and several sinks at once.

mod file;
mod stream;
mod tee;

pub use file::FileAudit;
pub use stream::StreamAudit;
pub use tee::TeeAudit;

#[cfg(test)]
mod tests;
