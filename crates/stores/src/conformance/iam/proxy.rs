//! A server between programs and an emulator of AWS that refuses what no policy grants.
//!
//! A program is known by the id of its access key. Its requests are answered as AWS answers them:
//! what is refused with 403 or 400 and `AccessDenied`, and what is missing with 404 only if the
//! program may list the bucket (Amazon S3 API Reference, "GetObject" and "HeadObject"). A key without
//! policies is one that does not exist, and is answered with another code. Bodies of
//! requests to S3 are passed on as they arrive; those of the other services are read first, because
//! they name the resource.
//!
//! Remembered: every grant that allowed something, every refusal, and every request that is not
//! known, which is refused too.

use super::policy::{Access, Grant, Policy, Verdict, decide};
use super::request::Signed;
use crate::conformance::meter::{Bill, Meter};
use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Longest body of a request that names its resource there: SQS takes 1 MiB.
const MAX_JSON: usize = 2 << 20;

/// Longest reply of a service that speaks JSON: DynamoDB returns at most 16 MB.
const MAX_REPLY: usize = 20 << 20;

type Body = Either<Incoming, Full<Bytes>>;

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// It is answered with 503 and not passed on.
    Fail,
    /// It is passed on, and the connection is closed instead of a reply.
    LoseReply,
    /// It is passed on, and never answered: see [`Proxy::held`].
    Hold,
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The id of the access key.
    pub program: String,
    /// What was not granted.
    pub access: Access,
}

/// A running proxy. Dropping it ends it.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

struct Shared {
    upstream: String,
    client: Client<HttpConnector, Body>,
    policies: Mutex<BTreeMap<String, Vec<Policy>>>,
    seen: Mutex<Seen>,
    /// The requests until the one that is disturbed, and how.
    disturbed: Mutex<Option<(u64, Disturbance)>>,
    held: tokio::sync::Notify,
    planted: Mutex<Vec<Planted>>,
}

/// An answer in place of the emulator's, for what that does not hold.
#[derive(Debug, Clone)]
pub struct Planted {
    /// The action of a request to S3, such as `s3:PutObject`.
    pub action: &'static str,
    /// A part of the ARN.
    pub resource: String,
    /// The status of the answer.
    pub status: u16,
    /// Its body, as XML.
    pub body: String,
}

impl Planted {
    /// The answer to a request that fails.
    pub fn error(action: &'static str, resource: &str, status: u16, code: &str, message: &str) -> Self {
        Self { action, resource: resource.to_owned(), status, body: error_text(code, message) }
    }
}

