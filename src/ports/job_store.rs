//! Port: the records of jobs.
//!
//! A store does not decide. It writes what [`crate::domain::state`] decided, on condition that the
//! stored version is still the one the decision was based on.

use super::PortResult;
use crate::domain::crew::Crew;
use crate::domain::due::Part;
use crate::domain::ids::{JobId, Owner};
use crate::domain::job::{Job, Millis};
use crate::domain::quota::Usage;
use async_trait::async_trait;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Result of [`JobStore::create`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The job was stored.
    New,
    /// A job with this id already exists; this one.
    Exists(Box<Job>),
}

/// Result of [`JobStore::replace`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replaced {
    /// The job was stored.
    Done,
    /// The stored job has another version, or none is stored. It may be the very job that was to be
    /// written, if an earlier reply was lost.
    Conflict(Option<Box<Job>>),
}

/// Result of [`JobStore::replace_usage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageReplaced {
    /// The usage was stored.
    Done,
    /// The stored usage has another version, or none is stored. It may be the very one that was to be
    /// written, if an earlier reply was lost.
    Conflict(Option<Box<Usage>>),
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Newest first.
    pub jobs: Vec<Job>,
    /// Unreadable records on this page; they count towards the page size.
    pub unreadable: u32,
    /// Token of the next page; `None` on the last page. Opaque and URL-safe.
    pub next: Option<String>,
}

/// Due jobs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Due {
    /// The most overdue first.
    pub jobs: Vec<Job>,
    /// Due records that cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// Where the next page begins, if there may be more: the time at which the last job of this one is due.
    pub next: Option<Millis>,
}

/// An unreadable record: damaged, or written by another version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The job's id, as stored.
    pub id: String,
    /// The key by which the store finds the record.
    pub place: String,
    /// Whether another version wrote it, see [`super::PortError::Newer`]; otherwise it is damaged.
    pub is_newer: bool,
}

/// A wait for the writes of a store, by any process.
#[async_trait]
pub trait Writes: Send {
    /// Returns when a job may have been written since the last call, or since the wait began; a read sees
    /// that write. The last write of a process that dies may go unnoticed.
    async fn next(&mut self);
}

/// Stores the records of jobs.
///
/// - A write is atomic, and durable when the call returns.
/// - A read sees every completed write ([`JobStore::list`], [`JobStore::due`] and [`JobStore::get_many`] may
///   lag).
/// - [`super::PortError::Unknown`] means that a write may have happened.
/// - Reading an unreadable record by its id fails with [`super::PortError::Corrupt`], or with
///   [`super::PortError::Newer`] if another version wrote it. Such a record never hides others.
/// - What a record has of another version is stored again with each change ([`crate::domain::stored`]).
#[async_trait]
pub trait JobStore: Send + Sync {
    /// Stores a new job.
    async fn create(&self, job: &Job) -> PortResult<Created>;

    /// The job with this id.
    async fn get(&self, id: JobId) -> PortResult<Option<Job>>;

    /// The jobs with these ids, in any order and each once; without those that do not exist or cannot be read.
    /// May lag as [`JobStore::list`], so that a job may be older than one that was read before, or missing.
    async fn get_many(&self, ids: &[JobId]) -> PortResult<Vec<Job>>;

    /// A wait for writes that began now, for a caller on an async runtime; `None` if the store cannot say when
    /// it is written and must be read again instead.
    fn writes(&self) -> Option<Box<dyn Writes>>;

    /// Stores `next` if the stored job's version is `next.version - 1`.
    async fn replace(&self, next: &Job) -> PortResult<Replaced>;

    /// Deletes the record if it is still that of `job`: its id, its version and its time of creation;
    /// returns whether it did. A client may use an id again, and a request that is repeated after its
    /// reply was lost may meet the next job of this id.
    async fn delete(&self, job: &Job) -> PortResult<bool>;

    /// An owner's jobs, newest first, at most `limit`. `page` is the `next` token of an earlier
    /// page.
    ///
    async fn list(&self, owner: &Owner, page: Option<&str>, limit: u32) -> PortResult<Page>;

    /// Jobs of one part that are due within these times, the most overdue first, at most `limit`, and the
    /// unreadable records found on the way. A page that begins where the last one ended has the jobs again that
    /// are due at that very time.
    async fn due(&self, part: Part, times: RangeInclusive<Millis>, limit: u32) -> PortResult<Due>;

    /// Defers an unreadable record until `until`. The record itself is not changed.
    async fn set_aside(&self, record: &Unreadable, until: Millis) -> PortResult<()>;

    /// What this owner has in flight; `None` if that was never stored.
    async fn usage(&self, owner: &Owner) -> PortResult<Option<Usage>>;

    /// Stores `next` if the stored usage of its owner has the version `next.version - 1`, or if none
    /// is stored and `next.version` is 1.
    async fn replace_usage(&self, next: &Usage) -> PortResult<UsageReplaced>;

    /// The cleanup programs; `None` if there never was one.
    async fn crew(&self) -> PortResult<Option<Crew>>;

    /// Stores `next` if the stored crew has the version `next.version - 1`, or if none is stored and
    /// `next.version` is 1; returns whether it did.
    async fn replace_crew(&self, next: &Crew) -> PortResult<bool>;

    /// Minimum pause between writes that only report progress. `None` if a write is expensive:
    /// progress is then written with other changes, above all with the renewals of the lease.
    fn progress_interval(&self) -> Option<Duration>;

    /// Checks that the store responds.
    async fn check(&self) -> PortResult<()>;

    /// Checks that the store accepts writes, with a write that leaves nothing behind.
    async fn can_write(&self) -> PortResult<()>;
}
