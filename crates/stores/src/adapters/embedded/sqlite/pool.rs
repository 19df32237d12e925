//! The connections of one file, each on its own thread, because SQLite blocks.
//!
//! One thread writes, so that the writes of a process queue up here and not in SQLite's busy
//! handler, which sleeps. A few threads read; in WAL mode readers wait for no writer. Each write
//! is one IMMEDIATE transaction: it either has the write lock from its first statement or fails
//! as a whole.
//!
//! `secure_delete`: a row that is deleted is overwritten with zeros in its page. The write-ahead log still
//! has the page as it was, so it is written back and emptied soon after a deletion, also one of another
//! process that died: within [`QUIET`] of the last write, and within [`LATEST`] under load.
//!
//! `synchronous=FULL`: a commit is on the disk before it is confirmed. NORMAL would be enough for
//! a killed process, but a power failure could undo a commit that was confirmed to the client.
//! The cost is one fsync per write.

use cadmill_core::ports::{PortError, PortResult};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a statement waits for a lock of another process.
const BUSY: Duration = Duration::from_secs(5);
/// How long a file that is not shared may still be held by a predecessor.
const HANDOVER: Duration = Duration::from_secs(2);
/// How long no work comes until the log is emptied after a deletion, and the longest time until then.
const QUIET: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(10);
/// How long the emptying of the log waits for the readers of other processes.
const EMPTYING: Duration = Duration::from_millis(100);
/// Connections that read.
const READERS: usize = 2;
/// Files up to this size, in bytes, are checked completely when they are opened: that takes less
/// than a second.
const CHECKED_BYTES: u64 = 64 << 20;

const OPENING: &str = "opening the database";

/// Shared by the writes of this process, in a build with debug assertions.
static WRITES: RwLock<()> = RwLock::new(());

/// Waits for the writes of this process, and keeps new ones back until the guard is dropped. A
/// process that is stopped in the middle of a write keeps SQLite's lock, so that no other process
/// can open the file.
pub(super) fn pause_writes() -> RwLockWriteGuard<'static, ()> {
    WRITES.write().unwrap_or_else(PoisonError::into_inner)
}

/// The contents of a kind of file.
pub(in crate::adapters::embedded) struct Schema {
    /// Identifies files of this application (`PRAGMA application_id`).
    pub(in crate::adapters::embedded) application: i64,
    /// Creates the tables of version 1 (`PRAGMA user_version`) in an empty file.
    pub(in crate::adapters::embedded) tables: &'static str,
    /// The n-th one makes the tables of version n + 1 from those of version n, counted from 1.
    pub(in crate::adapters::embedded) upgrades: &'static [&'static str],
    /// Runs at each opening, in the transaction that checks the tables.
    pub(in crate::adapters::embedded) begin: fn(&Connection) -> rusqlite::Result<()>,
}

/// Whether the tables are created in a file without tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::adapters::embedded) enum Make {
    /// They are.
    IfEmpty,
    /// They are not: the file is damaged, because other files show that it had tables.
    Never,
}

/// Who may open the file at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::adapters::embedded) enum Sharing {
    /// Other processes too.
    Processes,
    /// One connection of one process: a second one fails as busy.
    Nobody,
}

