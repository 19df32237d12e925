//! Bytes of ASCII that are not text as they stand: NUL, at which GDAL ends a text without a word,
//! other control characters, which XML does not have, and the escape sequences of encodings that are
//! ASCII to all who do not know them.

use crate::written::is_character;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// ISO 2022, in one of its forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    Japanese,
    Korean,
    Chinese,
}

/// What was found first of each kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The line of a NUL character, itself or, in JSON, written `\u0000`.
    pub(super) nul: Option<u64>,
    /// The line of a character that XML does not have, written in one of these ways.
    pub(super) control: Option<u64>,
    pub(super) escapes: Option<Escapes>,
}

/// Escape sequences without their first byte, which name a character set.
const SEQUENCES: &[(&[u8], Escapes)] = &[
    (b"$@", Escapes::Japanese),
    (b"$B", Escapes::Japanese),
    (b"$(D", Escapes::Japanese),
    (b"(J", Escapes::Japanese),
    (b"(I", Escapes::Japanese),
    (b"$)C", Escapes::Korean),
    (b"$)A", Escapes::Chinese),
    (b"$)G", Escapes::Chinese),
    (b"$)E", Escapes::Chinese),
    (b"$*H", Escapes::Chinese),
];

/// Looks for them in a file.
///
/// # Errors
/// When it cannot be read.
pub(super) fn scan(path: &Path, is_json: bool) -> io::Result<Found> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; PIECE];
    let mut scanner = Scanner { is_json, line: 1, ..Scanner::default() };
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(scanner.found);
        }
        buffer[..read].iter().for_each(|byte| scanner.take(*byte));
    }
}

#[derive(Debug, Default)]
struct Scanner {
    is_json: bool,
    line: u64,
    found: Found,
    /// What was read of an escape sequence.
    sequence: Option<Vec<u8>>,
    /// What was read of an escape of JSON, with its backslash.
    json: Vec<u8>,
}

impl Scanner {
    fn take(&mut self, byte: u8) {
        match byte {
            b'\n' => self.line += 1,
            0 => {
                self.found.nul.get_or_insert(self.line);
            }
            _ => {}
        }
        // An escape sequence of ISO 2022 is none of the text.
        if byte != 0x1b && !is_character(byte) {
            self.found.control.get_or_insert(self.line);
        }
        if byte == 0x1b {
            self.sequence = Some(Vec::new());
        } else if let Some(sequence) = &mut self.sequence {
            sequence.push(byte);
            let known = SEQUENCES.iter().find(|(known, _)| *known == sequence.as_slice());
            if let Some((_, escapes)) = known {
                self.found.escapes.get_or_insert(*escapes);
            }
            if known.is_some() || sequence.len() > 2 {
                self.sequence = None;
            }
        }
        if self.is_json && (byte == b'\\' || !self.json.is_empty()) {
            self.json.push(byte);
            if let Some(byte) = control_of(&self.json) {
                if byte == 0 {
                    self.found.nul.get_or_insert(self.line);
                }
                self.found.control.get_or_insert(self.line);
            }
            if !is_beginning(&self.json) || self.json.len() == 6 {
                self.json.clear();
            }
        }
    }
}

/// The character that an escape of JSON stands for (RFC 8259, section 7), if XML does not have it.
fn control_of(escape: &[u8]) -> Option<u8> {
    match escape {
        b"\\b" => Some(8),
        b"\\f" => Some(12),
        [b'\\', b'u', b'0', b'0', digits @ ..] if digits.len() == 2 => {
            let value = std::str::from_utf8(digits).ok().and_then(|text| u8::from_str_radix(text, 16).ok());
            value.filter(|value| !is_character(*value))
        }
        _ => None,
    }
}

/// Whether this may become the escape of a character below 256.
fn is_beginning(escape: &[u8]) -> bool {
    match escape {
        [b'\\'] => true,
        [b'\\', b'u', rest @ ..] => rest
            .iter()
            .enumerate()
            .all(|(at, byte)| if at < 2 { *byte == b'0' } else { byte.is_ascii_hexdigit() }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8], is_json: bool) -> (Option<u64>, Option<Escapes>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, bytes).unwrap();
        let found = scan(&path, is_json).unwrap();
        (found.nul, found.escapes)
    }

    #[test]
    fn nul_is_found() {
        assert_eq!(of(b"a\nb\0c\0", false), (Some(2), None));
        assert_eq!(of(br#"{"a": "x\u0000"}"#, true), (Some(1), None));
        assert_eq!(of(br#"{"a": "x\\\u0000"}"#, true), (Some(1), None));
        assert_eq!(of(br#"{"a": "x\\u0000", "b": "\u0001\n"}"#, true), (None, None));
        assert_eq!(of(br#"{"a": "x\u0000"}"#, false), (None, None));
    }

    #[test]
    fn other_control_characters_are_found() {
        let of = |bytes: &[u8], is_json| {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("a");
            std::fs::write(&path, bytes).unwrap();
            scan(&path, is_json).unwrap().control
        };
        assert_eq!(of(b"a,b\r\n\t1,\x0b2", false), Some(2));
        assert_eq!(of(br#"{"a": "\u000b"}"#, true), Some(1));
        assert_eq!(of(br#"{"a": "\n\t\u000a\u00e4\u1f00"}"#, true), None);
        assert_eq!(of(br#"{"a": "\\b\\f\\u0001"}"#, true), None);
        assert_eq!(of(br#"{"a": "\\\f"}"#, true), Some(1));
        assert_eq!(of(b"a\n\nb\x00", false), Some(3));
        assert_eq!(of(b"\x1b$BEl\x1b(B", false), None);
    }

    #[test]
    fn escape_sequences_name_their_encoding() {
        assert_eq!(of(b"a\x1b$BEl5~\x1b(B", false).1, Some(Escapes::Japanese));
        assert_eq!(of(b"\x1b\x1b(J", false).1, Some(Escapes::Japanese));
        assert_eq!(of(b"\x1b$)C\x0e<-?o\x0f", false).1, Some(Escapes::Korean));
        assert_eq!(of(b"\x1b$)A", false).1, Some(Escapes::Chinese));
        // Colours of a terminal.
        assert_eq!(of(b"\x1b[31mred\x1b[0m$B", false).1, None);
    }
}
