//! Attribute tables of shapefiles, in dBASE format.
//!
//! The encoding is that of the `.cpg` file, or else what the language driver id in the header says
//! (byte 29). Programs write the ids of Western Europe without meaning them: what the values are
//! comes before those.

use super::super::dbase::{fill, read_layout, values};
use super::super::numbers;
use super::choice::{
    Choice, Declared, Hint, Prepared, Source, c_text, choose, looks_like, readable, refuse_wide, shown,
    unreadable,
};
use crate::engine::EngineError;
use cadmill_core::domain::text::{Charset, Evidence};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// Longest label in a `.cpg` file.
const MAX_LABEL: u64 = 256;

/// Longest name of a field, in bytes.
const MAX_NAME: usize = 10;

pub(super) fn prepare(input: &Path, wanted: Option<Charset>) -> Result<Prepared, EngineError> {
    refuse_wide(wanted)?;
    let Some(table) = beside(input, "dbf") else {
        let text = "the shapefile has no table (.dbf): its features have no attributes";
        return Ok(Prepared { warnings: vec![text.to_owned()], ..Prepared::default() });
    };
    let mut prepared = prepare_text(input, &table, wanted)?;
    prepared.open.extend(numbers::option(&table));
    Ok(prepared)
}

fn prepare_text(input: &Path, table: &Path, wanted: Option<Charset>) -> Result<Prepared, EngineError> {
    let mut prepared = Prepared::default();
    let cpg = beside(input, "cpg").map(|path| label(&path).map_err(|e| unreadable(&path, &e))).transpose()?;
    let declared = cpg
        .as_deref()
        .and_then(Charset::of_declaration)
        .filter(|charset| charset.is_ascii_compatible())
        .map(|charset| Declared { charset, by: "the .cpg file".to_owned() });
    let unknown = cpg.as_deref().map(str::trim).filter(|label| {
        let is_known = Charset::of_label(label).is_some_and(Charset::is_ascii_compatible);
        !label.is_empty() && !is_known
    });
    // GDAL rejects a file that is not a table.
    let Ok(layout) = File::open(table).and_then(|mut file| read_layout(&mut file)) else {
        return Ok(prepared);
    };
    let page = Charset::dbase_page(layout.language);
    let by_header = page.and_then(Charset::of_code_page);
    let expected = wanted.or(declared.as_ref().map(|declared| declared.charset)).or(by_header);
    let mut evidence = Evidence::new(expected);
    if scan(table, &mut evidence).is_err() {
        return Ok(prepared);
    }
    let what = shown(table);
    if evidence.values() == 0 {
        // GDAL would take the declared encoding, and lose letters of ASCII too.
        let takes = match &cpg {
            Some(label) => Charset::of_label(label),
            None => by_header,
        };
        let is_lost = |charset: Charset| charset.holds_letters_back() || !charset.is_ascii_compatible();
        let says = cpg.as_deref().is_some_and(|label| !label.trim().is_empty()) || by_header.is_some();
        let charset = match wanted {
            Some(charset) if charset.holds_letters_back() => Some(Charset::UTF_8),
            Some(charset) => Some(charset),
            None => (says && takes.is_none_or(is_lost)).then_some(Charset::UTF_8),
        };
        prepared.open.extend(charset.map(|charset| c_text(&format!("ENCODING={}", charset.iconv()))));
        return Ok(prepared);
    }
    let is_read = wanted.is_some() || declared.is_some() || evidence.only().is_some();
    if let (Some(page), None, false) = (page, by_header, is_read) {
        return Err(EngineError::TextLost(format!(
            "the header of {what} says code page {page}, which cannot be read; name the encoding with --opt encoding=NAME, or save the table as UTF-8"
        )));
    }
    let hint = by_header.filter(|_| wanted.is_none() && declared.is_none()).map(|charset| Hint {
        said: Declared { charset, by: "its header".to_owned() },
        is_confirmed: evidence.confirms_declared(),
    });
    let source = Source { what: &what, unknown: unknown.map(|label| ("the .cpg file", label)) };
    let Choice { charset, warning } = choose(source, &evidence, wanted, declared.as_ref(), hint.as_ref())?;
    prepared.charset = Some(charset);
    prepared.warnings.extend(warning);
    if wanted.is_none() && declared.is_some() {
        prepared.warnings.extend(looks_like(&what, &evidence, charset));
    }
    let cut = evidence.cut(charset);
    if cut > 0 {
        prepared.warnings.push(format!(
            "{cut} values in {what} end within a character, cut to the width of their field; that part of a character is left out"
        ));
    }
    let charset = readable(&what, charset, &evidence)?;
    let says_iso = cpg.is_some_and(|label| label.contains("8859"));
    let name = if charset == Charset::UTF_8 && cut > 0 {
        // GDAL passes on what is said to be `UTF-8` as it is, and converts what is said to be
        // `UTF8`, which leaves cut characters out.
        "UTF8".to_owned()
    } else if charset == Charset::WINDOWS_1252 && says_iso && evidence.is_iso_8859_1() {
        // Some formats store the name, so it is the declared one where both give the same text.
        "ISO-8859-1".to_owned()
    } else {
        charset.iconv()
    };
    prepared.open.push(c_text(&format!("ENCODING={name}")));
    Ok(prepared)
}

