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

/// Larger than the description of any table.
const MAX_TABLE: u64 = 1 << 20;

/// The characters beyond ASCII, and what is wrong with the text.
#[derive(Debug, Default)]
pub(super) struct Text {
    characters: BTreeSet<char>,
    problem: Option<String>,
}

impl Text {
    pub(super) fn see(&mut self, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.characters.extend(text.chars().filter(|c| !c.is_ascii())),
            Err(_) => {
                self.problem.get_or_insert_with(|| "the output would not be valid text".to_owned());
            }
        }
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
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line)? > 0 {
        text.see(&line);
        line.clear();
    }
    Ok(())
}

fn read_table(path: &Path, text: &mut Text) -> io::Result<()> {
    text.see(&std::fs::read(path)?);
    let is_text = text_fields(path)?;
    dbf::each_value(&path.with_extension("dat"), &is_text, &mut |value, width| {
        text.see(value);
        if value.len() >= MAX_TEXT && width >= MAX_TEXT {
            text.problem
                .get_or_insert_with(|| format!("a value has more than {MAX_TEXT} bytes, and would be cut"));
        }
    })
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
    fn types_of_fields_are_read() {
        let table = "!table\n!version 300\n\nDefinition Table\n  Type NATIVE Charset \"Neutral\"\n  Fields 2\n    NAME Char (80) ;\n    N Integer ;\n";
        assert_eq!(fields(table), ["Char", "Integer"]);
    }
}
