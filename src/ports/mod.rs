//! The ports: the interfaces of the core to the outside world.
//!
//! Each port has two adapters under `crates/stores/src/adapters`, one conformance suite that both
//! pass, and a wrapper that injects failures. A port's error says what is known about the effect of
//! the call, because that determines what may be done next.

pub mod audit_sink;
pub mod clock;
pub mod event_queue;
pub mod job_store;
pub mod object_store;
pub mod signer;

pub use audit_sink::{AuditLog, AuditSink};
pub use clock::Clock;
pub use event_queue::EventQueue;
pub use job_store::JobStore;
pub use object_store::ObjectStore;
pub use signer::Signer;

use crate::domain::failure::{Failure, FailureCode};

/// Why a call on a port failed. The texts name the operation and the service's error code, never a
/// key, a URL, a file name or a body: they are logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// The object, upload or message does not exist.
    #[error("{0}: not found")]
    NotFound(&'static str),
    /// The object does not exist, or the caller may not read it: a store whose caller may not list
    /// it answers both alike. Nothing that loses data may follow from it.
    #[error("{0}: not found or not permitted; without s3:ListBucket the store does not say which")]
    Hidden(&'static str),
    /// A precondition does not hold: the object already exists, or was replaced.
    #[error("{0}: precondition failed")]
    Precondition(&'static str),
    /// Another request for the same object was in progress, and the service made neither of both:
    /// nothing is known of what is stored. A PUT can be repeated. A multipart upload cannot be
    /// completed again (Amazon S3 API Reference, "CompleteMultipartUpload",
    /// `ConditionalRequestConflict`): it is begun anew if the object is not there.
    #[error("{0}: conflict with another request")]
    Conflict(&'static str),
    /// The service is unavailable. Nothing happened, or repeating the call is safe.
    #[error("{operation}: {reason}")]
    Unavailable {
        /// What was attempted.
        operation: &'static str,
        /// The service's error code or the kind of error.
        reason: String,
    },
    /// The reply was lost: it is unknown whether the call took effect.
    #[error("{operation}: no reply ({reason})")]
    Unknown {
        /// What was attempted.
        operation: &'static str,
        /// The service's error code or the kind of error.
        reason: String,
    },
    /// The service rejects the call permanently: credentials, permissions, names.
    #[error("{operation}: refused ({reason})")]
    Refused {
        /// What was attempted.
        operation: &'static str,
        /// The service's error code.
        reason: String,
    },
    /// A file of the data directory is missing, truncated or changed. The text is shown to
    /// operators at startup, with the path and what to do.
    #[error("{file}: {reason}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it, the consequences, and how to recover.
        reason: String,
    },
    /// The record is of another version of cadmill, and has a value that this one does not know. Only a
    /// program of that version may act on it.
    #[error("{0}: another version of cadmill wrote the record, with a value that this one does not know")]
    Newer(&'static str),
    /// The stored data cannot be parsed.
    #[error("{operation}: the stored data cannot be parsed ({reason})")]
    Corrupt {
        /// What was attempted.
        operation: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl PortError {
    /// Whether repeating the call may succeed; for [`Self::Conflict`] only if the call is a PUT.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unknown { .. } | Self::Conflict(_))
    }
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        let code = match error {
            PortError::Refused { .. } | PortError::Hidden(_) | PortError::Corrupt { .. } => {
                FailureCode::StoreRefused
            }
            PortError::Damaged { .. } => FailureCode::DataDirectory,
            _ => FailureCode::StoreUnavailable,
        };
        Self::new(code, error.to_string())
    }
}

/// Result of a call on a port.
pub type PortResult<T> = Result<T, PortError>;
