//! `cadmill engines`: lists the engines, and writes a plugin to begin with.

mod list;
mod new;
mod template;

use crate::args::{EnginesArgs, EnginesCommand};
use std::process::ExitCode;

pub(crate) fn run(args: &EnginesArgs) -> ExitCode {
    match &args.command {
        None => list::run(args),
        Some(EnginesCommand::New(args)) => new::run(args),
    }
}
