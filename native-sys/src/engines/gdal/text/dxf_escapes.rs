//! Characters that a drawing spells in ASCII: `\U+C11C` is a code point of Unicode, and `\M+5BCAD` a
//! character of a code page with two bytes. CAD programs read them wherever text is; GDAL passes them
//! on as they are. It is given a copy of the drawing in UTF-8 that has the characters themselves.

use super::choice::shown;
use super::plain::{self, PIECE};
use crate::engine::EngineError;
use cadmill_core::domain::text::{Charset, Decoder};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The code pages of `\M+1` to `\M+5`. The fourth is Johab (1361), which cannot be read.
const CODE_PAGES: [u16; 5] = [932, 950, 949, 1361, 936];

/// Characters of the longest spelling: two code points of UTF-16.
const LONGEST: usize = 14;

/// A copy, and how many characters it spells as the drawing does.
pub(super) struct Copy {
    pub(super) path: PathBuf,
    pub(super) left: u64,
}

/// Whether a line spells a character.
pub(super) fn has_any(line: &[u8]) -> bool {
    line.windows(3).any(|window| matches!(window, b"\\U+" | b"\\M+"))
}

/// Writes a copy in UTF-8 with the characters that the drawing spells.
///
/// # Errors
/// [`EngineError::TextLost`] if not all of it is text of that encoding; [`EngineError::Rejected`] if
/// it cannot be read or written.
pub(super) fn copy(input: &Path, charset: Charset) -> Result<Copy, EngineError> {
    let what = shown(input);
    match write(input, charset) {
        Ok((copy, 0)) => Ok(copy),
        Ok((_, wrong)) => {
            Err(EngineError::TextLost(format!("{wrong} characters in {what} are not {charset} text")))
        }
        Err(error) => Err(EngineError::Rejected(format!("cannot write {what} in UTF-8: {error}"))),
    }
}

fn write(input: &Path, charset: Charset) -> io::Result<(Copy, u64)> {
    let mut decoder = charset.decoder();
    let path = plain::place_of_copy(input)?;
    let mut to = File::create(&path)?;
    let (wrong, left) =
        pieces(&mut File::open(input)?, &mut decoder, |piece| to.write_all(piece.as_bytes()))?;
    Ok((Copy { path, left }, wrong))
}

/// Calls `each` with the text in pieces. Returns the number of sequences that are invalid, and of
/// characters that are left as they are spelled.
fn pieces(
    from: &mut impl Read,
    decoder: &mut Decoder,
    mut each: impl FnMut(&str) -> io::Result<()>,
) -> io::Result<(u64, u64)> {
    let (mut buffer, mut text) = (vec![0; PIECE], String::new());
    let (mut wrong, mut left) = (0, 0);
    loop {
        let read = from.read(&mut buffer)?;
        wrong += decoder.take(&buffer[..read], read == 0, &mut text);
        // No spelling goes beyond the end of a line.
        let end = match text.rfind('\n') {
            _ if read == 0 => text.len(),
            Some(at) => at + 1,
            None => boundary(&text, text.len().saturating_sub(LONGEST)),
        };
        let (spelled, undone) = read_spelled(&text[..end]);
        left += undone;
        each(&spelled)?;
        text.drain(..end);
        if read == 0 {
            return Ok((wrong, left));
        }
    }
}

/// The last position up to `at` where a character begins, and none is being spelled.
fn boundary(text: &str, at: usize) -> usize {
    let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let begun = (at.saturating_sub(LONGEST)..at).find(|before| text.as_bytes()[*before] == b'\\');
    begun.unwrap_or(at)
}

/// The text with the characters that it spells, and the number of those that it cannot have.
fn read_spelled(text: &str) -> (String, u64) {
    let mut read = String::with_capacity(text.len());
    let (mut rest, mut left) = (text, 0);
    while let Some(at) = rest.find('\\') {
        read.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match spelled(rest) {
            Some(Spelled { text, length }) => {
                read.push_str(&text);
                length
            }
            None => {
                left += u64::from(is_of_code_page(rest));
                // A backslash after another one begins nothing.
                let length = if rest[1..].starts_with('\\') { 2 } else { 1 };
                read.push_str(&rest[..length]);
                length
            }
        };
        rest = &rest[length..];
    }
    read.push_str(rest);
    (read, left)
}

