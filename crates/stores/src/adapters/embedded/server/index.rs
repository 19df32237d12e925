//! The index: objects, uploads and parts, and the files that contain their content.
//!
//! It has one connection, which holds the file exclusively: a second server on the same directory
//! is refused. Each change is one transaction, which also notes the files that are no longer needed
//! ([`removals`]), and returns them; they are destroyed after it.

mod condemned;
mod range;
pub(super) mod removals;
mod uploads;

pub(super) use uploads::{Completed, StoredPart};

use super::super::sqlite::pool::{Fault, Make, Pool, Schema, Sharing, port_error};
use super::blobs::Segment;
use super::names::BUCKET;
use cadmill_core::cleanup::residue::{Item, Kind, place_of};
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::domain::job::{Millis, Object};
use cadmill_core::domain::upload_event::object_created;
use cadmill_core::ports::clock::{Clock, SystemClock};
use cadmill_core::ports::{PortError, PortResult};
use range::Range;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Tables of version 1. `outbox` has the events that the queue does not have yet.
const SCHEMA: Schema = Schema {
    application: 0x0cad_0002,
    tables: "
        CREATE TABLE objects(
            key TEXT PRIMARY KEY, etag TEXT NOT NULL, size INTEGER NOT NULL, modified INTEGER NOT NULL);
        CREATE TABLE segments(
            key TEXT NOT NULL, number INTEGER NOT NULL, blob TEXT NOT NULL, size INTEGER NOT NULL,
            PRIMARY KEY(key, number)) WITHOUT ROWID;
        CREATE TABLE uploads(id TEXT PRIMARY KEY, key TEXT NOT NULL, begun INTEGER NOT NULL);
        CREATE INDEX uploads_by_key ON uploads(key, id);
        CREATE TABLE parts(
            upload TEXT NOT NULL, number INTEGER NOT NULL, blob TEXT NOT NULL, etag TEXT NOT NULL,
            size INTEGER NOT NULL, modified INTEGER NOT NULL, PRIMARY KEY(upload, number)) WITHOUT ROWID;
        CREATE TABLE outbox(number INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
        CREATE TABLE sequencer(latest INTEGER NOT NULL);
        INSERT INTO sequencer VALUES(0);
    ",
    upgrades: &[],
    // Whether a server has it open: an index that is open and has no log is incomplete. And how
    // often it was opened: an older copy has a smaller number.
    begin: |connection| {
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS state(open INTEGER NOT NULL, openings INTEGER NOT NULL);
             INSERT INTO state SELECT 0, 0 WHERE NOT EXISTS(SELECT 1 FROM state);",
        )?;
        // `Content-Encoding`, which an index of an earlier build does not have. Such a build opens
        // this index too.
        for table in ["objects", "uploads"] {
            let sql = "SELECT EXISTS(SELECT 1 FROM pragma_table_info(?1) WHERE name = 'encoding')";
            if !connection.query_row(sql, [table], |row| row.get::<_, bool>(0))? {
                connection.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN encoding TEXT"))?;
            }
        }
        // Such a build destroys the files that it does not find in the other tables, and leaves the rows.
        connection.execute_batch(condemned::TABLE)
    },
};

/// The files that are in use.
const BLOBS: &str = "SELECT blob FROM segments UNION ALL SELECT blob FROM parts";
/// Each object, and each unfinished upload with the sum of its parts: key, size and time.
const ALL_OBJECTS: &str = "SELECT key, size, modified FROM objects";
const ALL_UPLOADS: &str =
    "SELECT key, (SELECT coalesce(sum(size), 0) FROM parts WHERE upload = uploads.id), begun FROM uploads";
/// Objects of a range of keys, by key.
const LIST: &str = "SELECT key, etag, size, modified, encoding FROM objects WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3";
/// Open uploads of a range of keys, after a key and an id, by key and id.
const LIST_UPLOADS: &str = "SELECT key, id, begun FROM uploads
     WHERE (key, id) > (?1, ?2) AND key < ?3 ORDER BY key, id LIMIT ?4";

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) key: String,
    /// Without quotes.
    pub(super) etag: String,
    pub(super) size: u64,
    pub(super) modified: Millis,
    /// Its `Content-Encoding`.
    pub(super) encoding: Option<String>,
}

