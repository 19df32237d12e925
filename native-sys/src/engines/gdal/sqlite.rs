//! SQLite files that reach beyond themselves are refused before GDAL opens them.
//!
//! The schema of a SQLite file is SQL that comes with the file. A virtual table in it is
//! code of the program that opens the file, with arguments of the file's choice: those of
//! SpatiaLite and GDAL read CSV files, shapefiles, spreadsheets and whatever GDAL opens, by
//! their names. Views and generated columns call functions. So the schema is read first,
//! through the very SQLite that GDAL is linked with, in a connection that knows none of
//! these modules, and a table of any other module than those below is refused. Then each
//! connection that the process makes to a file read-only, as GDAL does with its input, is
//! hardened: functions that are not known to be harmless work in no view, no extension is
//! loaded, and no other file attached.
//!
//! It is done in the engine process, for SQLite itself is attacked by such files.

use super::ffi_sqlite::{Api, Connection, Error, OPEN_READONLY, OPEN_URI};
use super::schema;
use std::ffi::CString;
use std::io::Read;
use std::path::Path;

/// What each SQLite database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// What SQLite says of a statement that needs what is not there or not allowed.
const OUT_OF_REACH: [&str; 4] = ["no such function", "unsafe use of", "not authorized", "no such module"];

/// Whether it is a SQLite file, whatever its name says.
pub(super) fn is_database(input: &Path) -> bool {
    let mut head = [0; 16];
    std::fs::File::open(input).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == *MAGIC
}

/// Why a database is not opened.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It reaches beyond itself; the text says by what.
    Reaches(String),
    /// SQLite cannot read it.
    Unreadable(String),
}

/// Reads the schema and judges it.
///
/// # Errors
/// [`Refusal`]. What cannot be read is not clean.
pub(super) fn check(api: &Api, input: &Path) -> Result<(), Refusal> {
    // GDAL opens the file as it is, with the log of a program that was writing (`-wal`) if
    // there is one, or without it (`immutable`), and the schema can be another then.
    let without_log = inspect(api, input, "mode=ro&immutable=1")?;
    let as_it_is = inspect(api, input, "mode=ro")?;
    if as_it_is || without_log {
        return Ok(());
    }
    Err(Refusal::Unreadable("the file cannot be opened".to_owned()))
}

/// Whether the file can be opened so; and if it can, whether its schema is clean.
fn inspect(api: &Api, input: &Path, how: &str) -> Result<bool, Refusal> {
    let unreadable = |error: Error| Refusal::Unreadable(error.text);
    let connection = match Connection::open(api, &uri(input, how), OPEN_READONLY | OPEN_URI) {
        Ok(connection) => connection,
        Err(error) if error.cannot_open => return Ok(false),
        Err(error) => return Err(unreadable(error)),
    };
    let statements = match connection.column("SELECT sql FROM sqlite_master") {
        Ok(statements) => statements,
        // The file is opened when it is first read.
        Err(error) if error.cannot_open => return Ok(false),
        Err(error) => return Err(unreadable(error)),
    };
    for statement in statements.iter().flatten() {
        schema::validate(statement).map_err(Refusal::Reaches)?;
    }
    let views = connection
        .column("SELECT name FROM sqlite_master WHERE type = 'view' OR sql LIKE 'create%view%'")
        .map_err(unreadable)?;
    for view in views.iter().flatten() {
        // What a view calls is looked up when a statement is compiled; none is run.
        let select = format!("SELECT * FROM \"{}\"", view.replace('"', "\"\""));
        if let Err(Error { text, .. }) = connection.compile(&select)
            && OUT_OF_REACH.iter().any(|sign| text.contains(sign))
        {
            let view: String = view.chars().filter(|c| !c.is_control()).take(64).collect();
            return Err(Refusal::Reaches(format!("its view '{view}' calls what is not allowed: {text}")));
        }
    }
    Ok(true)
}

/// A URI of the file: what has a meaning in one is written as a number.
fn uri(input: &Path, how: &str) -> CString {
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;
    let mut uri = String::from("file:");
    for &byte in input.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    // A NUL, of which a path has none, is written as a number too.
    CString::new(format!("{uri}?{how}")).unwrap_or_default()
}
