//! Port: the records of jobs.
//!
//! A store does not judge. It keeps what [`crate::domain::state`] decided, on one
//! condition: that what was judged is still what is stored.

use super::PortResult;
use crate::domain::ids::{JobId, Owner};
use crate::domain::job::{Job, Millis};
use async_trait::async_trait;

/// Answer to [`JobStore::create`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It is stored.
    New,
    /// A job of this id is there already; this one.
    Exists(Box<Job>),
}

/// Answer to [`JobStore::replace`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replaced {
    /// It is stored.
    Done,
    /// The stored job has another version, or there is none. It may be the very
    /// one that was to be written, when an earlier reply was lost.
    Conflict(Option<Box<Job>>),
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Newest first.
    pub jobs: Vec<Job>,
    /// Records of the page that cannot be read; they take the place of jobs.
    pub unreadable: u32,
    /// Where the next page begins; none when this is the last. Opaque, and safe
    /// in a URL.
    pub next: Option<String>,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Due {
    /// The most overdue first.
    pub jobs: Vec<Job>,
    /// Records that are due and cannot be read.
    pub unreadable: Vec<Unreadable>,
}

/// A record that cannot be read: damaged, or written by a newer version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The job's id, as the store has it.
    pub id: String,
    /// What the store finds the record by.
    pub place: String,
}

/// Keeps the records of jobs.
///
/// - A write is atomic and durable when the call returns.
/// - A read after a write sees it ([`JobStore::list`] and [`JobStore::due`] may lag).
/// - [`super::PortError::Unknown`] is for a write that may have happened.
/// - A record that cannot be read is [`super::PortError::Corrupt`] where it is asked for by
///   its id, and hides no other.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// Stores a new job.
    async fn create(&self, job: &Job) -> PortResult<Created>;

    /// The job of this id.
    async fn get(&self, id: JobId) -> PortResult<Option<Job>>;

    /// Stores `next` if the stored job's version is `next.version - 1`.
    async fn replace(&self, next: &Job) -> PortResult<Replaced>;

    /// Deletes the record if it still has this version; says whether it did.
    async fn delete(&self, id: JobId, version: u64) -> PortResult<bool>;

    /// An owner's jobs, newest first, at most `limit` of them, from where `page`,
    /// the `next` of an earlier answer, says.
    ///
    /// # Errors
    /// [`super::PortError::NotFound`] for a `page` that this store did not give.
    async fn list(&self, owner: &Owner, page: Option<&str>, limit: u32) -> PortResult<Page>;

    /// Jobs whose `due` is `now` or earlier, the most overdue first, at most `limit`,
    /// and beside them the unreadable records that were found on the way.
    async fn due(&self, now: Millis, limit: u32) -> PortResult<Due>;

    /// Keeps an unreadable record from being due before `until`. The record itself
    /// stays as it is.
    async fn set_aside(&self, record: &Unreadable, until: Millis) -> PortResult<()>;

    /// Whether the store answers.
    async fn check(&self) -> PortResult<()>;

    /// Whether the store takes writes: makes one that leaves nothing behind.
    async fn can_write(&self) -> PortResult<()>;
}