/// Why work on a connection failed: an error of SQLite, or of the data that was found.
pub(in crate::adapters::embedded) enum Fault {
    Sql(rusqlite::Error),
    Port(PortError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<PortError> for Fault {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl Schema {
    /// Version of the tables.
    fn version(&self) -> i64 {
        i64::try_from(self.upgrades.len()).unwrap_or(i64::MAX).saturating_add(1)
    }
}

type Task = Box<dyn FnOnce(&mut Connection) + Send>;

/// What follows a commit.
pub(in crate::adapters::embedded) trait Then: Send + 'static {
    /// The work is committed.
    fn committed(&self);
}

struct Nothing;

impl Then for Nothing {
    fn committed(&self) {}
}

/// The connections. Their threads end when the last clone of the senders is gone.
pub(in crate::adapters::embedded) struct Pool {
    writer: Sender<Task>,
    readers: Sender<Task>,
    /// Whether the log may have rows that were deleted.
    deleted: Arc<AtomicBool>,
}

impl Pool {
    /// Opens or creates the file.
    pub(in crate::adapters::embedded) fn open(
        path: &Path,
        schema: &Schema,
        sharing: Sharing,
        make: Make,
    ) -> PortResult<Self> {
        if make == Make::Never && !path.exists() {
            return Err(damaged(path, "it does not exist"));
        }
        create_private(path)?;
        let open = || connect(path, sharing).map_err(|e| opening(path, port_error(OPENING, &e, false)));
        let mut first = open()?;
        prepare(&mut first, schema, make).map_err(|error| opening(path, error))?;
        if path.metadata().is_ok_and(|file| file.len() <= CHECKED_BYTES) {
            check(&first).map_err(|error| opening(path, error))?;
        }
        // Another process may have died after a deletion. A file that is not shared has an owner that
        // empties the log when it opens it.
        let deleted = Arc::new(AtomicBool::new(sharing == Sharing::Processes));
        if sharing == Sharing::Nobody {
            let writer = start(vec![first], Some(&deleted))?;
            return Ok(Self { readers: writer.clone(), writer, deleted });
        }
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let reader = open()?;
            reader
                .execute_batch("PRAGMA query_only = ON")
                .map_err(|e| opening(path, port_error(OPENING, &e, false)))?;
            readers.push(reader);
        }
        let writer = start(vec![first], Some(&deleted))?;
        Ok(Self { writer, readers: start(readers, None)?, deleted })
    }

    /// As [`Self::write`], for work that deletes what must not stay in the log.
    pub(in crate::adapters::embedded) async fn delete<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> PortResult<T> {
        let deleted = Arc::clone(&self.deleted);
        self.write(operation, move |connection| {
            // Before the commit, so that it is not forgotten if the reply is lost.
            deleted.store(true, Ordering::Relaxed);
            work(connection)
        })
        .await
    }

    /// Runs the work in a transaction and commits it. If the work fails, its changes are rolled
    /// back.
    pub(in crate::adapters::embedded) async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> PortResult<T> {
        self.write_then(operation, Nothing, work).await
    }

    /// As [`Self::write`]; the writing thread does `then` after the commit, whether or not the caller still
    /// waits.
    pub(in crate::adapters::embedded) async fn write_then<T: Send + 'static>(
        &self,
        operation: &'static str,
        then: impl Then,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> PortResult<T> {
        run(&self.writer, operation, move |connection| {
            let inner = || {
                let _writes = cfg!(debug_assertions).then(|| WRITES.read());
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let value = work(&transaction)?;
                transaction.commit()?;
                then.committed();
                Ok(value)
            };
            inner().map_err(|fault| told(operation, fault, true))
        })
        .await
    }

    /// Runs the work outside of a transaction: one statement that reads.
    pub(in crate::adapters::embedded) async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> PortResult<T> {
        run(&self.readers, operation, move |connection| {
            work(connection).map_err(|fault| told(operation, fault, false))
        })
        .await
    }
}

async fn run<T: Send + 'static>(
    lane: &Sender<Task>,
    operation: &'static str,
    work: impl FnOnce(&mut Connection) -> PortResult<T> + Send + 'static,
) -> PortResult<T> {
    let (reply, answer) = oneshot::channel();
    let task: Task = Box::new(move |connection| {
        // The caller no longer waits, so the work is not started.
        if !reply.is_closed() {
            let _ = reply.send(work(connection));
        }
    });
    lane.send(task)
        .map_err(|_| PortError::Unavailable { operation, reason: "the database is closed".to_owned() })?;
    answer
        .await
        .map_err(|_| PortError::Unknown { operation, reason: "the database's thread failed".to_owned() })?
}

