//! What a pass of the cleanup did.

use crate::domain::job::Millis;
use std::fmt;

/// Counts of one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// Jobs whose upload did not arrive in time.
    pub expired: u64,
    /// Uploads that were announced to the workers again.
    pub announced: u64,
    /// Deleted objects, counting each version.
    pub objects: u64,
    /// Unfinished multipart uploads that were aborted.
    pub uploads: u64,
    /// Deleted records.
    pub records: u64,
    /// Jobs whose cleanup failed, or whose deletion is not in a ledger yet; they are due again later.
    pub failed: u64,
    /// Damaged records; they are due again in an hour.
    pub unreadable: u64,
    /// Records of another version, which are left to it; they are due again in a minute.
    pub newer: u64,
    /// Parts whose due jobs could not be listed.
    pub unlisted: u64,
    /// How long the most overdue job to delete, and the most overdue one to wake, were due when they
    /// were listed, in milliseconds.
    pub overdue: [Millis; 2],
}

impl Round {
    pub(super) fn add(&mut self, other: &Self) {
        self.expired += other.expired;
        self.announced += other.announced;
        self.objects += other.objects;
        self.uploads += other.uploads;
        self.records += other.records;
        self.failed += other.failed;
        self.unreadable += other.unreadable;
        self.newer += other.newer;
        self.unlisted += other.unlisted;
        for (one, another) in self.overdue.iter_mut().zip(other.overdue) {
            *one = (*one).max(another);
        }
    }

    /// Whether nothing was due.
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }

    /// Whether all that was due was done.
    pub fn is_whole(&self) -> bool {
        (self.failed, self.unlisted, self.unreadable, self.newer) == (0, 0, 0, 0)
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            expired, announced, objects, uploads, records, failed, unreadable, newer, unlisted, ..
        } = self;
        write!(
            f,
            "deleted {objects} objects, {uploads} unfinished uploads and {records} records; expired {expired} jobs; \
             announced {announced}; {failed} failed, {unreadable} unreadable, {newer} left to another version, \
             {unlisted} parts not listed"
        )
    }
}
