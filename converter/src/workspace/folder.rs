//! A directory of the workspace, and the only way to make or open a file in it.
//!
//! Names come from archives and from engines. The kernel resolves them, below the directory and
//! without following links (`openat2`, `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`). If a kernel or
//! a container does not support the call, the operation fails; there is no fallback. Files are
//! always created new (`O_EXCL`), with mode 0600, or 0400 if an engine reads them, so that the
//! engine cannot write to them even without other confinement. Directories have mode 0700, and no
//! descriptor is inherited by an engine.

use crate::workspace::recorder::{Inode, LedgerRecorder, Pending, inode};
use cadmill_core::domain::failure::Failure;
use cadmill_core::domain::ledger::chain::ContentDigest;
use cadmill_core::domain::ledger::record::{FileId, FileRole, Kind};
use cadmill_core::ledger::NewFile;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How every name is resolved.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory with its name, role and recorder. Clones share the same directory.
#[derive(Debug, Clone)]
pub struct Folder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    directory: OwnedFd,
    /// Its name in the workspace, which prefixes the names of its files in the ledger.
    name: String,
    id: FileId,
    role: FileRole,
    account: LedgerRecorder,
    /// The directories made in it, by name.
    made: Mutex<HashMap<String, FileId>>,
}

impl Folder {
    /// Opens a directory outside any workspace. Operations in it are not recorded.
    ///
    /// # Errors
    /// The system's error.
    pub fn unrecorded(path: &Path) -> io::Result<Self> {
        let directory = rustix::fs::open(path, DIRECTORY, Mode::empty())?;
        Ok(Self::new(path, directory, "", FileRole::Input, LedgerRecorder::default()))
    }

    pub(super) fn new(
        path: &Path,
        directory: OwnedFd,
        name: &str,
        role: FileRole,
        account: LedgerRecorder,
    ) -> Self {
        let (path, name) = (path.to_owned(), name.to_owned());
        let id = account.number(inode(&directory)).unwrap_or(0);
        Self(Arc::new(Inner { path, directory, name, id, role, account, made: Mutex::default() }))
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The role of its files.
    pub(super) fn role(&self) -> FileRole {
        self.0.role
    }

    pub(super) fn account(&self) -> &LedgerRecorder {
        &self.0.account
    }

    pub(super) fn id(&self) -> FileId {
        self.0.id
    }

    pub(super) fn inode(&self) -> Inode {
        inode(&self.0.directory)
    }

    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.0.directory.as_fd()
    }

    /// The name that the ledger digests for an entry of this directory.
    pub(super) fn full_name(&self, name: &Path) -> PathBuf {
        Path::new(&self.0.name).join(name)
    }

    /// Makes a directory; its parent must exist.
    ///
    /// # Errors
    /// `infra.audit`: the directory was not made. Other `infra.*`.
    pub(crate) fn make_directory(&self, name: &str) -> Result<(), Failure> {
        let (parent, last) = name.rsplit_once('/').unwrap_or(("", name));
        let make = || {
            let beside;
            let parent = match parent {
                "" => self.0.directory.as_fd(),
                parent => {
                    beside = open_in(&self.0.directory, parent, DIRECTORY, Mode::empty())?;
                    beside.as_fd()
                }
            };
            rustix::fs::mkdirat(parent, last, Mode::RWXU)?;
            open_in(parent, last, DIRECTORY, Mode::empty())
        };
        let doing = "making a directory in the workspace";
        let (_, id) = self.make(Kind::Directory, self.0.role, name, doing, make)?;
        self.made().insert(name.to_owned(), id);
        Ok(())
    }

    /// Makes a directory in this one, and opens it.
    ///
    /// # Errors
    /// As [`Folder::make_directory`].
    pub(crate) fn make_folder(&self, name: &str) -> Result<Self, Failure> {
        self.make_directory(name)?;
        let directory = open_in(&self.0.directory, name, DIRECTORY, Mode::empty())
            .map_err(|e| Failure::io("opening a directory of the workspace", &e))?;
        let full = self.full_name(Path::new(name));
        let full = full.to_string_lossy();
        Ok(Self::new(&self.0.path.join(name), directory, &full, self.0.role, self.0.account.clone()))
    }

    /// Makes a file to be filled.
    ///
    /// # Errors
    /// `infra.audit`: the file was not made, or is empty. Other `infra.*`.
    pub(crate) fn create(&self, name: &str, role: FileRole) -> Result<PendingFile, Failure> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = match role {
            // The mode applies to later opens; this descriptor can write.
            FileRole::Input => Mode::RUSR,
            _ => Mode::RUSR | Mode::WUSR,
        };
        let make = || open_in(&self.0.directory, name, flags, mode).map(File::from);
        let (file, id) = self.make(Kind::File, role, name, "making a file in the workspace", make)?;
        let pending = self.0.account.fill(id)?;
        Ok(PendingFile { file, end: Mutex::new(End { pending, failed: false, whole: None }) })
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn open(&self, name: impl AsRef<Path>) -> io::Result<File> {
        open_file(&self.0.directory, name.as_ref(), OFlags::RDONLY)
    }

