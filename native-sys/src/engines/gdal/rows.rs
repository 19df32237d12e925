//! The rows of a table of text.
//!
//! GDAL takes the columns from the first row, and drops what other rows have beyond them. A
//! quotation mark that is not closed makes one value of all that follows. It says nothing of either.
//! Rows are read here as GDAL reads them: a quotation mark counts wherever it stands.

use crate::engine::EngineError;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Files that are such tables.
const EXTENSIONS: &[&str] = &["csv", "tsv", "psv"];

/// Bytes that are read at once; the first row must end within them for its separator to be found.
const PIECE: usize = 1 << 20;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) losses: Vec<String>,
    pub(super) warnings: Vec<String>,
    /// The first row has one cell. GDAL 3.6 takes such a table for none.
    pub(super) is_single: bool,
}

/// Why a table of one column is not read.
pub(super) const SINGLE: &str = "its first row has one cell, as no comma, semicolon, tab or space separates more, and this version of GDAL reads no table of one column: add a column, or save it with commas";

/// Counts the cells of the rows. `options` are those for opening the file.
///
/// # Errors
/// [`EngineError::Rejected`] if a quoted value has no end.
pub(super) fn check(input: &Path, options: &[CString]) -> Result<Found, EngineError> {
    let extension = input.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let of = |key: &[u8]| {
        let value = |option: &CString| {
            let (name, value) = option.to_bytes().split_at_checked(key.len())?;
            name.eq_ignore_ascii_case(key).then(|| value.strip_prefix(b"=").map(<[u8]>::to_vec))?
        };
        options.iter().find_map(value)
    };
    if !EXTENSIONS.contains(&extension.as_str()) || of(b"MERGE_SEPARATOR").is_some() {
        return Ok(Found::default());
    }
    let named = of(b"SEPARATOR").and_then(|name| named_separator(&name));
    match count(input, named) {
        Ok(rows) => rows.finish(),
        // GDAL says why it cannot be read.
        Err(_) => Ok(Found::default()),
    }
}

fn named_separator(name: &[u8]) -> Option<u8> {
    Some(match name.to_ascii_uppercase().as_slice() {
        b"COMMA" => b',',
        b"SEMICOLON" => b';',
        b"TAB" => b'\t',
        b"SPACE" => b' ',
        b"PIPE" => b'|',
        _ => return None,
    })
}

fn count(path: &Path, named: Option<u8>) -> io::Result<Rows> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; PIECE];
    let mut rows: Option<Rows> = None;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            let mut rows = rows.unwrap_or_else(|| Rows::new(b','));
            if !rows.is_quoted() {
                rows.end_row();
            }
            return Ok(rows);
        }
        let bytes = &buffer[..read];
        let rows = rows.get_or_insert_with(|| Rows::new(named.unwrap_or_else(|| separator(bytes))));
        bytes.iter().for_each(|byte| rows.take(*byte));
    }
}

/// The separator, by the rules of GDAL: the one that the first line has. A comma if it has several or
/// none, or a space if it has that.
fn separator(bytes: &[u8]) -> u8 {
    let line = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let (mut found, mut has_space, mut is_quoted) = (None, false, false);
    for byte in line {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b',' | b';' | b'\t' if !is_quoted => match found {
                Some(other) if other != *byte => return b',',
                _ => found = Some(*byte),
            },
            b' ' if !is_quoted => has_space = true,
            _ => {}
        }
    }
    found.unwrap_or(if has_space { b' ' } else { b',' })
}

/// Rows of one kind: how many, and the first.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    count: u64,
    first: u64,
}

impl Tally {
    fn add(&mut self, row: u64) {
        if self.count == 0 {
            self.first = row;
        }
        self.count += 1;
    }

    fn say(self, rows: u64, text: &str) -> Option<String> {
        (self.count > 0)
            .then(|| format!("{} of {rows} rows {text} (the first is row {})", self.count, self.first))
    }
}

/// Where the next byte lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Plain,
    Quoted,
    /// After a quotation mark in a quoted value, which is its end if no other follows.
    Mark,
}

/// The state between two bytes.
#[derive(Debug)]
struct Rows {
    separator: u8,
    place: Place,
    /// Number of the current row, and the row in which the quoted value began.
    row: u64,
    /// Rows that are not empty.
    rows: u64,
    quoted_in: u64,
    /// Whether that value began with other characters.
    is_within: bool,
    /// Whether such a mark was seen in the current row.
    has_within: bool,
    after_return: bool,
    /// The cells of the current row before this one, and what this one has.
    cells: u64,
    is_empty_row: bool,
    has_text: bool,
    /// Whether a cell beyond the columns has text.
    has_extra: bool,
    columns: Option<u64>,
    longer: Tally,
    shorter: Tally,
    within: Tally,
}

impl Rows {
    fn new(separator: u8) -> Self {
        Self {
            separator,
            place: Place::Plain,
            row: 1,
            rows: 0,
            quoted_in: 1,
            is_within: false,
            has_within: false,
            after_return: false,
            cells: 0,
            is_empty_row: true,
            has_text: false,
            has_extra: false,
            columns: None,
            longer: Tally::default(),
            shorter: Tally::default(),
            within: Tally::default(),
        }
    }

    fn is_quoted(&self) -> bool {
        self.place == Place::Quoted
    }

