//! Text from the engine process, cleaned for display.

/// Longest line displayed, in characters.
const MAX_CHARS: usize = 400;

/// Returns the text without control characters, at most 400 characters of it.
///
/// The text may come from an attacker: escape sequences would act on the terminal that displays it,
/// and line breaks would forge lines of a log.
pub fn clean(text: &str) -> String {
    let mut cleaned: String = text.chars().map(shown).take(MAX_CHARS).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        cleaned.push('…');
    }
    cleaned.trim().to_owned()
}

/// As [`clean`], of any length: for text of cadmill with words of others in it.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(shown).collect()
}

fn shown(c: char) -> char {
    if c.is_control() || is_direction(c) { ' ' } else { c }
}

/// Characters that reorder, hide or annotate the text around them: the format characters of Unicode
/// (general category Cf) outside of scripts that are written with them, and line separators.
fn is_direction(c: char) -> bool {
    matches!(c,
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn control_characters_become_spaces() {
        assert_eq!(clean("a\x1b[31mb\r\nc\0"), "a [31mb  c");
        for c in ['\u{202e}', '\u{61c}', '\u{206a}', '\u{ad}', '\u{fffa}', '\u{e0041}'] {
            assert_eq!(clean(&format!("x{c}y")), "x y", "{c:?}");
        }
        assert_eq!(clean("Müller 뮐러"), "Müller 뮐러");
    }

    #[test]
    fn long_lines_are_cut() {
        assert_eq!(clean(&"x".repeat(400)).chars().count(), 400);
        assert_eq!(clean(&"x".repeat(401)).chars().count(), 401);
        assert!(clean(&"x".repeat(4000)).ends_with('…'));
    }
}