struct Spelled {
    text: String,
    length: usize,
}

/// The character that is spelled at the beginning. `None` for none, and for one that is not text or
/// has a meaning in the text of a drawing.
fn spelled(text: &str) -> Option<Spelled> {
    let is_text = |c: char| !c.is_control() && !matches!(c, '\\' | '{' | '}' | '%' | '^');
    if let Some(first) = unit(text) {
        if let Some(c) = char::from_u32(first.into()) {
            return is_text(c).then(|| Spelled { text: c.into(), length: 7 });
        }
        let pair = [first, unit(&text[7..])?];
        let c = char::decode_utf16(pair).next()?.ok()?;
        return Some(Spelled { text: c.into(), length: 14 });
    }
    if !is_of_code_page(text) {
        return None;
    }
    let page = CODE_PAGES[usize::from(text.as_bytes()[3] - b'1')];
    let [high, low] = hex(&text[4..])?.to_be_bytes();
    let bytes: &[u8] = if high == 0 { &[low] } else { &[high, low] };
    let text = Charset::of_code_page(page)?.decode(bytes)?;
    text.chars().all(is_text).then_some(Spelled { text, length: 8 })
}

/// The unit of UTF-16 in `\U+C11C`.
fn unit(text: &str) -> Option<u16> {
    text.strip_prefix("\\U+").and_then(hex)
}

/// Whether this is `\M+`, the number of a code page, and four digits.
fn is_of_code_page(text: &str) -> bool {
    let digits = text.strip_prefix("\\M+").and_then(|rest| rest.strip_prefix(['1', '2', '3', '4', '5']));
    digits.and_then(hex).is_some()
}

/// The number in the first four digits.
fn hex(text: &str) -> Option<u16> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelled_characters_are_read() {
        for (text, read) in [
            (r"\U+C11C\U+C6B8", "서울"),
            (r"a\u+c11c \U+c11cb\PX", r"a\u+c11c 서b\PX"),
            (r"\M+5BCAD", "辑"),
            (r"\M+3B5B5\M+3B8E9", "도면"),
            (r"\M+18366\M+2A4A4", "デ中"),
            (r"\M+100B1", "ｱ"),
            (r"\U+D83D\U+DE00!", "😀!"),
            (r"{\fArial|b0;\U+B3C4}\P%%c5", r"{\fArial|b0;도}\P%%c5"),
        ] {
            assert_eq!(read_spelled(text), (read.to_owned(), 0), "{text}");
        }
        // What is no character, what has another meaning, and what is cut short stays.
        for text in [
            r"\U+D83D",
            r"\U+D83Dx",
            r"\U+005C",
            r"\U+000A",
            r"\\U+C11C",
            r"\U+C1",
            r"\U+가나다라",
            r"\",
            "a",
        ] {
            assert_eq!(read_spelled(text), (text.to_owned(), 0));
        }
        for text in [r"\M+4BCAD", r"\M+3FFFF"] {
            assert_eq!(read_spelled(text), (text.to_owned(), 1));
        }
        assert!(has_any(br"a\U+1") && has_any(br"\M+3") && !has_any(br"C:\Users\Mine"));
    }

    #[test]
    fn a_drawing_without_lines_is_copied_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.dxf");
        // Pieces end within the spelling of a character.
        for before in PIECE - 8..PIECE + 2 {
            std::fs::write(&path, format!("{}\\U+C11C", "x".repeat(before))).unwrap();
            let mut file = File::open(&path).unwrap();
            let mut text = String::new();
            let mut decoder = Charset::UTF_8.decoder();
            let written = pieces(&mut file, &mut decoder, |piece| {
                text.push_str(piece);
                Ok(())
            });
            assert_eq!(written.unwrap(), (0, 0));
            assert!(text.ends_with("x서") && text.len() == before + 3, "{before}");
        }
    }
}
