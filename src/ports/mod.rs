//! The ports: what the core needs of the world, in its own words.
//!
//! Each port has two adapters under `crates/stores/src/adapters`, one conformance suite
//! that both run, and a wrapper that fails on purpose. A port's error says what
//! is known about the effect, because that decides what may be done next.

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

/// Why a call on a port failed. Texts name the operation and the service's error
/// code, never a key, a URL, a file name or a body: they reach logs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// There is no such thing: object, upload, message.
    #[error("{0}: not found")]
    NotFound(&'static str),
    /// A condition of the call does not hold: the object is there already, or it is
    /// another one than it was.
    #[error("{0}: precondition failed")]
    Precondition(&'static str),
    /// The service cannot serve now; nothing happened, or the same call can be made again.
    #[error("{operation}: {reason}")]
    Unavailable {
        /// What was attempted.
        operation: &'static str,
        /// The service's error code or the kind of error.
        reason: String,
    },
    /// The reply was lost: whether it happened is not known.
    #[error("{operation}: no reply ({reason})")]
    Unknown {
        /// What was attempted.
        operation: &'static str,
        /// The service's error code or the kind of error.
        reason: String,
    },
    /// The service refuses, and will again: credentials, permissions, names.
    #[error("{operation}: refused ({reason})")]
    Refused {
        /// What was attempted.
        operation: &'static str,
        /// The service's error code.
        reason: String,
    },
    /// A file of the data directory is lost, cut or not what it was. The text is for
    /// operators, at the start: it has the path and what to do.
    #[error("{file}: {reason}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it, what that means, and how to go on.
        reason: String,
    },
    /// What is stored cannot be understood.
    #[error("{operation}: the stored data cannot be parsed ({reason})")]
    Corrupt {
        /// What was attempted.
        operation: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl PortError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unknown { .. })
    }
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        let code = match error {
            PortError::Refused { .. } | PortError::Corrupt { .. } => FailureCode::StoreRefused,
            PortError::Damaged { .. } => FailureCode::DataDirectory,
            _ => FailureCode::StoreUnavailable,
        };
        Self::new(code, error.to_string())
    }
}

/// Result of a call on a port.
pub type PortResult<T> = Result<T, PortError>;
