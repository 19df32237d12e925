//! Tables of MapInfo as input: a .tab or .mif file names the character set.
//!
//! GDAL converts from those that it knows, and passes on the bytes of others, and of "Neutral",
//! which says nothing. A .mif file is given to it as a copy in UTF-8 then, under that name; a table,
//! whose values have a fixed width, as a copy that names another character set.

use super::super::complete::part;
use super::choice::{
    Choice, Declared, Prepared, Source, choose, looks_like, readable, refuse_wide, shown, unreadable,
};
use super::{dbf, mapinfo, plain};
use crate::engine::EngineError;
use cadmill_core::domain::text::{Charset, Evidence};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// Character sets that GDAL converts from, and their code pages.
const CONVERTED: &[(&str, u16)] = &[
    ("WindowsLatin1", 1252),
    ("WindowsLatin2", 1250),
    ("WindowsArabic", 1256),
    ("WindowsCyrillic", 1251),
    ("WindowsBalticRim", 1257),
    ("WindowsGreek", 1253),
    ("WindowsHebrew", 1255),
    ("WindowsTurkish", 1254),
    ("WindowsTradChinese", 950),
    ("WindowsSimpChinese", 936),
    ("WindowsJapanese", 932),
    ("WindowsKorean", 949),
    ("CodePage437", 437),
    ("CodePage850", 850),
    ("CodePage852", 852),
    ("CodePage855", 855),
    ("CodePage857", 857),
    ("CodePage860", 860),
    ("CodePage861", 861),
    ("CodePage863", 863),
    ("CodePage865", 865),
    ("CodePage869", 869),
    ("ISO8859_1", 28591),
    ("ISO8859_2", 28592),
    ("ISO8859_3", 28593),
    ("ISO8859_4", 28594),
    ("ISO8859_5", 28595),
    ("ISO8859_6", 28596),
    ("ISO8859_7", 28597),
    ("ISO8859_8", 28598),
    ("ISO8859_9", 28599),
    // As MapInfo and GDAL spell it.
    ("PackedEUCJapaese", 51932),
];

/// Others that occur.
const OTHERS: &[(&str, u16)] =
    &[("WindowsThai", 874), ("WindowsVietnamese", 1258), ("PackedEUCJapanese", 51932), ("MacRoman", 10000)];

/// The name that says nothing.
const NEUTRAL: &str = "Neutral";

/// The end of a line that is longer is not part of a declaration.
const MAX_LINE: u64 = 1 << 16;

/// Files of a table.
const PARTS: &[&str] = &["dat", "dbf", "map", "id", "ind"];

pub(super) fn prepare(input: &Path, wanted: Option<Charset>) -> Result<Prepared, EngineError> {
    refuse_wide(wanted)?;
    let fail = |error: io::Error| unreadable(input, &error);
    let mut prepared = Prepared::default();
    let is_table = input.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tab"));
    let data = match is_table {
        // Of a table of the type DBF, the latter.
        true => part(input, "dat").or_else(|| part(input, "dbf")),
        false => part(input, "mid"),
    };
    let label = label(input).map_err(fail)?;
    let declared =
        named(&label).map(|charset| Declared { charset, by: format!("the character set \"{label}\"") });
    let mut evidence = Evidence::new(wanted.or(declared.as_ref().map(|declared| declared.charset)));
    lines(input, &mut evidence).map_err(fail)?;
    match &data {
        Some(data) if is_table => {
            let is_text = mapinfo::text_fields(input).map_err(fail)?;
            // GDAL rejects a file that is not a table.
            let mut see = |value: &[u8], width| evidence.see_field(value, value.len() == width);
            if dbf::each_value(data, &is_text, &mut see).is_err() {
                return Ok(prepared);
            }
        }
        Some(data) => lines(data, &mut evidence).map_err(|error| unreadable(data, &error))?,
        None => {}
    }
    let is_converted = CONVERTED.iter().any(|(name, _)| name.eq_ignore_ascii_case(&label));
    // GDAL repeats a message about others.
    let is_quiet = is_converted || label.is_empty() || label.eq_ignore_ascii_case(NEUTRAL);
    let holds_back = declared.as_ref().is_some_and(|declared| declared.charset.holds_letters_back());
    if evidence.values() == 0 && is_quiet && !(is_converted && holds_back) {
        return Ok(prepared);
    }
    let what = shown(data.as_deref().unwrap_or(input));
    let charset = if evidence.values() == 0 {
        Charset::UTF_8
    } else {
        let is_unknown = declared.is_none() && !label.is_empty() && !label.eq_ignore_ascii_case(NEUTRAL);
        let unknown = is_unknown.then_some(("the declared character set", label.as_str()));
        let source = Source { what: &what, unknown };
        let Choice { charset, warning } = choose(source, &evidence, wanted, declared.as_ref(), None)?;
        prepared.charset = Some(charset);
        prepared.warnings.extend(warning);
        if wanted.is_none() {
            prepared.warnings.extend(looks_like(&what, &evidence, charset));
        }
        charset
    };
    let is_read = match declared {
        Some(Declared { charset: said, .. }) if is_converted => said == charset && !holds_back,
        _ => is_quiet && charset == Charset::UTF_8,
    };
    if is_read {
        return Ok(prepared);
    }
    if is_table {
        let readable = readable(&what, charset, &evidence)?;
        let name = name_of(readable).ok_or_else(|| {
            EngineError::TextLost(format!(
                "the text of {what} is {charset}, which GDAL does not read in tables; save them as .mif, or as a shapefile in UTF-8"
            ))
        })?;
        let failed = |e: io::Error| EngineError::Rejected(format!("cannot copy {}: {e}", shown(input)));
        prepared.instead = Some(relabelled(input, name).map_err(failed)?);
        return Ok(prepared);
    }
    let copy = plain::utf8_copy(input, charset)?;
    if let Some(data) = &data {
        let converted = plain::utf8_copy(data, charset)?;
        let beside = copy.with_extension("mid");
        if converted != beside {
            std::fs::rename(&converted, &beside).map_err(|error| unreadable(data, &error))?;
        }
    }
    relabel_in_place(&copy).map_err(fail)?;
    prepared.instead = Some(copy);
    Ok(prepared)
}

