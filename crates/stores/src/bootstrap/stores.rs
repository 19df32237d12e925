//! Opens the stores that a configuration describes.

use super::service;
use crate::adapters::aws::{DynamoSettings, DynamoStore, S3Settings, S3Store, SqsQueue, SqsSettings};
use crate::adapters::embedded::Database;
use crate::adapters::embedded::server::{self, BUCKET, Credentials};
use crate::adapters::metered::{MeteredJobs, MeteredObjects, MeteredQueue};
use crate::config::{Backend, Config};
use crate::residue::{ResidueAudit, Source};
use cadmill_core::cleanup::Cleanup;
use cadmill_core::cleanup::dead_letters::DeadLetters;
use cadmill_core::cleanup::orphans::Orphans;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::job::Millis;
use cadmill_core::domain::stored::next;
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::{Clock, EventQueue, JobStore, ObjectStore};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Deliveries of an event before it becomes a dead letter: the maximum of SQS. Waiting for capacity
/// and for other workers also uses deliveries, about two a minute; failures of a job are limited by
/// its attempts.
pub const MAX_DELIVERIES: u32 = 1000;

/// Intervals of the cleanup after which a deletion that is due is late.
const GRACE: u32 = 4;

/// Which process runs the embedded object server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// This process.
    Here,
    /// Another process.
    Elsewhere,
}

/// The stores of one configuration.
#[derive(Clone)]
pub struct Stores {
    /// Objects.
    pub objects: Arc<dyn ObjectStore>,
    /// Jobs, with the configured policy.
    pub jobs: Jobs,
    /// Events.
    pub queue: Arc<dyn EventQueue>,
    /// The bucket of the objects.
    pub bucket: String,
}

impl Stores {
    /// Opens the configured stores and checks that each of them is available.
    ///
    /// # Errors
    /// `infra.store_unavailable` and `infra.store_refused`, with the name of the store.
    pub async fn open(config: &Config) -> Result<Self, Failure> {
        if cfg!(debug_assertions) && std::env::var_os(next::VARIABLE).is_some_and(|value| value == "1") {
            next::imitate();
        }
        let stores = match config.backend {
            Backend::Aws => Self::aws(config).await?,
            Backend::Embedded => Self::embedded(config).await?,
        };
        stores.objects.check().await?;
        stores.jobs.store().check().await?;
        stores.queue.check().await?;
        Ok(stores)
    }

    /// The cleanup of these stores. It must be able to list the objects: otherwise it could neither
    /// tell a job without an upload from one whose upload it may not read, nor find what to delete.
    ///
    /// # Errors
    /// `infra.store_refused` with the permission that is missing, and `infra.store_unavailable`.
    pub async fn cleanup(&self, name: &str) -> Result<Cleanup, Failure> {
        self.objects.can_list().await?;
        let (objects, queue) = (Arc::clone(&self.objects), Arc::clone(&self.queue));
        Ok(Cleanup::new(self.jobs.clone(), objects, queue, self.bucket.clone(), name.to_owned()))
    }

    /// An audit of the objects against the records. It needs no queue, and no running server. `scratch`
    /// is a directory in memory, for a copy of the embedded index.
    ///
    /// # Errors
    /// `usage.invalid`, `infra.store_unavailable` and `infra.store_refused`; `infra.data_directory` for a
    /// directory without records: it is not one of cadmill's.
    pub async fn residue(config: &Config, scratch: &Path) -> Result<ResidueAudit, Failure> {
        // A pass begins every `cleanup.every`, and another program may have to take the work over first.
        let grace = Millis::try_from((config.cleanup.every * GRACE).as_millis()).unwrap_or(Millis::MAX);
        match config.backend {
            Backend::Aws => {
                let bucket = config.s3.bucket.clone().ok_or_else(|| service::missing("s3.bucket"))?;
                let table =
                    config.dynamodb_table.clone().ok_or_else(|| service::missing("dynamodb.table"))?;
                let objects = S3Store::new(service::bucket(config, bucket)?).await;
                objects.check().await?;
                let service = service::of_aws(config)?;
                let jobs = Arc::new(DynamoStore::new(DynamoSettings { table, service }).await);
                jobs.check().await?;
                Ok(ResidueAudit { jobs, source: Source::Bucket(Box::new(objects)), grace })
            }
            Backend::Embedded => {
                let records = config.database();
                if !records.is_file() {
                    let message =
                        format!("{}: it does not exist, so nothing can be compared", records.display());
                    return Err(Failure::new(FailureCode::DataDirectory, message));
                }
                let jobs = Arc::new(Self::database(config).await?.jobs());
                let source = Source::Directory(config.data_dir.clone(), scratch.to_owned());
                Ok(ResidueAudit { jobs, source, grace })
            }
        }
    }

    /// The search for objects without a job. After its time no URL and no late worker can write any more.
    pub fn orphans(&self, config: &Config) -> Orphans {
        let grace = config.api.upload_url_lifetime + Duration::from_millis(config.policy.linger);
        Orphans::new(self.jobs.clone(), Arc::clone(&self.objects), grace)
    }

