//! Permissions on this machine: decides by the policy documents of the deployment, as IAM does.
//!
//! The documents are `docker/aws/policies/*.json`, the very ones that a stack attaches to its roles.
//! [`policy`] reads them and decides. [`request`] says what a request to S3, DynamoDB, SQS or KMS
//! takes. [`proxy`] stands between the programs and an emulator and refuses what is not granted,
//! with the answers of AWS. [`crate::adapters::restricted`] does the same to the port, without a
//! server.
//!
//! Refused here: every element, operator and condition key of a document, and every request, that
//! this module does not know. Signatures are not verified, and there are no policies of resources,
//! no permission boundaries and no session policies.

pub mod policy;
pub mod proxy;
pub mod request;

#[cfg(test)]
mod tests;

use policy::Policy;

/// The documents, by the program that they are for.
const DOCUMENTS: [(&str, &str); 3] = [
    ("worker", include_str!("../../../../../docker/aws/policies/worker.json")),
    ("api", include_str!("../../../../../docker/aws/policies/api.json")),
    ("cleanup", include_str!("../../../../../docker/aws/policies/cleanup.json")),
];

/// The resources of one deployment, as ARNs.
#[derive(Debug, Clone)]
pub struct Resources {
    /// The bucket of uploads and results.
    pub bucket: String,
    /// The table of jobs.
    pub table: String,
    /// The queue of events.
    pub queue: String,
    /// Its dead-letter queue.
    pub dead_letters: String,
    /// The bucket of ledgers.
    pub ledgers: String,
    /// The key that signs ledgers.
    pub key: String,
    /// The tasks of the workers.
    pub tasks: String,
}

impl Resources {
    /// The resources of a deployment on an emulator, by their names; queues also by their URLs.
    /// Ledgers have a bucket and a key of their own.
    pub fn named(bucket: &str, table: &str, queue: &str, dead_letters: &str) -> Self {
        let of = |service: &str, name: &str| {
            let name = name.rsplit_once("://").map_or(name, |(_, url)| url.rsplit('/').next().unwrap_or(url));
            format!("arn:aws:{service}:us-east-1:{}:{name}", request::ACCOUNT)
        };
        Self {
            bucket: format!("arn:aws:s3:::{bucket}"),
            table: of("dynamodb", &format!("table/{table}")),
            queue: of("sqs", queue),
            dead_letters: of("sqs", dead_letters),
            ledgers: format!("arn:aws:s3:::{bucket}-ledgers"),
            key: of("kms", "key/ledgers"),
            tasks: of("ecs", "task/cadmill/*"),
        }
    }

    /// Reads the policy of `worker`, `api` or `cleanup` for these resources.
    ///
    /// # Panics
    /// If there is no document of this name, or it cannot be read.
    pub fn policy(&self, program: &str) -> Policy {
        let document = DOCUMENTS.iter().find(|(name, _)| *name == program);
        let (name, text) = document.unwrap_or_else(|| panic!("there is no policy of {program}"));
        let values = [
            ("BucketArn", &*self.bucket),
            ("TasksArn", &*self.tasks),
            ("TableArn", &*self.table),
            ("QueueArn", &*self.queue),
            ("DeadLetterQueueArn", &*self.dead_letters),
            ("LedgerBucketArn", &*self.ledgers),
            ("LedgerKeyArn", &*self.key),
        ];
        Policy::parse(name, text, &values).unwrap_or_else(|error| panic!("{name}.json: {error}"))
    }
}
