//! Output to the standard streams. A closed stream, e.g. by `| head`, does not end a conversion:
//! the exit code still reports the outcome. A result that cannot be written for another reason, such
//! as a full disk, is a failure of its own.

use cadmill_core::domain::failure::FailureCode;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

/// Why a result could not be written.
static UNWRITTEN: OnceLock<String> = OnceLock::new();

/// Writes a result line to standard output.
pub(crate) fn result(text: &str) {
    let mut stream = std::io::stdout().lock();
    match writeln!(stream, "{text}").and_then(|()| stream.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let _ = UNWRITTEN.set(error.to_string());
        }
        _ => {}
    }
}

/// Writes a message line to standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The exit code of the program: `code`, unless it reports success and the result could not be written.
pub(crate) fn ended(code: ExitCode) -> ExitCode {
    let Some(reason) = UNWRITTEN.get() else { return code };
    let failure = FailureCode::Io;
    note(&format!("error: writing the result to standard output: {reason} [{failure}]"));
    if code == ExitCode::SUCCESS { ExitCode::from(failure.exit_code()) } else { code }
}
