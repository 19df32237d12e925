//! Drawings: `$DWGCODEPAGE` says the encoding of the text, and from AutoCAD 2007 on (`AC1021`) it
//! is UTF-8 whatever that says. GDAL takes the variable only, and only in one spelling. Some characters are spelled in ASCII ([`dxf_escapes`]).

use super::choice::{
    Choice, Declared, Prepared, Source, c_text, choose, looks_like, refuse_wide, shown, unreadable,
};
use super::dxf_escapes::{self, Copy};
use super::plain;
use crate::engine::EngineError;
use cadmill_core::domain::text::{Charset, Evidence};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// The number of the first version whose text is UTF-8.
const UTF_8_SINCE: u32 = 1021;

/// Lines longer than this, in bytes, are taken in pieces.
const MAX_LINE: u64 = 1 << 16;

pub(super) fn prepare(input: &Path, wanted: Option<Charset>) -> Result<Prepared, EngineError> {
    let mut prepared = Prepared::default();
    refuse_wide(wanted)?;
    let header = header(input).map_err(|e| unreadable(input, &e))?;
    let declared = header.declared();
    let mut evidence = Evidence::new(wanted.or(declared.as_ref().map(|declared| declared.charset)));
    scan(input, &mut evidence).map_err(|e| unreadable(input, &e))?;
    let has_escapes = any_line(input, |buffer| !buffer.contains(&b'\\'), dxf_escapes::has_any)
        .map_err(|e| unreadable(input, &e))?;
    if evidence.values() == 0 {
        if has_escapes {
            prepared.take_copy(dxf_escapes::copy(input, Charset::UTF_8)?);
            return Ok(prepared);
        }
        // GDAL would lose letters of ASCII too.
        if declared.is_some_and(|declared| declared.charset.holds_letters_back()) {
            prepared.config.push((c"DXF_ENCODING", c_text(&Charset::UTF_8.iconv())));
        }
        return Ok(prepared);
    }
    let what = shown(input);
    // A code page that GDAL may know.
    let is_page = header.code_page.to_ascii_uppercase().starts_with("ANSI_");
    if wanted.is_none() && declared.is_none() && evidence.only().is_none() && is_page {
        return Ok(prepared);
    }
    let unknown = Some(("$DWGCODEPAGE", header.code_page.as_str()));
    // "ascii" is known, but says nothing of other characters.
    let unknown = unknown.filter(|(_, page)| !page.is_empty() && Charset::of_label(page).is_none());
    let source = Source { what: &what, unknown };
    let Choice { charset, warning } = choose(source, &evidence, wanted, declared.as_ref(), None)?;
    prepared.charset = Some(charset);
    prepared.warnings.extend(warning);
    if wanted.is_none() {
        prepared.warnings.extend(looks_like(&what, &evidence, charset));
    }
    if has_escapes {
        prepared.take_copy(dxf_escapes::copy(input, charset)?);
        return Ok(prepared);
    }
    let told = match charset.holds_letters_back() {
        true => {
            prepared.instead = Some(plain::utf8_copy(input, charset)?);
            Charset::UTF_8
        }
        false => charset,
    };
    prepared.config.push((c"DXF_ENCODING", c_text(&told.iconv())));
    Ok(prepared)
}

impl Prepared {
    /// Has GDAL read a copy in UTF-8 that has the characters which the drawing spells.
    fn take_copy(&mut self, Copy { path, left }: Copy) {
        self.config.push((c"DXF_ENCODING", c_text(&Charset::UTF_8.iconv())));
        self.instead = Some(path);
        if left > 0 {
            self.losses.push(format!(
                "{left} characters are spelled by code page (\\M+...) and cannot be read: they were left as they are spelled"
            ));
        }
    }
}

/// What the header section says.
#[derive(Debug, Default)]
struct Header {
    version: String,
    code_page: String,
}

