//! Output to the standard streams. A closed stream, e.g. by `| head`, does not end a conversion:
//! the exit code still reports the outcome.

use std::io::Write;

/// Writes a result line to standard output.
pub(crate) fn result(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Writes a message line to standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
