//! The workspace's interface to the ledger: every operation on plaintext is announced before it is
//! done and its result is recorded afterwards.
//!
//! Operations that create plaintext fail closed: without a recorded intent, nothing is created.
//! Operations that destroy plaintext never wait for the ledger. Files are identified by their
//! [`Inode`], because an engine may have renamed them; a second name of a file counts as a separate
//! file. Without a ledger, as with `cadmill convert` unless it has `--audit`, the operations are the
//! same and nothing is recorded.

use super::wipe::Overwritten;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ledger::chain::ContentDigest;
use cadmill_core::domain::ledger::record::{FileId, FileRole, Kind};
use cadmill_core::domain::limits::MAX_WRITTEN_FILES;
use cadmill_core::ledger::{IntentId, Ledger, NewFile};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The ledger's name for the way files are overwritten: once, with zeros.
const METHOD: &str = "zeros-1";

/// Maximum number of entries made by an engine that get their own records: what two runs of an
/// engine may make, and some that it makes until it is killed for exceeding the limit.
const MAX_FOUND: u64 = 2 * MAX_WRITTEN_FILES + 1000;

/// Records operations in a ledger, if there is one. Clones share it.
#[derive(Clone, Default)]
pub(super) struct LedgerRecorder(Option<Arc<Inner>>);

struct Inner {
    ledger: Arc<Ledger>,
    /// The existing files and directories, by inode.
    there: Mutex<HashMap<Inode, FileId>>,
    /// Number of entries found, including those without a record.
    found: AtomicU64,
    /// Entries without a record that were destroyed, and failed attempts to do so.
    destroyed: AtomicU64,
    failed: AtomicU64,
}

/// The number of entries without a record. They are destroyed like all others.
const UNLISTED: FileId = 0;

/// The incident that reports the entries without a record.
const UNLISTED_CODE: &str = "file.unlisted";

/// An entry that the worker did not create.
pub(super) struct Found<'a> {
    pub(super) kind: Kind,
    pub(super) role: FileRole,
    pub(super) parent: FileId,
    pub(super) name: &'a [u8],
    pub(super) bytes: u64,
    pub(super) inode: Inode,
}

/// A file that is announced as being filled.
pub(super) struct Pending {
    token: IntentId,
    book: Arc<Inner>,
}

impl LedgerRecorder {
    /// Creates a recorder for this ledger.
    pub(super) fn new(ledger: Arc<Ledger>) -> Self {
        Self(Some(Arc::new(Inner {
            ledger,
            there: Mutex::default(),
            found: AtomicU64::new(0),
            destroyed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })))
    }

