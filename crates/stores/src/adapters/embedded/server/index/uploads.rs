//! Multipart uploads in the index. Completing one moves its parts' files to the
//! object: no byte is copied, whatever the size.

use super::condemned::condemn;
use super::range::upper;
use super::{Index, LIST_UPLOADS, New, exists, integer, names, store};
use crate::adapters::embedded::server::blobs::Segment;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::job::Millis;
use cadmill_core::ports::PortResult;
use cadmill_core::ports::clock::{Clock, SystemClock};
use cadmill_core::ports::object_store::MIN_PART_BYTES;
use rusqlite::{Connection, OptionalExtension, params};
use s3s::crypto::{Checksum as _, Md5};

/// A part that has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::adapters::embedded::server) struct StoredPart {
    pub(in crate::adapters::embedded::server) number: i32,
    /// Without quotes.
    pub(in crate::adapters::embedded::server) etag: String,
    pub(in crate::adapters::embedded::server) size: u64,
    pub(in crate::adapters::embedded::server) modified: Millis,
    blob: String,
}

/// Result of [`Index::complete`].
#[derive(Debug, PartialEq, Eq)]
pub(in crate::adapters::embedded::server) enum Completed {
    /// The object is stored; these files are no longer needed.
    Done { etag: String, useless: Vec<String> },
    /// The object exists already, and must not be replaced.
    Exists,
    /// The upload does not exist any more.
    Missing,
    /// The parts are not in order.
    Disorder,
    /// There is no such part, or its ETag differs.
    BadPart,
    /// A part that is not the last is too small.
    TooSmall,
}

impl Index {
    /// Begins an upload of an object with this `Content-Encoding`, and returns its id.
    pub(in crate::adapters::embedded::server) async fn begin(
        &self,
        key: ObjectKey,
        encoding: Option<String>,
    ) -> PortResult<String> {
        self.pool
            .write("beginning an upload", move |connection| {
                let id = JobId::random().to_string();
                let sql = "INSERT INTO uploads(id, key, begun, encoding) VALUES(?1, ?2, ?3, ?4)";
                connection
                    .execute(sql, params![id, key.to_string(), integer(SystemClock.now()), encoding])?;
                Ok(id)
            })
            .await
    }

    /// Whether the upload is still open.
    pub(in crate::adapters::embedded::server) async fn is_open(
        &self,
        id: String,
        key: String,
    ) -> PortResult<bool> {
        self.pool.read("reading an upload", move |connection| Ok(is_open(connection, &id, &key)?)).await
    }

    /// Records a part, replaces an earlier one with the same number, and returns the files that
    /// are no longer needed; `None` if the upload does not exist any more.
    pub(in crate::adapters::embedded::server) async fn put_part(
        &self,
        id: String,
        key: String,
        number: i32,
        etag: String,
        segment: Segment,
    ) -> PortResult<Option<Vec<String>>> {
        self.pool
            .write("storing a part", move |connection| {
                if !is_open(connection, &id, &key)? {
                    return Ok(None);
                }
                let sql = "DELETE FROM parts WHERE upload = ?1 AND number = ?2 RETURNING blob";
                let useless = names(connection, sql, params![id, number])?;
                condemn(connection, Some(&key), &useless)?;
                connection.execute(
                    "INSERT INTO parts(upload, number, blob, etag, size, modified) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                    params![id, number, segment.blob, etag, integer(segment.size), integer(SystemClock.now())],
                )?;
                Ok(Some(useless))
            })
            .await
    }

    /// Parts with numbers above `after`, by number; `None` if the upload does not exist any more.
    pub(in crate::adapters::embedded::server) async fn parts(
        &self,
        id: String,
        key: String,
        after: i32,
        limit: u32,
    ) -> PortResult<Option<Vec<StoredPart>>> {
        self.pool
            .read("listing parts", move |connection| {
                if !is_open(connection, &id, &key)? {
                    return Ok(None);
                }
                Ok(Some(parts(connection, &id, after, limit)?))
            })
            .await
    }

