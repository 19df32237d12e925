//! An API client that keeps everything it receives, above all presigned requests.

use super::processes::Service;
use cadmill_stores::conformance::http::{self, Reply};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Timeout of every wait, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// A client.
pub(crate) struct Client {
    pub(crate) url: String,
}

/// A presigned request from an answer.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) url: String,
    headers: Vec<(String, String)>,
}

impl Signed {
    pub(crate) fn of(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let headers = value["headers"].as_object().expect("headers");
        let headers = headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        Self { url: text(&value["url"]), headers }
    }

    /// The same, but returns the error if there is no reply.
    pub(crate) async fn try_put(&self, body: &[u8]) -> Result<Reply, String> {
        http::attempt("PUT", &self.url, &self.headers, body.to_vec()).await
    }

    pub(crate) async fn put(&self, body: &[u8]) -> Reply {
        http::send("PUT", &self.url, &self.headers, body.to_vec()).await
    }
}

impl Client {
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        let headers = if body.is_some() { &headers[..] } else { &[] };
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let reply = http::send(method, &format!("{}{path}", self.url), headers, body).await;
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
    }

    /// Creates a job for this many bytes: its id, and the upload instructions.
    pub(crate) async fn create(&self, name: &str, bytes: usize) -> (String, Value) {
        let order = json!({"file_name": name, "size_bytes": bytes, "target_format": "dxf"});
        let (status, job) = self.call("POST", "/api/jobs", Some(order)).await;
        assert_eq!(status, 201, "{job}");
        (job["job_id"].as_str().expect("an id").to_owned(), job["upload"].clone())
    }

    pub(crate) async fn status(&self, job: &str) -> Value {
        let (status, body) = self.call("GET", &format!("/api/jobs/{job}/status"), None).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Waits until the API is ready to create jobs.
    pub(crate) async fn is_ready(&self) {
        let since = Instant::now();
        loop {
            let (status, body) = self.call("GET", "/readyz", None).await;
            if status == 200 {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "never ready: {body}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until the job is in a state.
    pub(crate) async fn wait(&self, job: &str, state: &str, services: &[&Service]) -> Value {
        let since = Instant::now();
        loop {
            let body = self.status(job).await;
            if body["state"] == state {
                return body;
            }
            let logs = || services.iter().map(|service| service.log()).collect::<String>();
            assert!(since.elapsed() < PATIENCE, "never {state}: {body}\n{}", logs());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
