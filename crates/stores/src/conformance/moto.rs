//! AWS on this machine: `moto_server`, which speaks S3, DynamoDB, SQS and EventBridge and passes
//! events from S3 through EventBridge to SQS.
//!
//! Differences from AWS: it verifies no signature and no checksum and does not know the headers
//! that a presigned GET requests; it deletes a message by a stale receipt; the `id` of each event
//! and its `sequencer` are constants, `reason` is `ObjectCreated`, the ETag's field is spelt
//! `eTag`, and a multipart upload sends the event of its object twice.

use super::http;
use super::iam::Resources;
use crate::adapters::aws::{
    DynamoSettings, DynamoStore, S3Settings, Service, SqsQueue, SqsSettings, StaticCredentials,
};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The region of all resources.
const REGION: &str = "us-east-1";
/// The account of the server.
const ACCOUNT: &str = "123456789012";

/// A running server; dropping it ends it.
pub struct Moto {
    process: Child,
    endpoint: String,
}

/// Settings for the adapters in one world: a bucket whose events go through EventBridge to a
/// queue, and a table.
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
}

impl Moto {
    /// Starts a server on a free port of the loopback interface.
    ///
    /// # Panics
    /// If it is not installed or does not start within a minute.
    pub async fn start() -> Self {
        let program = program();
        let started = Command::new(&program)
            .args(["-c", include_str!("moto_server.py"), "-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut process = started.unwrap_or_else(|error| {
            panic!("{} cannot be started ({error}); `make setup` installs it", program.display())
        });
        let output = process.stderr.take().expect("it is piped");
        let (found, told) = mpsc::channel();
        // Reads to the end, so that the server never blocks on its output.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("Running on ") {
                    let _ = found.send(rest.trim().to_owned());
                }
            }
        });
        // From here on a panic ends the server.
        let mut server = Self { process, endpoint: String::new() };
        let address = tokio::task::spawn_blocking(move || told.recv_timeout(Duration::from_secs(60))).await;
        let address = address.expect("no panic").expect("the server tells its address within a minute");
        server.endpoint = address.trim_end_matches('/').to_owned();
        server
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

    /// Creates a new world. A message becomes a dead letter after ten deliveries.
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

    async fn events(&self, operation: &str, body: serde_json::Value) {
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

    /// One call of the HTTP API. The server does not verify the signature, but it reads the
    /// service from it.
    async fn call(&self, service: &str, method: &str, url: &str, headers: &[(&str, &str)], body: String) {
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=x"
        );
        let named = [("authorization", scope.as_str())].into_iter().chain(headers.iter().copied());
        let headers: Vec<_> = named.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let reply = http::send(method, url, &headers, body.into_bytes()).await;
        assert_eq!(reply.status, 200, "{service}: {}", reply.text());
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Some credentials: the server accepts any.
pub fn keys() -> StaticCredentials {
    StaticCredentials { access_key: "test".to_owned(), secret_key: "test".to_owned() }
}

fn program() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/bin/python3").into()
}
