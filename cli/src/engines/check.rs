//! `cadmill engines check`: whether a library keeps to what cadmill expects of an engine.

use super::checked::Checked;
use super::page;
use crate::args::CheckArgs;
use crate::error;
use cadmill_core::domain::failure::{Failure, FailureCode};
use std::process::ExitCode;

pub(super) fn run(args: &CheckArgs) -> ExitCode {
    let checked = Checked::of(&args.library, None).and_then(|checked| {
        if let Some(path) = &args.report {
            std::fs::write(path, page::of(&checked)).map_err(|error| {
                let message = format!("cannot write {}: {error}", path.display());
                Failure::new(FailureCode::OutputNotWritable, message)
            })?;
        }
        Ok(checked)
    });
    match checked {
        Ok(checked) => checked.show(args.json),
        Err(failure) => error::report(&failure, None, args.json),
    }
}