    /// Opens a file for reading and for destroying it range by range.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn open_to_give_up(&self, name: impl AsRef<Path>) -> io::Result<File> {
        open_file(&self.0.directory, name.as_ref(), OFlags::RDWR)
    }

    /// Makes an entry after announcing its name in the workspace to the ledger.
    fn make<T: AsFd>(
        &self,
        kind: Kind,
        role: FileRole,
        name: &str,
        doing: &str,
        make: impl FnOnce() -> io::Result<T>,
    ) -> Result<(T, FileId), Failure> {
        let directory = name.rsplit_once('/').map(|(directory, _)| directory);
        let parent = directory.and_then(|directory| self.made().get(directory).copied());
        let (parent, full) = (parent.unwrap_or(self.0.id), self.full_name(Path::new(name)));
        let new = NewFile { kind, role, parent, name: full.as_os_str().as_encoded_bytes() };
        self.0.account.make(new, doing, make)
    }

    fn made(&self) -> MutexGuard<'_, HashMap<String, FileId>> {
        self.0.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is being filled, possibly by several threads. When the last of them drops it, the
/// result is recorded in the ledger.
#[derive(Debug)]
pub(crate) struct PendingFile {
    file: File,
    end: Mutex<End>,
}

struct End {
    pending: Option<Pending>,
    failed: bool,
    /// Its size and digest, once the whole content was submitted for writing.
    whole: Option<(u64, Option<ContentDigest>)>,
}

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("End").field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl PendingFile {
    /// The file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Begins the digest of the content, if one is recorded.
    pub(crate) fn content(&self) -> Option<ContentDigest> {
        self.end().pending.as_ref().map(Pending::content)
    }

    /// Marks the whole content as submitted for writing.
    pub(crate) fn complete(&self, bytes: u64, content: Option<ContentDigest>) {
        self.end().whole = Some((bytes, content));
    }

    /// Records that a part could not be written.
    pub(crate) fn fail(&self) {
        self.end().failed = true;
    }

    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        let end = self.end.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(pending) = end.pending.take() else { return };
        match end.whole.take().filter(|_| !end.failed) {
            Some((bytes, content)) => pending.end(true, bytes, content),
            None => pending.end(false, self.file.metadata().map_or(0, |m| m.len()), None),
        }
    }
}

/// Opens a direct subdirectory, even if an engine has removed its permissions.
pub(super) fn open_directory(parent: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    match open_in(&parent, name, DIRECTORY, Mode::empty()) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let known = open_in(&parent, name, flags, Mode::empty())?;
            // Through its descriptor, so that a file that has taken the name meanwhile is not
            // changed.
            rustix::fs::chmod(format!("/proc/self/fd/{}", known.as_raw_fd()), Mode::RWXU)?;
            open_in(&parent, name, DIRECTORY, Mode::empty())
        }
        opened => opened,
    }
}

/// Opens a regular file. Does not block if the name is something else, such as a FIFO.
pub(super) fn open_file(directory: impl AsFd, name: &Path, access: OFlags) -> io::Result<File> {
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    open_in(directory, name, flags, Mode::empty()).map(File::from)
}

/// Opens an entry below a directory.
pub(super) fn open_in(
    directory: impl AsFd,
    name: impl AsRef<Path>,
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    loop {
        match rustix::fs::openat2(directory.as_fd(), name.as_ref(), flags, mode, RESOLVE) {
            // Another process renamed something on this file system meanwhile (openat2(2)).
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            opened => return Ok(opened?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_name_that_leads_out_is_refused() {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let (inside, outside) = (place.path().join("in"), place.path().join("out"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        std::os::unix::fs::symlink("../out/secret", inside.join("file")).unwrap();
        let folder = Folder::unrecorded(&inside).unwrap();
        for name in ["../out/new", "link/new", "/dev/shm/new", "file"] {
            assert!(folder.create(name, FileRole::Input).is_err(), "{name}");
            assert!(folder.make_directory(name).is_err(), "{name}");
        }
        for name in ["../out/secret", "link/secret", "file"] {
            assert!(folder.open(name).is_err() && folder.open_to_give_up(name).is_err(), "{name}");
        }
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    }

    #[test]
    fn what_is_made_is_new_and_private() {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let folder = Folder::unrecorded(place.path()).unwrap();
        folder.make_directory("a").unwrap();
        folder.make_directory("a/b").unwrap();
        folder.create("a/b/c", FileRole::Input).unwrap();
        folder.create("a/b/d", FileRole::Output).unwrap();
        let mode = |name: &str| place.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
        let modes = [mode("a"), mode("a/b"), mode("a/b/c"), mode("a/b/d")];
        assert_eq!(modes, [0o700, 0o700, 0o400, 0o600]);
        assert!(folder.create("a/b/c", FileRole::Input).is_err(), "it is there");
        assert!(folder.make_directory("a/b").is_err(), "it is there");
    }
}