#[derive(Default)]
struct Seen {
    used: BTreeSet<Grant>,
    refused: Vec<Refusal>,
    unknown: Vec<String>,
    meter: Meter,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Serves on a free port of the loopback interface, in front of the server at this base URL.
    ///
    /// # Panics
    /// If it cannot listen.
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()),
            policies: Mutex::default(),
            seen: Mutex::default(),
            disturbed: Mutex::default(),
            held: tokio::sync::Notify::new(),
            planted: Mutex::default(),
        });
        let mut task = JoinSet::new();
        task.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, _task: task }
    }

    /// Base URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Gives the program with this access key these policies and no others.
    pub fn attach(&self, program: &str, policies: Vec<Policy>) {
        locked(&self.shared.policies).insert(program.to_owned(), policies);
    }

    /// Disturbs one request: the `request`-th from now, counted from 1.
    pub fn disturb(&self, request: u64, how: Disturbance) {
        *locked(&self.shared.disturbed) = Some((request, how));
    }

    /// Answers such requests in this way from now on, if they are granted. A later answer goes before
    /// an earlier one.
    pub fn plant(&self, answer: Planted) {
        locked(&self.shared.planted).push(answer);
    }

    /// Returns when a request is held.
    pub async fn held(&self) {
        self.shared.held.notified().await;
    }

    /// The grants that have allowed something.
    pub fn used(&self) -> BTreeSet<Grant> {
        locked(&self.shared.seen).used.clone()
    }

    /// What was refused so far, in order.
    pub fn refused(&self) -> Vec<Refusal> {
        locked(&self.shared.seen).refused.clone()
    }

    /// What the requests so far cost. Presigned requests are those of the program `client`.
    pub fn bill(&self) -> Bill {
        locked(&self.shared.seen).meter.bill().clone()
    }

    /// Requests that the tables of [`super::request`] lack.
    pub fn unknown(&self) -> Vec<String> {
        locked(&self.shared.seen).unknown.clone()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let answer = service_fn(move |request| {
                        let shared = Arc::clone(&shared);
                        async move { shared.disturb(request).await }
                    });
                    let connection = hyper::server::conn::http1::Builder::new();
                    // A client may close its connection at any time.
                    let _ = connection.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

impl Shared {
    /// Answers, or applies the disturbance. An error closes the connection.
    async fn disturb(&self, request: Request<Incoming>) -> std::io::Result<Response<Body>> {
        match self.disturbance() {
            None => Ok(self.answer(request).await),
            Some(Disturbance::Fail) => {
                drain(request.into_body()).await;
                Ok(empty(StatusCode::SERVICE_UNAVAILABLE))
            }
            Some(Disturbance::LoseReply) => {
                self.answer(request).await;
                Err(std::io::ErrorKind::ConnectionReset.into())
            }
            Some(Disturbance::Hold) => {
                self.answer(request).await;
                self.held.notify_one();
                std::future::pending().await
            }
        }
    }

    /// That of this request.
    fn disturbance(&self) -> Option<Disturbance> {
        let mut disturbed = locked(&self.disturbed);
        let (left, how) = disturbed.as_mut()?;
        *left -= 1;
        let now = (*left == 0).then_some(*how);
        if now.is_some() {
            *disturbed = None;
        }
        now
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let Some(signed) = Signed::of(&parts) else {
            return self.unknown(body, format!("an unsigned {}", parts.method)).await;
        };
        if signed.service == "s3" {
            self.s3(signed, parts, body).await
        } else {
            self.json(signed, parts, body).await
        }
    }

    async fn s3(&self, signed: Signed, parts: Parts, body: Incoming) -> Response<Body> {
        let access = match signed.of_s3(&parts) {
            Ok(access) => access,
            Err(what) => return self.unknown(body, what).await,
        };
        let is_head = parts.method == Method::HEAD;
        if !self.knows(&signed.key) {
            drain(body).await;
            return s3_refusal(is_head, "InvalidAccessKeyId");
        }
        let action = access.needs.first().map(|need| need.action.clone()).unwrap_or_default();
        let program = if signed.presigned { "client" } else { &signed.key };
        locked(&self.seen).meter.s3(program, &action, parts.method.as_str());
        let planted = self.planted(&access.needs);
        for need in access.needs {
            if !self.grants(&signed.key, need, true) {
                drain(body).await;
                return s3_refusal(is_head, "AccessDenied");
            }
        }
        if let Some(planted) = planted {
            drain(body).await;
            let status = StatusCode::from_u16(planted.status).unwrap_or(StatusCode::FORBIDDEN);
            return s3_answer(is_head, status, planted.body);
        }
        let reply = self.forward(parts, Either::Left(body)).await;
        let hides = access.reads_object && reply.status() == StatusCode::NOT_FOUND;
        if hides && !self.grants(&signed.key, access.lists, false) {
            return s3_refusal(is_head, "AccessDenied");
        }
        reply
    }

    async fn json(&self, signed: Signed, parts: Parts, body: Incoming) -> Response<Body> {
        let Ok(body) = Limited::new(body, MAX_JSON).collect().await.map(|body| body.to_bytes()) else {
            return empty(StatusCode::PAYLOAD_TOO_LARGE);
        };
        if !self.knows(&signed.key) {
            return json_refusal(&signed, "UnrecognizedClientException", "the key does not exist");
        }
        match signed.of_json(&parts.headers, &body) {
            Ok(access) if self.grants(&signed.key, access.clone(), true) => {
                let reply = self.forward(parts, Either::Right(body.clone().into())).await;
                self.metered(&signed.key, &access.action, &body, reply).await
            }
            Ok(access) => {
                let what =
                    format!("not authorized to perform {} on resource {}", access.action, access.resource);
                json_refusal(&signed, "AccessDeniedException", &what)
            }
            Err(what) => {
                locked(&self.seen).unknown.push(what);
                empty(StatusCode::NOT_IMPLEMENTED)
            }
        }
    }

    /// Passes a reply on, after it was added to the bill.
    async fn metered(
        &self,
        program: &str,
        action: &str,
        body: &[u8],
        reply: Response<Body>,
    ) -> Response<Body> {
        let (parts, reply) = reply.into_parts();
        let Ok(reply) = Limited::new(reply, MAX_REPLY).collect().await.map(|reply| reply.to_bytes()) else {
            return empty(StatusCode::BAD_GATEWAY);
        };
        let json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_default();
        locked(&self.seen).meter.json(program, action, &json(body), &json(&reply));
        Response::from_parts(parts, Either::Right(reply.into()))
    }

    fn planted(&self, needs: &[Access]) -> Option<Planted> {
        let is_it = |planted: &&Planted| {
            needs
                .iter()
                .any(|need| need.action == planted.action && need.resource.contains(&planted.resource))
        };
        locked(&self.planted).iter().rev().find(is_it).cloned()
    }

    fn knows(&self, program: &str) -> bool {
        locked(&self.policies).contains_key(program)
    }

    /// Decides, and remembers the decision. What is only implied by another request counts as used,
    /// and not as refused.
    fn grants(&self, program: &str, access: Access, asked: bool) -> bool {
        let verdict = match locked(&self.policies).get(program) {
            Some(policies) => decide(policies, &access),
            None => Verdict::Refused,
        };
        let mut seen = locked(&self.seen);
        match verdict {
            Verdict::Allowed(grants) => {
                seen.used.extend(grants);
                true
            }
            Verdict::Refused => {
                if asked {
                    seen.refused.push(Refusal { program: program.to_owned(), access });
                }
                false
            }
        }
    }

    async fn unknown(&self, body: Incoming, what: String) -> Response<Body> {
        locked(&self.seen).unknown.push(what);
        drain(body).await;
        empty(StatusCode::NOT_IMPLEMENTED)
    }

    async fn forward(&self, mut parts: Parts, body: Body) -> Response<Body> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let Ok(uri) = format!("{}{path}", self.upstream).parse::<Uri>() else {
            return empty(StatusCode::BAD_REQUEST);
        };
        parts.uri = uri;
        // Those of this connection. The client waits here, and not at the emulator.
        for name in ["connection", "expect", "host"] {
            parts.headers.remove(name);
        }
        match self.client.request(Request::from_parts(parts, body)).await {
            Ok(reply) => reply.map(Either::Left),
            Err(_) => empty(StatusCode::BAD_GATEWAY),
        }
    }
}

