//! `cadmill`: conversion, server and audit on one machine.
//!
//! Results go to standard output, everything else to standard error. `main` only maps the outcome
//! to an exit code; docs/FAILURES.md lists them.

#![forbid(unsafe_code)]

mod args;
mod audit;
mod bar;
mod context;
mod convert;
mod doctor;
mod engines;
mod error;
mod inspect;
mod markup;
mod output;
mod preset;
mod progress;
mod recording;
mod reference;
mod serve;
mod submit;
mod sweep;

use args::Command;
use cadmill_converter::program;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_stores::healthcheck::NAME;
use clap::Parser;
use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

/// Memory that held plaintext, names or keys is zeroed when it is freed.
#[global_allocator]
static MEMORY: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    if is_the_worker() {
        return program::main();
    }
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return refuse(&error),
    };
    output::ended(match args.command {
        Command::Convert(args) => convert::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Engines(args) => engines::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Submit(args) => submit::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Completions(args) => reference::completions(&args),
        Command::Manual(args) => reference::manual(&args),
    })
}

/// Whether the process was started under the name of the worker's program: in images both are one file.
fn is_the_worker() -> bool {
    let name = std::env::args_os().next();
    name.is_some_and(|name| Path::new(&name).file_name() == Some(OsStr::new(program::NAME)))
}

/// Reports wrong arguments in the requested format. Help and version are not errors.
fn refuse(error: &clap::Error) -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    // Of the exit codes of a health check, Docker knows 0 and 1.
    if error.use_stderr()
        && words.next().is_some_and(|word| word == "serve")
        && words.any(|word| word == NAME)
    {
        let _ = error.print();
        return ExitCode::FAILURE;
    }
    let json = std::env::args_os().any(|a| a == "--json");
    if json && error.use_stderr() {
        let text = error.to_string();
        let message = text.trim_start_matches("error: ").split("\n\n").next().unwrap_or_default().trim();
        return error::report(&Failure::new(FailureCode::UsageInvalid, message), None, true);
    }
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
