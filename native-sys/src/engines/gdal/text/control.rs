//! Bytes of ASCII that are not text as they stand: NUL, at which GDAL ends a text without a word,
//! and the escape sequences of encodings that are ASCII to all who do not know them.

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
            if self.json == b"\\u0000" {
                self.found.nul.get_or_insert(self.line);
            }
            if !b"\\u0000".starts_with(&self.json) || self.json.len() == 6 {
                self.json.clear();
            }
        }
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
    fn escape_sequences_name_their_encoding() {
        assert_eq!(of(b"a\x1b$BEl5~\x1b(B", false).1, Some(Escapes::Japanese));
        assert_eq!(of(b"\x1b\x1b(J", false).1, Some(Escapes::Japanese));
        assert_eq!(of(b"\x1b$)C\x0e<-?o\x0f", false).1, Some(Escapes::Korean));
        assert_eq!(of(b"\x1b$)A", false).1, Some(Escapes::Chinese));
        // Colours of a terminal.
        assert_eq!(of(b"\x1b[31mred\x1b[0m$B", false).1, None);
    }
}
