//! An object store with injected faults. Clients send presigned requests directly to the store,
//! so only the presigning can fail here.

use super::{Fault, Script};
use async_trait::async_trait;
use bytes::Bytes;
use cadmill_core::domain::coding::Coding;
use cadmill_core::domain::ids::{FileName, JobId, ObjectKey, Role};
use cadmill_core::domain::job::Object;
use cadmill_core::ports::object_store::{Checksum, Part, Presigned, Tally};
use cadmill_core::ports::{ObjectStore, PortResult};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// An object store with a script of faults.
#[derive(Clone)]
pub struct FaultyObjects {
    inner: Arc<dyn ObjectStore>,
    script: Script,
}

impl FaultyObjects {
    /// Wraps the store, with the faults of the script.
    pub fn new(inner: Arc<dyn ObjectStore>, script: Script) -> Self {
        Self { inner, script }
    }
}

#[async_trait]
impl ObjectStore for FaultyObjects {
    async fn presign_put(
        &self,
        key: &ObjectKey,
        size_bytes: u64,
        sha256: Option<&str>,
        lifetime: Duration,
    ) -> PortResult<Presigned> {
        self.script.play("presign_put", || self.inner.presign_put(key, size_bytes, sha256, lifetime)).await
    }

    async fn presign_part(
        &self,
        key: &ObjectKey,
        upload_id: &str,
        number: u32,
        size_bytes: u64,
        lifetime: Duration,
    ) -> PortResult<Presigned> {
        let call = || self.inner.presign_part(key, upload_id, number, size_bytes, lifetime);
        self.script.play("presign_part", call).await
    }

    async fn presign_get(
        &self,
        object: &Object,
        file_name: &FileName,
        lifetime: Duration,
    ) -> PortResult<Presigned> {
        self.script.play("presign_get", || self.inner.presign_get(object, file_name, lifetime)).await
    }

    async fn begin_encoded(&self, key: &ObjectKey, coding: Option<Coding>) -> PortResult<String> {
        self.script.play("begin_multipart", || self.inner.begin_encoded(key, coding)).await
    }

    async fn parts(&self, key: &ObjectKey, upload_id: &str) -> PortResult<Vec<Part>> {
        self.script.play("parts", || self.inner.parts(key, upload_id)).await
    }

    async fn put_part(&self, key: &ObjectKey, upload_id: &str, number: u32, body: Bytes) -> PortResult<Part> {
        let call = || self.inner.put_part(key, upload_id, number, body.clone());
        self.script.play("put_part", call).await
    }

    async fn complete_multipart(&self, key: &ObjectKey, upload_id: &str, parts: &[Part]) -> PortResult<()> {
        let call = || self.inner.complete_multipart(key, upload_id, parts);
        self.script.play("complete_multipart", call).await
    }

    async fn abort_multipart(&self, key: &ObjectKey, upload_id: &str) -> PortResult<()> {
        self.script.play("abort_multipart", || self.inner.abort_multipart(key, upload_id)).await
    }

    async fn put_encoded(&self, key: &ObjectKey, body: Bytes, coding: Option<Coding>) -> PortResult<()> {
        self.script.play("put", || self.inner.put_encoded(key, body.clone(), coding)).await
    }

    async fn head(&self, key: &ObjectKey) -> PortResult<Object> {
        self.script.play("head", || self.inner.head(key)).await
    }

    async fn find(&self, key: &ObjectKey) -> PortResult<Object> {
        self.script.play("find", || self.inner.find(key)).await
    }

    async fn checksum(&self, object: &Object) -> PortResult<Option<Checksum>> {
        self.script.play("checksum", || self.inner.checksum(object)).await
    }

    async fn read(&self, object: &Object, range: Range<u64>) -> PortResult<Bytes> {
        let call = || self.inner.read(object, range.clone());
        let fault = self.script.next("read");
        let bytes = self.script.apply("read", fault, call).await?;
        match fault {
            Some(Fault::Truncate(most)) => Ok(bytes.slice(..bytes.len().min(most))),
            _ => Ok(bytes),
        }
    }

    async fn delete(&self, key: &ObjectKey, version: Option<&str>) -> PortResult<()> {
        self.script.play("delete", || self.inner.delete(key, version)).await
    }

    async fn purge_into(&self, role: Role, job: JobId, tally: &Tally) -> PortResult<()> {
        self.script.play("purge", || self.inner.purge_into(role, job, tally)).await
    }

    async fn stored(&self) -> PortResult<Vec<JobId>> {
        self.script.play("stored", || self.inner.stored()).await
    }

    async fn check(&self) -> PortResult<()> {
        self.script.play("check", || self.inner.check()).await
    }

    async fn can_list(&self) -> PortResult<()> {
        self.script.play("can_list", || self.inner.can_list()).await
    }

    async fn can_write(&self) -> PortResult<()> {
        self.script.play("can_write", || self.inner.can_write()).await
    }
}