impl Header {
    fn declared(&self) -> Option<Declared> {
        let version = self.version.strip_prefix("AC").and_then(|number| number.parse::<u32>().ok());
        if version.is_some_and(|number| number >= UTF_8_SINCE) {
            return Some(Declared { charset: Charset::UTF_8, by: format!("version {}", self.version) });
        }
        let page = Charset::of_declaration(&self.code_page).filter(|charset| charset.is_ascii_compatible());
        page.map(|charset| Declared { charset, by: "$DWGCODEPAGE".to_owned() })
    }
}

/// Reads the header section. A variable is a line with its name, one with a group code, and one with
/// its value.
fn header(path: &Path) -> io::Result<Header> {
    let mut file = BufReader::new(File::open(path)?);
    let mut header = Header::default();
    let mut line = Vec::new();
    while next_line(&mut file, &mut line)? && line.trim_ascii() != b"ENDSEC" {
        let value = match line.trim_ascii() {
            b"$ACADVER" => &mut header.version,
            b"$DWGCODEPAGE" => &mut header.code_page,
            _ => continue,
        };
        if !(next_line(&mut file, &mut line)? && next_line(&mut file, &mut line)?) {
            break;
        }
        *value = String::from_utf8_lossy(line.trim_ascii()).into_owned();
    }
    Ok(header)
}

/// Takes the lines of the drawing as evidence.
fn scan(path: &Path, evidence: &mut Evidence) -> io::Result<()> {
    any_line(path, <[u8]>::is_ascii, |line| {
        evidence.see(line.trim_ascii());
        false
    })
    .map(drop)
}

/// Whether a line is `wanted`. Most of a drawing is numbers: buffers that are `plain` have no such
/// line, and are not divided into lines.
fn any_line(
    path: &Path,
    plain: impl Fn(&[u8]) -> bool,
    mut wanted: impl FnMut(&[u8]) -> bool,
) -> io::Result<bool> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut line = Vec::new();
    loop {
        let buffer = file.fill_buf()?;
        let mut left = buffer.len();
        if left == 0 {
            return Ok(false);
        }
        if plain(buffer) {
            file.consume(left);
            continue;
        }
        // All lines that begin in the buffer, so that none of it is looked at twice.
        while left > 0 && next_line(&mut file, &mut line)? {
            if wanted(&line) {
                return Ok(true);
            }
            left = left.saturating_sub(line.len());
        }
    }
}

/// Whether a drawing has characters that its readers take for others: GDAL writes names in UTF-8
/// into drawings that declare windows-1252, and five digits of a code point where four are read.
/// Letters of ISO 8859-1 in labels are right.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn garbles(path: &Path) -> io::Result<bool> {
    any_line(path, |buffer| buffer.is_ascii() && !buffer.contains(&b'\\'), is_garbled)
}

fn is_garbled(line: &[u8]) -> bool {
    let is_other = !line.is_ascii()
        && (std::str::from_utf8(line).is_ok() || line.iter().any(|byte| (0x80..0xa0).contains(byte)));
    is_other || has_long_escape(line)
}

/// `\U+1f600`: the digits of a character beyond the basic plane, of which only the emoji are told
/// from a shorter escape and a digit.
fn has_long_escape(line: &[u8]) -> bool {
    line.windows(8).any(|window| {
        window.starts_with(b"\\U+")
            && window[3..5].eq_ignore_ascii_case(b"1f")
            && window[5..].iter().all(u8::is_ascii_hexdigit)
    })
}

