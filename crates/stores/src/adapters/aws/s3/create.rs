//! Creates buckets where no template has created them: for tests.

use super::super::error::{Effect, port_error};
use super::S3Store;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use cadmill_core::ports::PortResult;

/// What a bucket keeps besides objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// Nothing.
    Objects,
    /// Versions of objects.
    Versions,
    /// Versions, which can be locked (Object Lock).
    LockedVersions,
}

const OPERATION: &str = "making a bucket";

impl S3Store {
    /// Creates the bucket.
    ///
    /// # Errors
    /// [`cadmill_core::ports::PortError::Refused`] if a bucket of this name exists.
    pub async fn create_bucket(&self, keeps: Keeps) -> PortResult<()> {
        let create = self.client.create_bucket().bucket(&self.bucket);
        // A bucket with Object Lock has versions.
        let create = create.object_lock_enabled_for_bucket(keeps == Keeps::LockedVersions);
        create.send().await.map_err(|e| port_error(OPERATION, Effect::Write, &e))?;
        if keeps == Keeps::Versions {
            let keep = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
            let put = self.client.put_bucket_versioning().bucket(&self.bucket);
            let sent = put.versioning_configuration(keep).send().await;
            sent.map_err(|e| port_error(OPERATION, Effect::Write, &e))?;
        }
        Ok(())
    }
}
