//! Files that must be destroyed, as the server asks for them. [`super::condemned`] has their rows.
//!
//! A listing of versions shows these files as delete markers: the object is deleted, and something of it
//! is left.

use super::condemned::{condemn, is_used};
use super::range::upper;
use super::{Index, LIST, Stored, stored};
use crate::adapters::embedded::server::names::ONLY_VERSION;
use cadmill_core::domain::job::Millis;
use cadmill_core::ports::PortResult;
use rusqlite::{Connection, params};

/// Files of a range of keys, after a key and a file, by key and file. The first of a key without an object is
/// the latest version of it.
pub(super) const LIST_REMOVALS: &str = "SELECT key, blob, since,
        blob = (SELECT min(blob) FROM removals AS other WHERE other.key = removals.key)
        AND NOT EXISTS(SELECT 1 FROM objects WHERE objects.key = removals.key)
     FROM removals WHERE (key, blob) > (?1, ?2) AND key < ?3 ORDER BY key, blob LIMIT ?4";

/// A file that must be destroyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::adapters::embedded::server) struct Removal {
    pub(in crate::adapters::embedded::server) key: String,
    /// Its name, which is also the id of its version.
    pub(in crate::adapters::embedded::server) blob: String,
    pub(in crate::adapters::embedded::server) since: Millis,
    pub(in crate::adapters::embedded::server) is_latest: bool,
}

/// An entry of a listing of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::adapters::embedded::server) enum Entry {
    /// An object.
    Object(Stored),
    /// A file of an object or upload that is gone.
    Removal(Removal),
    /// All keys that begin with this, which ends with a slash.
    Group(String),
}

impl Entry {
    fn key(&self) -> &str {
        match self {
            Self::Object(Stored { key, .. }) | Self::Removal(Removal { key, .. }) | Self::Group(key) => key,
        }
    }

    /// By key, the object first.
    fn order(&self) -> (&str, Option<&str>) {
        match self {
            Self::Removal(Removal { key, blob, .. }) => (key, Some(blob)),
            Self::Object(_) | Self::Group(_) => (self.key(), None),
        }
    }
}

