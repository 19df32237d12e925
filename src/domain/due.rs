//! Kinds of due work, and the parts into which it is divided.
//!
//! A store keeps the jobs that are due in parts, so that no part is written too often, that several
//! cleanup programs can share them, and that work of one kind does not wait for that of another.

use super::ids::JobId;
use super::job::{Job, Millis};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// A kind of due work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// To delete what belongs to a job that has ended, and finally its record.
    Delete,
    /// To wake a job that makes no progress: its upload, event or worker may be lost.
    Wake,
}

impl Work {
    /// Every kind, in the order in which it is done: what is confidential first.
    pub const ALL: [Self; 2] = [Self::Delete, Self::Wake];

    /// What a job waits for.
    pub fn of(job: &Job) -> Self {
        if job.state.is_terminal() { Self::Delete } else { Self::Wake }
    }

    /// Its name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Wake => "wake",
        }
    }
}

/// Number of parts for each kind of work. A partition of an index in DynamoDB takes 1000 write units a
/// second, and one that is written more often also throttles the writes of the table (Amazon DynamoDB
/// Developer Guide, "Using global secondary indexes: throttling").
pub const SHARDS: u8 = 64;

/// A part of the due work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// The kind.
    pub work: Work,
    /// From 0 to [`SHARDS`] - 1.
    pub shard: u8,
}

impl Part {
    /// That of a job.
    pub fn of(job: &Job) -> Self {
        Self::with(Work::of(job), job.id)
    }

    /// That of a job with this id, which waits for this.
    pub fn with(work: Work, id: JobId) -> Self {
        Self { work, shard: shard(id) }
    }

    /// Every part: each kind in turn.
    pub fn all() -> impl Iterator<Item = Self> {
        Work::ALL.into_iter().flat_map(|work| (0..SHARDS).map(move |shard| Self { work, shard }))
    }
}

/// Its name in a store, e.g. `d07`.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.work {
            Work::Delete => 'd',
            Work::Wake => 'w',
        };
        write!(f, "{letter}{:02}", self.shard)
    }
}

/// The shard of a job. Ids are hashed, because clients may choose them.
fn shard(id: JobId) -> u8 {
    Sha256::digest(id.to_string())[0] % SHARDS
}

/// Why a job is not served although it is due: an earlier attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Number of attempts that failed, one after the other.
    pub tries: u32,
    /// When it is tried again.
    pub at: Millis,
}

impl Retry {
    /// The pause after the first failure, and the longest one, in milliseconds.
    const FIRST: Millis = 10_000;
    const LONGEST: Millis = 10 * 60_000;

    /// After another failure: each pause is twice the one before, so that a job that cannot be served
    /// is not always the most overdue.
    #[must_use]
    pub fn after(before: Option<Self>, now: Millis) -> Self {
        let tries = before.map_or(0, |retry| retry.tries).saturating_add(1);
        let pause = Self::FIRST.saturating_mul(1 << (tries - 1).min(16)).min(Self::LONGEST);
        Self { tries, at: now.saturating_add(pause) }
    }

    /// When it was due at first, if each attempt came at its time.
    pub fn since(self) -> Millis {
        let pauses = (0..self.tries.min(100)).map(|before| {
            Self::after((before > 0).then_some(Self { tries: before, at: 0 }), 0).at
        });
        self.at.saturating_sub(pauses.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn parts_have_names_of_their_own_and_ids_are_spread() {
        let names: BTreeSet<String> = Part::all().map(|part| part.to_string()).collect();
        assert_eq!((names.len(), names.first().unwrap().as_str()), (128, "d00"));
        let mut counts = [0u32; SHARDS as usize];
        for number in 0..6400u16 {
            let [high, low] = number.to_be_bytes();
            let mut bytes = [7; 16];
            (bytes[14], bytes[15]) = (high, low);
            counts[usize::from(shard(JobId::from_random_bytes(bytes)))] += 1;
        }
        assert!(counts.iter().all(|count| (50..200).contains(count)), "{counts:?}");
    }

    #[test]
    fn pauses_double_up_to_ten_minutes() {
        let mut retry = None;
        let pauses: Vec<Millis> = (0..9)
            .map(|_| {
                let next = Retry::after(retry, 5);
                retry = Some(next);
                (next.at - 5) / 1000
            })
            .collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert_eq!(Retry { tries: 3, at: 100_000 }.since(), 30_000);
        assert_eq!(Retry::after(Some(Retry { tries: u32::MAX, at: 0 }), 0).tries, u32::MAX);
    }
}
