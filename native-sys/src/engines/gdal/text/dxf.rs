//! Drawings: `$DWGCODEPAGE` says the encoding of the text, and from AutoCAD 2007 on (`AC1021`) it
//! is UTF-8 whatever that says. GDAL takes the variable only, and only in one spelling.

use super::choice::{Choice, Declared, Prepared, c_text, choose, refuse_wide, shown, unreadable};
use crate::engine::EngineError;
use cadmill_core::domain::text::{Charset, Evidence};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// The number of the first version whose text is UTF-8.
const UTF_8_SINCE: u32 = 1021;

/// Lines longer than this are taken in pieces.
const MAX_LINE: usize = 1 << 16;

pub(super) fn prepare(input: &Path, wanted: Option<Charset>) -> Result<Prepared, EngineError> {
    let read = |evidence: &mut Evidence| scan(input, evidence).map_err(|e| unreadable(input, &e));
    let mut prepared = Prepared::default();
    refuse_wide(wanted)?;
    let mut evidence = Evidence::new(wanted);
    let header = read(&mut evidence)?;
    if evidence.values() == 0 {
        return Ok(prepared);
    }
    let what = shown(input);
    let page = Charset::of_label(&header.code_page).filter(|charset| charset.is_ascii_compatible());
    let version = header.version.strip_prefix("AC").and_then(|number| number.parse::<u32>().ok());
    let is_utf8 = version.is_some_and(|number| number >= UTF_8_SINCE);
    let declared = if is_utf8 {
        Some(Declared { charset: Charset::UTF_8, by: format!("version {}", header.version) })
    } else {
        page.map(|charset| Declared { charset, by: "$DWGCODEPAGE".to_owned() })
    };
    if wanted.is_none() {
        evidence = Evidence::new(declared.as_ref().map(|declared| declared.charset));
        read(&mut evidence)?;
    }
    // A code page that GDAL may know.
    let is_page = header.code_page.to_ascii_uppercase().starts_with("ANSI_");
    if wanted.is_none() && declared.is_none() && evidence.only().is_none() && is_page {
        return Ok(prepared);
    }
    let Choice { charset, warning } = choose(&what, &evidence, wanted, declared.as_ref(), None)?;
    prepared.warnings.extend(warning);
    if declared.is_none() && !header.code_page.is_empty() {
        prepared.warnings.push(format!("$DWGCODEPAGE names an unknown encoding: '{}'", header.code_page));
    }
    if let (None, Some(likely)) = (wanted, evidence.only().filter(|likely| *likely != charset)) {
        prepared.warnings.push(format!(
            "the text of {what} was read as {charset}, as the drawing says, but all of it is valid {likely}; --opt encoding={likely} reads it as that"
        ));
    }
    prepared.config.push((c"DXF_ENCODING", c_text(&charset.iconv())));
    Ok(prepared)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Header {
    version: String,
    code_page: String,
}

/// Reads the drawing, takes its lines as evidence, and returns what its header says.
fn scan(path: &Path, evidence: &mut Evidence) -> std::io::Result<Header> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut header = Header::default();
    let (mut line, mut variable, mut lines) = (Vec::new(), Variable::None, 0_u64);
    loop {
        // Most of a drawing is numbers: whole buffers of ASCII need no lines once the header is
        // read.
        let buffer = file.fill_buf()?;
        if buffer.is_empty() {
            return Ok(header);
        }
        if lines > 20_000 && line.is_empty() && buffer.is_ascii() {
            let length = buffer.len();
            file.consume(length);
            continue;
        }
        let (end, is_whole) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), false),
        };
        line.extend_from_slice(&buffer[..end]);
        file.consume(end);
        if !is_whole && line.len() < MAX_LINE && !file.fill_buf()?.is_empty() {
            continue;
        }
        let text = line.trim_ascii();
        evidence.see(text);
        match (variable, text) {
            (_, b"$ACADVER") => variable = Variable::Version(1),
            (_, b"$DWGCODEPAGE") => variable = Variable::CodePage(1),
            // The group code of the value.
            (Variable::Version(1), _) => variable = Variable::Version(0),
            (Variable::CodePage(1), _) => variable = Variable::CodePage(0),
            (Variable::Version(_), value) => {
                (header.version, variable) = (String::from_utf8_lossy(value).into_owned(), Variable::None);
            }
            (Variable::CodePage(_), value) => {
                (header.code_page, variable) = (String::from_utf8_lossy(value).into_owned(), Variable::None);
            }
            (Variable::None, _) => {}
        }
        line.clear();
        lines += 1;
    }
}

/// The variable of the header whose value follows, after so many lines.
#[derive(Clone, Copy)]
enum Variable {
    None,
    Version(u8),
    CodePage(u8),
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
        assert_eq!(prepared("AC1015", "strange", korean, ""), told("CP949", 2));
        assert_eq!(prepared("AC1032", "ANSI_949", "도면".as_bytes(), ""), told("UTF-8", 0));
        assert_eq!(prepared("AC1032", "ANSI_949", korean, ""), told("CP949", 1));
        assert_eq!(prepared("AC1015", "ANSI_949", b"plan", ""), Ok((None, 0)));
        assert!(prepared("AC1015", "ANSI_949", korean, "utf-8").is_err());
        assert!(prepared("AC1015", "ANSI_949", b"\xff\xff", "").is_err());
    }
}
