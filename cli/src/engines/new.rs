//! `cadmill engines new`: writes a plugin to begin with.

use crate::args::NewArgs;
use std::process::ExitCode;

pub(crate) fn run(_args: &NewArgs) -> ExitCode {
    ExitCode::SUCCESS
}
