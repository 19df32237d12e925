//! What the tests on stand-ins for AWS share: one bucket, one table and one queue, whichever
//! servers they are on.

use super::http;
use super::iam::Resources;
use crate::adapters::aws::{DynamoSettings, S3Settings, SqsSettings, StaticCredentials};
use serde_json::{Value, json};

/// The region of all resources.
pub(super) const REGION: &str = "us-east-1";

/// The pair of keys of all servers. versitygw verifies signatures made with it; the others accept
/// any.
pub fn keys() -> StaticCredentials {
    StaticCredentials { access_key: "test".to_owned(), secret_key: "test".to_owned() }
}

/// Settings for the adapters in one world: a bucket, a table for its jobs, and a queue for its
/// events.
#[derive(Clone)]
pub struct World {
    /// The bucket.
    pub objects: S3Settings,
    /// The table.
    pub jobs: DynamoSettings,
    /// The queue.
    pub queue: SqsSettings,
}

impl World {
    /// The ARNs of its resources.
    pub fn resources(&self) -> Resources {
        let dead = self.queue.dead_letter_url.as_deref().unwrap_or_default();
        Resources::named(&self.objects.bucket, &self.jobs.table, &self.queue.queue_url, dead)
    }

    /// The same world as the program with this access key uses it, through a server at this base
    /// URL.
    pub fn through(&self, endpoint: &str, program: &str) -> Self {
        let mut world = self.clone();
        for service in [&mut world.objects.service, &mut world.jobs.service, &mut world.queue.service] {
            let (access_key, secret_key) = (program.to_owned(), "secret".to_owned());
            service.endpoint = Some(endpoint.to_owned());
            service.credentials = Some(StaticCredentials { access_key, secret_key });
        }
        world
    }

    /// The number of messages in the queue, those in flight included, which the port does not
    /// report.
    ///
    /// # Panics
    /// If the queue does not answer.
    pub async fn messages(&self) -> u64 {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let body = json!({"QueueUrl": self.queue.queue_url, "AttributeNames": names});
        let endpoint = self.queue.service.endpoint.clone().unwrap_or_default();
        let headers = [
            ("x-amz-target", "AmazonSQS.GetQueueAttributes"),
            ("content-type", "application/x-amz-json-1.0"),
            ("authorization", &unsigned("sqs")),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let reply = http::send("POST", &format!("{endpoint}/"), &headers, body.to_string().into()).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let told: Value = serde_json::from_slice(&reply.body).expect("JSON");
        let number = |name| told["Attributes"][name].as_str().and_then(|text| text.parse::<u64>().ok());
        names.map(|name| number(name).unwrap_or_else(|| panic!("no {name}: {told}"))).iter().sum()
    }
}

/// The header of a request to a server that does not verify the signature, but may read the service
/// from it.
pub(super) fn unsigned(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=x"
    )
}
