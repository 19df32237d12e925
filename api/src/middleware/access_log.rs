//! The common response headers, and the access log: one line per request.
//!
//! The line contains the route template, never the path or the query: these contain owners' ids and
//! page tokens, and arbitrary text of strangers. The proxy that terminates TLS sets
//! `Strict-Transport-Security`: this server speaks plain HTTP, where the header has no effect.

use crate::problem::Problem;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::{JobId, Owner};
use cadmill_core::domain::job::Job;
use cadmill_core::domain::trace::TraceParent;
use cadmill_core::metrics;
use cadmill_core::metrics::label::NONE;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::time::{Instant, SystemTime};

/// The header with the request id, in the request and in the response.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Response extension: the job that the request was about.
#[derive(Clone)]
pub struct LogFields {
    job: JobId,
    trace: Option<TraceParent>,
}

impl LogFields {
    /// What is logged of this job.
    pub fn of(job: &Job) -> Self {
        Self { job: job.id, trace: job.trace.clone() }
    }
}

/// Outermost middleware: assigns the request id, turns a panic into a problem response, adds the
/// headers and writes the log line.
pub async fn observe(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let template = request.extensions().get::<MatchedPath>().cloned();
    let id = request_id(request.headers());
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answer.unwrap_or_else(|_| {
        // The panic message is already in the log; it may contain anything.
        tracing::error!(request.id = id, "a request panicked");
        Problem::new(FailureCode::ServerInternal, "the server failed").into_response()
    });
    add_headers(response.headers_mut(), &id);
    let about = response.extensions().get::<LogFields>();
    let job = about.map(|about| tracing::field::display(about.job));
    let trace_id = about.and_then(|about| about.trace.as_ref()).map(TraceParent::trace_id);
    let owner = response.extensions().get::<Owner>().map(Owner::as_str);
    let route = template.as_ref().map_or(NONE, MatchedPath::as_str);
    let time = started.elapsed();
    metrics::http_request(route, method.as_str(), response.status().as_str(), time);
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        target: "cadmill_api::access",
        { http.method = shown(&method), http.route = route, http.status = response.status().as_u16(), millis,
          request.id = id, owner, job.id = job, trace_id },
        "request"
    );
    response
}

/// The name of a known method; others are a stranger's text and are not logged.
fn shown(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// The request id sent by the client, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let sane = |text: &&str| {
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    given.filter(sane).map_or_else(|| JobId::random().to_string(), str::to_owned)
}

fn add_headers(headers: &mut HeaderMap, id: &str) {
    // Set here and not by hyper, whose cached date stands still while the clock is set back.
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now())) {
        headers.insert(header::DATE, date);
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    let fixed = [(header::X_CONTENT_TYPE_OPTIONS, "nosniff"), (header::REFERRER_POLICY, "no-referrer")];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // For answers with data. A route that serves a page or its assets sets its own.
    let defaults = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in defaults {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_may_set_its_own_policy_and_no_route_is_without_one() {
        let mut headers = HeaderMap::new();
        add_headers(&mut headers, "id");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], "default-src 'none'; frame-ancestors 'none'");
        let own = HeaderValue::from_static("default-src 'self'");
        headers.insert(header::CONTENT_SECURITY_POLICY, own.clone());
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("x"));
        add_headers(&mut headers, "id");
        assert_eq!(headers.get_all(header::CONTENT_SECURITY_POLICY).iter().collect::<Vec<_>>(), [&own]);
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }

    #[test]
    fn a_clients_name_for_a_request_is_kept_if_it_is_one() {
        let named = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_static(text));
            request_id(&headers)
        };
        assert_eq!(named("Trace-01"), "Trace-01");
        for bad in ["", "a b", "a\tb", "x=1"] {
            assert_eq!(named(bad).len(), 36, "{bad:?}");
        }
        assert_eq!(request_id(&HeaderMap::new()).len(), 36);
    }
}