/// The encoding that a character set is.
fn named(label: &str) -> Option<Charset> {
    let known = CONVERTED.iter().chain(OTHERS).find(|(name, _)| name.eq_ignore_ascii_case(label));
    match known {
        Some((_, page)) => Charset::of_code_page(*page),
        None => Charset::of_label(label).filter(|charset| charset.is_ascii_compatible()),
    }
}

/// The character set that GDAL converts from this encoding; "Neutral" for UTF-8, which it passes on.
fn name_of(charset: Charset) -> Option<&'static str> {
    if charset == Charset::UTF_8 {
        return Some(NEUTRAL);
    }
    let is = |page: u16| Charset::of_code_page(page) == Some(charset) && !charset.holds_letters_back();
    CONVERTED.iter().find(|(_, page)| is(*page)).map(|(name, _)| *name)
}

/// Where the name of the character set lies in a line that declares one: `Charset "Neutral"` in both
/// kinds of files, and `!charset Neutral`.
fn declaration(line: &[u8]) -> Option<std::ops::Range<usize>> {
    let word = b"charset";
    let start = line.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let rest = &line[start..];
    let begins = |rest: &[u8]| rest.get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word));
    let after = if begins(rest) {
        start + word.len()
    } else if rest.first() == Some(&b'!') && begins(&rest[1..]) {
        start + 1 + word.len()
    } else if rest.get(..5).is_some_and(|word| word.eq_ignore_ascii_case(b"type ")) {
        // `Type NATIVE Charset "Neutral"`
        let at = rest.windows(word.len()).position(|window| window.eq_ignore_ascii_case(word))?;
        start + at + word.len()
    } else {
        return None;
    };
    let is_mark = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'"';
    let from = after + line[after..].iter().position(|byte| !is_mark(byte))?;
    let length = line[from..].iter().position(is_mark).unwrap_or(line.len() - from);
    (from > after).then_some(from..from + length)
}

fn is_data(line: &[u8]) -> bool {
    line.trim_ascii().eq_ignore_ascii_case(b"data")
}

/// The character set that a file declares; empty if it declares none.
fn label(path: &Path) -> io::Result<String> {
    let mut file = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    while (&mut file).take(MAX_LINE).read_until(b'\n', &mut line)? > 0 && !is_data(&line) {
        if let Some(at) = declaration(&line) {
            return Ok(String::from_utf8_lossy(&line[at]).into_owned());
        }
        line.clear();
    }
    Ok(String::new())
}

/// Takes each line as evidence.
fn lines(path: &Path, evidence: &mut Evidence) -> io::Result<()> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut line = Vec::new();
    while (&mut file).take(MAX_LINE).read_until(b'\n', &mut line)? > 0 {
        // A long line ends within a character, maybe.
        evidence.see_field(line.trim_ascii(), line.len() as u64 == MAX_LINE);
        line.clear();
    }
    Ok(())
}

