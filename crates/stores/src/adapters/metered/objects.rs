//! A metered object store. Presigning calls no store, and is not counted.

use super::measured;
use async_trait::async_trait;
use bytes::Bytes;
use cadmill_core::domain::coding::Coding;
use cadmill_core::domain::ids::{FileName, JobId, ObjectKey, Role};
use cadmill_core::domain::job::Object;
use cadmill_core::metrics::Store;
use cadmill_core::ports::object_store::{Checksum, Part, Presigned, Tally};
use cadmill_core::ports::{ObjectStore, PortResult};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// A metered object store.
#[derive(Clone)]
pub struct MeteredObjects(Arc<dyn ObjectStore>);

impl MeteredObjects {
    /// Wraps the store.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self(inner)
    }
}

#[async_trait]
impl ObjectStore for MeteredObjects {
    async fn presign_put(
        &self,
        key: &ObjectKey,
        size_bytes: u64,
        sha256: Option<&str>,
        lifetime: Duration,
    ) -> PortResult<Presigned> {
        self.0.presign_put(key, size_bytes, sha256, lifetime).await
    }

    async fn presign_part(
        &self,
        key: &ObjectKey,
        upload_id: &str,
        number: u32,
        size_bytes: u64,
        lifetime: Duration,
    ) -> PortResult<Presigned> {
        self.0.presign_part(key, upload_id, number, size_bytes, lifetime).await
    }

    async fn presign_get(
        &self,
        object: &Object,
        file_name: &FileName,
        lifetime: Duration,
    ) -> PortResult<Presigned> {
        self.0.presign_get(object, file_name, lifetime).await
    }

    async fn begin_encoded(&self, key: &ObjectKey, coding: Option<Coding>) -> PortResult<String> {
        measured(Store::Objects, "begin_multipart", self.0.begin_encoded(key, coding)).await
    }

    async fn parts(&self, key: &ObjectKey, upload_id: &str) -> PortResult<Vec<Part>> {
        measured(Store::Objects, "parts", self.0.parts(key, upload_id)).await
    }

    async fn put_part(&self, key: &ObjectKey, upload_id: &str, number: u32, body: Bytes) -> PortResult<Part> {
        measured(Store::Objects, "put_part", self.0.put_part(key, upload_id, number, body)).await
    }

    async fn complete_multipart(&self, key: &ObjectKey, upload_id: &str, parts: &[Part]) -> PortResult<()> {
        measured(Store::Objects, "complete_multipart", self.0.complete_multipart(key, upload_id, parts)).await
    }

    async fn abort_multipart(&self, key: &ObjectKey, upload_id: &str) -> PortResult<()> {
        measured(Store::Objects, "abort_multipart", self.0.abort_multipart(key, upload_id)).await
    }

    async fn put_encoded(&self, key: &ObjectKey, body: Bytes, coding: Option<Coding>) -> PortResult<()> {
        measured(Store::Objects, "put", self.0.put_encoded(key, body, coding)).await
    }

    async fn head(&self, key: &ObjectKey) -> PortResult<Object> {
        measured(Store::Objects, "head", self.0.head(key)).await
    }

    async fn find(&self, key: &ObjectKey) -> PortResult<Object> {
        measured(Store::Objects, "find", self.0.find(key)).await
    }

    async fn checksum(&self, object: &Object) -> PortResult<Option<Checksum>> {
        measured(Store::Objects, "checksum", self.0.checksum(object)).await
    }

    async fn read(&self, object: &Object, range: Range<u64>) -> PortResult<Bytes> {
        measured(Store::Objects, "read", self.0.read(object, range)).await
    }

    async fn delete(&self, key: &ObjectKey, version: Option<&str>) -> PortResult<()> {
        measured(Store::Objects, "delete", self.0.delete(key, version)).await
    }

    async fn purge_into(&self, role: Role, job: JobId, tally: &Tally) -> PortResult<()> {
        measured(Store::Objects, "purge", self.0.purge_into(role, job, tally)).await
    }

    async fn stored(&self) -> PortResult<Vec<JobId>> {
        measured(Store::Objects, "stored", self.0.stored()).await
    }

    async fn check(&self) -> PortResult<()> {
        measured(Store::Objects, "check", self.0.check()).await
    }

    async fn can_list(&self) -> PortResult<()> {
        measured(Store::Objects, "check", self.0.can_list()).await
    }

    async fn can_write(&self) -> PortResult<()> {
        measured(Store::Objects, "check", self.0.can_write()).await
    }
}
