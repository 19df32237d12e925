//! The port of objects, on the bucket. What it requests is what the adapter of S3 requests
//! (crates/stores/src/adapters/aws/s3), one call after the other.

use crate::bill::{Action, Program};
use crate::limits::Call;
use crate::process::Process;
use crate::world::World;
use async_trait::async_trait;
use bytes::Bytes;
use cadmill_core::domain::coding::Coding;
use cadmill_core::domain::ids::{FileName, JobId, ObjectKey, Role};
use cadmill_core::domain::job::Object;
use cadmill_core::ports::object_store::{Checksum, ObjectStore, Part, Presigned, Purged, Tally};
use cadmill_core::ports::{PortError, PortResult};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The objects, as a program sees them.
pub(crate) struct BucketObjects(pub(crate) Arc<Process>);

const GET: (Call, Action) = (Call::Get, Action::GetObject);
const PUT: (Call, Action) = (Call::Put, Action::PutObject);
const LIST_VERSIONS: (Call, Action) = (Call::List, Action::ListVersions);
const LIST_UPLOADS: (Call, Action) = (Call::List, Action::ListUploads);
const DELETE: (Call, Action) = (Call::Delete, Action::DeleteObject);

/// Listings until nothing is left, as the adapter makes.
const ROUNDS: u32 = 4;

/// Presigning needs no request.
fn presigned(method: &'static str, lifetime: Duration) -> PortResult<Presigned> {
    Ok(Presigned { method, url: String::new(), headers: Vec::new(), expires: 0, lifetime })
}

impl BucketObjects {
    /// Whether the program may list: then a missing object is 404, and else 403. A worker needs no such
    /// permission, and has none here.
    fn lists(&self) -> bool {
        self.0.program != Program::Worker
    }

    /// Deletes something, and observes what that means for its job.
    async fn remove(&self, key: &ObjectKey, version: Option<u64>) -> PortResult<()> {
        let program = self.0.program;
        let removed = |world: &World| {
            let now = world.now();
            let mut bucket = world.bucket();
            let latest = bucket.latest(key).map(|version| version.id);
            let gone = bucket.delete(key, version, now)?;
            if gone && (version.is_none() || version == latest) {
                let table = world.table();
                world.witness().object_deleted(program, key, table.job(key.job()), now);
            }
            Ok(())
        };
        self.0.call("deleting an object", DELETE, removed).await
    }
}

#[async_trait]
impl ObjectStore for BucketObjects {
    async fn presign_put(
        &self,
        _key: &ObjectKey,
        _size_bytes: u64,
        _sha256: Option<&str>,
        lifetime: Duration,
    ) -> PortResult<Presigned> {
        presigned("PUT", lifetime)
    }

    async fn presign_part(
        &self,
        _key: &ObjectKey,
        _upload_id: &str,
        _number: u32,
        _size_bytes: u64,
        lifetime: Duration,
    ) -> PortResult<Presigned> {
        presigned("PUT", lifetime)
    }

    async fn presign_get(
        &self,
        _object: &Object,
        _file_name: &FileName,
        lifetime: Duration,
    ) -> PortResult<Presigned> {
        presigned("GET", lifetime)
    }

    async fn begin_encoded(&self, key: &ObjectKey, _coding: Option<Coding>) -> PortResult<String> {
        let begun = |world: &World| Ok(world.bucket().begin(key, world.now()));
        self.0.call("beginning an upload", PUT, begun).await
    }

    async fn parts(&self, key: &ObjectKey, upload_id: &str) -> PortResult<Vec<Part>> {
        const OPERATION: &str = "listing parts";
        let parts = |world: &World| {
            let mut bucket = world.bucket();
            let upload = bucket.unfinished(key, upload_id).ok_or(PortError::NotFound(OPERATION))?;
            let part = |&(number, size_bytes)| Part { number, etag: String::new(), size_bytes };
            Ok(upload.parts.iter().map(part).collect())
        };
        self.0.call(OPERATION, (Call::List, Action::ListParts), parts).await
    }

    async fn put_part(&self, key: &ObjectKey, upload_id: &str, number: u32, body: Bytes) -> PortResult<Part> {
        const OPERATION: &str = "uploading a part";
        let size_bytes = body.len() as u64;
        let put = |world: &World| {
            let mut bucket = world.bucket();
            let upload = bucket.unfinished(key, upload_id).ok_or(PortError::NotFound(OPERATION))?;
            upload.parts.retain(|(other, _)| *other != number);
            upload.parts.push((number, size_bytes));
            Ok(Part { number, etag: String::new(), size_bytes })
        };
        self.0.call(OPERATION, PUT, put).await
    }

