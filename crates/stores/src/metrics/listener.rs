//! The listener for metrics and health checks. It has no authentication: what it shows is counted by
//! closed sets of words, and it is on loopback unless the configuration says otherwise.

use super::recorder::Metrics;
use crate::connections::{self, Door, Http, Inward, Limits, Networks, Times};
use crate::readiness::Readiness;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// The text format of Prometheus.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Connections; a scraper has one or two.
const CONNECTIONS: usize = 16;

/// Maximum size of the head of a request, in bytes; the minimum of hyper.
const HEAD_BYTES: usize = 8 << 10;

const TIMES: Times = Times {
    head: Duration::from_secs(5),
    idle: Duration::from_secs(75),
    rest: Duration::from_secs(10),
    bytes_per_second: 8 << 10,
};

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, metrics: Metrics, readiness: Readiness) {
    let limits = Limits { total: CONNECTIONS, per_client: CONNECTIONS, proxies: Networks::default() };
    let door = Door::new("metrics", limits);
    let mut open = tokio::task::JoinSet::new();
    loop {
        let (stream, _, seat) = tokio::select! {
            accepted = door.accept(&listener) => accepted,
            Some(_) = open.join_next() => continue,
        };
        let (metrics, readiness) = (metrics.clone(), readiness.clone());
        let service = service_fn(move |request: Request<Inward>| {
            let (metrics, readiness) = (metrics.clone(), readiness.clone());
            async move { Ok::<_, Infallible>(answer(&request, &metrics, &readiness).await) }
        });
        let http = Http { times: TIMES, head_bytes: Some(HEAD_BYTES) };
        open.spawn(connections::serve(stream, Arc::new(seat), http, service, std::future::pending()));
    }
}

/// The answer of a program that works. What it does without is named, for its operators: an orchestrator
/// must not replace it for that.
fn ready(absent: &[&str]) -> String {
    match absent {
        [] => "ready\n".to_owned(),
        absent => format!("ready\nnot alive: {}\n", absent.join(", ")),
    }
}

async fn answer(
    request: &Request<Inward>,
    metrics: &Metrics,
    readiness: &Readiness,
) -> Response<Full<Bytes>> {
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    let (status, kind, text) = match request.uri().path() {
        _ if !is_read => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned()),
        "/metrics" => (StatusCode::OK, EXPOSITION, metrics.render()),
        "/healthz" => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        "/readyz" => match readiness.missing().await {
            missing if missing.is_empty() => (StatusCode::OK, "text/plain", ready(&readiness.absent())),
            missing => {
                let text = format!("no valid response from: {}\n", missing.join(", "));
                (StatusCode::SERVICE_UNAVAILABLE, "text/plain", text)
            }
        },
        _ => (StatusCode::NOT_FOUND, "text/plain", "/metrics, /healthz, /readyz\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
