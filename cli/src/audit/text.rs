//! Text from ledgers, for the terminal.

use std::path::Path;

/// Makes text from a ledger safe for a terminal: its author is not trusted.
pub(super) fn plain(text: &str) -> String {
    // Control characters, and characters that change the direction of the surrounding text.
    let acts = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if acts(c) { '\u{fffd}' } else { c }).collect()
}

/// Makes a file name safe for a terminal: it may come from the same author.
pub(super) fn shown(path: &Path) -> String {
    plain(&path.to_string_lossy())
}
