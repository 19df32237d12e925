//! One conversion: unpack the input into a memory-backed workspace, convert it
//! in a process of its own, publish the output atomically, leave nothing behind.
//!
//! Data passes as files in the job's workspace and as messages over pipes. This
//! library never loads a native library: [`supervisor`] starts the second binary
//! of this package, `cadmill-engine-host`, for each conversion.
//!
//! Unsafe code is in [`sandbox`] only.

#![deny(unsafe_code)]

pub mod digest;
pub mod intake;
#[allow(unsafe_code)]
pub mod linux;
mod stack;
pub mod worker;
pub mod workspace;
pub mod conversion;
pub mod publish;