/// A file of the same name with another extension, where GDAL looks for it: in lower or upper case.
fn beside(input: &Path, extension: &str) -> Option<PathBuf> {
    let spellings = [extension.to_owned(), extension.to_ascii_uppercase()];
    spellings.into_iter().map(|e| input.with_extension(e)).find(|path| path.is_file())
}

fn label(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_LABEL).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    Ok(text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default().to_owned())
}

/// Reads the whole table and takes its names and values as evidence.
fn scan(path: &Path, evidence: &mut Evidence) -> io::Result<()> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let layout = read_layout(&mut file)?;
    layout.names.iter().for_each(|(_, name)| evidence.see_field(name, name.len() >= MAX_NAME));
    values(&mut file, &layout, &layout.text(), &mut |value, width| {
        evidence.see_field(value, value.len() == width)
    })
}

/// Calls `each` with the values that are not ASCII alone of the fields that `is_text` names by their
/// number, and with the width of the field.
///
/// # Errors
/// When the file cannot be read or is not a table.
pub(super) fn each_value(
    path: &Path,
    is_text: &dyn Fn(usize) -> bool,
    each: &mut dyn FnMut(&[u8], usize),
) -> io::Result<()> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let layout = read_layout(&mut file)?;
    let fields: Vec<_> = layout
        .fields
        .iter()
        .enumerate()
        .filter(|(number, _)| is_text(*number))
        .map(|(_, field)| field.at.clone())
        .collect();
    values(&mut file, &layout, &fields, each)
}