/// What an object is made of.
pub(super) struct New<'a> {
    /// Without quotes.
    pub(super) etag: &'a str,
    pub(super) segments: &'a [Segment],
    /// Its `Content-Encoding`.
    pub(super) encoding: Option<&'a str>,
}

/// Result of [`Index::put`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// The object is stored; these files are no longer needed.
    Done { useless: Vec<String> },
    /// The object exists already, and must not be replaced.
    Exists,
}

/// What is in an index, for an audit.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Objects and unfinished uploads.
    pub(super) items: Vec<Item>,
    /// The names of their files.
    pub(super) named: HashSet<String>,
    /// The names of the files that must be destroyed, with their keys, if they are known, and the times since
    /// when they must.
    pub(super) removals: HashMap<String, (Option<String>, Millis)>,
}

/// The index.
pub(super) struct Index {
    pool: Pool,
}

impl Index {
    /// Opens the index, or creates it if there is no sign of an earlier one.
    pub(super) fn open(path: &Path, make: Make) -> PortResult<Self> {
        let pool = Pool::open(path, &SCHEMA, Sharing::Nobody, make).map_err(|error| match error {
            PortError::Unavailable { reason, .. } => PortError::Unavailable {
                operation: "opening the objects",
                reason: format!("another process serves them ({reason})"),
            },
            other => other,
        })?;
        Ok(Self { pool })
    }

    /// The files that the index at this path names, if a server opened it and never closed it, and
    /// the log of that server's last writes is missing. An index that cannot be read is left to
    /// [`Index::open`].
    ///
    /// The file alone is read: opening it would create a log, and the next start could not know
    /// that it was missing.
    pub(super) fn without_its_log(path: &Path) -> Option<HashSet<String>> {
        if log_of(path).exists() {
            return None;
        }
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(immutable(path), flags).ok()?;
        let open = connection.query_row("SELECT open FROM state", [], |row| row.get::<_, bool>(0)).ok()?;
        let known = || {
            let mut known: HashSet<String> = names(&connection, BLOBS, []).ok()?.into_iter().collect();
            known.extend(condemned::all(&connection).ok()?.into_keys());
            Some(known)
        };
        open.then(known).flatten()
    }

