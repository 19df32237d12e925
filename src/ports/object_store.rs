//! Port: the objects, in the terms of Amazon S3.
//!
//! No call holds a whole object in memory: reads are byte ranges, writes are parts. Clients access
//! the store directly, with presigned requests.

use super::PortResult;
use crate::domain::coding::Coding;
use crate::domain::ids::{FileName, JobId, ObjectKey, Role};
use crate::domain::job::{Millis, Object};

pub use crate::domain::deletion::Purged;
use async_trait::async_trait;
use bytes::Bytes;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Minimum size of every part except the last, in bytes (Amazon S3 User Guide, "Amazon S3 multipart
/// upload limits").
pub const MIN_PART_BYTES: u64 = 5 << 20;
/// Maximum number of parts (same source).
pub const MAX_PARTS: u32 = 10_000;
/// Maximum size of an object uploaded in a single PUT, in bytes: 5 GB (same source).
pub const MAX_PUT_BYTES: u64 = 5 << 30;

/// A presigned request, valid for anyone who has it until it expires.
///
/// It is a secret: it has no `Debug` and is sent only to the job's owner.
#[derive(Clone, PartialEq, Eq)]
pub struct Presigned {
    /// `GET` or `PUT`.
    pub method: &'static str,
    /// The URL.
    pub url: String,
    /// Signed headers, which must be sent unchanged. `Host` and `Content-Length` are also signed but
    /// not listed: clients send them by themselves.
    pub headers: Vec<(String, String)>,
    /// When it expires, by the store's clock.
    pub expires: Millis,
    /// How long it is valid: as requested, or until the credentials that signed it expire if that is
    /// earlier.
    pub lifetime: Duration,
}

/// A part of a multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// From 1 to [`MAX_PARTS`].
    pub number: u32,
    /// The ETag, as returned by the store.
    pub etag: String,
    /// In bytes.
    pub size_bytes: u64,
}

/// A checksum of the whole content of an object, as the store reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// CRC-64/NVME, which S3 computes itself if the client sent no checksum (Amazon S3 User Guide,
    /// "Checking object integrity").
    Crc64Nvme(u64),
    /// SHA-256, sent by the client with a single PUT.
    Sha256([u8; 32]),
}

/// What [`ObjectStore::purge_into`] has deleted so far. Its caller knows it whatever becomes of the call.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Purged>);

impl Tally {
    /// Adds what was deleted.
    pub fn add(&self, purged: Purged) {
        let mut total = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *total = total.and(purged);
    }

