//! The workspace's side of the ledger: every act on plaintext is announced before it
//! is done and told after it.
//!
//! What makes plaintext fails closed: when its intent cannot be recorded, it is not
//! made. What destroys is never held up. Things are recognised by their [`Inode`], because
//! an engine may have renamed them; a second name of a file is a file of its own here.
//! Without a ledger, as with `cadmill convert`, the acts are the same and nothing is
//! recorded.

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

/// How files are overwritten, as the ledger calls it: once, with zeros.
const METHOD: &str = "zeros-1";

/// Things of another's making that have a record each: what two runs of an engine may make,
/// and some that it makes until it is killed for that.
const MAX_FOUND: u64 = 2 * MAX_WRITTEN_FILES + 1000;

/// Where acts are recorded. Clones share it.
#[derive(Clone, Default)]
pub(super) struct LedgerRecorder(Option<Arc<Inner>>);

struct Inner {
    ledger: Arc<Ledger>,
    /// What is there, by its inode.
    there: Mutex<HashMap<Inode, FileId>>,
    /// Things that were found, those without a record included.
    found: AtomicU64,
    /// Things without a record that were destroyed, and tries of it that failed.
    destroyed: AtomicU64,
    failed: AtomicU64,
}

/// The number of what has no record. It is destroyed like all else.
const UNLISTED: FileId = 0;

/// The incident that tells of all that have none.
const UNLISTED_CODE: &str = "file.unlisted";

/// Something that another made.
pub(super) struct Found<'a> {
    pub(super) kind: Kind,
    pub(super) role: FileRole,
    pub(super) parent: FileId,
    pub(super) name: &'a [u8],
    pub(super) bytes: u64,
    pub(super) inode: Inode,
}

/// A file that is announced to be filled.
pub(super) struct Pending {
    token: IntentId,
    book: Arc<Inner>,
}

impl LedgerRecorder {
    /// An account in this ledger.
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

    /// Whether everything so far is on record.
    ///
    /// # Errors
    /// `infra.audit`.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.0.as_ref().map_or(Ok(()), |book| book.ledger.check())
    }

    /// Makes a file or a directory, and gives its number.
    ///
    /// # Errors
    /// `infra.audit`, and then it was not made, or is there to be destroyed; `infra.*`
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
                // The job fails either way; a poisoned ledger tells at its next use.
                let _ = book.ledger.created(token, false);
                Err(fail(error))
            }
        }
    }

    /// Announces that a file is filled.
    ///
    /// # Errors
    /// `infra.audit`.
    pub(super) fn fill(&self, file: FileId) -> Result<Option<Pending>, Failure> {
        let Some(book) = &self.0 else { return Ok(None) };
        Ok(Some(Pending { token: book.ledger.write(file)?, book: Arc::clone(book) }))
    }

    /// Records what another made. It has a number from now on, unless there are too many of
    /// its kind: a ledger has a bound, whatever an engine does.
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

    /// The number of what is there, if it is on record.
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
    /// Of the act.
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
    /// Of the act.
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

    /// Tells what should not be, to the log and to the ledger. `note` names no file.
    pub(super) fn incident(&self, code: &str, file: FileId, note: &str) {
        if file == UNLISTED && code != UNLISTED_CODE && self.0.is_some() {
            // Of those there may be any number, and their sum is told.
            return;
        }
        let ledger = self.0.as_ref().map(|book| book.ledger.id().to_string()).unwrap_or_default();
        tracing::error!(code, ledger, file, note, "an incident with a temporary file");
        if let Some(book) = &self.0 {
            book.ledger.incident(code, file, note);
        }
    }

    /// Whether all that was found has a record.
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

    /// Tells how many things without a record there were, if there were any.
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

    /// What is still on record as being there.
    pub(super) fn left(&self) -> Vec<FileId> {
        let mut left: Vec<FileId> =
            self.0.as_ref().map(|book| book.there().values().copied().collect()).unwrap_or_default();
        left.sort_unstable();
        left
    }
}

impl fmt::Debug for LedgerRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Account").field(&self.0.as_ref().map(|book| book.ledger.id())).finish()
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

    /// Records the end. That it could not be recorded is told at the next use of the
    /// ledger, and by [`LedgerRecorder::check`].
    pub(super) fn end(self, ok: bool, bytes: u64, content: Option<ContentDigest>) {
        let _ = self.book.ledger.written(self.token, ok, bytes, content);
    }
}

/// Which file it is: the device and the inode. A workspace may lie on two file systems.
pub(super) type Inode = (u64, u64);

/// Which file an open one is.
pub(super) fn inode(file: &impl AsFd) -> Inode {
    rustix::fs::fstat(file).map_or((0, 0), |stat| (stat.st_dev, stat.st_ino))
}
