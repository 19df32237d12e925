//! The part of docs/ARCHIVES.md on the writers.

use crate::cell::{COLUMNS, Cell, ROWS};
use crate::document;
use crate::writer::{WRITERS, Writer};
use std::collections::BTreeSet;
use std::fmt::Write;

/// A writer, what it wrote, and `read` or the code of the refusal.
pub(crate) type Verdict = (&'static Writer, Cell, String);

const COMMAND: &str = "cargo test -p cadmill-archive --test matrix -- --ignored";
const BEGIN: &str = "| writer | from | how |\n";
const END: &str = "\n## Generated archives";
/// In the table where a writer cannot write the archive.
const NOT_WRITTEN: &str = "-";

/// Why archives are refused: the writer, the code, and the reason.
const REFUSALS: [(&str, &str, &str); 2] = [
    (
        "zip",
        "zip64",
        "the end record of `zip -fz` into a pipe refers to a zip64 record that is not there, and no reader finds \
         the directory",
    ),
    ("bsdtar", "trailing_data", "into a pipe it pads the archive with zeros to whole blocks"),
];

pub(crate) struct Documented(String);

pub(crate) fn documented() -> Documented {
    Documented(document::part(BEGIN, Some(END)))
}

impl Documented {
    /// What the table says of this cell.
    pub(crate) fn cell(&self, writer: &Writer, cell: Cell) -> &str {
        let row = row(writer, cell);
        let rest = self.0.lines().find_map(|line| line.strip_prefix(&row));
        let rest = rest.unwrap_or_else(|| panic!("docs/ARCHIVES.md has no row {row}"));
        let column = COLUMNS.iter().position(|&column| column == (cell.zip64, cell.names)).unwrap();
        rest.split('|').nth(column).unwrap_or_default().trim()
    }
}

fn row(writer: &Writer, cell: Cell) -> String {
    let [method, output, ..] = cell.words();
    format!("| {} | {method} | {output} |", writer.name)
}

pub(crate) fn assert_documented(verdicts: &[Verdict]) {
    let refused: BTreeSet<(&str, &str)> = verdicts
        .iter()
        .filter(|(.., verdict)| verdict != "read")
        .map(|(writer, _, code)| (writer.name, code.as_str()))
        .collect();
    let explained = REFUSALS.iter().map(|&(writer, code, _)| (writer, code)).collect();
    assert_eq!(refused, explained, "each refusal, and nothing else, has a reason");
    document::assert_documented(BEGIN, Some(END), &text(verdicts), COMMAND);
}

/// Asserts what needs no archive: the versions, and which archives cannot be written.
pub(crate) fn assert_writers_documented() {
    let documented = documented();
    assert!(documented.0.starts_with(&writers()), "docs/ARCHIVES.md is out of date: UPDATE_DOCS=1 {COMMAND}");
    for writer in &WRITERS {
        for cell in Cell::all() {
            let is_written = documented.cell(writer, cell) != NOT_WRITTEN;
            assert_eq!(is_written, writer.can_write(cell), "{}: {cell:?}", writer.name);
        }
    }
}

fn writers() -> String {
    let mut text = format!("{BEGIN}|---|---|---|\n");
    for writer in &WRITERS {
        writeln!(text, "| {} | {} | {} |", writer.name, writer.version(), writer.how).unwrap();
    }
    text
}

fn text(verdicts: &[Verdict]) -> String {
    let mut text = writers();
    text += "\n| writer | method | output | ASCII | UTF-8 | CP949 | zip64: ASCII | zip64: UTF-8 | zip64: CP949 |\n";
    text += "|---|---|---|---|---|---|---|---|---|\n";
    for writer in &WRITERS {
        for row_of in ROWS {
            let cells = COLUMNS.map(|column| Cell::new(row_of, column));
            text += &row(writer, cells[0]);
            for cell in cells {
                write!(text, " {} |", found(verdicts, writer, cell)).unwrap();
            }
            text += "\n";
        }
    }
    let read = verdicts.iter().filter(|(.., verdict)| verdict == "read").count();
    let all = WRITERS.len() * ROWS.len() * COLUMNS.len();
    let (refused, missing) = (verdicts.len() - read, all - verdicts.len());
    write!(
        text,
        "\nOf {all} archives {read} are read, {refused} are refused, and {missing} cannot be written."
    )
    .unwrap();
    text += " `-`: the writer cannot write it.\n\n";
    for writer in &WRITERS {
        for (lacks, why) in writer.lacks {
            writeln!(text, "- {}, {}: {why}.", writer.name, lacks.text()).unwrap();
        }
    }
    text += "\nRefused:\n\n";
    for (writer, code, why) in REFUSALS {
        writeln!(text, "- `{code}`, {writer}: {why}.").unwrap();
    }
    text
}

fn found<'a>(verdicts: &'a [Verdict], writer: &Writer, cell: Cell) -> &'a str {
    let same = |(other, at, _): &&Verdict| other.name == writer.name && *at == cell;
    verdicts.iter().find(same).map_or(NOT_WRITTEN, |(.., verdict)| verdict)
}
