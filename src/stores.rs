//! The stores that a configuration describes, opened.

use crate::adapters::aws::StaticCredentials;
use crate::adapters::aws::dynamodb::DynamoStore;
use crate::adapters::aws::s3::{S3Settings, S3Store};
use crate::adapters::aws::sqs::SqsQueue;
use crate::adapters::embedded::{BUCKET, Database};
use crate::config::{Backend, Config};
use crate::domain::failure::{Failure, FailureCode};
use crate::jobs::Jobs;
use crate::ports::clock::SystemClock;
use crate::ports::{EventQueue, JobStore, ObjectStore};
use crate::reaper::Reaper;
use std::sync::Arc;

/// Deliveries of an event before it is a dead letter. Waiting for room and for
/// other workers counts, so there are many; what makes a job fail is its attempts.
pub const MAX_DELIVERIES: u32 = 100;

/// Name of the database file in the data directory.
pub const DATABASE: &str = "cadmill.sqlite";

/// Region that is named where none matters.
const ANY_REGION: &str = "us-east-1";

/// The stores of one configuration.
#[derive(Clone)]
pub struct Stores {
    /// Objects.
    pub objects: Arc<dyn ObjectStore>,
    /// Jobs, under the policy.
    pub jobs: Jobs,
    /// Events.
    pub queue: Arc<dyn EventQueue>,
    /// The bucket of the objects.
    pub bucket: String,
}
