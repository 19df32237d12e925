//! The adapters: the world as the ports want it.

pub mod aws;
pub mod embedded;