    /// Whether anything is recorded.
    pub(super) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Checks that everything so far is on record.
    ///
    /// # Errors
    /// `infra.audit`.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.0.as_ref().map_or(Ok(()), |book| book.ledger.check())
    }

    /// Makes a file or a directory and returns its number.
    ///
    /// # Errors
    /// `infra.audit`: it was not made, or exists and will be destroyed. Other `infra.*` on errors
    /// of the system.
    pub(super) fn make<T: AsFd>(
        &self,
        new: NewFile<'_>,
        attempted: &str,
        make: impl FnOnce() -> io::Result<T>,
    ) -> Result<(T, FileId), Failure> {
        let fail = |error: io::Error| Failure::in_workspace(attempted, &error);
        let Some(book) = &self.0 else { return make().map(|made| (made, 0)).map_err(fail) };
        let token = book.ledger.create(new)?;
        match make() {
            Ok(made) => {
                book.there().insert(inode(&made), token.file());
                let id = book.ledger.created(token, true)?;
                Ok((made, id))
            }
            Err(error) => {
                // The job fails in any case; a failed ledger reports the error at its next use.
                let _ = book.ledger.created(token, false);
                Err(fail(error))
            }
        }
    }

    /// Announces that a file is being filled.
    ///
    /// # Errors
    /// `infra.audit`.
    pub(super) fn fill(&self, file: FileId) -> Result<Option<Pending>, Failure> {
        let Some(book) = &self.0 else { return Ok(None) };
        Ok(Some(Pending { token: book.ledger.write(file)?, book: Arc::clone(book) }))
    }

    /// Records an entry that the worker did not create. It gets a number unless there are too many:
    /// the ledger is bounded, whatever an engine does.
    pub(super) fn found(&self, found: &Found<'_>) -> FileId {
        let Some(book) = &self.0 else { return UNLISTED };
        if book.found.fetch_add(1, Ordering::Relaxed) >= MAX_FOUND {
            return UNLISTED;
        }
        let Found { kind, role, parent, name, bytes, inode } = *found;
        let id = book.ledger.found(NewFile { kind, role, parent, name }, bytes);
        book.there().insert(inode, id);
        id
    }

    /// The number of a file or directory, if it is on record.
    pub(super) fn number(&self, inode: Inode) -> Option<FileId> {
        self.0.as_ref().and_then(|book| book.there().get(&inode).copied())
    }

    /// Overwrites a file.
    pub(super) fn wipe(&self, file: FileId, act: impl FnOnce() -> Overwritten) -> Overwritten {
        let Some(book) = &self.0 else { return act() };
        if file == UNLISTED {
            let done = act();
            book.failed.fetch_add(done.error.is_some().into(), Ordering::Relaxed);
            return done;
        }
        let token = book.ledger.wipe(file, METHOD);
        let done = act();
        book.ledger.wiped(token, done.error.is_none(), done.bytes, done.error.is_none());
        done
    }

    /// Removes the name of a file.
    ///
    /// # Errors
    /// The error of `act`.
    pub(super) fn unlink(
        &self,
        file: FileId,
        inode: Inode,
        act: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.remove(file, inode, act, |ledger| ledger.unlink(file), Ledger::unlinked)
    }

    /// Removes a directory.
    ///
    /// # Errors
    /// The error of `act`.
    pub(super) fn rmdir(
        &self,
        file: FileId,
        inode: Inode,
        act: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.remove(file, inode, act, |ledger| ledger.rmdir(file), Ledger::rmdired)
    }

    fn remove(
        &self,
        file: FileId,
        inode: Inode,
        act: impl FnOnce() -> io::Result<()>,
        announce: impl FnOnce(&Ledger) -> IntentId,
        tell: impl FnOnce(&Ledger, IntentId, bool),
    ) -> io::Result<()> {
        let Some(book) = &self.0 else { return act() };
        if file == UNLISTED {
            let done = act();
            let count = if done.is_ok() { &book.destroyed } else { &book.failed };
            count.fetch_add(1, Ordering::Relaxed);
            return done;
        }
        let token = announce(&book.ledger);
        let done = act();
        tell(&book.ledger, token, done.is_ok());
        if done.is_ok() {
            book.there().remove(&inode);
        }
        done
    }

    /// Reports an incident to the log and to the ledger. `note` must not contain a file name.
    pub(super) fn incident(&self, code: &str, file: FileId, note: &str) {
        if file == UNLISTED && code != UNLISTED_CODE && self.0.is_some() {
            // There may be any number of these, so only their sum is reported.
            return;
        }
        let ledger = self.0.as_ref().map(|book| book.ledger.id().to_string()).unwrap_or_default();
        tracing::error!(code, ledger, file, note, "an incident with a temporary file");
        if let Some(book) = &self.0 {
            book.ledger.incident(code, file, note);
        }
    }

    /// Checks that everything found has a record.
    ///
    /// # Errors
    /// `limit.files`.
    pub(super) fn check_found(&self) -> Result<(), Failure> {
        let found = self.0.as_ref().map_or(0, |book| book.found.load(Ordering::Relaxed));
        if found <= MAX_FOUND {
            return Ok(());
        }
        let text = format!("the engine made {found} files and directories; {MAX_FOUND} can be recorded");
        Err(Failure::new(FailureCode::LimitFiles, text)
            .with("limit_files", MAX_FOUND)
            .with("observed_files", found))
    }

    /// Reports the number of entries without a record, if there were any.
    pub(super) fn tell_unlisted(&self) {
        let Some(book) = &self.0 else { return };
        let [destroyed, failed] =
            [&book.destroyed, &book.failed].map(|count| count.swap(0, Ordering::Relaxed));
        if destroyed + failed > 0 {
            let note = format!(
                "{destroyed} more files and directories were destroyed without a record of each, {failed} tries failed"
            );
            self.incident(UNLISTED_CODE, UNLISTED, &note);
        }
    }

    /// The entries that are still recorded as existing.
    pub(super) fn left(&self) -> Vec<FileId> {
        let mut left: Vec<FileId> =
            self.0.as_ref().map(|book| book.there().values().copied().collect()).unwrap_or_default();
        left.sort_unstable();
        left
    }
}

impl fmt::Debug for LedgerRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LedgerRecorder").field(&self.0.as_ref().map(|book| book.ledger.id())).finish()
    }
}

impl Inner {
    fn there(&self) -> MutexGuard<'_, HashMap<Inode, FileId>> {
        self.there.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Begins the digest of the content.
    pub(super) fn content(&self) -> ContentDigest {
        self.book.ledger.content()
    }

    /// Records the end. If that fails, the next use of the ledger and [`LedgerRecorder::check`]
    /// report it.
    pub(super) fn end(self, ok: bool, bytes: u64, content: Option<ContentDigest>) {
        let _ = self.book.ledger.written(self.token, ok, bytes, content);
    }
}

/// Identifies a file by device and inode. A workspace may span two file systems.
pub(super) type Inode = (u64, u64);

/// The identity of an open file.
pub(super) fn inode(file: &impl AsFd) -> Inode {
    rustix::fs::fstat(file).map_or((0, 0), |stat| (stat.st_dev, stat.st_ino))
}
