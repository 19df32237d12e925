//! Jobs and queue in one SQLite file that the processes of one machine share.
//!
//! The file is the only state: nothing is cached between calls, so that a process may be killed
//! at any instruction and another one sees all confirmed writes. It must be on a local file
//! system, because SQLite's write-ahead log is shared through memory.

mod jobs;
pub(super) mod pool;
mod queue;
mod writes;

pub use jobs::SqliteJobs;
pub use queue::SqliteQueue;

use cadmill_core::ports::{PortError, PortResult};
use pool::{Pool, Schema};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Notify;

/// `record` is the job or the usage as JSON; the other columns are the ones that are searched. `due` is in milliseconds since 1970, `visible_at` since the machine started.
const SCHEMA: Schema = Schema {
    application: 0x0cad_0001,
    tables: "
        CREATE TABLE settings(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
        INSERT INTO settings VALUES('page_key', randomblob(32));
        CREATE TABLE jobs(
            id TEXT PRIMARY KEY, owner TEXT NOT NULL, created INTEGER NOT NULL, state TEXT NOT NULL,
            version INTEGER NOT NULL, due INTEGER, record TEXT NOT NULL);
        CREATE INDEX jobs_by_owner ON jobs(owner, created, id);
        CREATE INDEX jobs_by_due ON jobs(due, id) WHERE due IS NOT NULL;
        CREATE TABLE messages(
            id TEXT PRIMARY KEY, body TEXT NOT NULL, visible_at INTEGER NOT NULL,
            deliveries INTEGER NOT NULL DEFAULT 0, receipt TEXT);
        CREATE INDEX messages_by_time ON messages(visible_at);
        CREATE TABLE dead_letters(
            id TEXT PRIMARY KEY, body TEXT NOT NULL, deliveries INTEGER NOT NULL, buried_at INTEGER NOT NULL);
    ",
    upgrades: &[
        "CREATE TABLE usage(owner TEXT PRIMARY KEY, version INTEGER NOT NULL, record TEXT NOT NULL);",
        // An owner with messages has a turn, the lowest is served next. Who comes, and who was served,
        // gets the highest.
        "ALTER TABLE messages ADD COLUMN owner TEXT NOT NULL DEFAULT '';
         CREATE INDEX messages_by_owner ON messages(owner, visible_at);
         CREATE TABLE turns(owner TEXT PRIMARY KEY, turn INTEGER NOT NULL) WITHOUT ROWID;
         CREATE INDEX turns_in_order ON turns(turn);
         INSERT INTO turns SELECT DISTINCT owner, 1 FROM messages;
         CREATE TRIGGER message_came AFTER INSERT ON messages BEGIN
             INSERT OR IGNORE INTO turns
             SELECT new.owner, (SELECT coalesce(max(turn), 0) + 1 FROM turns);
         END;
         CREATE TRIGGER message_left AFTER DELETE ON messages
         WHEN NOT EXISTS(SELECT 1 FROM messages WHERE owner = old.owner) BEGIN
             DELETE FROM turns WHERE owner = old.owner;
         END;",
        // The part of the due work that a job belongs to. Those of earlier records are one part of each
        // kind until the records change.
        "ALTER TABLE jobs ADD COLUMN part TEXT NOT NULL DEFAULT 'd00';
         UPDATE jobs SET part = 'w00' WHERE state IN ('PENDING', 'PROCESSING');
         DROP INDEX jobs_by_due;
         CREATE INDEX jobs_by_part ON jobs(part, due, id) WHERE due IS NOT NULL;
         CREATE TABLE crew(one INTEGER PRIMARY KEY CHECK(one = 1), version INTEGER NOT NULL, record TEXT NOT NULL);",
    ],
    begin: queue::begin,
};

/// An open database file. Clones share its connections.
#[derive(Clone)]
pub struct Database {
    pool: Arc<Pool>,
    mark: writes::Mark,
    sent: Arc<Notify>,
    max_deliveries: u32,
}

impl Database {
    /// Opens the file, or creates it (mode 0600) with its parent directories (mode 0700). A
    /// message that was delivered `max_deliveries` times (at least one) becomes a dead letter
    /// instead of being delivered again. Blocks: call it at start.
    ///
    /// # Errors
    /// [`cadmill_core::ports::PortError::Refused`] for a file that cannot be opened, belongs to
    /// another application, or was created by a newer version;
    /// [`cadmill_core::ports::PortError::Damaged`] for one that is not a database, or is
    /// incomplete.
    pub fn open(path: &Path, max_deliveries: u32) -> PortResult<Self> {
        let opened = Pool::open(path, &SCHEMA, pool::Sharing::Processes, pool::Make::IfEmpty);
        let pool = opened.map_err(|error| advise(path, error))?;
        Ok(Self {
            pool: Arc::new(pool),
            mark: writes::Mark::of(path),
            sent: Arc::new(Notify::new()),
            max_deliveries: max_deliveries.max(1),
        })
    }

    /// Waits for the writes of this process to any of these files, and keeps new ones back until the
    /// guard is dropped, so that a test can stop the process while others use the file. Without debug
    /// assertions it waits for nothing.
    #[must_use]
    pub fn pause_writes() -> impl Drop {
        pool::pause_writes()
    }

    /// The job store in it.
    pub fn jobs(&self) -> SqliteJobs {
        SqliteJobs::new(self.pool.clone(), self.mark.clone())
    }

    /// The queue in it.
    pub fn queue(&self) -> SqliteQueue {
        SqliteQueue::new(self.pool.clone(), self.sent.clone(), self.max_deliveries)
    }
}

/// Adds what is lost, and how to continue, to the error.
fn advise(path: &Path, error: PortError) -> PortError {
    let PortError::Damaged { file, reason } = error else { return error };
    let path = path.display();
    PortError::Damaged {
        file,
        reason: format!(
            "{reason}. It has the records of all jobs, and their queue. Put back a copy, with its -wal file if there \
             was one; or give the jobs up: move {path}, {path}-wal and {path}-shm to another directory and start \
             again. The objects of jobs that are lost are reported then, and deleted after \
             api.upload_url_lifetime and job.linger"
        ),
    }
}

#[cfg(test)]
mod tests;
