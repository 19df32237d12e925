//! API client: adds the token, retries requests where that can help, and maps failures to failure
//! codes. Error texts never contain a URL.

use super::wire::Problem;
use cadmill_core::domain::failure::{Detail, Failure, FailureCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use ureq::http::{Response, StatusCode, header};
use ureq::typestate::WithoutBody;
use ureq::{Agent, Body, RequestBuilder};

/// Attempts of a request before it fails.
const TRIES: u32 = 8;

/// Longest pause between two attempts, whatever the server requests.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Largest API response accepted, in bytes.
const MAX_ANSWER: u64 = 8 << 20;

/// Longest time without data from the server.
const SILENCE: Duration = Duration::from_secs(60);

/// Longest server text that is shown, in characters.
const MAX_SHOWN: usize = 500;

/// Detail of a failure that came from a server response: the HTTP status.
const STATUS_DETAIL: &str = "http_status";

/// The API of one server.
pub(super) struct Client {
    pub(super) agent: Agent,
    /// Without a trailing slash.
    server: String,
    /// `Bearer …`.
    authorization: Option<String>,
    cancel: Arc<AtomicBool>,
}

/// A response: status, ETag, `Retry-After` and body.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) etag: Option<String>,
    pub(super) retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Client {
    pub(super) fn new(server: &str, token: Option<String>, cancel: Arc<AtomicBool>) -> Result<Self, Failure> {
        if !server.starts_with("http://") && !server.starts_with("https://") {
            let message = "the server must be a URL that begins with http:// or https://";
            return Err(Failure::new(FailureCode::UsageInvalid, message));
        }
        // Fails if a provider is already installed, which is just as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect could send the file, or the token, to an unintended host.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("cadmill/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(SILENCE))
            .max_idle_connections_per_host(16);
        Ok(Self {
            agent: config.build().new_agent(),
            server: server.trim_end_matches('/').to_owned(),
            authorization: token.map(|token| format!("Bearer {token}")),
            cancel,
        })
    }

    /// Whether the token would be sent unencrypted over a network.
    pub(super) fn exposes_token(&self) -> bool {
        let Some(rest) = self.server.strip_prefix("http://") else { return false };
        let authority = rest.split('/').next().unwrap_or_default();
        let loopback = match authority.parse::<SocketAddr>() {
            Ok(address) => address.ip().is_loopback(),
            Err(_) => {
                let host = authority.split(':').next().unwrap_or_default();
                host == "localhost" || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
            }
        };
        self.authorization.is_some() && !loopback
    }

    /// A `GET` that is not sent yet.
    pub(super) fn request(&self, path: &str) -> RequestBuilder<WithoutBody> {
        let request = self.agent.get(format!("{}{path}", self.server));
        match &self.authorization {
            Some(text) => request.header(header::AUTHORIZATION, text),
            None => request,
        }
    }

    /// `GET`, with the ETag of an earlier response.
    pub(super) fn get(&self, path: &str, etag: Option<&str>) -> Result<Answer, Failure> {
        self.persist(&|_| {}, || {
            let mut request = self.request(path);
            if let Some(etag) = etag {
                request = request.header(header::IF_NONE_MATCH, etag);
            }
            request.call()
        })
    }

    /// `POST`, with or without a body.
    pub(super) fn post(&self, path: &str, body: Option<&impl Serialize>) -> Result<Answer, Failure> {
        self.post_or_wait(path, body, &|_| {})
    }

    /// The same; `note` gets a line that says why, before a wait for one of the caller's other jobs.
    pub(super) fn post_or_wait(
        &self,
        path: &str,
        body: Option<&impl Serialize>,
        note: &dyn Fn(&str),
    ) -> Result<Answer, Failure> {
        self.persist(note, || {
            let mut request = self.agent.post(format!("{}{path}", self.server));
            if let Some(text) = &self.authorization {
                request = request.header(header::AUTHORIZATION, text);
            }
            match body {
                Some(body) => request.send_json(body),
                None => request.send_empty(),
            }
        })
    }

    /// `DELETE`, once, with a timeout of seconds: the user is waiting for the process to exit.
    pub(super) fn delete_once(&self, path: &str) {
        let mut request = self.agent.delete(format!("{}{path}", self.server));
        if let Some(text) = &self.authorization {
            request = request.header(header::AUTHORIZATION, text);
        }
        let _ = request.config().timeout_global(Some(Duration::from_secs(5))).build().call();
    }

    /// Sends a request until it has a final response. All requests sent here are idempotent, as the
    /// API guarantees.
    fn persist(
        &self,
        note: &dyn Fn(&str),
        make: impl Fn() -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Answer, Failure> {
        let mut tries = 1;
        loop {
            self.check()?;
            let answer = make().and_then(Answer::read);
            let asked = match &answer {
                Ok(answer) if !may_pass(answer.status) => None,
                Ok(answer) => Some(answer.retry_after),
                Err(error) if is_lasting(error) => None,
                Err(_) => Some(None),
            };
            match (asked, answer) {
                (Some(asked), answer) if tries < TRIES => {
                    let pause = pause(tries, asked);
                    if let Some(reason) = answer.ok().and_then(|answer| answer.quota()) {
                        note(&format!("waiting {} s for a place: {reason}", pause.as_secs()));
                    }
                    self.wait(pause)?;
                }
                (_, Ok(answer)) => return answer.or_failure(),
                (_, Err(error)) => {
                    let message = format!("the server does not respond: {}", describe(&error));
                    return Err(Failure::new(
                        code("server.unavailable", FailureCode::StoreUnavailable),
                        message,
                    ));
                }
            }
            tries += 1;
        }
    }

    /// Waits; fails when cancelled.
    pub(super) fn wait(&self, time: Duration) -> Result<(), Failure> {
        let end = Instant::now() + time;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// `job.cancelled`, if the user cancelled.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self.is_cancelled() {
            false => Ok(()),
            true => Err(Failure::new(FailureCode::Cancelled, "cancelled")),
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

impl Answer {
    fn read(mut response: Response<Body>) -> Result<Self, ureq::Error> {
        let text = |name| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        Ok(Self {
            status: response.status(),
            etag: text(header::ETAG),
            retry_after: text(header::RETRY_AFTER).and_then(|t| t.parse().ok()).map(Duration::from_secs),
            body: response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec()?,
        })
    }

    /// What the server says, if it refused the job because of the caller's other jobs.
    fn quota(&self) -> Option<String> {
        if self.status != StatusCode::TOO_MANY_REQUESTS {
            return None;
        }
        let problem: Problem = serde_json::from_slice(&self.body).ok()?;
        let quota = problem.code.as_deref() == Some(FailureCode::ApiQuota.as_str());
        problem.detail.filter(|_| quota).map(|detail| shown(&detail))
    }

    /// The response, if its status is a success.
    fn or_failure(self) -> Result<Self, Failure> {
        if self.status.is_success() || self.status == StatusCode::NOT_MODIFIED {
            return Ok(self);
        }
        let problem: Problem = serde_json::from_slice(&self.body).unwrap_or_default();
        let said = problem.detail.or(problem.title).unwrap_or_else(|| "no reason given".to_owned());
        Err(failure(problem.code.as_deref(), &said, Some(self.status)))
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| {
            let message = "the response does not match the cadmill API; is it a cadmill server?";
            Failure::new(FailureCode::Io, message)
        })
    }
}

/// A failure reported by the server. An unknown code becomes `infra.io`, with the server's code in
/// its message.
pub(super) fn failure(code: Option<&str>, said: &str, status: Option<StatusCode>) -> Failure {
    let said = shown(said);
    let number = status.map(|status| format!(" ({})", status.as_u16())).unwrap_or_default();
    let failure = match code.map(|code| (code, code.parse())) {
        Some((_, Ok(known))) => Failure::new(known, said),
        Some((unknown, Err(_))) => {
            Failure::new(FailureCode::Io, format!("the server says{number}: {said} [{}]", shown(unknown)))
        }
        None => Failure::new(FailureCode::Io, format!("the server says{number}: {said}")),
    };
    match status {
        Some(status) => failure.with(STATUS_DETAIL, u64::from(status.as_u16())),
        None => failure,
    }
}

/// Whether the server rejected the request because of the state of the job (409).
pub(super) fn is_conflict(failure: &Failure) -> bool {
    let conflict = Detail::Number(u64::from(StatusCode::CONFLICT.as_u16()));
    failure.details.iter().any(|(name, value)| *name == STATUS_DETAIL && *value == conflict)
}

/// The failure code with this name; a fallback if this version does not know the name.
pub(super) fn code(name: &str, otherwise: FailureCode) -> FailureCode {
    name.parse().unwrap_or(otherwise)
}

/// Server text, made safe for a terminal.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect()
}

/// The pause after this many attempts, given the server's `Retry-After`.
pub(super) fn pause(tries: u32, asked: Option<Duration>) -> Duration {
    let own = Duration::from_millis(200 << tries.min(5));
    asked.unwrap_or_default().max(own).min(MAX_WAIT)
}

fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

/// Whether the next attempt would fail in the same way.
fn is_lasting(error: &ureq::Error) -> bool {
    matches!(
        error,
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::Rustls(_) | ureq::Error::InvalidProxyUrl
    )
}

/// Description of the error, without the URL that some of these errors contain.
pub(super) fn describe(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Timeout(_) => "timed out".to_owned(),
        ureq::Error::HostNotFound => "host not found".to_owned(),
        ureq::Error::Rustls(error) => format!("TLS: {error}"),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => "the URL is malformed".to_owned(),
        ureq::Error::Protocol(_) => "the response is not HTTP or is cut off".to_owned(),
        _ => "the connection failed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_are_unknown_keep_the_servers_text() {
        let known = failure(Some("limit.memory"), "too much", None);
        assert_eq!((known.code, known.message.as_str()), (FailureCode::LimitMemory, "too much"));
        let unknown = failure(Some("brand.new"), "so\u{1b}[2Jrry", StatusCode::from_u16(418).ok());
        assert_eq!(unknown.code.exit_code(), 20);
        assert_eq!(unknown.message, "the server says (418): so[2Jrry [brand.new]");
    }

    #[test]
    fn pauses_grow_and_have_an_end() {
        assert_eq!(pause(1, None), Duration::from_millis(400));
        assert_eq!(pause(30, None), Duration::from_millis(6400));
        assert_eq!(pause(1, Some(Duration::from_secs(9))), Duration::from_secs(9));
        assert_eq!(pause(1, Some(Duration::from_secs(9999))), MAX_WAIT);
    }

    #[test]
    fn a_token_is_safe_on_this_machine_and_over_tls() {
        let exposed = |server: &str, token: Option<&str>| {
            let client = Client::new(server, token.map(str::to_owned), Arc::default()).unwrap();
            client.exposes_token()
        };
        assert!(exposed("http://example.org", Some("t")) && exposed("http://127.0.0.1.org:80", Some("t")));
        assert!(!exposed("http://example.org", None));
        assert!(!exposed("https://example.org", Some("t")));
        assert!(!exposed("http://127.0.0.1:8080/", Some("t")));
        assert!(Client::new("example.org", None, Arc::default()).is_err());
    }
}
