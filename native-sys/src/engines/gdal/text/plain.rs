//! Tables of text and JSON, which GDAL takes for UTF-8: others are converted first, into a copy in
//! the current directory, where the engine may write.

use super::choice::{Choice, Prepared, Source, choose, shown, unreadable};
use super::control::{self, Escapes};
use crate::engine::EngineError;
use cadmill_core::domain::text::{Charset, Evidence};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// Files that describe a table, by what is appended to its name without extension.
const BESIDE: &[&str] = &["csvt", "prj"];

/// Bytes that are converted at once.
pub(super) const PIECE: usize = 256 << 10;

/// Longest value that is judged as one.
const MAX_LINE: usize = 1 << 20;

pub(super) fn prepare(input: &Path, wanted: Option<Charset>) -> Result<Prepared, EngineError> {
    let fail = |error: io::Error| unreadable(input, &error);
    let mut prepared = Prepared::default();
    let what = shown(input);
    if is_utf32(input).map_err(fail)? {
        return Err(EngineError::TextLost(format!(
            "{what} is UTF-32, as its byte order mark says, which cannot be read: save it as UTF-8"
        )));
    }
    let mark = by_mark(input).map_err(fail)?;
    let is_wide = match wanted {
        Some(charset) => !charset.is_ascii_compatible(),
        None => mark.is_some(),
    };
    let escapes = match is_wide {
        true => None,
        false => without_nul(input)?,
    };
    let charset = match (wanted, mark, escapes) {
        (None, Some(charset), _) => charset,
        (Some(charset), ..) if is_wide => charset,
        (None, None, Some(escapes)) => {
            let charset = escaped(&what, escapes)?;
            prepared
                .warnings
                .push(format!("{what} has the escape sequences of {charset}, and was read as that"));
            charset
        }
        (wanted, None, _)
            if wanted.is_none_or(|charset| charset == Charset::UTF_8) && is_utf8(input).map_err(fail)? =>
        {
            return Ok(prepared);
        }
        (wanted, ..) => {
            let mut evidence = Evidence::new(wanted);
            scan(input, &mut evidence).map_err(fail)?;
            if evidence.values() == 0 {
                return Ok(prepared);
            }
            let Choice { charset, warning } =
                choose(Source { what: &what, unknown: None }, &evidence, wanted, None, None)?;
            prepared.warnings.extend(warning);
            charset
        }
    };
    prepared.charset = Some(charset);
    if charset == Charset::UTF_8 {
        return Ok(prepared);
    }
    let copy = utf8_copy(input, charset)?;
    if is_wide {
        without_nul(&copy)?;
    }
    prepared.instead = Some(copy);
    Ok(prepared)
}

/// The escape sequences of a file, which has no NUL characters.
///
/// # Errors
/// [`EngineError::TextLost`] if it has: GDAL ends a text there.
fn without_nul(path: &Path) -> Result<Option<Escapes>, EngineError> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let is_json = !["csv", "tsv", "psv"].contains(&extension.as_str());
    let found = control::scan(path, is_json).map_err(|error| unreadable(path, &error))?;
    match found.nul {
        None => Ok(found.escapes),
        Some(line) => Err(EngineError::TextLost(format!(
            "line {line} of {} has a NUL character, where GDAL would end the text; remove it, or name the encoding with --opt encoding=NAME if that is UTF-16",
            shown(path)
        ))),
    }
}

/// The encoding of these escape sequences.
fn escaped(what: &str, escapes: Escapes) -> Result<Charset, EngineError> {
    let name = match escapes {
        Escapes::Japanese => "ISO-2022-JP",
        Escapes::Korean => "ISO-2022-KR",
        Escapes::Chinese => "ISO-2022-CN",
    };
    Charset::of_label(name).ok_or_else(|| {
        EngineError::TextLost(format!("the text of {what} is {name}, which cannot be read; save it as UTF-8"))
    })
}

/// A copy of the file in UTF-8.
///
/// # Errors
/// [`EngineError::TextLost`] if not all of it is text of that encoding; [`EngineError::Rejected`]
/// if it cannot be read or written.
pub(super) fn utf8_copy(input: &Path, charset: Charset) -> Result<PathBuf, EngineError> {
    let what = shown(input);
    let (copy, wrong) = convert(input, charset)
        .map_err(|error| EngineError::Rejected(format!("cannot write {what} in UTF-8: {error}")))?;
    match wrong {
        0 => Ok(copy),
        wrong => Err(EngineError::TextLost(format!("{wrong} characters in {what} are not {charset} text"))),
    }
}

/// Whether the byte order mark is that of UTF-32. One of them begins as that of UTF-16, in which a NUL
/// character would follow.
fn is_utf32(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut head)?;
    Ok(matches!(head.as_slice(), b"\xff\xfe\0\0" | b"\0\0\xfe\xff"))
}

