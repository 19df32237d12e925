//! How a refusal is worded: the code, and a sentence that names the entry.

use cadmill_core::domain::failure::{Failure, FailureCode};

/// Why an entry is refused, before its name is put in front.
#[derive(Debug)]
pub(super) struct EntryError {
    code: FailureCode,
    text: String,
}

impl EntryError {
    /// `text` goes on after "entry 'name'".
    pub(super) fn new(code: FailureCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// What goes on after the name.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The failure of the entry of this name.
    pub(super) fn of(self, name: &str) -> Failure {
        let shown = shown(name);
        Failure::new(self.code, format!("entry '{shown}' {}", self.text)).with("entry", shown)
    }

    /// The failure of an entry whose name is not known: its place in the directory, from one.
    pub(super) fn of_number(self, number: u64) -> Failure {
        Failure::new(self.code, format!("entry {number} {}", self.text)).with("entry_number", number)
    }
}

/// A name as it may be shown: control characters escaped, and not without end.
pub(super) fn shown(name: &str) -> String {
    const LONGEST: usize = 200;
    if name.chars().any(|c| c.is_control() || reorders(c)) {
        return name.escape_default().take(LONGEST).collect();
    }
    name.chars().take(LONGEST).collect()
}

/// Characters that change the order in which others are shown (Unicode bidi
/// controls and line separators) or are not shown, so that a name looks like another.
pub(super) fn reorders(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}')
}
