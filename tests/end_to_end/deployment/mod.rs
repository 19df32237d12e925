//! `cadmill doctor --aws`: it finds a right deployment good and leaves nothing in it, and names each
//! fault that is planted, with the resource of the template that mends it.
//!
//! The deployment is moto's, set up as the template does it. Faults that moto does not hold, such as a
//! key that S3 may not use, come from the proxy that also holds the policies.

mod faults;
mod machine;
mod way;

use crate::support::{Bench, Run};
use cadmill_stores::conformance::http;
use cadmill_stores::conformance::iam::policy::Policy;
use cadmill_stores::conformance::iam::proxy::{Planted, Proxy};
use cadmill_stores::conformance::moto::{Moto, World};
use serde_json::{Value, json};
use std::process::Command;
use tokio::sync::OnceCell;

/// One server for all of these tests; each has a world of its own.
static MOTO: OnceCell<Moto> = OnceCell::const_new();

/// The key of the caller.
const OPERATOR: &str = "operator";

/// A page of this origin uploads.
const ORIGIN: &str = "https://app.example.com";

const CORS: &str = "<CORSConfiguration><CORSRule><AllowedOrigin>https://app.example.com</AllowedOrigin>\
    <AllowedMethod>PUT</AllowedMethod><AllowedMethod>GET</AllowedMethod><AllowedMethod>HEAD</AllowedMethod>\
    <AllowedHeader>if-none-match</AllowedHeader><AllowedHeader>content-type</AllowedHeader>\
    <AllowedHeader>x-amz-checksum-sha256</AllowedHeader><ExposeHeader>ETag</ExposeHeader>\
    </CORSRule></CORSConfiguration>";

/// A deployment.
struct Deployment {
    moto: &'static Moto,
    world: World,
    proxy: Proxy,
    bench: Bench,
}

impl Deployment {
    /// As the template makes it, for a caller with the permissions of all programs, who may also read
    /// the settings.
    async fn new() -> Self {
        let moto = MOTO.get_or_init(Moto::start).await;
        let world = moto.world().await;
        let proxy = Proxy::start(moto.endpoint()).await;
        let deployment = Self { moto, world, proxy, bench: Bench::new() };
        deployment.grants(&deployment.all());
        deployment.rule("uploads/").await;
        deployment.redrive(1000).await;
        deployment.queue_policy("events.amazonaws.com", "arn:aws:events:us-east-1:123456789012:rule/x").await;
        deployment.sends_events("<EventBridgeConfiguration></EventBridgeConfiguration>").await;
        deployment.set("cors", CORS).await;
        deployment.set("lifecycle", &lifecycle(&["uploads/", "processed/"])).await;
        deployment
    }

    fn policies(&self) -> Vec<Policy> {
        ["api", "worker", "cleanup"].map(|program| self.world.resources().policy(program)).into()
    }

    fn all(&self) -> Vec<Policy> {
        let settings = json!({"Version": "2012-10-17", "Statement": [{
            "Sid": "ReadSettings",
            "Effect": "Allow",
            "Action": [
                "s3:GetBucketNotification",
                "s3:GetLifecycleConfiguration",
                "s3:GetBucketObjectLockConfiguration",
            ],
            "Resource": ["${BucketArn}", "${LedgerBucketArn}"],
        }]});
        let resources = self.world.resources();
        let values = [("BucketArn", &*resources.bucket), ("LedgerBucketArn", &*resources.ledgers)];
        let mut policies = self.policies();
        policies.push(Policy::parse("settings", &settings.to_string(), &values).expect("a policy"));
        policies
    }

    /// Gives the caller these permissions and no others.
    fn grants(&self, policies: &[Policy]) {
        self.proxy.attach(OPERATOR, policies.to_vec());
    }

    /// The notifications of the bucket. moto heeds EventBridge there, and leaves it out of its answer.
    async fn sends_events(&self, to: &str) {
        let space = "http://s3.amazonaws.com/doc/2006-03-01/";
        let body = format!("<NotificationConfiguration xmlns=\"{space}\">{to}</NotificationConfiguration>");
        self.set("notification", &body).await;
        let (action, resource) = ("s3:GetBucketNotification", self.world.resources().bucket);
        self.proxy.plant(Planted { action, resource, status: 200, body });
    }

    async fn set(&self, setting: &str, xml: &str) {
        self.moto.set(&self.world.objects.bucket, setting, xml).await;
    }

    /// The prefix of the rule.
    async fn rule(&self, prefix: &str) {
        let bucket = &self.world.objects.bucket;
        let pattern = json!({
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {"bucket": {"name": [bucket]}, "object": {"key": [{"prefix": prefix}]}},
        });
        self.moto.events("PutRule", json!({"Name": bucket, "EventPattern": pattern.to_string()})).await;
    }

    async fn attribute(&self, name: &str, value: &str) {
        let body = json!({"QueueUrl": self.world.queue.queue_url, "Attributes": {name: value}});
        self.moto.sqs("SetQueueAttributes", body).await;
    }

    async fn redrive(&self, deliveries: u32) {
        let dead = self.world.resources().dead_letters;
        let policy = json!({"deadLetterTargetArn": dead, "maxReceiveCount": deliveries});
        self.attribute("RedrivePolicy", &policy.to_string()).await;
    }

