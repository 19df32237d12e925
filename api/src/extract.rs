//! Extractors: JSON bodies, queries and job ids, each with specific problems for invalid input.
//!
//! Unknown fields are rejected: a misspelt option that is silently ignored is noticed late. The
//! error texts repeat only field names of the request.

use crate::problem::Problem;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::JobId;
use serde::de::DeserializeOwned;

/// A JSON body.
pub struct Json<T>(pub T);

/// The query of the URL. Every field is optional and may appear once.
pub struct Query<T>(pub T);

/// The job id in the path. A malformed id is reported as an unknown job.
pub struct JobPath(pub JobId);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers().get(header::CONTENT_TYPE)) {
            return Err(Problem::new(FailureCode::RequestMediaType, "the body is not declared as JSON"));
        }
        let body = Bytes::from_request(request, state).await.map_err(unread)?;
        serde_json::from_slice(&body).map(Self).map_err(|error| {
            let at = format!("line {}, column {}", error.line(), error.column());
            Problem::new(
                FailureCode::RequestInvalid,
                format!("the body is not understood at {at}: {}", told(&error)),
            )
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|_| {
                let message = "the query has a field that is unknown, repeated or out of range";
                Problem::new(FailureCode::RequestInvalid, message)
            })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for JobPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        match text.and_then(|Path(text)| text.parse().ok()) {
            Some(id) => Ok(Self(id)),
            None => Err(no_such_job()),
        }
    }
}

/// The response for a job that does not exist, a job of another owner and a malformed job id. It is
/// the same for all three, so that it reveals nothing.
pub fn no_such_job() -> Problem {
    Problem::new(FailureCode::JobNotFound, "there is no such job, or it is not yours")
}

/// Whether a media type is `application/json`, ignoring its parameters.
fn is_json(value: Option<&axum::http::HeaderValue>) -> bool {
    let essence = value.and_then(|v| v.to_str().ok()).and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn unread(rejection: BytesRejection) -> Problem {
    if rejection.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::new(FailureCode::RequestTooLarge, "the body is larger than any request of this API")
    } else {
        Problem::new(FailureCode::RequestInvalid, "the body ended early")
    }
}

/// The message of serde, unless it would repeat a value of the request.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    let safe = [
        "missing field",
        "unknown field",
        "duplicate field",
        "size_bytes must",
        "result_ttl_seconds must",
        "EOF",
        "expected",
        "trailing",
        "key must",
    ];
    if safe.iter().any(|start| text.starts_with(start)) {
        text.chars().take(300).collect()
    } else {
        match error.classify() {
            serde_json::error::Category::Data => "a value has the wrong type or range".to_owned(),
            _ => "it is not JSON".to_owned(),
        }
    }
}
