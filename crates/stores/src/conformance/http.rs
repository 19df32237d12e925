//! The HTTP client of the suites, in place of a client with a presigned URL.

use cadmill_core::ports::object_store::Presigned;
use std::time::Duration;

/// A reply.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Names in lower case with their values; values that are not text are left out.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a presigned request with all of its headers.
pub async fn presigned(request: &Presigned, body: Vec<u8>) -> Reply {
    send(request.method, &request.url, &request.headers, body).await
}

/// Sends a request. `Content-Length` is that of the body, whatever the headers say.
///
/// # Panics
/// If there is no reply.
pub async fn send(method: &str, url: &str, headers: &[(String, String)], body: Vec<u8>) -> Reply {
    attempt(method, url, headers, body).await.expect("a reply")
}

/// The same; returns the reason if there is no reply.
pub async fn attempt(
    method: &str,
    url: &str,
    headers: &[(String, String)],
    body: Vec<u8>,
) -> Result<Reply, String> {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-length")) {
        request = request.header(name, value);
    }
    let request = request.body(body).map_err(|error| error.to_string())?;
    let call = move || -> Result<Reply, ureq::Error> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .proxy(None)
            .build()
            .into();
        let (parts, mut body) = if request.method() == ureq::http::Method::GET {
            agent.run(request.map(|_| ()))?.into_parts()
        } else {
            agent.run(request)?.into_parts()
        };
        let named = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        Ok(Reply {
            status: parts.status.as_u16(),
            headers: parts.headers.iter().filter_map(named).collect(),
            body: body.with_config().limit(64 << 20).read_to_vec()?,
        })
    };
    let reply = tokio::task::spawn_blocking(call).await.map_err(|error| error.to_string())?;
    reply.map_err(|error| error.to_string())
}