    /// All that was deleted.
    pub fn total(&self) -> Purged {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stores the objects of one bucket.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Presigns a PUT that can succeed only once. The size is signed, as is the condition that the
    /// key does not exist, and the SHA-256 (hexadecimal) if known.
    async fn presign_put(
        &self,
        key: &ObjectKey,
        size_bytes: u64,
        sha256: Option<&str>,
        lifetime: Duration,
    ) -> PortResult<Presigned>;

    /// Presigns the PUT of one part; its size is signed.
    async fn presign_part(
        &self,
        key: &ObjectKey,
        upload_id: &str,
        number: u32,
        size_bytes: u64,
        lifetime: Duration,
    ) -> PortResult<Presigned>;

    /// Presigns a GET of the object, with `Content-Disposition: attachment` and this file name.
    async fn presign_get(
        &self,
        object: &Object,
        file_name: &FileName,
        lifetime: Duration,
    ) -> PortResult<Presigned>;

    /// Begins a multipart upload of an object that is not encoded, and returns its upload id.
    async fn begin_multipart(&self, key: &ObjectKey) -> PortResult<String> {
        self.begin_encoded(key, None).await
    }

    /// Begins a multipart upload of an object whose parts, joined, have this coding, and returns its
    /// upload id. A download has the coding as `Content-Encoding`.
    async fn begin_encoded(&self, key: &ObjectKey, coding: Option<Coding>) -> PortResult<String>;

    /// The uploaded parts, by number.
    ///
    async fn parts(&self, key: &ObjectKey, upload_id: &str) -> PortResult<Vec<Part>>;

    /// Uploads one part.
    async fn put_part(&self, key: &ObjectKey, upload_id: &str, number: u32, body: Bytes) -> PortResult<Part>;

    /// Completes the upload from these parts, if the key does not exist yet.
    ///
    async fn complete_multipart(&self, key: &ObjectKey, upload_id: &str, parts: &[Part]) -> PortResult<()>;

    /// Aborts the upload; succeeds if it no longer exists.
    async fn abort_multipart(&self, key: &ObjectKey, upload_id: &str) -> PortResult<()>;

    /// Writes a small object that is not encoded, if the key does not exist yet.
    async fn put(&self, key: &ObjectKey, body: Bytes) -> PortResult<()> {
        self.put_encoded(key, body, None).await
    }

    /// Writes a small object, if the key does not exist yet. The body has this coding, and a download
    /// has it as `Content-Encoding`.
    async fn put_encoded(&self, key: &ObjectKey, body: Bytes, coding: Option<Coding>) -> PortResult<()>;

    /// The object's size, ETag, version and coding, for a caller that may read it. No SHA-256, and not
    /// what it decodes to.
    ///
    /// # Errors
    /// [`super::PortError::NotFound`]; [`super::PortError::Hidden`] if the caller may not list the
    /// store, so that a missing object and a refused one look alike.
    async fn head(&self, key: &ObjectKey) -> PortResult<Object>;

    /// The same from a listing, for a caller that may list the store and need not be able to read
    /// the object. What is missing is known for certain: the rules that end a job ask here. An
    /// object that was written while the store kept no versions has no version here.
    ///
    /// # Errors
    /// [`super::PortError::NotFound`]; [`super::PortError::Refused`] without the permission to list.
    async fn find(&self, key: &ObjectKey) -> PortResult<Object>;

    /// The store's checksum of the whole object, if it has one. Fails if the object's ETag has
    /// changed.
    ///
    /// # Errors
    /// As for [`ObjectStore::read`].
    async fn checksum(&self, object: &Object) -> PortResult<Option<Checksum>>;

    /// All bytes of a range, if the object's ETag has not changed. A range of an encoded object is one
    /// of its encoded bytes.
    async fn read(&self, object: &Object, range: Range<u64>) -> PortResult<Bytes>;

    /// Deletes this version of an object; without a version, the object in an unversioned bucket.
    /// Succeeds if it does not exist.
    async fn delete(&self, key: &ObjectKey, version: Option<&str>) -> PortResult<()>;

    /// Deletes every version of every object under the job's prefix for this role, and aborts every
    /// unfinished upload there, until a listing finds nothing. Succeeds if there is nothing to delete.
    /// What was deleted is added to the tally at once: the call may fail later, or be dropped. A call that
    /// is made again goes on where this one ended.
    ///
    /// # Errors
    /// [`super::PortError::Unavailable`] if there is always something left. What can be deleted is deleted,
    /// whatever else cannot.
    async fn purge_into(&self, role: Role, job: JobId, tally: &Tally) -> PortResult<()>;

    /// The same; returns what was deleted.
    ///
    /// # Errors
    /// As for [`Self::purge_into`]. What was deleted is then not known.
    async fn purge(&self, role: Role, job: JobId) -> PortResult<Purged> {
        let tally = Tally::default();
        self.purge_into(role, job, &tally).await?;
        Ok(tally.total())
    }

    /// The jobs that have objects, versions of objects or unfinished uploads, each once. One request for
    /// a thousand jobs: for a look now and then.
    async fn stored(&self) -> PortResult<Vec<JobId>>;

    /// Checks that the store responds and the bucket exists. A caller that may not list the store
    /// passes, and [`ObjectStore::head`] is then [`super::PortError::Hidden`] for what is missing.
    async fn check(&self) -> PortResult<()>;

    /// Checks that the caller may list what [`ObjectStore::find`] and [`ObjectStore::purge`] list.
    ///
    /// # Errors
    /// [`super::PortError::Refused`] with the permission that is missing.
    async fn can_list(&self) -> PortResult<()>;

    /// Checks, as far as possible without writing an object, that the store accepts writes. A test
    /// object would look like an upload, and not every caller may write one.
    async fn can_write(&self) -> PortResult<()>;
}
