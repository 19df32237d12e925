//! Failures as problem details for HTTP APIs (RFC 9457). The only place that maps a failure to an
//! HTTP status.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cadmill_core::domain::failure::{Detail, Failure, FailureCode, Fault};
use cadmill_core::ports::PortError;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The media type of problem details.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A failure to be sent to the client.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    body: Box<ProblemBody>,
    /// In seconds.
    retry_after: Option<u64>,
}

/// Problem details (RFC 9457). Additional members describe this failure, e.g. `limit_bytes`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// A relative reference into the list of failures.
    r#type: String,
    /// The meaning of the code.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// Description of this occurrence.
    detail: String,
    /// The stable failure code.
    code: &'static str,
    /// Who has to act.
    fault: Fault,
    /// Whether the same request can succeed later.
    retryable: bool,
    /// How to resolve the failure.
    hint: &'static str,
    #[serde(flatten)]
    #[schema(ignore)]
    details: BTreeMap<&'static str, Detail>,
}

impl From<Failure> for ProblemBody {
    fn from(failure: Failure) -> Self {
        Self {
            r#type: format!("/api/failures#{}", failure.code),
            title: failure.code.meaning(),
            status: status_of(failure.code).as_u16(),
            detail: failure.message,
            code: failure.code.as_str(),
            fault: failure.code.fault(),
            retryable: failure.code.retryable(),
            hint: failure.code.hint(),
            details: failure.details.into_iter().collect(),
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self { status: status_of(failure.code), body: Box::new(failure.into()), retry_after: None }
    }
}

/// When to ask again for a job that another server of the same update knows, in seconds.
const NEWER_SECONDS: u64 = 2;

impl From<PortError> for Problem {
    /// The text of a port error goes to the log only; the client receives the code.
    fn from(error: PortError) -> Self {
        tracing::warn!(error = %error, "a store failed");
        if matches!(error, PortError::Newer(_)) {
            let message = "the server is being updated, and only its new version knows this job";
            return Self::new(FailureCode::StoreUnavailable, message).retry_after(NEWER_SECONDS);
        }
        let failure = Failure::from(error);
        Failure::new(failure.code, "a service that the server depends on failed").into()
    }
}

impl Problem {
    /// A failure with this message.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Failure::new(code, message).into()
    }

    /// The same problem with a `Retry-After` header, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The stable failure code.
    pub fn code(&self) -> &'static str {
        self.body.code
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let challenge = challenge(&self.body);
        let mut response = (self.status, axum::Json(self.body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(challenge) = challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The challenge of a 401 (RFC 6750, 3).
fn challenge(body: &ProblemBody) -> Option<&'static str> {
    match body.status {
        401 if body.code == FailureCode::AuthRequired.as_str() => Some("Bearer"),
        401 => Some("Bearer error=\"invalid_token\""),
        _ => None,
    }
}

/// The HTTP status of a code. By default it follows the fault: 4xx for the client's, 5xx for the
/// server's.
pub fn status_of(code: FailureCode) -> StatusCode {
    use FailureCode as C;
    match code {
        C::AuthRequired | C::AuthInvalid | C::AuthExpired | C::AuthAudience => StatusCode::UNAUTHORIZED,
        C::JobNotFound | C::RequestNotFound => StatusCode::NOT_FOUND,
        C::RequestMethod => StatusCode::METHOD_NOT_ALLOWED,
        C::JobConflict | C::JobEnded | C::JobNotCompleted | C::UploadNotExpected | C::UploadIncomplete => {
            StatusCode::CONFLICT
        }
        C::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        C::RequestMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        // Well-formed, but cannot be processed.
        C::UploadFileName | C::FormatUnknown | C::RequestResultTtl => StatusCode::UNPROCESSABLE_ENTITY,
        C::RequestRateLimited | C::ApiQuota => StatusCode::TOO_MANY_REQUESTS,
        _ => match code.fault() {
            Fault::Usage => StatusCode::BAD_REQUEST,
            Fault::Input | Fault::Engine | Fault::Limit => StatusCode::UNPROCESSABLE_ENTITY,
            Fault::System if code.retryable() => StatusCode::SERVICE_UNAVAILABLE,
            Fault::System => StatusCode::INTERNAL_SERVER_ERROR,
            Fault::Nobody => StatusCode::CONFLICT,
        },
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

    #[test]
    fn what_a_store_says_stays_in_the_log() {
        let error = PortError::Refused { operation: "reading a job", reason: "AccessDenied".to_owned() };
        let problem = Problem::from(error);
        assert_eq!(problem.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!serde_json::to_string(&problem.body).unwrap().contains("AccessDenied"));
    }
}
