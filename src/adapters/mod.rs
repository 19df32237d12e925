//! The adapters: how the ports are served.

pub mod embedded;
