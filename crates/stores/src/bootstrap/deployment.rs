//! Opens the services of a deployment on AWS for a program that inspects them: the adapters
//! themselves and not the ports, because the settings of a service do not belong to a port.

use super::service;
use super::stores::Stores;
use crate::adapters::aws::{
    DynamoSettings, DynamoStore, KmsSettings, KmsSigner, S3Settings, S3Store, SqsQueue,
};
use crate::config::{Config, SignWith, SinkKind};
use cadmill_core::domain::failure::Failure;
use cadmill_core::ports::{PortError, PortResult, Signer};

/// The services of one configuration. Nothing is sent until they are used.
pub struct Deployment {
    /// The bucket of uploads and results.
    pub objects: S3Store,
    /// The table.
    pub jobs: DynamoStore,
    /// The queue of events.
    pub queue: SqsQueue,
    /// The bucket of ledgers, if there are ledgers in a bucket.
    pub ledgers: Option<S3Store>,
    signer: Option<KmsSettings>,
    bucket: String,
}

impl Deployment {
    /// The services that the configuration names.
    ///
    /// # Errors
    /// `usage.invalid` for what is not configured.
    pub async fn of(config: &Config) -> Result<Self, Failure> {
        let bucket = config.s3.bucket.clone().ok_or_else(|| service::missing("s3.bucket"))?;
        let table = config.dynamodb_table.clone().ok_or_else(|| service::missing("dynamodb.table"))?;
        let settings = S3Settings {
            public_endpoint: config.s3.public_endpoint.clone(),
            ..service::bucket(config, bucket.clone())?
        };
        let urls = config.api.upload_url_lifetime.max(config.api.download_url_lifetime);
        let ledgers = match (&config.audit.bucket, config.audit.sinks.contains(&SinkKind::S3)) {
            (Some(bucket), true) => Some(S3Store::new(service::bucket(config, bucket.clone())?).await),
            _ => None,
        };
        let signer = match &config.audit.sign_with {
            SignWith::Kms(key) => Some(KmsSettings { key: key.clone(), service: service::of_aws(config)? }),
            _ => None,
        };
        let service = service::of_aws(config)?;
        Ok(Self {
            objects: S3Store::new(settings).await.with_url_lifetime(urls),
            jobs: DynamoStore::new(DynamoSettings { table, service }).await,
            queue: Stores::sqs(config).await?,
            ledgers,
            signer,
            bucket,
        })
    }

    /// Name of the bucket of uploads and results.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Whether ledgers are signed by a key of KMS.
    pub fn signs_with_kms(&self) -> bool {
        self.signer.is_some()
    }

    /// Signs a text that is not the head of a ledger.
    ///
    /// # Errors
    /// Those of KMS.
    pub async fn sign(&self) -> PortResult<()> {
        const OPERATION: &str = "signing a probe";
        let Some(settings) = self.signer.clone() else { return Ok(()) };
        // Blocks.
        let signed =
            tokio::task::spawn_blocking(move || KmsSigner::new(settings)?.sign(b"cadmill doctor").map(drop));
        let lost = |_| PortError::Unknown { operation: OPERATION, reason: "its thread ended".to_owned() };
        signed.await.map_err(lost)?
    }
}
