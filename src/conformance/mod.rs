//! What every adapter of a port has to do, as tests: one suite a port, which both of
//! its adapters and every wrapper run.
//!
//! A suite takes a store that may hold other things and leaves things behind. It
//! panics at the first promise that is broken.

pub mod http;
pub mod moto;
pub mod object_store;