/// Copies a file, with another character set in what it declares.
fn copy_relabelled(from: impl Read, to: impl Write, name: &str) -> io::Result<()> {
    let (mut from, mut to) = (BufReader::with_capacity(1 << 20, from), io::BufWriter::new(to));
    let mut line = Vec::new();
    let mut in_header = true;
    while (&mut from).take(MAX_LINE).read_until(b'\n', &mut line)? > 0 {
        in_header = in_header && !is_data(&line);
        match declaration(&line).filter(|_| in_header) {
            Some(at) => {
                to.write_all(&line[..at.start])?;
                to.write_all(name.as_bytes())?;
                to.write_all(&line[at.end..])?;
            }
            None => to.write_all(&line)?,
        }
        line.clear();
    }
    to.flush()
}

/// A copy of a table and its files that names another character set.
fn relabelled(input: &Path, name: &str) -> io::Result<PathBuf> {
    let directory = std::env::current_dir()?.join("named");
    std::fs::create_dir_all(&directory)?;
    let copy = directory.join(input.file_name().unwrap_or_default());
    copy_relabelled(File::open(input)?, File::create(&copy)?, name)?;
    for extension in PARTS {
        if let Some(from) = part(input, extension) {
            io::copy(&mut File::open(from)?, &mut File::create(copy.with_extension(extension))?)?;
        }
    }
    Ok(copy)
}

/// Says "Neutral" in a copy that is UTF-8.
fn relabel_in_place(copy: &Path) -> io::Result<()> {
    let other = copy.with_extension("named");
    copy_relabelled(File::open(copy)?, File::create(&other)?, NEUTRAL)?;
    std::fs::rename(other, copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_found() {
        for (line, expected) in [
            ("Charset \"Neutral\"\n", Some("Neutral")),
            ("  CHARSET \"ISO8859-1\"", Some("ISO8859-1")),
            ("!charset WindowsKorean\r\n", Some("WindowsKorean")),
            ("  Type NATIVE Charset \"WindowsLatin1\"\n", Some("WindowsLatin1")),
            ("Delimiter \",\"", None),
            ("charset\n", None),
            ("  charsets Char(10)", None),
            ("", None),
        ] {
            let found = declaration(line.as_bytes()).map(|at| &line[at]);
            assert_eq!(found, expected, "{line:?}");
        }
    }

    #[test]
    fn names_are_replaced_in_the_header_alone() {
        let text = "Version 300\nCharset \"Neutral\"\nData\n\nText\n \"x\"\nCharset \"Neutral\"\n";
        let mut copy = Vec::new();
        copy_relabelled(text.as_bytes(), &mut copy, "WindowsKorean").unwrap();
        let expected = text.replacen("Neutral", "WindowsKorean", 1);
        assert_eq!(String::from_utf8(copy).unwrap(), expected);
    }

    #[test]
    fn character_sets_are_known() {
        let name = |label| named(label).and_then(name_of);
        assert_eq!(name("WindowsKorean"), Some("WindowsKorean"));
        assert_eq!(name("ISO8859-1"), Some("WindowsLatin1"));
        assert_eq!(name("UTF-8"), Some(NEUTRAL));
        assert_eq!(name("CodePage437"), Some("CodePage437"));
        assert_eq!((named("WindowsThai").is_some(), name("WindowsThai")), (true, None));
        assert!(named(NEUTRAL).is_none() && named("").is_none());
    }

    #[test]
    fn what_is_read_rightly_is_left_alone() {
        let of = |label: &str, mid: &[u8]| {
            let directory = tempfile::tempdir().unwrap();
            let mif = directory.path().join("a.mif");
            std::fs::write(&mif, format!("Version 300\nCharset \"{label}\"\nColumns 1\n  n Char(9)\nData\n"))
                .unwrap();
            std::fs::write(mif.with_extension("mid"), mid).unwrap();
            prepare(&mif, None).map(|p| (p.instead.is_some(), p.warnings.len())).map_err(|e| e.to_string())
        };
        assert_eq!(of("WindowsKorean", b"\"\xb5\xb5\xb8\xe9\"\n"), Ok((false, 0)));
        assert_eq!(of("Neutral", b"\"plan\"\n"), Ok((false, 0)));
        assert_eq!(of("Neutral", "\"도면\"\n".as_bytes()), Ok((false, 1)));
        assert!(of("Neutral", b"\"\xff\xff\x81\"\n").is_err());
    }
}
