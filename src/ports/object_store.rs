//! Port: the objects, in the terms of Amazon S3.
//!
//! Nothing here holds a whole object: reads are ranges, writes are parts, and
//! clients talk to the store themselves, with presigned requests.

use super::PortResult;
use crate::domain::ids::{FileName, JobId, ObjectKey, Role};
use crate::domain::job::{Millis, Object};
use async_trait::async_trait;
use bytes::Bytes;
use std::ops::Range;
use std::time::Duration;

/// Smallest size of a part but the last, in bytes (Amazon S3 User Guide,
/// "Amazon S3 multipart upload limits").
pub const MIN_PART_BYTES: u64 = 5 << 20;
/// Largest number of parts (same source).
pub const MAX_PARTS: u32 = 10_000;
/// Largest object of a single PUT, in bytes: 5 GB (same source).
pub const MAX_PUT_BYTES: u64 = 5 << 30;

/// A request that whoever has it can make until it expires.
///
/// It is a secret: no `Debug`, and it goes to the job's owner only.
#[derive(Clone, PartialEq, Eq)]
pub struct Presigned {
    /// `GET` or `PUT`.
    pub method: &'static str,
    /// The URL.
    pub url: String,
    /// Headers that were signed and must be sent as they are, `Host` not among them.
    pub headers: Vec<(String, String)>,
    /// When it stops to be good.
    pub expires: Millis,
}

/// A part of a multipart upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// From 1 to [`MAX_PARTS`].
    pub number: u32,
    /// As the store gave it.
    pub etag: String,
    /// In bytes.
    pub size_bytes: u64,
}

/// A checksum of the whole content of an object, as the store keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// CRC-64/NVME: what S3 makes itself where the client sent none (Amazon S3 User
    /// Guide, "Checking object integrity").
    Crc64Nvme(u64),
    /// SHA-256, which a client sent along with a single PUT.
    Sha256([u8; 32]),
}

/// What [`ObjectStore::purge`] deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Objects, each version counted.
    pub objects: u64,
    /// Unfinished multipart uploads.
    pub uploads: u64,
}

/// Keeps the objects of one bucket.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// A request to PUT the object once: its size is signed, and so is the condition
    /// that there is no object under the key; the SHA-256 (hexadecimal), when known.
    async fn presign_put(
        &self,
        key: &ObjectKey,
        size_bytes: u64,
        sha256: Option<&str>,
        lifetime: Duration,
    ) -> PortResult<Presigned>;

    /// A request to PUT one part; its size is signed.
    async fn presign_part(
        &self,
        key: &ObjectKey,
        upload_id: &str,
        number: u32,
        size_bytes: u64,
        lifetime: Duration,
    ) -> PortResult<Presigned>;

    /// A request to GET the object, which answers as an attachment of this name.
    async fn presign_get(
        &self,
        object: &Object,
        file_name: &FileName,
        lifetime: Duration,
    ) -> PortResult<Presigned>;

    /// Begins a multipart upload and answers with the store's name for it.
    async fn begin_multipart(&self, key: &ObjectKey) -> PortResult<String>;

    /// The parts that have arrived, by number.
    ///
    /// # Errors
    /// [`super::PortError::NotFound`] for an upload that was completed or aborted.
    async fn parts(&self, key: &ObjectKey, upload_id: &str) -> PortResult<Vec<Part>>;

    /// Writes one part.
    async fn put_part(&self, key: &ObjectKey, upload_id: &str, number: u32, body: Bytes) -> PortResult<Part>;

    /// Makes the object of these parts, if there is none under the key.
    ///
    /// # Errors
    /// [`super::PortError::Precondition`] when there is one,
    /// [`super::PortError::NotFound`] when the upload is no more.
    async fn complete_multipart(&self, key: &ObjectKey, upload_id: &str, parts: &[Part]) -> PortResult<()>;

    /// Gives the upload up; one that is no more is given up already.
    async fn abort_multipart(&self, key: &ObjectKey, upload_id: &str) -> PortResult<()>;

    /// Writes a small object, if there is none under the key.
    ///
    /// # Errors
    /// [`super::PortError::Precondition`] when there is one.
    async fn put(&self, key: &ObjectKey, body: Bytes) -> PortResult<()>;

    /// What is known of the object: size, ETag, version. No SHA-256.
    ///
    /// # Errors
    /// [`super::PortError::NotFound`].
    async fn head(&self, key: &ObjectKey) -> PortResult<Object>;

    /// The checksum that the store keeps of the whole object, if it keeps one and the
    /// object is still this one (its ETag).
    ///
    /// # Errors
    /// As for [`ObjectStore::read`].
    async fn checksum(&self, object: &Object) -> PortResult<Option<Checksum>>;

    /// The bytes of a range, all of them, if the object is still this one (its ETag).
    ///
    /// # Errors
    /// [`super::PortError::Precondition`] when it is another,
    /// [`super::PortError::NotFound`] when there is none.
    async fn read(&self, object: &Object, range: Range<u64>) -> PortResult<Bytes>;

    /// Deletes this version of an object; without a version, the object of a bucket that
    /// has none. What is not there is deleted already.
    async fn delete(&self, key: &ObjectKey, version: Option<&str>) -> PortResult<()>;

    /// Deletes every object under the job's prefix for this role, in each of its
    /// versions, and gives up every unfinished upload there. Deleting nothing is no error.
    async fn purge(&self, role: Role, job: JobId) -> PortResult<Purged>;

    /// Whether the store answers and the bucket is there.
    async fn check(&self) -> PortResult<()>;

    /// Whether the store takes writes, as far as it says so without being given one: an
    /// object would be an upload, and not every caller may write one itself.
    async fn can_write(&self) -> PortResult<()>;
}
