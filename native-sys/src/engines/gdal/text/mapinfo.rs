//! The character set of a MapInfo table that was written.
//!
//! The driver writes the bytes of UTF-8 under the character set "Neutral", which readers take for
//! that of their system. So what was written first is read, and tells which character set has all
//! of it. A table (`.tab`) names its fields and their types; only those of type Char are text in
//! the `.dat` file, which is a dBASE table otherwise.

use super::dbf;
use cadmill_core::domain::text::Charset;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// Code pages of the character sets of MapInfo, in the order in which they are tried.
const CODE_PAGES: &[u16] = &[1252, 949, 932, 936, 950, 1250, 1251, 1253, 1254, 1256, 1255, 1257, 874];

/// Longest text in a table, in bytes. Longer ones are cut without a word.
const MAX_TEXT: usize = 254;

/// What is wrong with text that GDAL has changed: letters of field names other than those of ASCII,
/// byte by byte.
const NAMES: &str = "GDAL writes names of fields into MapInfo files with ASCII letters, digits and underscores only: give the fields such names, or leave them out with --opt select=FIELD,FIELD";
const VALUES: &str = "the output would not be valid text";

/// Larger than the description of any table.
const MAX_TABLE: u64 = 1 << 20;

/// The characters beyond ASCII, and what is wrong with the text.
#[derive(Debug, Default)]
pub(super) struct Text {
    characters: BTreeSet<char>,
    problem: Option<String>,
}

impl Text {
    fn see(&mut self, bytes: &[u8], problem: &str) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.characters.extend(text.chars().filter(|c| !c.is_ascii())),
            Err(_) => {
                self.problem.get_or_insert_with(|| problem.to_owned());
            }
        }
    }

    /// Takes a value that fills its field: it may be cut, also within a character. In another
    /// character set it may be short enough.
    fn see_full(&mut self, bytes: &[u8]) {
        let valid = bytes.utf8_chunks().flat_map(|chunk| chunk.valid().chars());
        self.characters.extend(valid.filter(|c| !c.is_ascii()));
    }
}

/// The character set for what was written to this directory; `None` if it is ASCII, and the reason
/// if there is none.
///
/// # Errors
/// When a file cannot be read.
pub(in crate::engines::gdal) fn charset_of(directory: &Path) -> io::Result<Option<Result<Charset, String>>> {
    let mut text = Text::default();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        match path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase().as_str() {
            "mif" | "mid" => read_lines(&path, &mut text)?,
            "tab" => read_table(&path, &mut text)?,
            _ => {}
        }
    }
    if let Some(problem) = text.problem {
        return Ok(Some(Err(problem)));
    }
    if text.characters.is_empty() {
        return Ok(None);
    }
    let characters: String = text.characters.into_iter().collect();
    let found =
        CODE_PAGES.iter().filter_map(|page| Charset::of_code_page(*page)).find(|c| c.has(&characters));
    Ok(Some(found.ok_or_else(|| "no character set of MapInfo has all characters of the text".to_owned())))
}

fn read_lines(path: &Path, text: &mut Text) -> io::Result<()> {
    use std::io::BufRead;
    let mut file = io::BufReader::with_capacity(1 << 20, std::fs::File::open(path)?);
    // A .mif file has the names first.
    let mut problem = match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("mif") => NAMES,
        _ => VALUES,
    };
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line)? > 0 {
        if line.trim_ascii().eq_ignore_ascii_case(b"data") {
            problem = VALUES;
        }
        text.see(&line, problem);
        line.clear();
    }
    Ok(())
}

fn read_table(path: &Path, text: &mut Text) -> io::Result<()> {
    text.see(&std::fs::read(path)?, NAMES);
    let is_text = text_fields(path)?;
    dbf::each_value(&path.with_extension("dat"), &is_text, &mut |value, width| {
        if is_full(value, width) {
            text.see_full(value);
        } else {
            text.see(value, VALUES);
        }
    })
}

fn is_full(value: &[u8], width: usize) -> bool {
    value.len() >= MAX_TEXT && width >= MAX_TEXT
}

/// Why a table in this directory may lack the end of a value.
///
/// # Errors
/// When a file cannot be read.
pub(in crate::engines::gdal) fn cut(directory: &Path) -> io::Result<Option<String>> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let is_table = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tab"));
        if is_table && dbf::has_long(&path.with_extension("dat"), &text_fields(&path)?, MAX_TEXT)? {
            let text = format!(
                "a value has {MAX_TEXT} bytes or more, where MapInfo tables end a text: choose another format, e.g. mif"
            );
            return Ok(Some(text));
        }
    }
    Ok(None)
}

/// Which fields of a table are text, by their number.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn text_fields(path: &Path) -> io::Result<impl Fn(usize) -> bool + use<>> {
    let mut table = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(std::fs::File::open(path)?, MAX_TABLE), &mut table)?;
    let fields = fields(&String::from_utf8_lossy(&table));
    Ok(move |number: usize| fields.get(number).is_none_or(|kind| kind.eq_ignore_ascii_case("Char")))
}

/// The types of the fields that a table declares: lines such as `NAME Char (80) ;` after the line
/// `Fields 3`.
fn fields(table: &str) -> Vec<String> {
    let lines = table.lines().map(str::trim);
    let after = lines.skip_while(|line| !line.starts_with("Fields ")).skip(1);
    let declared = after.take_while(|line| line.ends_with(';'));
    declared.filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mid: &[u8]) -> Option<Result<String, String>> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.mid"), mid).unwrap();
        charset_of(directory.path()).unwrap().map(|found| found.map(Charset::name))
    }

    #[test]
    fn the_first_that_has_all_of_it_is_taken() {
        assert_eq!(of(b"plan"), None);
        for (text, name) in [
            ("Straße é", "windows-1252"),
            ("도면", "CP949"),
            ("도면 ß", "CP949"),
            ("план", "CP949"),
            ("zażółć", "windows-1250"),
        ] {
            assert_eq!(of(text.as_bytes()), Some(Ok(name.to_owned())), "{text}");
        }
        assert!(of("도면 é".as_bytes()).unwrap().is_err());
        assert!(of(b"\xb5\xb5").unwrap().is_err());
    }

    #[test]
    fn names_are_told_from_values() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.mif"), b"Columns 1\n  \xec__ Char(9)\nData\n").unwrap();
        let reason = charset_of(directory.path()).unwrap().unwrap().unwrap_err();
        assert!(reason.contains("names of fields"), "{reason}");
    }

    #[test]
    fn types_of_fields_are_read() {
        let table = "!table\n!version 300\n\nDefinition Table\n  Type NATIVE Charset \"Neutral\"\n  Fields 2\n    NAME Char (80) ;\n    N Integer ;\n";
        assert_eq!(fields(table), ["Char", "Integer"]);
    }
}