    /// Who may send to the queue, for what.
    async fn queue_policy(&self, service: &str, source: &str) {
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sqs:SendMessage",
            "Resource": "*",
            "Condition": {"ArnEquals": {"aws:SourceArn": source}},
        }]});
        self.attribute("Policy", &policy.to_string()).await;
    }

    /// `cadmill doctor --aws` with more arguments and variables.
    fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = self.bench.command(&["doctor", "--aws"]);
        if !arguments.contains(&"--wait") {
            command.args(["--wait", "10s"]);
        }
        command
            .args(arguments)
            .env("CADMILL_BACKEND", "aws")
            .env("CADMILL_AWS_REGION", &self.world.objects.service.region)
            .env("CADMILL_AWS_ENDPOINT", self.proxy.endpoint())
            .env("CADMILL_S3_BUCKET", &self.world.objects.bucket)
            .env("CADMILL_S3_PATH_STYLE", "true")
            .env("CADMILL_DYNAMODB_TABLE", &self.world.jobs.table)
            .env("CADMILL_SQS_QUEUE_URL", &self.world.queue.queue_url)
            .env("CADMILL_SQS_DEAD_LETTER_URL", self.world.queue.dead_letter_url.as_deref().unwrap())
            .env("AWS_ACCESS_KEY_ID", OPERATOR)
            .env("AWS_SECRET_ACCESS_KEY", "a-secret-key")
            .env_remove("AWS_SESSION_TOKEN")
            .envs(variables.iter().copied());
        command
    }

    async fn doctor(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Report {
        self.run(self.command(&[&["--json"], arguments].concat(), variables)).await
    }

    /// Runs it, and checks that its report keeps what is secret.
    async fn run(&self, mut command: Command) -> Report {
        let output = tokio::task::spawn_blocking(move || command.output().expect("cadmill starts")).await;
        let run = Run::from(output.expect("no panic"));
        let bucket = &self.world.objects.bucket;
        for secret in ["a-secret-key", "http", "X-Amz", "cadmill-doctor", bucket, OPERATOR] {
            let said = format!("{}{}", run.stdout, run.stderr).replace(ORIGIN, "");
            assert!(!said.contains(secret), "{secret:?} is shown: {run:?}");
        }
        assert_eq!(self.proxy.unknown(), [""; 0], "requests that the proxy does not know");
        let json = run.json();
        Report { run, json }
    }

    /// Nothing is left in the bucket, the queue and the table.
    async fn is_clean(&self) {
        assert_eq!(self.world.messages().await, 0, "messages");
        let headers = |service: &str, target: &str| {
            let scope = format!(
                "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=x"
            );
            let headers = [("x-amz-target", target), ("authorization", &scope)];
            headers.map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        let (endpoint, bucket) = (self.moto.endpoint(), &self.world.objects.bucket);
        for (listing, element) in [("versions", "<Key>"), ("uploads", "<UploadId>")] {
            let url = format!("{endpoint}/{bucket}?{listing}");
            let listed = http::send("GET", &url, &headers("s3", "")[1..], Vec::new()).await.text();
            assert!(listed.contains("Result>") && !listed.contains(element), "{listed}");
        }
        let body = json!({"TableName": self.world.jobs.table}).to_string().into_bytes();
        let scan = headers("dynamodb", "DynamoDB_20120810.Scan");
        let reply = http::send("POST", &format!("{endpoint}/"), &scan, body).await;
        let scanned: Value = serde_json::from_slice(&reply.body).expect("JSON");
        assert_eq!(scanned["Count"], 0, "{scanned}");
    }
}

/// Rules that delete what has one of these prefixes.
fn lifecycle(prefixes: &[&str]) -> String {
    let rule = |prefix: &&str| {
        format!(
            "<Rule><ID>rule-{}</ID><Status>Enabled</Status><Filter><Prefix>{prefix}</Prefix></Filter>\
             <Expiration><Days>7</Days></Expiration></Rule>",
            prefix.len()
        )
    };
    let rules: String = prefixes.iter().map(rule).collect();
    format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>")
}

/// What the doctor said.
struct Report {
    run: Run,
    json: Value,
}

impl Report {
    fn checks(&self) -> Vec<&Value> {
        self.json["checks"].as_array().unwrap_or_else(|| panic!("no checks: {:?}", self.run)).iter().collect()
    }

    /// Names of the checks with this verdict.
    fn names(&self, verdict: &str) -> Vec<&str> {
        let chosen = self.checks().into_iter().filter(|check| check["verdict"] == verdict);
        chosen.filter_map(|check| check["name"].as_str()).collect()
    }

    /// Everything that could be seen is right.
    #[track_caller]
    fn is_good(&self) {
        assert_eq!(self.run.code, Some(0), "{:?}", self.run);
        assert_eq!(self.json["good"], true, "{}", self.json);
        assert!(self.names("fault").is_empty() && self.names("weak").is_empty(), "{}", self.json);
    }

    /// These checks and no others found a fault; each says what to do, and what of the template.
    #[track_caller]
    fn names_faults(&self, expected: &[(&str, &str)]) {
        let faults: Vec<_> = self.checks().into_iter().filter(|check| check["verdict"] == "fault").collect();
        assert_eq!(self.run.code, Some(20), "{:?}", self.run);
        let names: Vec<_> = expected.iter().map(|(name, _)| *name).collect();
        assert_eq!(self.names("fault"), names, "{}", self.json);
        for (fault, (_, resource)) in faults.iter().zip(expected) {
            let hint = fault["hint"].as_str().expect("a hint");
            assert!(hint.ends_with('.') && hint.len() > 20, "{fault}");
            let found = fault["resource"].as_str().expect("a resource");
            assert_eq!(&found, resource, "{fault}");
            let template = include_str!("../../../docker/aws/cadmill.yaml");
            for name in found.split(", ").filter(|name| !name.is_empty()) {
                assert!(template.contains(&format!("\n  {name}:\n")), "{name} is not in the template");
            }
        }
    }
}
