//! AWS on this machine: `moto_server`, which speaks S3, DynamoDB, SQS and EventBridge and passes
//! events from S3 through EventBridge to SQS.
//!
//! Differences from AWS: it verifies no signature and no checksum and does not know the headers
//! that a presigned GET requests; it deletes a message by a stale receipt; the `id` of each event
//! and its `sequencer` are constants, `reason` is `ObjectCreated`, the ETag's field is spelt
//! `eTag`, and a multipart upload sends the event of its object twice.

use super::http;
use super::process::{Server, installed, tied};
use super::world::{REGION, unsigned};
use crate::adapters::aws::{DynamoSettings, DynamoStore, S3Settings, Service, SqsQueue};
use serde_json::json;

pub use super::world::{World, keys};

/// The account of the server.
const ACCOUNT: &str = "123456789012";

/// A running server; dropping it ends it.
pub struct Moto {
    _server: Server,
    endpoint: String,
}

impl Moto {
    /// Starts a server on a free port of the loopback interface.
    ///
    /// # Panics
    /// If it is not installed or does not start within two minutes.
    pub async fn start() -> Self {
        let program = installed("target/tools/bin/python3", "moto", "`make setup`");
        let mut command = tied(program);
        command.args(["-c", include_str!("moto_server.py"), "-H", "127.0.0.1", "-p", "0"]);
        let started = Server::start(command, "Running on ").await;
        let (server, endpoint) = started.unwrap_or_else(|said| panic!("moto does not start:\n{said}"));
        Self { _server: server, endpoint }
    }

    /// The base URL of the server.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Every service that it emulates.
    pub fn service(&self) -> Service {
        let endpoint = Some(self.endpoint.clone());
        Service { region: REGION.to_owned(), endpoint, credentials: Some(keys()) }
    }

    /// Creates a new world: a bucket whose events go through EventBridge to a queue, and a table. A
    /// message becomes a dead letter after ten deliveries.
    pub async fn world(&self) -> World {
        let name = format!("cadmill-{}", uuid::Uuid::new_v4());
        self.make_bucket(&name).await;
        let queue = SqsQueue::create_queues(&name, 10, self.service()).await;
        self.make_rule(&name).await;
        let jobs = DynamoSettings { table: name.clone(), service: self.service() };
        DynamoStore::new(jobs.clone()).await.create_table().await.expect("a table");
        World {
            objects: S3Settings {
                bucket: name,
                service: self.service(),
                public_endpoint: None,
                path_style: true,
            },
            jobs,
            queue: queue.expect("two queues"),
        }
    }

    /// A bucket with Object Lock, which sends no events.
    pub async fn locked_bucket(&self) -> S3Settings {
        let bucket = format!("cadmill-{}", uuid::Uuid::new_v4());
        let locked = [("x-amz-bucket-object-lock-enabled", "true")];
        self.call("s3", "PUT", &format!("{}/{bucket}", self.endpoint), &locked, String::new()).await;
        S3Settings { bucket, ..self.world().await.objects }
    }

    /// Creates the bucket of the world's ledgers, and returns its name.
    pub async fn ledger_bucket(&self, world: &World) -> String {
        let bucket = format!("{}-ledgers", world.objects.bucket);
        self.call("s3", "PUT", &format!("{}/{bucket}", self.endpoint), &[], String::new()).await;
        bucket
    }

    /// Enables versioning on the world's bucket.
    pub async fn keep_versions(&self, world: &World) {
        let url = format!("{}/{}?versioning", self.endpoint, world.objects.bucket);
        let keep = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        self.call("s3", "PUT", &url, &[], keep.to_owned()).await;
    }

    /// Creates the rule that sends the bucket's events to the queue of the same name.
    async fn make_rule(&self, name: &str) {
        let pattern = json!({
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {"bucket": {"name": [name]}},
        });
        let queue = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}");
        self.events("PutRule", json!({"Name": name, "EventPattern": pattern.to_string()})).await;
        self.events("PutTargets", json!({"Rule": name, "Targets": [{"Id": "queue", "Arn": queue}]})).await;
    }

    /// One call of EventBridge.
    pub async fn events(&self, operation: &str, body: serde_json::Value) {
        let target = format!("AWSEvents.{operation}");
        let headers = [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-json-1.1")];
        self.call("events", "POST", &format!("{}/", self.endpoint), &headers, body.to_string()).await;
    }

    async fn make_bucket(&self, name: &str) {
        let url = format!("{}/{name}", self.endpoint);
        self.call("s3", "PUT", &url, &[], String::new()).await;
        let notify = "<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>";
        self.call("s3", "PUT", &format!("{url}?notification"), &[], notify.to_owned()).await;
    }

    /// One call of SQS.
    pub async fn sqs(&self, operation: &str, body: serde_json::Value) {
        let target = format!("AmazonSQS.{operation}");
        let headers = [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-json-1.0")];
        self.call("sqs", "POST", &format!("{}/", self.endpoint), &headers, body.to_string()).await;
    }

    /// Sets one of the settings of a bucket: the name of its sub-resource, and its XML.
    pub async fn set(&self, bucket: &str, setting: &str, xml: &str) {
        let url = format!("{}/{bucket}?{setting}", self.endpoint);
        self.call("s3", "PUT", &url, &[], xml.to_owned()).await;
    }

    /// One call of the HTTP API. The server does not verify the signature, but it reads the
    /// service from it.
    async fn call(&self, service: &str, method: &str, url: &str, headers: &[(&str, &str)], body: String) {
        let scope = unsigned(service);
        let named = [("authorization", scope.as_str())].into_iter().chain(headers.iter().copied());
        let headers: Vec<_> = named.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let reply = http::send(method, url, &headers, body.into_bytes()).await;
        assert_eq!(reply.status, 200, "{service}: {}", reply.text());
    }
}