/// Reads the next line, or a piece of a long one. Returns whether there is one.
fn next_line(file: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    Ok(file.take(MAX_LINE).read_until(b'\n', line)? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(
        version: &str,
        page: &str,
        text: &[u8],
        wanted: &str,
    ) -> Result<(Option<String>, usize), String> {
        let mut bytes = format!(
            "  0\r\nSECTION\r\n  2\r\nHEADER\r\n  9\r\n$ACADVER\r\n  1\r\n{version}\r\n  9\r\n$DWGCODEPAGE\r\n  3\r\n{page}\r\n  0\r\nENDSEC\r\n  8\r\n"
        )
        .into_bytes();
        bytes.extend(text);
        bytes.extend(b"\r\n  0\r\nEOF\r\n");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.dxf");
        std::fs::write(&path, bytes).unwrap();
        prepare(&path, Charset::of_label(wanted))
            .map(|p| {
                (p.config.first().map(|(_, value)| value.to_str().unwrap().to_owned()), p.warnings.len())
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn drawings_are_read_in_their_encoding() {
        let korean: &[u8] = b"\xb5\xb5\xb8\xe9";
        let told = |text: &str, warnings| Ok((Some(text.to_owned()), warnings));
        for page in ["ANSI_949", "ansi_949", "ksc5601", "KSC5601", "dos949"] {
            assert_eq!(prepared("AC1015", page, korean, ""), told("CP949", 0), "{page}");
        }
        assert_eq!(prepared("AC1015", "ANSI_1252", korean, ""), told("CP1252", 1));
        assert_eq!(prepared("AC1015", "ANSI_1252", korean, "cp949"), told("CP949", 0));
        assert_eq!(prepared("AC1015", "ANSI_1252", b"Stra\xdfe", ""), told("CP1252", 0));
        assert_eq!(prepared("AC1015", "", korean, ""), told("CP949", 1));
        assert_eq!(prepared("AC1015", "strange", korean, ""), told("CP949", 1));
        assert_eq!(prepared("AC1015", "ascii", korean, ""), told("CP949", 1));
        assert_eq!(prepared("AC1015", "ascii", b"Stra\xdfe", ""), told("CP1252", 1));
        assert!(prepared("AC1015", "JOHAB", b"\x88a\xff", "").unwrap_err().contains("'JOHAB'"));
        assert_eq!(prepared("AC1032", "ANSI_949", "도면".as_bytes(), ""), told("UTF-8", 0));
        assert_eq!(prepared("AC1032", "ANSI_949", korean, ""), told("CP949", 1));
        assert_eq!(prepared("AC1015", "ANSI_949", b"plan", ""), Ok((None, 0)));
        assert!(prepared("AC1015", "ANSI_949", korean, "utf-8").is_err());
        assert!(prepared("AC1015", "ANSI_949", b"\xff\xff", "").is_err());
    }

    #[test]
    fn spelled_characters_are_read_in_a_copy() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.dxf");
        for (text, read, losses) in [
            (&b"\\U+C11C \\M+3B5B5"[..], "서 도", 0),
            (b"\xb5\xb5\\U+C11C", "도서", 0),
            (b"\\M+4B5B5", "\\M+4B5B5", 1),
        ] {
            let text = [b"  9\n$DWGCODEPAGE\n  3\nANSI_949\n  0\nENDSEC\n  1\n", text, b"\n"].concat();
            std::fs::write(&path, text).unwrap();
            let prepared = prepare(&path, None).unwrap();
            let copy = std::fs::read_to_string(prepared.instead.unwrap()).unwrap();
            assert_eq!(copy.lines().last(), Some(read));
            assert_eq!((prepared.losses.len(), prepared.config[0].1.to_str()), (losses, Ok("UTF-8")));
        }
    }

    #[test]
    fn drawings_have_ascii_and_short_escapes_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.dxf");
        let is_garbled = |line: &[u8]| {
            // What is to be found lies behind a buffer of numbers, and on its border.
            [0, 1 << 20, (1 << 20) - 4].map(|length| {
                let mut bytes = vec![b'\n'; length];
                bytes.extend(line);
                std::fs::write(&path, bytes).unwrap();
                garbles(&path).unwrap()
            })
        };
        for good in [&b"  8\nroads\n"[..], b"\\U+ac00\\U+1f00", b"\\U+1f6", b"\\P\\U", b"  1\nStra\xdfe\n"] {
            assert_eq!(is_garbled(good), [false; 3], "{good:?}");
        }
        for bad in ["  8\n도로\n".as_bytes(), b"\\U+1f600", b"\\U+1F680x"] {
            assert_eq!(is_garbled(bad), [true; 3], "{bad:?}");
        }
    }
}
