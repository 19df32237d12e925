//! A bearer token, as it is configured.

use cadmill_core::domain::ids::Owner;

/// A bearer token, as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The owner that it authenticates.
    pub owner: Owner,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
    /// Whether it may read the audit of every job.
    pub auditor: bool,
}
