//! Whether this process may use the bucket, and what its refusals mean.

use super::super::error::{Effect, port_error, refused};
use super::access::{needs, without};
use super::{S3Store, in_silence};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use cadmill_core::ports::{PortError, PortResult};
use std::error::Error;

/// A key under which there is never an object: uploads are below the id of their job.
const PROBE: &str = "uploads/.cadmill-probe";

impl S3Store {
    pub(super) async fn check_access(&self) -> PortResult<()> {
        const OPERATION: &str = "asking for the bucket";
        let head = self.client.head_bucket().bucket(&self.bucket);
        let reply = match head.clone().send().await {
            Err(error) if in_silence(&error) => head.send().await,
            reply => reply,
        };
        let lists = match reply {
            Ok(_) => true,
            Err(error) if in_silence(&error) => false,
            Err(error) => {
                return Err(match port_error(OPERATION, Effect::Read, &error) {
                    PortError::NotFound(_) => refused(OPERATION, "NoSuchBucket"),
                    other => other,
                });
            }
        };
        self.access.set_lists(lists);
        if lists { Ok(()) } else { self.check_unlisted().await }
    }

    /// The check of a caller that may not list the bucket.
    async fn check_unlisted(&self) -> PortResult<()> {
        const OPERATION: &str = "asking for an object that does not exist";
        let probed = self.client.get_object().bucket(&self.bucket).key(PROBE).send().await;
        match probed.map_err(|error| port_error(OPERATION, Effect::Read, &error)) {
            Ok(_) | Err(PortError::NotFound(_)) => Ok(()),
            Err(PortError::Refused { reason, .. }) if reason == "AccessDenied" => {
                if self.access.first_to_say() {
                    tracing::warn!(
                        "s3:ListBucket is not granted: a missing object and a refused one look alike, so \
                         whether objects can be read is not known before the first one"
                    );
                }
                Ok(())
            }
            Err(other) => Err(other),
        }
    }

    /// Lists what purges list, under a prefix without objects.
    pub(super) async fn check_listing(&self) -> PortResult<()> {
        self.check_access().await?;
        if !self.access.lists() {
            return Err(refused("asking for the bucket", &without("s3:ListBucket")));
        }
        let prefix = format!("{PROBE}/");
        self.unfinished(&prefix).await?;
        self.versions_page(&prefix, None).await?;
        Ok(())
    }

    /// The error of a HEAD. Its answer has no body and so no code.
    pub(super) fn hidden_or<E>(&self, operation: &'static str, error: &SdkError<E>) -> PortError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        if in_silence(error) && !self.access.lists() {
            return PortError::Hidden(operation);
        }
        needs("s3:GetObject", port_error(operation, Effect::Read, error))
    }
}