    fn take(&mut self, byte: u8) {
        let after_return = std::mem::take(&mut self.after_return);
        match (self.place, byte) {
            (Place::Quoted, b'"') => self.place = Place::Mark,
            (Place::Quoted, _) => self.has_text = true,
            (Place::Mark, b'"') => (self.place, self.has_text) = (Place::Quoted, true),
            (Place::Plain | Place::Mark, b'\n') if after_return => {}
            (Place::Plain | Place::Mark, b'\n' | b'\r') => {
                self.place = Place::Plain;
                self.after_return = byte == b'\r';
                self.end_row();
            }
            (Place::Plain, b'"') => {
                self.place = Place::Quoted;
                self.quoted_in = self.row;
                self.is_within = self.has_text;
                self.has_within |= self.has_text;
                self.is_empty_row = false;
            }
            (Place::Plain | Place::Mark, byte) => {
                self.place = Place::Plain;
                self.is_empty_row = false;
                if byte == self.separator {
                    self.end_cell();
                } else {
                    self.has_text |= byte != b' ';
                }
            }
        }
    }

    fn end_cell(&mut self) {
        self.has_extra |= self.has_text && self.columns.is_some_and(|columns| self.cells >= columns);
        self.cells += 1;
        self.has_text = false;
    }

    fn end_row(&mut self) {
        if !self.is_empty_row {
            self.rows += 1;
            self.end_cell();
            let columns = *self.columns.get_or_insert(self.cells);
            if self.has_extra {
                self.longer.add(self.row);
            } else if self.cells < columns {
                self.shorter.add(self.row);
            }
            if self.has_within {
                self.within.add(self.quoted_in);
            }
        }
        self.row += 1;
        (self.cells, self.is_empty_row, self.has_text, self.has_extra) = (0, true, false, false);
        self.has_within = false;
    }

    fn finish(self) -> Result<Found, EngineError> {
        let row = self.quoted_in;
        if self.is_quoted() && !self.is_within {
            return Err(EngineError::Rejected(format!(
                "a quoted value that begins in row {row} is not closed: all rows after it would be part of it"
            )));
        }
        let columns = self.columns.unwrap_or(0);
        let mut losses: Vec<String> = Vec::new();
        losses.extend(self.longer.say(
            self.rows,
            &format!("have more cells than the {columns} columns of the first row, which were left out"),
        ));
        losses.extend(self.within.say(self.rows,
            "have a quotation mark within a value that is not quoted: the marks were left out, and what is between them is one value",
        ));
        if self.is_quoted() {
            losses.push(format!(
                "a quotation mark within a value of row {row} is not closed: all rows after it became part of that value"
            ));
        }
        let is_single = columns == 1;
        let warnings = self.shorter.say(self.rows, &format!("have fewer cells than the {columns} columns"));
        Ok(Found { losses, warnings: warnings.into_iter().collect(), is_single })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, options: &[&str]) -> Result<Found, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        let options: Vec<CString> = options.iter().map(|option| CString::new(*option).unwrap()).collect();
        check(&path, &options).map_err(|error| error.to_string())
    }

    fn shown(text: &str) -> String {
        let found = of(text, &[]).unwrap();
        [found.losses, found.warnings].concat().join("; ")
    }

    #[test]
    fn even_tables_are_fine() {
        for text in [
            "",
            "a",
            "a,b\n1,2\n",
            "a,b\r\n1,2\r\n\r\n3,4",
            "a,b\r1,2\r",
            "a,b\n\"1\n,\"\"x\"\"\",2\n3, \"4, 5\"\n",
            "a;b\n1,5;2\n",
            "a\tb\n1,2;3\t4\n",
            "a,b\n1,2,,,\n",
            "a,b\n\"\",\"\"\n",
        ] {
            let is_single = text == "a";
            assert_eq!(of(text, &[]), Ok(Found { is_single, ..Found::default() }), "{text:?}");
        }
        assert_eq!(of("a b\n1,2,3\n", &["SEPARATOR=comma"]).unwrap().losses.len(), 1);
        assert_eq!(of("a,b\n1;2;3\n", &["SEPARATOR=SEMICOLON"]).unwrap().losses.len(), 1);
        assert_eq!(of("a b\n1  2\n", &["MERGE_SEPARATOR=YES"]), Ok(Found::default()));
    }

    #[test]
    fn uneven_rows_are_counted() {
        let text = "id,name\n1,a\n2\n3,c,extra,more\n\n4,d,\"e\"\n";
        let found = of(text, &[]).unwrap();
        assert_eq!(
            found.losses,
            [
                "2 of 5 rows have more cells than the 2 columns of the first row, which were left out (the first is row 4)"
            ]
        );
        assert_eq!(found.warnings, ["1 of 5 rows have fewer cells than the 2 columns (the first is row 3)"]);
    }

    #[test]
    fn a_quoted_value_without_an_end_is_refused() {
        let reason = of("id,name\n1,a\n2,\"b\n3,c\n4,d\n", &[]).unwrap_err();
        assert!(reason.contains("begins in row 3 is not closed"), "{reason}");
        assert!(of("a,b\n1, \"x\n", &[]).is_err());
        assert!(shown("a,b\n1,5\" pipe\n2,x\n").contains("of row 2 is not closed"));
        assert!(shown("a,b,c\n1,5\" pipe,6\" pipe\n").contains("1 of 2 rows have a quotation mark within"));
    }
}
