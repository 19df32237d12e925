//! The ledgers of a job: which plaintext each attempt had, for how long, and how it ended; and the
//! deletions of everything that the object store had of the job.
//!
//! Pure: the records ([`record`]), their lines ([`line`]), hash chain and hidden names ([`chain`]),
//! heads and signatures ([`head`], [`key`]), verification of a ledger ([`verify`], [`finding`]),
//! the deletions that ledgers of a job record together ([`deletions`]), and its comparison with the sweeps that end other ledgers ([`citation`]) and with the name of its
//! file ([`place`]). `docs/AUDIT.md` describes the
//! format for anyone who verifies a ledger without this code. The formats are fixed: ledgers of older
//! versions must stay verifiable, so every change is a new [`Format`].

pub mod chain;
pub mod citation;
pub mod deletions;
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

/// The format of a ledger, in its first record. A ledger has the lowest one that has all its types of
/// records, so that older programs verify what they can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Ledgers of attempts and of sweeps.
    V1,
    /// Has the record of a deletion from the object store as well.
    V2,
}

impl Format {
    /// Every format, the oldest first.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// Beginning of the names of all formats, of later ones too.
    pub const PREFIX: &str = "cadmill-ledger/";

    /// The format in which this ledger is written.
    pub fn of(ledger: LedgerId) -> Self {
        if ledger.is_of_deletions() { Self::V2 } else { Self::V1 }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "cadmill-ledger/1",
            Self::V2 => "cadmill-ledger/2",
        }
    }

    /// The format of this name.
    pub fn read(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }

    /// Whether this is the name of a format that another version of cadmill may know.
    pub fn is_unknown(name: &str) -> bool {
        let number = name.strip_prefix(Self::PREFIX);
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        Self::read(name).is_none() && number.is_some_and(is_number)
    }
}

/// Id of the head's format, in every head.
pub const HEAD_FORMAT: &str = "cadmill-ledger-head/1";

/// A ledger's id: the job, one of its attempts, and a part of that attempt.
///
/// - `attempt` counts from 1, like the job's attempts. 0 stands for the deletions of the job's objects,
///   which belong to no attempt: a job that no worker claimed has them too.
/// - `part` 0 is the attempt itself. Another worker that destroys the leftovers of a killed worker
///   writes its own ledger: part 1, 2, … of the same attempt. Deletions are parts 1, 2, … of attempt 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LedgerId {
    /// The job.
    pub job: JobId,
    /// The attempt of the job; 0 for deletions.
    pub attempt: u32,
    /// The part.
    pub part: u32,
}

impl LedgerId {
    /// The ledger of the attempt itself.
    pub fn of_attempt(job: JobId, attempt: u32) -> Self {
        Self { job, attempt, part: 0 }
    }

    /// What the ledgers of the job's deletions follow, if `part` of them are known.
    pub fn of_deletions(job: JobId, part: u32) -> Self {
        Self { job, attempt: 0, part }
    }

    /// Whether this is the ledger of a deletion.
    pub fn is_of_deletions(self) -> bool {
        self.attempt == 0
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
