//! Rejects SQLite files that access data outside of themselves, before GDAL opens them.
//!
//! The schema of a SQLite file is SQL from an untrusted source. A virtual table in it runs code of
//! the program that opens the file, with arguments from the file: the modules of SpatiaLite and
//! GDAL read CSV files, shapefiles, spreadsheets and everything else that GDAL opens, by path.
//! Views and generated columns call functions. So the schema is read first, through the same SQLite
//! library that GDAL is linked with, on a connection without these modules, and tables of any
//! module not listed here are rejected. In addition, every connection that the process opens
//! read-only, as GDAL does for its input, is hardened: views can call only functions known to be
//! harmless, extensions cannot be loaded, and other files cannot be attached.
//!
//! The check runs in the engine process, because a malicious file may attack SQLite itself.

use super::ffi_sqlite::{Api, Connection, Error, OPEN_READONLY, OPEN_URI};
use super::schema;
use std::ffi::CString;
use std::io::Read;
use std::path::Path;

/// The header of every SQLite database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// SQLite error texts for a statement that needs something missing or forbidden.
const OUT_OF_REACH: [&str; 4] = ["no such function", "unsafe use of", "not authorized", "no such module"];

/// Whether the file is a SQLite database, whatever its name.
pub(super) fn is_database(input: &Path) -> bool {
    let mut head = [0; 16];
    std::fs::File::open(input).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == *MAGIC
}

/// Why a database is rejected.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It accesses data outside of itself; the text names the cause.
    Reaches(String),
    /// SQLite cannot read it.
    Unreadable(String),
}

/// Reads the schema and validates it.
///
/// # Errors
/// [`Refusal`]. A schema that cannot be read is rejected.
pub(super) fn check(api: &Api, input: &Path) -> Result<(), Refusal> {
    // GDAL opens the file with a write-ahead log (`-wal`) if one exists, or without it
    // (`immutable`). The schema may differ between the two.
    let without_log = inspect(api, input, "mode=ro&immutable=1")?;
    let as_it_is = inspect(api, input, "mode=ro")?;
    if as_it_is || without_log {
        return Ok(());
    }
    Err(Refusal::Unreadable("the file cannot be opened".to_owned()))
}

/// Whether the file can be opened in this mode. Fails if its schema is rejected.
fn inspect(api: &Api, input: &Path, how: &str) -> Result<bool, Refusal> {
    let unreadable = |error: Error| Refusal::Unreadable(error.text);
    let connection = match Connection::open(api, &uri(input, how), OPEN_READONLY | OPEN_URI) {
        Ok(connection) => connection,
        Err(error) if error.cannot_open => return Ok(false),
        Err(error) => return Err(unreadable(error)),
    };
    let statements = match connection.column("SELECT sql FROM sqlite_master") {
        Ok(statements) => statements,
        // SQLite opens the file on the first read.
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
        // Functions in a view are resolved when a statement is compiled; no statement is run.
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

/// A `file:` URI of the path: special characters are percent-encoded.
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
    // A NUL, which paths cannot contain, would be percent-encoded too.
    CString::new(format!("{uri}?{how}")).unwrap_or_default()
}
