//! `cadmill engines`: lists the engines, writes a plugin to begin with, checks libraries, and adds them to
//! the engines file.

mod add;
mod check;
mod checked;
mod list;
mod new;
mod page;
mod stanza;
mod template;

use crate::args::{EnginesArgs, EnginesCommand};
use std::process::ExitCode;

pub(crate) fn run(args: &EnginesArgs) -> ExitCode {
    match &args.command {
        None => list::run(args),
        Some(EnginesCommand::New(args)) => new::run(args),
        Some(EnginesCommand::Check(args)) => check::run(args),
        Some(EnginesCommand::Add(args)) => add::run(args),
    }
}
