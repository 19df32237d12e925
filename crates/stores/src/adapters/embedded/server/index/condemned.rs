//! The rows of files that must be destroyed: those of objects, uploads and parts that the index does not have
//! any more. A file's row is written in the transaction that removes what the file belonged to, and goes when
//! the file is gone, so that a deletion that could not be completed is known, also to the next process.

use cadmill_core::domain::job::Millis;
use cadmill_core::ports::clock::{Clock, SystemClock};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;

/// The key is that of the object or upload, and NULL if it is unknown.
pub(super) const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS removals(
        number INTEGER PRIMARY KEY, blob TEXT NOT NULL UNIQUE, key TEXT, since INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS removals_by_key ON removals(key, blob);";

/// Whether the index names this file.
pub(super) fn is_used(connection: &Connection, blob: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS(SELECT 1 FROM segments WHERE blob = ?1)
                   OR EXISTS(SELECT 1 FROM parts WHERE blob = ?1)";
    connection.query_row(sql, [blob], |row| row.get(0))
}

/// The files that must be destroyed, with what is known of them. None in an index of an earlier build.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<HashMap<String, (Option<String>, Millis)>> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE name = 'removals'";
    if connection.query_row(sql, [], |_| Ok(())).optional()?.is_none() {
        return Ok(HashMap::new());
    }
    let row =
        |row: &rusqlite::Row<'_>| Ok((row.get(0)?, (row.get(1)?, row.get::<_, i64>(2)?.unsigned_abs())));
    connection.prepare("SELECT blob, key, since FROM removals")?.query_map([], row)?.collect()
}

/// Notes that these files, which the index does not name any more, must be destroyed.
pub(super) fn condemn(connection: &Connection, key: Option<&str>, blobs: &[String]) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO removals(blob, key, since) VALUES(?1, ?2, ?3)";
    let (mut statement, now) =
        (connection.prepare(sql)?, i64::try_from(SystemClock.now()).unwrap_or(i64::MAX));
    for blob in blobs {
        statement.execute(params![blob, key, now])?;
    }
    Ok(())
}

/// The files of this key that must be destroyed.
pub(super) fn of_key(connection: &Connection, key: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT blob FROM removals WHERE key = ?1")?;
    statement.query_map([key], |row| row.get(0))?.collect()
}
