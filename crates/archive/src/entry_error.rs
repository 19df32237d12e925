//! Errors about one entry: the failure code, and a message that names the entry.

use cadmill_core::domain::failure::{Failure, FailureCode};

/// Why an entry is rejected, without the entry's name.
#[derive(Debug)]
pub(super) struct EntryError {
    code: FailureCode,
    text: String,
}

impl EntryError {
    /// `text` continues a message that begins with "entry 'name'".
    pub(super) fn new(code: FailureCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// The message after the entry's name.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The failure, with the entry's name.
    pub(super) fn of(self, name: &str) -> Failure {
        let shown = shown(name);
        Failure::new(self.code, format!("entry '{shown}' {}", self.text)).with("entry", shown)
    }

    /// The failure of an entry whose name is unknown: gives its position in the central directory,
    /// counted from 1.
    pub(super) fn of_number(self, number: u64) -> Failure {
        Failure::new(self.code, format!("entry {number} {}", self.text)).with("entry_number", number)
    }
}

/// A name for display: control characters are escaped, and the length is limited.
pub(super) fn shown(name: &str) -> String {
    const LONGEST: usize = 200;
    if name.chars().any(|c| c.is_control() || reorders(c)) {
        return name.escape_default().take(LONGEST).collect();
    }
    name.chars().take(LONGEST).collect()
}

/// Characters that are invisible or change the display order of others (Unicode bidi controls and
/// line separators), and so can make a name look like another.
pub(super) fn reorders(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}')
}