/// The encoding that a byte order mark says, other than UTF-8.
fn by_mark(path: &Path) -> io::Result<Option<Charset>> {
    let mut head = Vec::new();
    File::open(path)?.take(2).read_to_end(&mut head)?;
    Ok(match head.as_slice() {
        b"\xff\xfe" => Charset::of_label("utf-16le"),
        b"\xfe\xff" => Charset::of_label("utf-16be"),
        _ => None,
    })
}

pub(super) fn is_utf8(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; PIECE];
    // Bytes of a character that began in the last piece.
    let mut kept = 0;
    loop {
        let read = file.read(&mut buffer[kept..])?;
        if read == 0 {
            return Ok(kept == 0);
        }
        let held = kept + read;
        kept = match std::str::from_utf8(&buffer[..held]) {
            Ok(_) => 0,
            Err(error) if error.error_len().is_some() => return Ok(false),
            Err(error) => {
                buffer.copy_within(error.valid_up_to()..held, 0);
                held - error.valid_up_to()
            }
        };
    }
}

/// Takes each line as evidence.
fn scan(path: &Path, evidence: &mut Evidence) -> io::Result<()> {
    let mut file = BufReader::with_capacity(PIECE, File::open(path)?);
    let mut line = Vec::new();
    loop {
        let read = (&mut file).take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
        // A long line is judged in pieces that end between characters: no byte below `0` is part of
        // a longer one.
        let end = match line.iter().rposition(|byte| *byte < b'0') {
            Some(at) if read == MAX_LINE => at + 1,
            _ => line.len(),
        };
        evidence.see(line[..end].trim_ascii());
        line.drain(..end);
        if read == 0 {
            return Ok(());
        }
    }
}

/// The path of a copy of the same name, in a directory where the engine may write.
pub(super) fn place_of_copy(input: &Path) -> io::Result<PathBuf> {
    let directory = std::env::current_dir()?.join("utf-8");
    std::fs::create_dir_all(&directory)?;
    Ok(directory.join(input.file_name().unwrap_or_default()))
}

/// Writes a copy in UTF-8 of the same name. Returns its path, and the number of sequences that are
/// invalid.
fn convert(input: &Path, charset: Charset) -> io::Result<(PathBuf, u64)> {
    let mut decoder = charset.decoder();
    let copy = place_of_copy(input)?;
    let (mut from, mut to) = (File::open(input)?, File::create(&copy)?);
    let (mut buffer, mut text, mut wrong) = (vec![0; PIECE], String::new(), 0);
    loop {
        let read = from.read(&mut buffer)?;
        wrong += decoder.take(&buffer[..read], read == 0, &mut text);
        to.write_all(text.as_bytes())?;
        text.clear();
        if read == 0 {
            break;
        }
    }
    for extension in BESIDE {
        let (from, to) = (input.with_extension(extension), copy.with_extension(extension));
        if from.is_file() {
            // Not `fs::copy`, which copies the mode too.
            io::copy(&mut File::open(from)?, &mut File::create(to)?)?;
        }
    }
    Ok((copy, wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_8_is_recognised_across_pieces() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.csv");
        for (bytes, expected) in
            [("도".repeat(PIECE), true), (format!("a{}", "도".repeat(PIECE)), true), (String::new(), true)]
        {
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(is_utf8(&path).unwrap(), expected);
            std::fs::write(&path, [bytes.as_bytes(), b"\xec"].concat()).unwrap();
            assert!(!is_utf8(&path).unwrap());
        }
    }

    #[test]
    fn a_long_line_is_one_text() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        let text = [b"[\"".to_vec(), b"\xb5\xb5\xb8\xe9,".repeat(MAX_LINE / 3), b"\"]".to_vec()].concat();
        std::fs::write(&path, text).unwrap();
        let mut evidence = Evidence::new(None);
        scan(&path, &mut evidence).unwrap();
        assert_eq!(evidence.only(), Some(Charset::CP949));
    }

    #[test]
    fn code_pages_of_dos_are_converted_and_utf_32_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.csv");
        for bytes in [&b"\xff\xfe\0\0a\0\0\0"[..], b"\0\0\xfe\xff\0\0\0a"] {
            std::fs::write(&path, bytes).unwrap();
            assert!(prepare(&path, None).unwrap_err().to_string().contains("is UTF-32"));
        }
        std::fs::write(&path, b"name\nStra\xe1e\n").unwrap();
        assert!(prepare(&path, Charset::of_code_page(857)).unwrap().instead.is_some());
        std::fs::write(&path, b"name\n\xd5\n").unwrap();
        assert!(prepare(&path, Charset::of_code_page(857)).is_err(), "no character of it");
    }

    #[test]
    fn marks_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.csv");
        std::fs::write(&path, b"\xff\xfea\0").unwrap();
        assert_eq!(by_mark(&path).unwrap().map(Charset::name).as_deref(), Some("UTF-16LE"));
        std::fs::write(&path, b"\xef\xbb\xbfa").unwrap();
        assert_eq!(by_mark(&path).unwrap(), None);
    }
}
