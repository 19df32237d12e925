//! `cadmill-engine-host`: converts one file and ends.
//!
//! Started by the supervisor with two pipes, it confines itself, loads one native
//! library, converts, and answers. It is the only program of cadmill that loads
//! native libraries, so that a crash, a leak or an attack ends with it.
//!
//! Run by hand it says what it is and does nothing.

#![forbid(unsafe_code)]

mod events;
mod jvm;
mod run;
mod work;

use std::process::ExitCode;

fn main() -> ExitCode {
    run::run(cadmill_converter::engine::sandbox::enter)
}
