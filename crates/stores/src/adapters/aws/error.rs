//! Converts errors of the SDK: did the call take effect, and may it be retried?
//!
//! The result is about the last attempt of a call. If an earlier attempt wrote and its reply was
//! lost, the answer of the last attempt can report the effect of the earlier one. So callers of a
//! conditional write read what is stored before they accept a refusal.
//!
//! Only the operation, and the service's code or the kind of the error, are passed on: the SDK's
//! messages contain keys and URLs.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use cadmill_core::ports::PortError;
use std::error::Error;

/// Whether a call changes what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Read,
    Write,
}

/// The port's error for an error of the SDK.
pub(super) fn port_error<E>(operation: &'static str, effect: Effect, error: &SdkError<E>) -> PortError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ConstructionFailure(_) => refused(operation, "the request cannot be made"),
        SdkError::TimeoutError(_) => lost(operation, effect, "time-out"),
        SdkError::DispatchFailure(failure) => {
            let connector = failure.as_connector_error();
            if connector.is_some_and(|error| never_sent(error)) {
                return PortError::Unavailable { operation, reason: "no connection".to_owned() };
            }
            if failure.is_other() && connector.is_some_and(|error| no_credentials(error)) {
                return PortError::Unavailable { operation, reason: "no credentials".to_owned() };
            }
            lost(operation, effect, if failure.is_timeout() { "time-out" } else { "connection lost" })
        }
        SdkError::ResponseError(_) => lost(operation, effect, "the reply is not understood"),
        SdkError::ServiceError(service) => {
            answered(operation, effect, service.raw().status().as_u16(), service.err().code())
        }
        _ => lost(operation, effect, "an unknown kind of error"),
    }
}

/// The error for a reply with this status and error code.
fn answered(operation: &'static str, effect: Effect, status: u16, code: Option<&str>) -> PortError {
    let reason = code.map_or_else(|| format!("status {status}"), plain);
    match (status, code.unwrap_or_default()) {
        // The bucket, table or queue itself is missing: a configuration error.
        (_, "NoSuchBucket" | "ResourceNotFoundException" | "QueueDoesNotExist")
        | (_, "AWS.SimpleQueueService.NonExistentQueue") => PortError::Refused { operation, reason },
        (404, _) | (_, "NoSuchKey" | "NoSuchUpload" | "NoSuchVersion") => PortError::NotFound(operation),
        (_, "ConditionalRequestConflict") => PortError::Conflict(operation),
        (412, _) | (_, "ConditionalCheckFailedException") => PortError::Precondition(operation),
        (429, _) | (_, "SlowDown" | "Throttling" | "ThrottlingException" | "ThrottledException")
        | (_, "RequestThrottled" | "RequestThrottledException" | "RequestLimitExceeded")
        | (_, "ProvisionedThroughputExceededException" | "TooManyRequestsException")
        // The body did not arrive in time, or the credentials were about to be renewed.
        | (408, _) | (_, "RequestTimeout" | "ExpiredToken" | "ExpiredTokenException") => {
            PortError::Unavailable { operation, reason }
        }
        (..400, _) => lost(operation, effect, "the reply is not understood"),
        (501, _) => PortError::Refused { operation, reason },
        (500.., _) => lost(operation, effect, &reason),
        _ => PortError::Refused { operation, reason },
    }
}

/// An error after which only the stored state shows whether the call took effect.
pub(super) fn lost(operation: &'static str, effect: Effect, reason: &str) -> PortError {
    let reason = reason.to_owned();
    match effect {
        Effect::Read => PortError::Unavailable { operation, reason },
        Effect::Write => PortError::Unknown { operation, reason },
    }
}

/// An error for a request that is refused.
pub(super) fn refused(operation: &'static str, reason: &str) -> PortError {
    PortError::Refused { operation, reason: reason.to_owned() }
}

/// An error for a reply that contradicts the documentation of the service.
pub(super) fn corrupt(operation: &'static str, reason: &str) -> PortError {
    PortError::Corrupt { operation, reason: reason.to_owned() }
}

