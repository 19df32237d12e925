//! Creates buckets where no template has created them: for tests.

use super::super::error::{Effect, port_error};
use super::S3Store;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use cadmill_core::ports::PortResult;

const OPERATION: &str = "making a bucket";

impl S3Store {
    /// Creates the bucket, which keeps versions if asked to.
    ///
    /// # Errors
    /// [`cadmill_core::ports::PortError::Refused`] if a bucket of this name exists.
    pub async fn create_bucket(&self, versions: bool) -> PortResult<()> {
        let create = self.client.create_bucket().bucket(&self.bucket);
        create.send().await.map_err(|e| port_error(OPERATION, Effect::Write, &e))?;
        if versions {
            let keep = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
            let put = self.client.put_bucket_versioning().bucket(&self.bucket);
            let sent = put.versioning_configuration(keep).send().await;
            sent.map_err(|e| port_error(OPERATION, Effect::Write, &e))?;
        }
        Ok(())
    }
}