    async fn complete_multipart(&self, key: &ObjectKey, upload_id: &str, _parts: &[Part]) -> PortResult<()> {
        let completed = |world: &World| {
            world.bucket().complete(key, upload_id, world.now())?;
            world.queue.object_created(world, key);
            Ok(())
        };
        self.0.call("completing an upload", PUT, completed).await
    }

    async fn abort_multipart(&self, key: &ObjectKey, upload_id: &str) -> PortResult<()> {
        let aborted = |world: &World| {
            world.bucket().abort(key, upload_id);
            Ok(())
        };
        self.0.call("aborting an upload", (Call::Delete, Action::AbortUpload), aborted).await
    }

    async fn put_encoded(&self, key: &ObjectKey, body: Bytes, _coding: Option<Coding>) -> PortResult<()> {
        let put = |world: &World| {
            world.bucket().put(key, body.len() as u64, world.now())?;
            world.queue.object_created(world, key);
            Ok(())
        };
        self.0.call("writing an object", PUT, put).await
    }

    async fn head(&self, key: &ObjectKey) -> PortResult<Object> {
        const OPERATION: &str = "describing an object";
        let missing =
            if self.lists() { PortError::NotFound(OPERATION) } else { PortError::Hidden(OPERATION) };
        self.0.call(OPERATION, GET, |world| world.bucket().object(key).ok_or(missing)).await
    }

    async fn find(&self, key: &ObjectKey) -> PortResult<Object> {
        const OPERATION: &str = "looking for an object";
        if !self.lists() {
            return Err(PortError::Refused { operation: OPERATION, reason: "AccessDenied".to_owned() });
        }
        let found = |world: &World| world.bucket().object(key).ok_or(PortError::NotFound(OPERATION));
        self.0.call(OPERATION, LIST_VERSIONS, found).await
    }

    async fn checksum(&self, object: &Object) -> PortResult<Option<Checksum>> {
        const OPERATION: &str = "reading a checksum";
        let same = |world: &World| match world.bucket().is_same(object) {
            true => Ok(None),
            false => Err(PortError::Precondition(OPERATION)),
        };
        self.0.call(OPERATION, GET, same).await
    }

    async fn read(&self, object: &Object, range: Range<u64>) -> PortResult<Bytes> {
        const OPERATION: &str = "reading an object";
        let read = |world: &World| match world.bucket().is_same(object) {
            true => Ok(Bytes::from(vec![b'0'; (range.end - range.start) as usize])),
            false => Err(PortError::Precondition(OPERATION)),
        };
        self.0.call(OPERATION, GET, read).await
    }

    async fn delete(&self, key: &ObjectKey, version: Option<&str>) -> PortResult<()> {
        let version = version.and_then(|version| u64::from_str_radix(version, 16).ok());
        self.remove(key, version).await
    }

    async fn purge_into(&self, role: Role, job: JobId, tally: &Tally) -> PortResult<()> {
        const OPERATION: &str = "listing what belongs to a job";
        for _ in 0..ROUNDS {
            let list = |world: &World| Ok(world.bucket().uploads(role, job));
            let uploads = self.0.call(OPERATION, LIST_UPLOADS, list).await?;
            let list = |world: &World| Ok(world.bucket().versions(role, job));
            let versions = self.0.call(OPERATION, LIST_VERSIONS, list).await?;
            if uploads.is_empty() && versions.is_empty() {
                return Ok(());
            }
            let is_versioned = self.0.world.services.versioned;
            if !versions.is_empty() && !is_versioned {
                let asked = (Call::Get, Action::GetVersioning);
                self.0.call("asking whether the bucket keeps versions", asked, |_| Ok(())).await?;
            }
            for upload in uploads {
                self.abort_multipart(&upload.key, &upload.id).await?;
                // As the adapter, which looks for parts that arrived beside the abortion.
                let parts = (Call::List, Action::ListParts);
                self.0.call(OPERATION, parts, |_| Ok(())).await?;
                let oldest = Some(upload.begun);
                tally.add(Purged { uploads: 1, oldest, ..Purged::default() });
            }
            for version in versions {
                self.remove(&version.key, Some(version.id)).await?;
                let (objects, marks) = (u64::from(!version.is_mark), u64::from(version.is_mark));
                tally.add(Purged { objects, marks, uploads: 0, oldest: Some(version.made) });
            }
        }
        Err(PortError::Unavailable {
            operation: "deleting everything of a job",
            reason: "something is always left".to_owned(),
        })
    }

    async fn stored(&self) -> PortResult<Vec<JobId>> {
        let list = |world: &World| Ok(world.bucket().jobs());
        self.0.call("listing the jobs with objects", LIST_VERSIONS, list).await
    }

    async fn check(&self) -> PortResult<()> {
        Ok(())
    }

    async fn can_list(&self) -> PortResult<()> {
        Ok(())
    }

    async fn can_write(&self) -> PortResult<()> {
        Ok(())
    }
}
