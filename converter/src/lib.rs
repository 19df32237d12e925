//! One conversion: unpack the input into a memory-backed workspace, convert it
//! in a process of its own, publish the output atomically, leave nothing behind.
//!
//! Data passes as files in the job's workspace and as messages over pipes. This
//! library never loads a native library: [`engine::supervisor`] starts the second binary
//! of this package, `cadmill-engine-host`, for each conversion.
//!
//! Unsafe code is in [`engine::sandbox`] and [`linux`] only.

#![deny(unsafe_code)]

pub mod conversion;
pub mod digest;
pub mod engine;
pub mod intake;
#[allow(unsafe_code)]
pub mod linux;
pub mod publish;
mod stack;
pub mod worker;
pub mod workspace;
