//! The ledger of an attempt: which plaintext existed, for how long, and how it ended.
//!
//! Pure: what a record is ([`record`]), how it becomes a line ([`line`]), how lines
//! are chained and names hidden ([`chain`]), what a head is and who signed it
//! ([`head`], [`key`]), whether a ledger holds ([`verify`]), and whether the sweeps that
//! end others fit them ([`citation`]). `docs/AUDIT.md`
//! describes the format for those who check it without this code. The format is
//! fixed: what an older version wrote must verify for ever, so a change is a new
//! [`FORMAT`].

pub mod chain;
pub mod citation;
pub mod head;
pub mod key;
pub mod line;
pub mod record;
pub mod verify;

pub use head::{Head, Signature, SignedHead};
pub use key::PublicKey;

use crate::domain::ids::JobId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Name of this format, in the first record of every ledger.
pub const FORMAT: &str = "cadmill-ledger/1";
/// Name of the head's format, in every head.
pub const HEAD_FORMAT: &str = "cadmill-ledger-head/1";

/// Which ledger: of a job, of one of its attempts, and which part of that.
///
/// - `attempt` counts from 1, as the job's own does.
/// - `part` 0 is the attempt itself. What a killed worker left is destroyed by
///   another, in a ledger of its own: part 1, 2, … of the same attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LedgerId {
    /// The job.
    pub job: JobId,
    /// Its attempt.
    pub attempt: u32,
    /// The part.
    pub part: u32,
}

impl LedgerId {
    /// The ledger of the attempt itself.
    pub fn of_attempt(job: JobId, attempt: u32) -> Self {
        Self { job, attempt, part: 0 }
    }

    /// The same attempt, the next part.
    #[must_use]
    pub fn next_part(self) -> Self {
        Self { part: self.part + 1, ..self }
    }
}

/// `JOB/ATTEMPT/PART`, as each record has it.
impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.job, self.attempt, self.part)
    }
}

/// The text is no name of a ledger.
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
        // One way to write it: no signs, no leading zeros, nothing behind.
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
