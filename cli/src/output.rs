//! Writing to the standard streams. One that is closed, as by `| head`, is no
//! reason to end a conversion: the exit code still tells how it went.

use std::io::Write;

/// A line of the result, on standard output.
pub(crate) fn result(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A line for the person who watches, on standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
