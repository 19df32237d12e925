//! The ledger of an attempt: which plaintext existed, for how long, and how it ended.
//!
//! Pure: the records ([`record`]), their lines ([`line`]), hash chain and hidden names ([`chain`]),
//! heads and signatures ([`head`], [`key`]), verification of a ledger ([`verify`], [`finding`]),
//! and its comparison with the sweeps that end other ledgers ([`citation`]) and with the name of its
//! file ([`place`]). `docs/AUDIT.md` describes the
//! format for anyone who verifies a ledger without this code. The format is fixed: ledgers of older
//! versions must stay verifiable, so every change is a new [`FORMAT`].

pub mod chain;
pub mod citation;
pub mod finding;
pub mod head;
pub mod key;
pub mod line;
pub mod place;
pub mod record;
pub mod verify;

pub use head::{Head, Signature, SignedHead};
pub use key::PublicKey;

use crate::domain::ids::JobId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Id of this format, in the first record of every ledger.
pub const FORMAT: &str = "cadmill-ledger/1";
/// Id of the head's format, in every head.
pub const HEAD_FORMAT: &str = "cadmill-ledger-head/1";

/// A ledger's id: the job, one of its attempts, and a part of that attempt.
///
/// - `attempt` counts from 1, like the job's attempts.
/// - `part` 0 is the attempt itself. Another worker that destroys the leftovers of a killed worker
///   writes its own ledger: part 1, 2, … of the same attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LedgerId {
    /// The job.
    pub job: JobId,
    /// The attempt of the job.
    pub attempt: u32,
    /// The part.
    pub part: u32,
}

impl LedgerId {
    /// The ledger of the attempt itself.
    pub fn of_attempt(job: JobId, attempt: u32) -> Self {
        Self { job, attempt, part: 0 }
    }

    /// The next part of the same attempt.
    #[must_use]
    pub fn next_part(self) -> Self {
        Self { part: self.part + 1, ..self }
    }
}

/// Formatted as `JOB/ATTEMPT/PART`, as in each record.
impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.job, self.attempt, self.part)
    }
}

/// The text is not a ledger id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected JOB/ATTEMPT/PART")]
pub struct LedgerIdError;

impl FromStr for LedgerId {
    type Err = LedgerIdError;

    fn from_str(text: &str) -> Result<Self, LedgerIdError> {
        let mut parts = text.split('/');
        let mut next = || parts.next().ok_or(LedgerIdError);
        let job = next()?.parse().map_err(|_| LedgerIdError)?;
        let mut number = || next()?.parse().map_err(|_| LedgerIdError);
        let id = Self { job, attempt: number()?, part: number()? };
        // There is only one spelling: no signs, no leading zeros, no suffix.
        if id.to_string() == text { Ok(id) } else { Err(LedgerIdError) }
    }
}

impl TryFrom<String> for LedgerId {
    type Error = LedgerIdError;

    fn try_from(text: String) -> Result<Self, LedgerIdError> {
        text.parse()
    }
}

impl From<LedgerId> for String {
    fn from(id: LedgerId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests;
pub mod timeline;