/// Whether a value of the fields that `is_text` names has at least this many bytes.
///
/// # Errors
/// When the file cannot be read or is not a table.
pub(super) fn has_long(path: &Path, is_text: &dyn Fn(usize) -> bool, bytes: usize) -> io::Result<bool> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let layout = read_layout(&mut file)?;
    let numbered = layout.fields.iter().enumerate();
    let wide = numbered.filter(|(number, field)| is_text(*number) && field.at.len() >= bytes);
    let wide: Vec<_> = wide.map(|(_, field)| field.at.clone()).collect();
    let mut record = vec![0; layout.record_bytes];
    for _ in 0..layout.records {
        if wide.is_empty() || fill(&mut file, &mut record)? < record.len() {
            break;
        }
        let length = |at: &std::ops::Range<usize>| {
            let value = record[at.clone()].split(|byte| *byte == 0).next().unwrap_or_default();
            value.trim_ascii_end().len()
        };
        if wide.iter().any(|at| length(at) >= bytes) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A table that was written: repairs names that GDAL has cut within a character, and takes the
/// values as evidence that they are of the encoding that the table declares. Returns the names that
/// were repaired.
pub(super) fn check_written(path: &Path, evidence: &mut Evidence, is_utf8: bool) -> io::Result<Vec<String>> {
    use std::os::unix::fs::FileExt;
    let mut repaired = Vec::new();
    if is_utf8 {
        let file = File::options().read(true).write(true).open(path)?;
        let layout = read_layout(&mut &file)?;
        let whole = |name: &[u8]| std::str::from_utf8(name).is_ok();
        let mut taken: Vec<Vec<u8>> =
            layout.names.iter().map(|(_, name)| name.clone()).filter(|name| whole(name)).collect();
        for (at, name) in layout.names.iter().filter(|(_, name)| !whole(name)) {
            let name = unique(&name.utf8_chunks().map(|chunk| chunk.valid()).collect::<String>(), &taken);
            let mut stored = [0; 11];
            stored[..name.len()].copy_from_slice(name.as_bytes());
            file.write_all_at(&stored, *at as u64)?;
            taken.push(name.clone().into_bytes());
            repaired.push(name);
        }
    }
    scan(path, evidence)?;
    Ok(repaired)
}

/// A name of at most 10 bytes that no other field has.
fn unique(name: &str, taken: &[Vec<u8>]) -> String {
    let is_free = |name: &str| !name.is_empty() && !taken.iter().any(|other| other == name.as_bytes());
    let numbered = (1..1000).map(|number| {
        let end = format!("_{number}");
        let room = MAX_NAME - end.len();
        let cut = name.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|at| *at <= room).last();
        format!("{}{end}", &name[..cut.unwrap_or(0)])
    });
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(|name| is_free(name))
        .unwrap_or_else(|| "field".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::super::dbase::{DESCRIPTOR, HEADER, TERMINATOR};
    use super::*;

    /// A table with one text field of 10 bytes and one number.
    fn table(language: u8, name: &[u8], values: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![3, 126, 1, 1];
        bytes.extend((values.len() as u32).to_le_bytes());
        bytes.extend((HEADER as u16 + 2 * DESCRIPTOR as u16 + 1).to_le_bytes());
        bytes.extend(15_u16.to_le_bytes());
        bytes.resize(29, 0);
        bytes.extend([language, 0, 0]);
        for (name, kind, length) in [(name, b'C', 10_u8), (b"N", b'N', 4)] {
            let mut field = name.to_vec();
            field.resize(11, 0);
            field.push(kind);
            field.resize(16, 0);
            field.push(length);
            field.resize(DESCRIPTOR, 0);
            bytes.extend(field);
        }
        bytes.push(TERMINATOR);
        for value in values {
            let mut record = b" ".to_vec();
            record.extend(*value);
            record.resize(11, b' ');
            record.extend(b"   1");
            bytes.extend(record);
        }
        bytes.push(0x1a);
        bytes
    }

    fn prepared(
        language: u8,
        cpg: Option<&str>,
        values: &[&[u8]],
        wanted: &str,
    ) -> Result<(Vec<String>, usize), String> {
        let directory = tempfile::tempdir().unwrap();
        let shp = directory.path().join("r.shp");
        std::fs::write(directory.path().join("r.DBF"), table(language, b"NAME", values)).unwrap();
        if let Some(cpg) = cpg {
            std::fs::write(directory.path().join("r.cpg"), cpg).unwrap();
        }
        prepare(&shp, Charset::of_label(wanted))
            .map(|p| (p.open.iter().map(|o| o.to_str().unwrap().to_owned()).collect(), p.warnings.len()))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn tables_are_read_in_their_encoding() {
        let korean: &[u8] = b"\xb5\xb5\xb8\xe9";
        let told = |text: &str, warnings| Ok((vec![format!("ENCODING={text}")], warnings));
        assert_eq!(prepared(0, None, &[korean], ""), told("CP949", 1));
        assert_eq!(prepared(0x57, None, &[korean], ""), told("CP949", 1));
        assert_eq!(prepared(0x4e, None, &[korean], ""), told("CP949", 0));
        assert_eq!(prepared(0x4f, None, &[korean], ""), told("BIG5-HKSCS", 1));
        assert_eq!(prepared(0x50, None, &[b"\xa1\xd2"], ""), told("CP874", 0));
        assert_eq!(prepared(0x7a, None, &[korean], ""), told("GB18030", 1));
        assert!(prepared(0x68, None, &[b"Stra\xdfe"], "").is_err());
        assert_eq!(prepared(0, Some("949\n"), &[korean], ""), told("CP949", 0));
        assert_eq!(prepared(0, Some("UTF-8"), &["도면".as_bytes()], ""), told("UTF-8", 0));
        assert_eq!(
            prepared(0, Some("UTF-8"), &["도면".as_bytes(), "가나다라".as_bytes()[..10].as_ref()], ""),
            told("UTF8", 1)
        );
        assert_eq!(prepared(0, Some("UTF-8"), &[korean], ""), told("CP949", 1));
        assert_eq!(prepared(0, Some("nonsense"), &[korean], ""), told("CP949", 1));
        assert_eq!(prepared(0x03, None, &[b"Stra\xdfe"], ""), told("CP1252", 1));
        assert_eq!(prepared(0, None, &[b"Stra\xdfe"], ""), told("CP1252", 1));
        assert_eq!(prepared(0, Some("UTF-8"), &[korean], "949"), told("CP949", 0));
        assert_eq!(prepared(0, None, &[b"plain"], ""), Ok((vec![], 0)));
        assert!(prepared(0, None, &[korean], "utf-8").is_err());
    }

    #[test]
    fn no_letter_is_kept_back() {
        let told = |text: &str, warnings| Ok((vec![format!("ENCODING={text}")], warnings));
        let hebrew: &[u8] = b"\xf9\xec\xe5\xed";
        assert_eq!(prepared(0, Some("1255"), &[hebrew], ""), told("ISO-8859-8", 0));
        assert_eq!(prepared(0x7d, None, &[hebrew], ""), told("ISO-8859-8", 0));
        assert!(prepared(0, Some("1255"), &[b"\xf9\xc7"], "").is_err());
        assert!(prepared(0, Some("1258"), &[b"Vi\xea\xf2t"], "").is_err());
        for (language, cpg) in [(0, Some("1258")), (0, Some("TCVN")), (0, Some("UTF-16")), (0x7d, None)] {
            assert_eq!(prepared(language, cpg, &[b"plain"], "").unwrap().0, ["ENCODING=UTF-8"], "{cpg:?}");
        }
        assert_eq!(prepared(0, None, &[b"plain"], "1258"), told("UTF-8", 0));
        assert_eq!(prepared(0xc9, None, &[b"plain"], ""), Ok((vec![], 0)));
    }

    #[test]
    fn deleted_records_and_numbers_are_no_text() {
        let mut bytes = table(0, b"NAME", &[b"plain", b"\xff\xff"]);
        let second = bytes.len() - 1 - 15;
        bytes[second] = b'*';
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("r.dbf"), bytes).unwrap();
        let mut evidence = Evidence::new(None);
        scan(&directory.path().join("r.dbf"), &mut evidence).unwrap();
        assert_eq!(evidence.values(), 0);
    }

    #[test]
    fn long_values_are_found_in_ascii_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.dbf");
        std::fs::write(&path, table(0, b"NAME", &[b"a", b"0123456789"])).unwrap();
        assert!(has_long(&path, &|_| true, 10).unwrap());
        assert!(!has_long(&path, &|number| number > 0, 10).unwrap());
        assert!(!has_long(&path, &|_| true, 11).unwrap());
    }

    #[test]
    fn letters_at_the_end_of_values_are_not_cut_characters() {
        assert_eq!(
            prepared(0x03, None, &[b"S\xc3O", b"PARAN\xc1"], ""),
            Ok((vec!["ENCODING=CP1252".to_owned()], 1))
        );
        assert!(prepared(0, None, &[b"PARAN\xc1"], "utf-16").is_err());
    }

    #[test]
    fn names_that_were_cut_are_repaired() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.dbf");
        std::fs::write(&path, table(0, &"가나다라".as_bytes()[..10], &["도면".as_bytes()])).unwrap();
        let mut evidence = Evidence::new(Some(Charset::UTF_8));
        assert_eq!(check_written(&path, &mut evidence, true).unwrap(), ["가나다"]);
        assert!(evidence.confirms_declared());
        assert_eq!(unique("가나다", &["가나다".as_bytes().to_vec()]), "가나_1");
    }

    #[test]
    fn what_is_no_table_is_left_to_the_library() {
        for bytes in [&b""[..], b"short", &[0; 100], &[0xff; 5000]] {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join("r.dbf"), bytes).unwrap();
            assert!(prepare(&directory.path().join("r.shp"), None).is_ok());
        }
    }
}