/// Reads the rest of a request, so that its sender sees the answer.
async fn drain(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

fn empty(status: StatusCode) -> Response<Body> {
    with(status, HeaderMap::new(), String::new())
}

fn with(status: StatusCode, headers: HeaderMap, text: String) -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::from(text)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The answer of S3. That to a HEAD has no body, and so no code.
fn s3_refusal(is_head: bool, code: &str) -> Response<Body> {
    s3_answer(is_head, StatusCode::FORBIDDEN, error_text(code, "refused"))
}

fn error_text(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>{message}</Message><RequestId>0</RequestId><HostId>0</HostId></Error>"
    )
}

fn s3_answer(is_head: bool, status: StatusCode, text: String) -> Response<Body> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/xml"));
    with(status, headers, if is_head { String::new() } else { text })
}

/// The answer of the services that speak JSON.
fn json_refusal(signed: &Signed, code: &str, message: &str) -> Response<Body> {
    let (status, space) = match &*signed.service {
        "sqs" => (StatusCode::FORBIDDEN, "com.amazon.coral.service#"),
        "dynamodb" => (StatusCode::BAD_REQUEST, "com.amazon.coral.service#"),
        _ => (StatusCode::BAD_REQUEST, ""),
    };
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/x-amz-json-1.0"));
    let body = serde_json::json!({"__type": format!("{space}{code}"), "message": message});
    with(status, headers, body.to_string())
}
