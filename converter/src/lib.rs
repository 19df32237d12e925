//! One conversion: expands the input into a memory-backed workspace, converts it in a separate
//! process, publishes the output atomically, and leaves no plaintext behind.
//!
//! Data passes through files in the job's workspace and messages over pipes. This library never
//! loads a native library: [`engine::supervisor`] starts the package's second binary,
//! `cadmill-engine-host`, for each conversion.
//!
//! Unsafe code is in [`engine::sandbox`] and [`linux`] only.

#![deny(unsafe_code)]

pub mod check;
pub mod conversion;
pub mod digest;
pub mod engine;
mod gzip;
pub mod intake;
#[allow(unsafe_code)]
pub mod linux;
pub mod program;
pub mod publish;
mod stack;
pub mod worker;
pub mod workspace;
