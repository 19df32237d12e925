//! Failures as problem details for HTTP APIs (RFC 9457): the one place where a
//! failure becomes an HTTP status.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cadmill_core::domain::failure::{Detail, Failure, FailureCode, Fault};
use serde::Serialize;
use std::collections::BTreeMap;

/// A failure on its way to the client.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    body: Body,
}

#[derive(Debug, Serialize)]
struct Body {
    /// RFC 9457, 3.1.1. A relative reference into the list of failures.
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    fault: Fault,
    retryable: bool,
    hint: &'static str,
    #[serde(flatten)]
    details: BTreeMap<&'static str, Detail>,
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let status = status_of(failure.code);
        let body = Body {
            r#type: format!("/api/failures#{}", failure.code),
            title: failure.code.meaning(),
            status: status.as_u16(),
            detail: failure.message,
            code: failure.code.as_str(),
            fault: failure.code.fault(),
            retryable: failure.code.retryable(),
            hint: failure.code.hint(),
            details: failure.details.into_iter().collect(),
        };
        Self { status, body }
    }
}

impl Problem {
    /// There is nothing at this path.
    pub fn no_such_path() -> Self {
        let failure = Failure::new(FailureCode::UsageInvalid, "there is nothing at this path");
        let mut problem = Self::from(failure);
        problem.status = StatusCode::NOT_FOUND;
        problem.body.status = StatusCode::NOT_FOUND.as_u16();
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = axum::Json(self.body);
        (self.status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}

/// By whose fault it is: the client's are 4xx, the server's 5xx.
fn status_of(code: FailureCode) -> StatusCode {
    match code.fault() {
        Fault::Usage => StatusCode::BAD_REQUEST,
        Fault::Input | Fault::Engine | Fault::Limit => StatusCode::UNPROCESSABLE_ENTITY,
        Fault::System if code.retryable() => StatusCode::SERVICE_UNAVAILABLE,
        Fault::System => StatusCode::INTERNAL_SERVER_ERROR,
        Fault::Nobody => StatusCode::CONFLICT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_follow_the_fault() {
        for &code in FailureCode::ALL {
            let status = status_of(code);
            let ours = code.fault() == Fault::System;
            assert_eq!(status.is_server_error(), ours, "{code}: {status}");
            assert_eq!(status.is_client_error(), !ours, "{code}: {status}");
        }
    }
}
