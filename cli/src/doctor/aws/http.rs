//! The requests that no SDK makes: those of a client with a presigned URL, of a browser, and to the
//! metadata of a task. No error has a URL.

use cadmill_core::ports::object_store::Presigned;
use serde_json::Value;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{Request, Response};

/// Longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// Longest time for a request.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    /// All values of a header, in lower case, by its name in lower case.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let values = self.headers.iter().filter(|(known, _)| known == name);
        values
            .flat_map(|(_, value)| value.split(','))
            .map(|word| word.trim().to_ascii_lowercase())
            .filter(|word| !word.is_empty())
            .collect()
    }

    /// The content of an element of the XML in which S3 describes an error.
    pub(super) fn element(&self, name: &str) -> &str {
        let inner = self.body.split_once(&format!("<{name}>")).map_or("", |(_, rest)| rest);
        inner.split_once("</").map_or("", |(text, _)| text)
    }
}

/// Makes a presigned request, as a client does.
pub(super) async fn presigned(request: &Presigned, body: &'static [u8]) -> Result<Answer, &'static str> {
    let mut sent = Request::builder().method(request.method).uri(&request.url);
    for (name, value) in &request.headers {
        sent = sent.header(name, value);
    }
    send(sent.body(body).map_err(|_| NO_REQUEST)?).await
}

/// Asks before a request as the browser of a web page does (Fetch Standard, "CORS-preflight fetch").
pub(super) async fn preflight(
    request: &Presigned,
    origin: &str,
    headers: &str,
) -> Result<Answer, &'static str> {
    let asked = Request::builder()
        .method("OPTIONS")
        .uri(&request.url)
        .header("origin", origin)
        .header("access-control-request-method", request.method)
        .header("access-control-request-headers", headers);
    send(asked.body(&[][..]).map_err(|_| NO_REQUEST)?).await
}

/// The memory limit of this task in bytes, if it runs on ECS and has one. The container may see
/// another (Amazon ECS Developer Guide, "Task metadata endpoint version 4").
pub(super) async fn task_memory() -> Option<u64> {
    let base = std::env::var("ECS_CONTAINER_METADATA_URI_V4").ok()?;
    let request = Request::builder().method("GET").uri(format!("{base}/task"));
    let answer = send(request.body(&[][..]).ok()?).await.ok()?;
    let task: Value = serde_json::from_str(&answer.body).ok()?;
    task["Limits"]["Memory"].as_u64()?.checked_mul(1 << 20)
}

const NO_REQUEST: &str = "the request cannot be made";

async fn send(request: Request<&'static [u8]>) -> Result<Answer, &'static str> {
    let call = move || -> Result<Answer, ureq::Error> {
        // Fails if a provider is already installed, which is just as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(PATIENCE));
        let agent = config.build().new_agent();
        let answer =
            if request.method() == "PUT" { agent.run(request)? } else { agent.run(request.map(|_| ()))? };
        read(answer)
    };
    match tokio::task::spawn_blocking(call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(ureq::Error::Timeout(_))) => Err("no answer in 20 s"),
        _ => Err("no connection, or it was lost"),
    }
}

fn read(answer: Response<ureq::Body>) -> Result<Answer, ureq::Error> {
    let (parts, mut body) = answer.into_parts();
    let named = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let bytes = body.with_config().limit(MAX_ANSWER).read_to_vec()?;
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers.iter().filter_map(named).collect(),
        body: String::from_utf8_lossy(&bytes).into_owned(),
    })
}
