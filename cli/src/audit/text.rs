//! Texts of ledgers on a terminal.

use std::path::Path;

/// A text of a ledger on a terminal: whoever wrote it may not be who he should be.
pub(super) fn plain(text: &str) -> String {
    // Controls, and what turns the direction of the text around it.
    let acts = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if acts(c) { '\u{fffd}' } else { c }).collect()
}

/// The name of a file on a terminal, which may come from the same hand.
pub(super) fn shown(path: &Path) -> String {
    plain(&path.to_string_lossy())
}
