//! Credentials of a task, which expire: no URL outlives them, and the client is told when each URL
//! ends.
//!
//! The API obtains them as on ECS, over HTTP from an endpoint that its environment names.

use super::client::{Client, Signed};
use super::processes::Service;
use cadmill_stores::conformance::http;
use cadmill_stores::conformance::moto::{Moto, World, keys};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

const MINUTE: Duration = Duration::from_secs(60);

/// The endpoint for credentials: the current key, and when it expires.
struct Endpoint {
    url: String,
    current: Arc<Mutex<(&'static str, SystemTime)>>,
}

impl Endpoint {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/credentials", listener.local_addr().expect("an address"));
        let current = Arc::new(Mutex::new(("none", SystemTime::UNIX_EPOCH)));
        let shared = Arc::clone(&current);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let _ = stream.read(&mut [0; 4096]);
                let (key, expires) = *shared.lock().expect("no panic");
                let body = json!({
                    "AccessKeyId": key,
                    "SecretAccessKey": "secret",
                    "Token": format!("token-of-{key}"),
                    "Expiration": humantime::format_rfc3339_seconds(expires).to_string(),
                })
                .to_string();
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
                let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
            }
        });
        Self { url, current }
    }

    /// Gives other credentials from now on; returns when they expire.
    fn give(&self, key: &'static str, lifetime: Duration) -> SystemTime {
        // Whole seconds, as the endpoint tells them.
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("a time").as_secs();
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(now) + lifetime;
        *self.current.lock().expect("no panic") = (key, expires);
        expires
    }
}

/// The value of a parameter of a URL.
fn parameter<'a>(url: &'a str, name: &str) -> &'a str {
    let (_, rest) = url.split_once(&format!("{name}=")).expect("the parameter");
    rest.split('&').next().expect("a value")
}

/// Checks a presigned request in an answer: it was signed with this key, ends after `whole` at the earliest or with
/// the credentials if these end earlier, and says so.
fn ends_with_its_credentials(request: &Value, key: &str, expires: SystemTime, whole: Duration) {
    let url = request["url"].as_str().expect("a URL");
    assert!(parameter(url, "X-Amz-Credential").starts_with(&format!("{key}%2F")), "another key");
    assert!(url.contains("X-Amz-Security-Token="));
    let told = humantime::parse_rfc3339(request["expires_at"].as_str().expect("a time")).expect("a time");
    let date = parameter(url, "X-Amz-Date");
    let (day, time) = date.trim_end_matches('Z').split_once('T').expect("a date");
    let text =
        format!("{}-{}-{}T{}:{}:{}Z", &day[..4], &day[4..6], &day[6..], &time[..2], &time[2..4], &time[4..]);
    let lifetime: u64 = parameter(url, "X-Amz-Expires").parse().expect("seconds");
    let signed = humantime::parse_rfc3339(&text).expect("a time") + Duration::from_secs(lifetime);
    assert_eq!(told, signed, "what the client is told is what is signed");
    assert!(told <= expires, "{told:?} is after {expires:?}");
    let left = expires.duration_since(told).expect("before");
    let is_whole = lifetime >= whole.as_secs();
    assert!(is_whole || left < Duration::from_secs(1), "the URL ends {left:?} before its credentials");
}

/// Whether a request is valid for less than the minute that each upload has otherwise.
fn before_a_minute(request: &Value) -> bool {
    let url = request["url"].as_str().expect("a URL");
    parameter(url, "X-Amz-Expires").parse::<u64>().expect("seconds") < 60
}

fn variables(world: &World, own: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("CADMILL_BACKEND", "aws".to_owned()),
        ("CADMILL_AWS_REGION", world.objects.service.region.clone()),
        ("CADMILL_AWS_ENDPOINT", world.objects.service.endpoint.clone().expect("an endpoint")),
        ("CADMILL_S3_BUCKET", world.objects.bucket.clone()),
        ("CADMILL_S3_PATH_STYLE", "true".to_owned()),
        ("CADMILL_DYNAMODB_TABLE", world.jobs.table.clone()),
        ("CADMILL_SQS_QUEUE_URL", world.queue.queue_url.clone()),
        ("CADMILL_API_LISTEN", "127.0.0.1:0".to_owned()),
        ("CADMILL_JOB_REQUIRE_CLEANUP", "false".to_owned()),
    ];
    variables.extend(own.iter().cloned());
    variables
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_url_outlives_the_credentials_of_the_task() {
    let moto = Moto::start().await;
    let world = moto.world().await;
    let endpoint = Endpoint::start();
    let first = endpoint.give("first", Duration::from_secs(50));
    let parts = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.url.clone()),
        ("CADMILL_API_MULTIPART_THRESHOLD", "6M".to_owned()),
    ];
    let mut api = Service::start("cadmill-api", &[], &variables(&world, &parts));
    let client = Client { url: api.wait_for("listening on ") };

    let content = br#"{"type":"Point","coordinates":[1,2]}"#;
    let (job, upload) = client.create("a.geojson", content.len()).await;
    ends_with_its_credentials(&upload, "first", first, MINUTE);
    assert!(before_a_minute(&upload), "it is cut");
    let (_, large) = client.create("a.zip", 30 << 20).await;
    for part in large["parts"].as_array().expect("parts") {
        ends_with_its_credentials(part, "first", first, 2 * MINUTE);
    }

    // The task gets others. The first are still valid, but not for as long as a URL may live.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let second = endpoint.give("second", Duration::from_secs(2 * 60));
    let (status, again) = client.call("GET", &format!("/api/jobs/{job}/uploads"), None).await;
    assert_eq!(status, 200, "{again}");
    ends_with_its_credentials(&again, "second", second, MINUTE);
    assert_eq!(Signed::of(&again).put(content).await.status, 200);

    let own = [("AWS_ACCESS_KEY_ID", keys().access_key), ("AWS_SECRET_ACCESS_KEY", keys().secret_key)];
    let worker = Service::worker(&variables(&world, &own));
    let status = client.wait(&job, "COMPLETED", &[&api, &worker]).await;
    ends_with_its_credentials(&status["download"], "second", second, 5 * MINUTE);

    // A client that asks whether something has changed gets a fresh URL with the next credentials.
    let url = format!("{}/api/jobs/{job}/status", client.url);
    let reply = http::send("GET", &url, &[], Vec::new()).await;
    let known = [("if-none-match".to_owned(), reply.header("etag").expect("a tag").to_owned())];
    assert_eq!(http::send("GET", &url, &known, Vec::new()).await.status, 304);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let third = endpoint.give("third", Duration::from_secs(3 * 60));
    let reply = http::send("GET", &url, &known, Vec::new()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let status: Value = serde_json::from_slice(&reply.body).expect("JSON");
    ends_with_its_credentials(&status["download"], "third", third, 5 * MINUTE);
    let (url, log) = (status["download"]["url"].as_str().expect("a URL"), api.log());
    assert_eq!(http::send("GET", url, &[], Vec::new()).await.status, 200);
    for secret in ["token-of-", "X-Amz-Signature", "a.geojson"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