/// An error code of a service, reduced to the characters of such codes.
fn plain(code: &str) -> String {
    code.chars().filter(|c| c.is_ascii_alphanumeric() || ".-_".contains(*c)).take(64).collect()
}

/// Whether no connection could be made, so that the request was not sent.
fn never_sent(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|cause| {
        cause.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect())
    })
}

/// Whether there were no credentials to sign with. The type of this error belongs to a crate that
/// is not a dependency of this one; all its messages name credentials.
fn no_credentials(error: &(dyn Error + 'static)) -> bool {
    let sent = chain(error).any(|cause| cause.is::<hyper_util::client::legacy::Error>());
    !sent && chain(error).any(|cause| cause.to_string().contains("credential"))
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause: &&'a (dyn Error + 'static)| (*cause).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(error: &PortError) -> &'static str {
        match error {
            PortError::NotFound(_) => "not found",
            PortError::Hidden(_) => "hidden",
            PortError::Precondition(_) => "precondition",
            PortError::Conflict(_) => "conflict",
            PortError::Unavailable { .. } => "unavailable",
            PortError::Unknown { .. } => "unknown",
            PortError::Refused { .. } => "refused",
            PortError::Corrupt { .. } => "corrupt",
            PortError::Newer(_) => "newer",
            PortError::Damaged { .. } => "damaged",
        }
    }

    #[test]
    fn a_reply_is_understood_by_status_and_code() {
        let rows = [
            (404, Some("NoSuchKey"), "not found", "not found"),
            (404, None, "not found", "not found"),
            (404, Some("NoSuchUpload"), "not found", "not found"),
            (404, Some("NoSuchBucket"), "refused", "refused"),
            (400, Some("ResourceNotFoundException"), "refused", "refused"),
            (400, Some("AWS.SimpleQueueService.NonExistentQueue"), "refused", "refused"),
            (412, Some("PreconditionFailed"), "precondition", "precondition"),
            (412, None, "precondition", "precondition"),
            (409, Some("ConditionalRequestConflict"), "conflict", "conflict"),
            (400, Some("ConditionalCheckFailedException"), "precondition", "precondition"),
            (409, Some("OperationAborted"), "refused", "refused"),
            (403, Some("AccessDenied"), "refused", "refused"),
            (403, Some("SignatureDoesNotMatch"), "refused", "refused"),
            (403, None, "refused", "refused"),
            (400, Some("ValidationException"), "refused", "refused"),
            (400, Some("ExpiredToken"), "unavailable", "unavailable"),
            (400, Some("ProvisionedThroughputExceededException"), "unavailable", "unavailable"),
            (503, Some("SlowDown"), "unavailable", "unavailable"),
            (429, None, "unavailable", "unavailable"),
            (400, Some("RequestTimeout"), "unavailable", "unavailable"),
            (500, Some("InternalError"), "unavailable", "unknown"),
            (503, None, "unavailable", "unknown"),
            (200, None, "unavailable", "unknown"),
            (501, Some("NotImplemented"), "refused", "refused"),
        ];
        for (status, code, read, write) in rows {
            for (effect, expected) in [(Effect::Read, read), (Effect::Write, write)] {
                let error = answered("testing", effect, status, code);
                assert_eq!(kind(&error), expected, "{status} {code:?} {effect:?}");
                assert!(error.to_string().starts_with("testing: "), "{error}");
            }
        }
    }

    #[test]
    fn a_code_is_a_code() {
        let error = answered("testing", Effect::Read, 400, Some("https://bucket/key?x=y z"));
        assert_eq!(error.to_string(), "testing: refused (httpsbucketkeyxyz)");
    }

    #[test]
    fn only_a_write_is_unknown() {
        assert_eq!(kind(&lost("testing", Effect::Read, "x")), "unavailable");
        assert_eq!(kind(&lost("testing", Effect::Write, "x")), "unknown");
    }
}
