//! Kinds of due work, and the parts into which it is divided.
//!
//! A store keeps the jobs that are due in parts, so that no part is written too often, that several
//! cleanup programs can share them, and that work of one kind does not wait for that of another.

use super::ids::JobId;
use super::job::Job;
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
}