impl Index {
    /// The names of the files that must be destroyed, after this number, each with its own number.
    pub(in crate::adapters::embedded::server) async fn removals(
        &self,
        after: i64,
        limit: u32,
    ) -> PortResult<Vec<(i64, String)>> {
        self.pool
            .read("listing files to destroy", move |connection| {
                let sql = "SELECT number, blob FROM removals WHERE number > ?1 ORDER BY number LIMIT ?2";
                let mut statement = connection.prepare(sql)?;
                let rows =
                    statement.query_map([after, limit.into()], |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// Whether this file of this key must be destroyed.
    pub(in crate::adapters::embedded::server) async fn is_removal(
        &self,
        key: String,
        blob: String,
    ) -> PortResult<bool> {
        self.pool
            .read("looking for a file to destroy", move |connection| {
                let sql = "SELECT EXISTS(SELECT 1 FROM removals WHERE key = ?1 AND blob = ?2)";
                Ok(connection.query_row(sql, [key, blob], |row| row.get(0))?)
            })
            .await
    }

    /// Makes a write, after which one whose outcome is unknown has failed or is seen: the log may have the whole
    /// of it, and would bring it back after a crash, unless another one takes its place there.
    pub(in crate::adapters::embedded::server) async fn overwrite_unknown(&self) -> PortResult<()> {
        self.pool
            .write("overwriting a write of unknown outcome", |connection| {
                connection.execute("UPDATE sequencer SET latest = latest + 1", [])?;
                Ok(())
            })
            .await
    }

    /// Those of these files that are not in use. Comes after all writes that were begun before, whose outcome
    /// may be unknown; takes nothing on the disk.
    pub(in crate::adapters::embedded::server) async fn unused(
        &self,
        blobs: Vec<String>,
    ) -> PortResult<Vec<String>> {
        self.pool
            .write("looking for files that are not in use", move |connection| {
                let mut unused = Vec::new();
                for blob in &blobs {
                    if !is_used(connection, blob)? {
                        unused.push(blob.clone());
                    }
                }
                Ok(unused)
            })
            .await
    }

    /// Notes that these files must be destroyed, unless they are in use: each with its key, if it is known.
    pub(in crate::adapters::embedded::server) async fn condemn(
        &self,
        files: Vec<(Option<String>, String)>,
    ) -> PortResult<()> {
        self.pool
            .write("noting files to destroy", move |connection| {
                for (key, blob) in &files {
                    if !is_used(connection, blob)? {
                        condemn(connection, key.as_deref(), std::slice::from_ref(blob))?;
                    }
                }
                Ok(())
            })
            .await
    }

    /// Forgets files that are gone.
    pub(in crate::adapters::embedded::server) async fn destroyed(
        &self,
        blobs: Vec<String>,
    ) -> PortResult<()> {
        // The rows have keys, and keys have the names of files.
        self.pool
            .delete("forgetting files that are gone", move |connection| {
                let mut statement = connection.prepare("DELETE FROM removals WHERE blob = ?1")?;
                for blob in blobs {
                    statement.execute([blob])?;
                }
                Ok(())
            })
            .await
    }

    /// Objects whose keys begin with `prefix`, and files of such keys that must be destroyed, after this
    /// version of this key, in the order of S3: by key, the object first. Without a version, after all
    /// versions of the key. With `grouped`, keys that go on after the next slash are one entry.
    pub(in crate::adapters::embedded::server) async fn versions(
        &self,
        prefix: String,
        after: (String, Option<String>),
        grouped: bool,
        limit: u32,
    ) -> PortResult<Vec<Entry>> {
        self.pool
            .read("listing versions", move |connection| {
                let mut at = Position::after(&prefix, after, grouped);
                if !grouped {
                    return Ok(page(connection, &prefix, &at, limit)?);
                }
                let mut found = Vec::new();
                while found.len() < limit as usize {
                    let Some(entry) = page(connection, &prefix, &at, 1)?.pop() else { break };
                    let entry = match group_of(&prefix, entry.key()) {
                        Some(group) => Entry::Group(group.to_owned()),
                        None => entry,
                    };
                    at = Position::behind(&entry);
                    found.push(entry);
                }
                Ok(found)
            })
            .await
    }
}

/// Where a listing of versions goes on.
struct Position {
    /// The least key of an object.
    objects: String,
    /// The key and file before the next one.
    removals: (String, String),
}

impl Position {
    fn after(prefix: &str, (key, version): (String, Option<String>), grouped: bool) -> Self {
        if key.as_str() < prefix || key.is_empty() {
            return Self { objects: prefix.to_owned(), removals: (prefix.to_owned(), String::new()) };
        }
        if grouped && group_of(prefix, &key) == Some(&key) {
            return Self::behind(&Entry::Group(key));
        }
        let blob = match version {
            // The object comes before the files.
            Some(version) if version == ONLY_VERSION => String::new(),
            Some(version) => version,
            // Greater than the name of each file.
            None => "~".to_owned(),
        };
        Self { objects: format!("{key}\0"), removals: (key, blob) }
    }

    fn behind(entry: &Entry) -> Self {
        match entry {
            Entry::Object(Stored { key, .. }) => {
                Self { objects: format!("{key}\0"), removals: (key.clone(), String::new()) }
            }
            Entry::Removal(Removal { key, blob, .. }) => {
                Self { objects: format!("{key}\0"), removals: (key.clone(), blob.clone()) }
            }
            // It ends with a slash, which is followed by `0`.
            Entry::Group(group) => {
                let next = format!("{}0", group.strip_suffix('/').unwrap_or(group));
                Self { objects: next.clone(), removals: (next, String::new()) }
            }
        }
    }
}

/// The beginning of the key up to the next slash after the prefix.
fn group_of<'a>(prefix: &str, key: &'a str) -> Option<&'a str> {
    let (name, _) = key.strip_prefix(prefix)?.split_once('/')?;
    key.get(..=prefix.len() + name.len())
}

fn page(connection: &Connection, prefix: &str, at: &Position, limit: u32) -> rusqlite::Result<Vec<Entry>> {
    let upper = upper(prefix);
    let mut objects = connection.prepare(LIST)?;
    let objects =
        objects.query_map(params![at.objects, upper, limit], |row| stored(row).map(Entry::Object))?;
    let mut found: Vec<Entry> = objects.collect::<Result<_, _>>()?;
    let removal = |row: &rusqlite::Row<'_>| {
        let since = row.get::<_, i64>(2)?.unsigned_abs();
        Ok(Removal { key: row.get(0)?, blob: row.get(1)?, since, is_latest: row.get(3)? })
    };
    let mut removals = connection.prepare(LIST_REMOVALS)?;
    let (key, blob) = &at.removals;
    for one in removals.query_map(params![key, blob, upper, limit], removal)? {
        found.push(Entry::Removal(one?));
    }
    found.sort_by(|a, b| a.order().cmp(&b.order()));
    found.truncate(limit as usize);
    Ok(found)
}
