//! Twelve real zip writers, each writing archives in every way it can: stored and deflated, into a
//! file and into a pipe, with zip64 where it is needed and everywhere, with names in ASCII, UTF-8 and
//! CP949.
//!
//! Each archive is read with the right contents, or refused with a code, as the table in
//! docs/ARCHIVES.md says. `make test` writes four archives of each writer, `make nightly` all of
//! them. The programs that drive the writers are in tests/fixtures/writers; `make setup` installs the
//! writers.

#[path = "../../../tests/fixtures/archives/mod.rs"]
#[allow(missing_docs, dead_code, unreachable_pub, unused_imports)]
mod archives;
#[path = "matrix/cell.rs"]
mod cell;
mod common;
#[path = "common/document.rs"]
mod document;
#[path = "matrix/driver.rs"]
mod driver;
#[path = "matrix/headers.rs"]
mod headers;
#[path = "matrix/member.rs"]
mod member;
#[path = "matrix/table.rs"]
mod table;
#[path = "matrix/writer.rs"]
mod writer;

use cell::Cell;
use common::{plan_of, read_by, unpacked};
use table::Verdict;
use writer::{Driver, WRITERS, Writer};

/// What the reader makes of an archive: `read`, or the code of the refusal. An error says what is wrong
/// with the writer, or with the reader.
fn verdict(cell: Cell, bytes: &[u8]) -> Result<String, String> {
    headers::check(cell, bytes)?;
    match (unpacked(bytes), read_by(1, bytes)) {
        (Ok(files), Ok(slowly)) => {
            if files != slowly {
                return Err("byte by byte the contents are others".to_owned());
            }
            if files != member::files(cell.names) {
                return Err(format!("other contents: {:?}", files.keys()));
            }
            let plan = plan_of(bytes, bytes.len()).map_err(|failure| failure.message)?;
            let members = member::members();
            let lacking = members.iter().find(|member| !plan.names().contains(&member.name(cell.names)));
            lacking.map_or(Ok("read".to_owned()), |member| Err(format!("no {}", member.name(cell.names))))
        }
        (Err(failure), Err(slowly)) if failure.code == slowly.code => {
            Ok(failure.code.as_str().trim_start_matches("input.archive.").to_owned())
        }
        (whole, slowly) => Err(format!("{:?}, byte by byte {:?}", whole.err(), slowly.err())),
    }
}

/// The verdicts on these cells of each writer with this driver.
fn verdicts(driver: Driver, cells: impl Fn(&Writer) -> Vec<Cell>) -> Vec<Verdict> {
    let writers = WRITERS.iter().filter(|writer| writer.driver == driver);
    let archives: Vec<(&Writer, Cell)> =
        writers.flat_map(|writer| cells(writer).into_iter().map(move |cell| (writer, cell))).collect();
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for ((writer, cell), bytes) in archives.iter().zip(driver::write(driver, &archives)) {
        match verdict(*cell, &bytes) {
            Ok(verdict) => found.push((*writer, *cell, verdict)),
            Err(text) => wrong.push(format!("{}: {text}", described(writer, *cell))),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    found
}

fn described(writer: &Writer, cell: Cell) -> String {
    format!("{}: {}", writer.name, cell.words().join(", "))
}

/// The four cells that `make test` writes of each writer with this driver.
fn assert_telling_cells(driver: Driver) {
    let documented = table::documented();
    for (writer, cell, verdict) in verdicts(driver, |writer| writer.telling.to_vec()) {
        let of = described(writer, cell);
        assert_eq!(verdict, documented.cell(writer, cell), "{of}: docs/ARCHIVES.md says otherwise");
    }
}

#[test]
fn npm() {
    assert_telling_cells(Driver::Node);
}

#[test]
fn python() {
    assert_telling_cells(Driver::Python);
}

#[test]
fn java() {
    assert_telling_cells(Driver::Java);
}

#[test]
fn command_lines() {
    assert_telling_cells(Driver::CommandLine);
}

#[test]
fn the_documented_writers_are_these() {
    table::assert_writers_documented();
}

/// With `UPDATE_DOCS=1` in the environment it writes the table instead.
#[ignore = "in `make nightly`"]
#[test]
fn every_archive_of_every_writer() {
    let writable = |writer: &Writer| Cell::all().filter(|&cell| writer.can_write(cell)).collect();
    let all: Vec<Verdict> = std::thread::scope(|scope| {
        let threads = Driver::ALL.map(|driver| scope.spawn(move || verdicts(driver, writable)));
        threads.into_iter().flat_map(|thread| thread.join().expect("the writers of a driver")).collect()
    });
    table::assert_documented(&all);
}
