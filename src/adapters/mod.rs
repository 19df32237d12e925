//! The adapters: how the ports are served.

pub mod aws;
pub mod embedded;