    /// What is in the index at this path, which must be a copy: its log is written into it.
    pub(super) fn contents(copy: &Path) -> PortResult<Contents> {
        const OPERATION: &str = "reading a copy of the index of objects";
        let read = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(copy, flags)?;
            connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE")?;
            let row = |kind| {
                move |row: &rusqlite::Row<'_>| {
                    let [size, made] = [1, 2].map(|column| row.get::<_, i64>(column));
                    let place = place_of(&row.get::<_, String>(0)?);
                    let (size_bytes, made) = (Some(size?.unsigned_abs()), Some(made?.unsigned_abs()));
                    Ok(Item { kind, place, size_bytes, made })
                }
            };
            let mut items = Vec::new();
            for (kind, sql) in [(Kind::Object, ALL_OBJECTS), (Kind::Upload, ALL_UPLOADS)] {
                for found in connection.prepare(sql)?.query_map([], row(kind))? {
                    items.push(found?);
                }
            }
            let named = names(&connection, BLOBS, [])?.into_iter().collect();
            Ok(Contents { items, named, removals: condemned::all(&connection)? })
        };
        read().map_err(|error| port_error(OPERATION, &error, false))
    }

    /// How often the index was opened.
    pub(super) async fn openings(&self) -> PortResult<u64> {
        self.pool
            .read("reading the state of the index", |connection| {
                let openings: i64 =
                    connection.query_row("SELECT openings FROM state", [], |row| row.get(0))?;
                Ok(openings.unsigned_abs())
            })
            .await
    }

    /// Records in the file itself, not in its log, that it is open, for the time of this number.
    pub(super) async fn opened(&self, number: u64) -> PortResult<()> {
        self.note(true, number).await?;
        self.pool
            .read("noting that the index is open", |connection| {
                Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
            })
            .await
    }

    /// Records that it is complete without its log: closing writes the log into the file.
    pub(super) async fn closed(&self) -> PortResult<()> {
        let number = self.openings().await?;
        self.note(false, number).await
    }

    async fn note(&self, open: bool, number: u64) -> PortResult<()> {
        self.pool
            .write("noting the state of the index", move |connection| {
                connection
                    .execute("UPDATE state SET open = ?1, openings = ?2", params![open, integer(number)])?;
                Ok(())
            })
            .await
    }

    /// The jobs that have objects or unfinished uploads, or files of these that must be destroyed.
    pub(super) async fn jobs(&self) -> PortResult<Vec<JobId>> {
        let keys = self.pool.read("listing jobs", |connection| {
            // A key is a role, the id in 36 characters, and the rest.
            let sql = "SELECT substr(key, instr(key, '/') + 1, 36) FROM objects
                       UNION SELECT substr(key, instr(key, '/') + 1, 36) FROM uploads
                       UNION SELECT substr(key, instr(key, '/') + 1, 36) FROM removals WHERE key IS NOT NULL";
            Ok(names(connection, sql, [])?)
        });
        Ok(keys.await?.iter().filter_map(|id| id.parse().ok()).collect())
    }

    /// The names of all files that are in use, and those of the files that must be destroyed.
    pub(super) async fn blobs(&self) -> PortResult<(HashSet<String>, HashSet<String>)> {
        self.pool
            .read("listing files", |connection| {
                let used = names(connection, BLOBS, [])?.into_iter().collect();
                Ok((used, condemned::all(connection)?.into_keys().collect()))
            })
            .await
    }

    /// Creates an object of one file; if `exclusive`, only if the key does not exist.
    pub(super) async fn put(
        &self,
        key: ObjectKey,
        etag: String,
        segment: Segment,
        encoding: Option<String>,
        exclusive: bool,
    ) -> PortResult<Put> {
        self.pool
            .write("storing an object", move |connection| {
                if exclusive && exists(connection, &key.to_string())? {
                    return Ok(Put::Exists);
                }
                let new = New { etag: &etag, segments: &[segment], encoding: encoding.as_deref() };
                let useless = store(connection, &key, &new, "PutObject")?;
                Ok(Put::Done { useless })
            })
            .await
    }

    /// The object and its files.
    pub(super) async fn object(&self, key: String) -> PortResult<Option<(Stored, Vec<Segment>)>> {
        self.pool
            .read("reading an object's record", move |connection| {
                let sql = "SELECT key, etag, size, modified, encoding FROM objects WHERE key = ?1";
                let Some(stored) = connection.query_row(sql, [&key], stored).optional()? else {
                    return Ok(None);
                };
                let sql = "SELECT blob, size FROM segments WHERE key = ?1 ORDER BY number";
                let mut statement = connection.prepare(sql)?;
                let segment = |row: &rusqlite::Row<'_>| {
                    Ok(Segment { blob: row.get(0)?, size: row.get::<_, i64>(1)?.unsigned_abs() })
                };
                let segments = statement.query_map([&key], segment)?.collect::<Result<Vec<_>, _>>()?;
                Ok(Some((stored, segments)))
            })
            .await
    }

    /// Deletes the object, if it exists, and returns the files of its key that must be destroyed: also those
    /// of an earlier deletion.
    pub(super) async fn delete(&self, key: String) -> PortResult<Vec<String>> {
        self.pool
            .delete("deleting an object", move |connection| {
                remove(connection, &key)?;
                Ok(condemned::of_key(connection, &key)?)
            })
            .await
    }

    /// Objects whose keys begin with `prefix` and are greater than `after`, by key.
    pub(super) async fn list(&self, prefix: String, after: String, limit: u32) -> PortResult<Vec<Stored>> {
        self.pool
            .read("listing objects", move |connection| {
                let Range { lower, upper } = Range::new(&prefix, &after);
                let mut statement = connection.prepare(LIST)?;
                let rows = statement.query_map(params![lower, upper, limit], stored)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Whether the index accepts writes: writes a row unchanged.
    pub(super) async fn can_write(&self) -> PortResult<()> {
        self.pool
            .write("writing to the index of objects", |connection| {
                connection.execute("UPDATE sequencer SET latest = latest", [])?;
                Ok(())
            })
            .await
    }

    /// The oldest events that the queue does not have yet.
    pub(super) async fn waiting(&self) -> PortResult<Vec<(i64, String)>> {
        self.pool
            .read("reading events", |connection| {
                let sql = "SELECT number, body FROM outbox ORDER BY number LIMIT 100";
                let mut statement = connection.prepare(sql)?;
                let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Removes an event that the queue has.
    pub(super) async fn sent(&self, number: i64) -> PortResult<()> {
        self.pool
            .write("forgetting an event", move |connection| {
                connection.execute("DELETE FROM outbox WHERE number = ?1", [number])?;
                Ok(())
            })
            .await
    }
}

fn exists(connection: &Connection, key: &str) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS(SELECT 1 FROM objects WHERE key = ?1)", [key], |row| row.get(0))
}

/// Creates an object, or replaces the one with the same key, with its event if it is an upload,
/// and returns the files of the old one.
fn store(
    connection: &Connection,
    key: &ObjectKey,
    new: &New<'_>,
    reason: &str,
) -> Result<Vec<String>, Fault> {
    let New { etag, segments, encoding } = *new;
    let (name, now) = (key.to_string(), SystemClock.now());
    let useless = remove(connection, &name)?;
    let size: u64 = segments.iter().map(|segment| segment.size).sum();
    connection.execute(
        "INSERT INTO objects(key, etag, size, modified, encoding) VALUES(?1, ?2, ?3, ?4, ?5)",
        params![name, etag, integer(size), integer(now), encoding],
    )?;
    let mut statement =
        connection.prepare("INSERT INTO segments(key, number, blob, size) VALUES(?1, ?2, ?3, ?4)")?;
    for (number, segment) in (1i64..).zip(segments) {
        statement.execute(params![name, number, segment.blob, integer(segment.size)])?;
    }
    if key.role() == Role::Upload {
        // Greater than each number before it, even if this index was created anew: the time in
        // microseconds, or one more than the latest number.
        let sql = "UPDATE sequencer SET latest = max(latest + 1, ?1 * 1000) RETURNING latest";
        let sequencer: i64 = connection.query_row(sql, [integer(now)], |row| row.get(0))?;
        let object = Object {
            key: key.clone(),
            size_bytes: size,
            etag: etag.to_owned(),
            version: None,
            sha256: None,
            encoded: None,
        };
        let id = JobId::random().to_string();
        let event = object_created(BUCKET, &object, &format!("{sequencer:016X}"), reason, &id, now);
        connection.execute("INSERT INTO outbox(body) VALUES(?1)", [event])?;
    }
    Ok(useless)
}

/// Deletes an object, notes its files, and returns them.
fn remove(connection: &Connection, key: &str) -> rusqlite::Result<Vec<String>> {
    let useless = names(connection, "DELETE FROM segments WHERE key = ?1 RETURNING blob", [key])?;
    condemned::condemn(connection, Some(key), &useless)?;
    connection.execute("DELETE FROM objects WHERE key = ?1", [key])?;
    Ok(useless)
}

/// The write-ahead log of a file.
pub(super) fn log_of(path: &Path) -> PathBuf {
    path.with_extension("sqlite-wal")
}

/// A URI that opens the file as it is, without a lock or a log (SQLite, "Uniform Resource
/// Identifiers").
fn immutable(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' => uri.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => uri.push(byte.into()),
            _ => uri += &format!("%{byte:02x}"),
        }
    }
    uri + "?immutable=1"
}

fn names(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<Vec<String>> {
    connection.prepare(sql)?.query_map(params, |row| row.get(0))?.collect()
}

fn stored(row: &rusqlite::Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        key: row.get(0)?,
        etag: row.get(1)?,
        size: row.get::<_, i64>(2)?.unsigned_abs(),
        modified: row.get::<_, i64>(3)?.unsigned_abs(),
        encoding: row.get(4)?,
    })
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