/// Starts a thread for each connection; the threads take tasks from one queue. With `deleted`, which is for
/// one connection, the thread empties the log after a deletion.
fn start(connections: Vec<Connection>, deleted: Option<&Arc<AtomicBool>>) -> PortResult<Sender<Task>> {
    let (sender, receiver) = mpsc::channel::<Task>();
    let receiver = Arc::new(Mutex::new(receiver));
    for mut connection in connections {
        let receiver = receiver.clone();
        let mut log = deleted.map(|deleted| Log { deleted: Arc::clone(deleted), since: None });
        let work = move || {
            loop {
                let task = match (receiver.lock(), &mut log) {
                    (Ok(tasks), Some(log)) => log.next(&tasks, &mut connection),
                    (Ok(tasks), None) => tasks.recv().ok(),
                    (Err(_), _) => return,
                };
                let Some(task) = task else { return };
                // A panic rolls its transaction back and is reported as an unknown outcome; the
                // connection serves the next task.
                let _ = catch_unwind(AssertUnwindSafe(|| task(&mut connection)));
            }
        };
        std::thread::Builder::new().name("cadmill-sqlite".to_owned()).spawn(work).map_err(|error| {
            PortError::Unavailable { operation: "opening the database", reason: error.kind().to_string() }
        })?;
    }
    Ok(sender)
}

/// When the log of a file is emptied.
struct Log {
    deleted: Arc<AtomicBool>,
    /// When a deletion was first seen.
    since: Option<Instant>,
}

impl Log {
    /// The next task. Empties the log before it when that is due; `None` at the end.
    fn next(&mut self, tasks: &Receiver<Task>, connection: &mut Connection) -> Option<Task> {
        loop {
            if !self.deleted.load(Ordering::Relaxed) {
                return tasks.recv().ok();
            }
            let since = *self.since.get_or_insert_with(Instant::now);
            let wait = LATEST.saturating_sub(since.elapsed()).min(QUIET);
            match tasks.recv_timeout(wait) {
                Ok(task) => return Some(task),
                Err(RecvTimeoutError::Timeout) => self.empty(connection),
                Err(RecvTimeoutError::Disconnected) => {
                    self.empty(connection);
                    return None;
                }
            }
        }
    }

    fn empty(&mut self, connection: &Connection) {
        let _writes = cfg!(debug_assertions).then(|| WRITES.read());
        self.since = None;
        // Before: a deletion of another thread is not forgotten.
        self.deleted.store(false, Ordering::Relaxed);
        let busy = || {
            connection.busy_timeout(EMPTYING)?;
            let busy =
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
            connection.busy_timeout(BUSY)?;
            busy
        };
        if busy().unwrap_or(true) {
            self.deleted.store(true, Ordering::Relaxed);
        }
    }
}

/// Created first, because SQLite gives its side files the mode of the main file.
fn create_private(path: &Path) -> PortResult<()> {
    let make = || {
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        // Opening a pipe would wait for its other end.
        if path.metadata().is_ok_and(|there| !there.is_file()) {
            return Ok(false);
        }
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok(true)
    };
    match make() {
        Ok(true) => Ok(()),
        Ok(false) => Err(damaged(path, "it is not a regular file")),
        Err(error) => Err(unusable(path, &error)),
    }
}

/// A file that cannot be opened or written; its content may be complete.
fn unusable(path: &Path, error: &std::io::Error) -> PortError {
    PortError::Refused { operation: OPENING, reason: format!("{}: {}", path.display(), error.kind()) }
}

/// A file whose content is damaged or incomplete.
pub(in crate::adapters::embedded) fn damaged(path: &Path, reason: &str) -> PortError {
    PortError::Damaged { file: path.display().to_string(), reason: reason.to_owned() }
}

/// An error while opening, with the name of the file.
fn opening(path: &Path, error: PortError) -> PortError {
    match error {
        PortError::Corrupt { reason, .. } => damaged(path, &reason),
        PortError::Refused { operation, reason } => {
            PortError::Refused { operation, reason: format!("{}: {reason}", path.display()) }
        }
        other => other,
    }
}

/// Reads the whole file: damage is reported at the start, not by a later request.
fn check(connection: &Connection) -> PortResult<()> {
    let found = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match found {
        Ok(found) if found == "ok" => Ok(()),
        Ok(_) => Err(PortError::Corrupt {
            operation: OPENING,
            reason: "its pages contradict one another (PRAGMA quick_check)".to_owned(),
        }),
        Err(error) => Err(port_error(OPENING, &error, false)),
    }
}

fn connect(path: &Path, sharing: Sharing) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(match sharing {
        Sharing::Processes => BUSY,
        Sharing::Nobody => HANDOVER,
    })?;
    if sharing == Sharing::Nobody {
        connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE")?;
    }
    // Deleted rows are overwritten with zeros: records and messages contain names from clients.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;
         PRAGMA journal_size_limit = 0; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}

