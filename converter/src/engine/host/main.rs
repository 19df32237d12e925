//! `cadmill-engine-host`: converts one file and exits.
//!
//! The supervisor starts it with two pipes. It confines itself, loads one native library, converts,
//! and answers. It is the only program of cadmill that loads native libraries, so that a crash, a
//! leak or an attack ends with it.
//!
//! When started by hand, it prints what it is and exits.

#![forbid(unsafe_code)]

mod convert;
mod events;
mod examine;
mod jvm;
mod run;
mod work;

use std::process::ExitCode;

fn main() -> ExitCode {
    run::run(cadmill_converter::engine::sandbox::enter)
}
