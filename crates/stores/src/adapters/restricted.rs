//! An object store whose caller has the permissions of a policy and no others, for tests of rules
//! without a server: what is not granted is refused as [`super::aws::S3Store`] reports it.
//!
//! Presigning takes no permission; the presigned request does, and does not come through here.

use crate::conformance::iam::policy::{AUTH_TYPE, Access, BY_HEADER, Policy, decide};
use async_trait::async_trait;
use bytes::Bytes;
use cadmill_core::domain::coding::Coding;
use cadmill_core::domain::ids::{FileName, JobId, ObjectKey, Role};
use cadmill_core::domain::job::Object;
use cadmill_core::ports::object_store::{Checksum, Part, Presigned, Tally};
use cadmill_core::ports::{ObjectStore, PortError, PortResult};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// An object store with policies for its caller.
#[derive(Clone)]
pub struct RestrictedObjects {
    inner: Arc<dyn ObjectStore>,
    /// ARN.
    bucket: String,
    policies: Vec<Policy>,
}

impl RestrictedObjects {
    /// Wraps the store; `bucket` is the ARN that the policies name.
    pub fn new(inner: Arc<dyn ObjectStore>, bucket: &str, policies: Vec<Policy>) -> Self {
        Self { inner, bucket: bucket.to_owned(), policies }
    }

    fn may(&self, action: &str, resource: &str) -> bool {
        decide(&self.policies, &Access::new(action, resource).with(AUTH_TYPE, BY_HEADER)).is_allowed()
    }

    fn needs(&self, operation: &'static str, action: &str, resource: &str) -> PortResult<()> {
        if self.may(action, resource) {
            return Ok(());
        }
        Err(PortError::Refused { operation, reason: format!("AccessDenied: {action} is not granted") })
    }

    fn needs_on(&self, operation: &'static str, action: &str, key: &ObjectKey) -> PortResult<()> {
        self.needs(operation, action, &format!("{}/{key}", self.bucket))
    }

    fn lists(&self) -> bool {
        self.may("s3:ListBucket", &self.bucket)
    }

    /// The answer to a HEAD, which has no code.
    async fn headed<T>(
        &self,
        operation: &'static str,
        key: &ObjectKey,
        call: impl Future<Output = PortResult<T>>,
    ) -> PortResult<T> {
        match self.needs_on(operation, "s3:GetObject", key) {
            Err(_) if !self.lists() => return Err(PortError::Hidden(operation)),
            granted => granted?,
        }
        match call.await {
            Err(PortError::NotFound(_)) if !self.lists() => Err(PortError::Hidden(operation)),
            other => other,
        }
    }
}

#[async_trait]
impl ObjectStore for RestrictedObjects {
    async fn presign_put(
        &self,
        key: &ObjectKey,
        size_bytes: u64,
        sha256: Option<&str>,
        lifetime: Duration,
    ) -> PortResult<Presigned> {
        self.inner.presign_put(key, size_bytes, sha256, lifetime).await
    }

    async fn presign_part(
        &self,
        key: &ObjectKey,
        upload_id: &str,
        number: u32,
        size_bytes: u64,
        lifetime: Duration,
    ) -> PortResult<Presigned> {
        self.inner.presign_part(key, upload_id, number, size_bytes, lifetime).await
    }

    async fn presign_get(
        &self,
        object: &Object,
        file_name: &FileName,
        lifetime: Duration,
    ) -> PortResult<Presigned> {
        self.inner.presign_get(object, file_name, lifetime).await
    }

    async fn begin_encoded(&self, key: &ObjectKey, coding: Option<Coding>) -> PortResult<String> {
        self.needs_on("begin_multipart", "s3:PutObject", key)?;
        self.inner.begin_encoded(key, coding).await
    }

    async fn parts(&self, key: &ObjectKey, upload_id: &str) -> PortResult<Vec<Part>> {
        self.needs_on("parts", "s3:ListMultipartUploadParts", key)?;
        self.inner.parts(key, upload_id).await
    }

    async fn put_part(&self, key: &ObjectKey, upload_id: &str, number: u32, body: Bytes) -> PortResult<Part> {
        self.needs_on("put_part", "s3:PutObject", key)?;
        self.inner.put_part(key, upload_id, number, body).await
    }

    async fn complete_multipart(&self, key: &ObjectKey, upload_id: &str, parts: &[Part]) -> PortResult<()> {
        self.needs_on("complete_multipart", "s3:PutObject", key)?;
        self.inner.complete_multipart(key, upload_id, parts).await
    }

    async fn abort_multipart(&self, key: &ObjectKey, upload_id: &str) -> PortResult<()> {
        self.needs_on("abort_multipart", "s3:AbortMultipartUpload", key)?;
        self.needs_on("abort_multipart", "s3:ListMultipartUploadParts", key)?;
        self.inner.abort_multipart(key, upload_id).await
    }

    async fn put_encoded(&self, key: &ObjectKey, body: Bytes, coding: Option<Coding>) -> PortResult<()> {
        self.needs_on("put", "s3:PutObject", key)?;
        self.inner.put_encoded(key, body, coding).await
    }

    async fn head(&self, key: &ObjectKey) -> PortResult<Object> {
        self.headed("head", key, self.inner.head(key)).await
    }

    async fn find(&self, key: &ObjectKey) -> PortResult<Object> {
        self.needs("find", "s3:ListBucketVersions", &self.bucket)?;
        self.inner.find(key).await
    }

    async fn checksum(&self, object: &Object) -> PortResult<Option<Checksum>> {
        self.headed("checksum", &object.key, self.inner.checksum(object)).await
    }

    async fn read(&self, object: &Object, range: Range<u64>) -> PortResult<Bytes> {
        let action = if object.version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
        self.needs_on("read", action, &object.key)?;
        match self.inner.read(object, range).await {
            Err(PortError::NotFound(operation)) if !self.lists() => {
                Err(PortError::Refused { operation, reason: "AccessDenied".to_owned() })
            }
            other => other,
        }
    }

    async fn delete(&self, key: &ObjectKey, version: Option<&str>) -> PortResult<()> {
        let action = if version.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
        self.needs_on("delete", action, key)?;
        self.inner.delete(key, version).await
    }

    /// As in a bucket without versions.
    async fn purge_into(&self, role: Role, job: JobId, tally: &Tally) -> PortResult<()> {
        self.needs("purge", "s3:ListBucketMultipartUploads", &self.bucket)?;
        self.needs("purge", "s3:ListBucketVersions", &self.bucket)?;
        let prefix = format!("{}/{}", self.bucket, ObjectKey::prefix(role, job));
        for action in ["s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"] {
            self.needs("purge", action, &format!("{prefix}x"))?;
        }
        self.inner.purge_into(role, job, tally).await
    }

    async fn stored(&self) -> PortResult<Vec<JobId>> {
        self.needs("listing", "s3:ListBucketMultipartUploads", &self.bucket)?;
        self.needs("listing", "s3:ListBucketVersions", &self.bucket)?;
        self.inner.stored().await
    }

    async fn check(&self) -> PortResult<()> {
        self.inner.check().await
    }

    async fn can_list(&self) -> PortResult<()> {
        for action in ["s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:ListBucketVersions"] {
            self.needs("can_list", action, &self.bucket)?;
        }
        self.inner.can_list().await
    }

    async fn can_write(&self) -> PortResult<()> {
        self.inner.can_write().await
    }
}