    /// What removes the dead letters of jobs that ended.
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(self.jobs.clone(), Arc::clone(&self.queue), self.bucket.clone())
    }

    /// The bucket of the objects, if it is configured.
    pub fn bucket(config: &Config) -> Option<String> {
        match config.backend {
            Backend::Aws => config.s3.bucket.clone(),
            Backend::Embedded => Some(BUCKET.to_owned()),
        }
    }

    /// The queue alone, for a caller whose other stores are not available.
    ///
    /// # Errors
    /// `usage.invalid` if it is not configured; `infra.store_unavailable`, embedded.
    pub async fn queue(config: &Config) -> Result<Arc<dyn EventQueue>, Failure> {
        match config.backend {
            Backend::Aws => Ok(Arc::new(Self::sqs(config).await?)),
            Backend::Embedded => Ok(Arc::new(Self::database(config).await?.queue())),
        }
    }

    pub(super) async fn sqs(config: &Config) -> Result<SqsQueue, Failure> {
        let queue_url = config.sqs.queue_url.clone().ok_or_else(|| service::missing("sqs.queue_url"))?;
        let (dead_letter_url, service) = (config.sqs.dead_letter_url.clone(), service::of_aws(config)?);
        Ok(SqsQueue::new(SqsSettings { queue_url, dead_letter_url, service }).await)
    }

    async fn database(config: &Config) -> Result<Database, Failure> {
        let path = config.database();
        let opened = tokio::task::spawn_blocking(move || Database::open(&path, MAX_DELIVERIES)).await;
        Ok(opened.map_err(|_| Failure::new(FailureCode::StoreUnavailable, "opening the database"))??)
    }

    async fn aws(config: &Config) -> Result<Self, Failure> {
        let bucket = config.s3.bucket.clone().ok_or_else(|| service::missing("s3.bucket"))?;
        let table = config.dynamodb_table.clone().ok_or_else(|| service::missing("dynamodb.table"))?;
        let service = service::of_aws(config)?;
        let objects = S3Store::new(S3Settings {
            public_endpoint: config.s3.public_endpoint.clone(),
            ..service::bucket(config, bucket.clone())?
        })
        .await;
        let jobs = DynamoStore::new(DynamoSettings { table, service }).await;
        let queue = Self::sqs(config).await?;
        Ok(Self::of(objects, Arc::new(jobs), Arc::new(queue), bucket, config))
    }

    /// The stores of the embedded server, which `cadmill serve` must be running.
    async fn embedded(config: &Config) -> Result<Self, Failure> {
        let Some(endpoint) = config.s3.endpoint.clone() else {
            let message = "s3.endpoint is not set; `cadmill serve` sets it for the workers that it starts";
            return Err(Failure::new(FailureCode::UsageInvalid, message));
        };
        let database = Self::database(config).await?;
        let credentials = match &config.s3.keys {
            Some((access_key, secret)) => {
                Credentials { access_key: access_key.clone(), secret_key: secret.expose().to_owned() }
            }
            None => Credentials::read(&config.data_dir)?,
        };
        Ok(Self::of_embedded(&database, endpoint, credentials, config, Server::Elsewhere).await)
    }

    /// The stores of an embedded server at this endpoint.
    pub async fn of_embedded(
        database: &Database,
        endpoint: String,
        credentials: Credentials,
        config: &Config,
        server: Server,
    ) -> Self {
        let objects = S3Store::new(S3Settings {
            public_endpoint: config.s3.public_endpoint.clone(),
            ..server::settings(endpoint, credentials)
        })
        .await;
        let objects = if server == Server::Here { objects.served_here() } else { objects };
        let (jobs, queue) = (database.jobs(), database.queue());
        Self::of(objects, Arc::new(jobs), Arc::new(queue), BUCKET.to_owned(), config)
    }

    fn of(
        objects: S3Store,
        jobs: Arc<dyn JobStore>,
        queue: Arc<dyn EventQueue>,
        bucket: String,
        config: &Config,
    ) -> Self {
        let urls = config.api.upload_url_lifetime.max(config.api.download_url_lifetime);
        let objects = objects.with_url_lifetime(urls);
        let clock: Arc<dyn Clock> = Arc::new(objects.clock());
        let jobs = Jobs::new(Arc::new(MeteredJobs::new(jobs)), clock, config.policy);
        let (objects, queue) = (MeteredObjects::new(Arc::new(objects)), MeteredQueue::new(queue));
        Self { objects: Arc::new(objects), jobs, queue: Arc::new(queue), bucket }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A worker without room gives a message back every half minute: it may wait for a night.
    #[tokio::test]
    async fn a_message_that_waits_for_room_for_eight_hours_is_not_dead() {
        let directory = tempfile::tempdir().unwrap();
        let queue = Database::open(&directory.path().join("jobs.sqlite"), MAX_DELIVERIES).unwrap().queue();
        queue.send("waits").await.unwrap();
        for _ in 0..8 * 60 * 2 {
            let received = queue.receive(1, Duration::ZERO, Duration::from_secs(60)).await.unwrap();
            let [message] = received.as_slice() else { panic!("{received:?}") };
            queue.change_visibility(message, Duration::ZERO).await.unwrap();
        }
        assert_eq!(queue.dead_letters().await, Ok(0));
    }
}