/// Creates the tables, or makes those of this version from those of an earlier one.
fn prepare(connection: &mut Connection, schema: &Schema, make: Make) -> PortResult<()> {
    let refused = |reason: String| Err(Fault::Port(PortError::Refused { operation: OPENING, reason }));
    let corrupt =
        |reason: &str| Err(Fault::Port(PortError::Corrupt { operation: OPENING, reason: reason.to_owned() }));
    let mut inner = || {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let pragma = |name: &str| transaction.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0));
        let (application, version): (i64, i64) = (pragma("application_id")?, pragma("user_version")?);
        let tables: i64 =
            transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let ours = application == schema.application;
        if !ours && (application != 0 || version != 0 || tables != 0) {
            return refused("the file belongs to another application".to_owned());
        }
        if version > schema.version() {
            return refused(format!(
                "the file has schema version {version}, this build supports at most {}: use a newer cadmill",
                schema.version()
            ));
        }
        if version == 0 {
            if make == Make::Never {
                return corrupt("it is empty; its write-ahead log (-wal) may be missing");
            }
            transaction.execute_batch(schema.tables)?;
        }
        if ours && tables == 0 {
            return corrupt("it has no tables");
        }
        if version < schema.version() {
            let done = usize::try_from(version.max(1) - 1).unwrap_or_default();
            for upgrade in schema.upgrades.iter().skip(done) {
                transaction.execute_batch(upgrade)?;
            }
            transaction.execute_batch(&format!(
                "PRAGMA application_id = {}; PRAGMA user_version = {};",
                schema.application,
                schema.version()
            ))?;
        }
        (schema.begin)(&transaction)?;
        transaction.commit()?;
        Ok(())
    };
    inner().map_err(|fault| told(OPENING, fault, false))
}

fn told(operation: &'static str, fault: Fault, writing: bool) -> PortError {
    match fault {
        Fault::Port(error) => error,
        Fault::Sql(error) => port_error(operation, &error, writing),
    }
}

/// Converts an error of SQLite: did the call take effect? Its message is left out, because it may
/// quote what was to be stored.
pub(in crate::adapters::embedded) fn port_error(
    operation: &'static str,
    error: &rusqlite::Error,
    writing: bool,
) -> PortError {
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        // A column of another type, text that is not UTF-8, or a missing row.
        return PortError::Corrupt { operation, reason: "a row is not of the expected form".to_owned() };
    };
    let reason = format!("SQLite {:?}, code {}", failure.code, failure.extended_code);
    match failure.code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::SchemaChanged
        | ErrorCode::OutOfMemory
        | ErrorCode::OperationInterrupted
        | ErrorCode::DiskFull => PortError::Unavailable { operation, reason },
        // The log may contain the commit although the fsync after it failed.
        ErrorCode::SystemIoFailure if writing => PortError::Unknown { operation, reason },
        ErrorCode::SystemIoFailure => PortError::Unavailable { operation, reason },
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => PortError::Corrupt { operation, reason },
        _ => PortError::Refused { operation, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some("UNIQUE: secret.zip".to_owned()))
    }

    #[test]
    fn an_error_says_what_is_known_of_the_effect() {
        use rusqlite::ffi::{SQLITE_BUSY, SQLITE_CORRUPT, SQLITE_FULL, SQLITE_IOERR, SQLITE_READONLY};
        let of = |code, writing| port_error("x", &failure(code), writing);
        assert!(matches!(of(SQLITE_FULL, true), PortError::Unavailable { .. }));
        assert!(matches!(of(SQLITE_BUSY, true), PortError::Unavailable { .. }));
        assert!(matches!(of(SQLITE_IOERR, true), PortError::Unknown { .. }));
        assert!(matches!(of(SQLITE_IOERR, false), PortError::Unavailable { .. }));
        assert!(matches!(of(SQLITE_READONLY, true), PortError::Refused { .. }));
        assert!(matches!(of(SQLITE_CORRUPT, true), PortError::Corrupt { .. }));
        assert!(!of(SQLITE_FULL, true).to_string().contains("secret"));
    }
}