    /// Creates the object from these parts (number and ETag); if `exclusive`, only if the key
    /// does not exist.
    pub(in crate::adapters::embedded::server) async fn complete(
        &self,
        id: String,
        key: ObjectKey,
        wanted: Vec<(i32, String)>,
        exclusive: bool,
    ) -> PortResult<Completed> {
        self.pool
            .write("completing an upload", move |connection| {
                if !is_open(connection, &id, &key.to_string())? {
                    return Ok(Completed::Missing);
                }
                if exclusive && exists(connection, &key.to_string())? {
                    return Ok(Completed::Exists);
                }
                let known = parts(connection, &id, 0, u32::MAX)?;
                let chosen = match choose(&known, &wanted) {
                    Ok(chosen) => chosen,
                    Err(refusal) => return Ok(refusal),
                };
                let etag = combined(&wanted);
                let segment = |part: &&StoredPart| Segment { blob: part.blob.clone(), size: part.size };
                let segments: Vec<Segment> = chosen.iter().map(segment).collect();
                let sql = "SELECT encoding FROM uploads WHERE id = ?1";
                let encoding: Option<String> = connection.query_row(sql, [&id], |row| row.get(0))?;
                let new = New { etag: &etag, segments: &segments, encoding: encoding.as_deref() };
                let mut useless = store(connection, &key, &new, "CompleteMultipartUpload")?;
                let is_left = |part: &&StoredPart| !wanted.iter().any(|(number, _)| *number == part.number);
                let left: Vec<String> = known.iter().filter(is_left).map(|part| part.blob.clone()).collect();
                condemn(connection, Some(&key.to_string()), &left)?;
                useless.extend(left);
                forget(connection, &id)?;
                Ok(Completed::Done { etag, useless })
            })
            .await
    }

    /// Aborts an upload and returns its files; `None` if it does not exist any more.
    pub(in crate::adapters::embedded::server) async fn abort(
        &self,
        id: String,
        key: String,
    ) -> PortResult<Option<Vec<String>>> {
        self.pool
            .delete("aborting an upload", move |connection| {
                if !is_open(connection, &id, &key)? {
                    return Ok(None);
                }
                let useless = names(connection, "SELECT blob FROM parts WHERE upload = ?1", [&id])?;
                condemn(connection, Some(&key), &useless)?;
                forget(connection, &id)?;
                Ok(Some(useless))
            })
            .await
    }

    /// Key, id and time of the open uploads whose keys begin with `prefix`, after this key and
    /// id, ordered by key and id.
    pub(in crate::adapters::embedded::server) async fn uploads(
        &self,
        prefix: String,
        after: (String, String),
        limit: u32,
    ) -> PortResult<Vec<(String, String, Millis)>> {
        self.pool
            .read("listing uploads", move |connection| {
                // An id is never empty, so this marker is before all uploads of its key.
                let (key, id) = if after.0 < prefix { (prefix.clone(), String::new()) } else { after };
                let mut statement = connection.prepare(LIST_UPLOADS)?;
                let row = |row: &rusqlite::Row<'_>| {
                    Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.unsigned_abs()))
                };
                let rows = statement.query_map(params![key, id, upper(&prefix), limit], row)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }
}

/// Returns the wanted parts among the known ones, or the reason why not.
fn choose<'a>(known: &'a [StoredPart], wanted: &[(i32, String)]) -> Result<Vec<&'a StoredPart>, Completed> {
    if wanted.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
        return Err(Completed::Disorder);
    }
    let find = |(number, etag): &(i32, String)| {
        known.iter().find(|part| part.number == *number && part.etag == *etag)
    };
    let chosen: Option<Vec<&StoredPart>> = wanted.iter().map(find).collect();
    let chosen = chosen.filter(|chosen| !chosen.is_empty()).ok_or(Completed::BadPart)?;
    let but_last = &chosen[..chosen.len() - 1];
    if but_last.iter().any(|part| part.size < MIN_PART_BYTES) {
        return Err(Completed::TooSmall);
    }
    Ok(chosen)
}

/// The ETag of a multipart object: the MD5 of the parts' MD5s, and their number.
fn combined(wanted: &[(i32, String)]) -> String {
    let mut digest = Md5::new();
    for (_, etag) in wanted {
        // These are the ETags of stored parts, which this server assigned itself.
        digest.update(&hex::decode(etag).unwrap_or_default());
    }
    format!("{}-{}", hex::encode(digest.finalize()), wanted.len())
}

fn parts(connection: &Connection, id: &str, after: i32, limit: u32) -> rusqlite::Result<Vec<StoredPart>> {
    let mut statement = connection.prepare(
        "SELECT number, etag, size, modified, blob FROM parts
         WHERE upload = ?1 AND number > ?2 ORDER BY number LIMIT ?3",
    )?;
    let row = |row: &rusqlite::Row<'_>| {
        Ok(StoredPart {
            number: row.get(0)?,
            etag: row.get(1)?,
            size: row.get::<_, i64>(2)?.unsigned_abs(),
            modified: row.get::<_, i64>(3)?.unsigned_abs(),
            blob: row.get(4)?,
        })
    };
    statement.query_map(params![id, after, limit], row)?.collect()
}

fn is_open(connection: &Connection, id: &str, key: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM uploads WHERE id = ?1 AND key = ?2";
    Ok(connection.query_row(sql, [id, key], |_| Ok(())).optional()?.is_some())
}

fn forget(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM parts WHERE upload = ?1", [id])?;
    connection.execute("DELETE FROM uploads WHERE id = ?1", [id])?;
    Ok(())
}
