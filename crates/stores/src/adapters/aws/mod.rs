//! The ports on AWS: S3, DynamoDB, SQS and KMS. Only this module uses the AWS SDK.
//!
//! Every client is created here, with the same retries and with timeouts that end each call. The
//! SDK attempts a call up to three times, so a write whose first reply was lost may find its own
//! effect on the second attempt; each adapter documents at the call what it returns then.
//!
//! The SDK's own log lines (targets `aws_*`, `hyper*`) contain keys and URLs at DEBUG and below:
//! these levels must stay off where logs are kept.

mod blocking;
mod clock;
pub mod dynamodb;
mod error;
pub mod kms;
pub mod s3;
pub mod s3_audit;
pub mod sqs;
pub mod task_protection;

pub use clock::StoreClock;
pub use dynamodb::{DynamoSettings, DynamoStore};
pub use kms::{KmsSettings, KmsSigner};
pub use s3::{S3Settings, S3Store};
pub use s3_audit::{ObjectLock, S3Audit, S3AuditSettings};
pub use sqs::{SqsQueue, SqsSettings};
pub use task_protection::TaskProtection;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, RequestChecksumCalculation, ResponseChecksumValidation};
use std::fmt;
use std::time::Duration;

/// A fixed pair of keys, for stores other than AWS itself.
#[derive(Clone, PartialEq, Eq)]
pub struct StaticCredentials {
    /// The access key id, which is public.
    pub access_key: String,
    /// The secret key.
    pub secret_key: String,
}

impl fmt::Debug for StaticCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StaticCredentials(…)")
    }
}

/// Where a service is, and the credentials for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its region.
    pub region: String,
    /// Base URL of a server that is not AWS.
    pub endpoint: Option<String>,
    /// Credentials; if `None`, those that AWS provides to the task or the machine.
    pub credentials: Option<StaticCredentials>,
}

/// Attempts per call.
const TRIES: u32 = 3;

impl Service {
    /// The SDK's configuration, with timeouts of one attempt and of the whole call with its
    /// retries.
    async fn config(&self, attempt: Duration, operation: Duration) -> SdkConfig {
        let times = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .read_timeout(attempt)
            .operation_attempt_timeout(attempt)
            .operation_timeout(operation)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(self.region.clone()))
            .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
            .timeout_config(times)
            .time_source(clock::SteadyTime)
            // By default the SDK signs into a presigned PUT the CRC32 of a body that does not
            // exist yet, and requests a checksum in a presigned GET.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(keys) = &self.credentials {
            let (access, secret) = (&keys.access_key, &keys.secret_key);
            loader =
                loader.credentials_provider(Credentials::new(access, secret, None, None, "cadmill settings"));
        }
        loader.load().await
    }
}

#[cfg(test)]
mod tests;
