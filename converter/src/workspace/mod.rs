//! The job's workspace: one directory, mode 0700, on memory-backed storage. It holds all plaintext
//! of the job and is removed on every exit path.
//!
//! Layout: `pack/` holds an archive to be uploaded, `in/` the unpacked input, `out/` what the
//! engine writes, `tmp/` its current directory and temporary files. A disk is refused, because data
//! written to a disk may be recovered later.
//!
//! Files and directories are made only through a [`Folder`], which announces each in the attempt's
//! ledger first. Files made by an engine are recorded when the engine is dead. Removal overwrites,
//! reads back and unlinks, and is recorded too.
//!
//! The owner of a workspace holds a lock on its directory. The kernel releases the lock when the
//! process dies, in whatever way. So a workspace without a lock was left by a killed process, and
//! [`WorkspaceRoot::sweep`] removes it. Its name identifies the ledger that it belongs to.

mod bounded;
pub(crate) mod destroy;
pub mod flatten;
mod folder;
mod layout;
mod lock;
mod name;
mod private;
mod recorder;
mod remains;
mod sweep;
pub mod usage;
mod wipe;

use crate::linux::mounts::{RAMFS, TMPFS};
use bounded::{Bounded, is_bounded};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ledger::record::{FileId, FileRole, Kind};
use cadmill_core::domain::limits::display_size;
use cadmill_core::ledger::{Ledger, NewFile};
use cadmill_stores::config::DISK_WORDS;
use name::{Maker, Name};
use recorder::LedgerRecorder;
use rustix::fs::Mode;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use folder::Folder;
pub(crate) use folder::PendingFile;
use layout::{INPUT, LAYOUT, OUTPUT, PACKED, SCRATCH};
pub use private::{Privacy, Private};
use remains::{Remains, remove_directory};
pub use sweep::{CommandRecorder, Recorder, SweepReport};

/// Environment variable that names the directory in which workspaces are made.
pub const VARIABLE: &str = "CADMILL_WORKSPACE";

/// Setting that allows a disk; its value must be [`DISK_WORDS`].
pub const DISK_VARIABLE: &str = "CADMILL_ALLOW_DISK_WORKSPACE";

const DEFAULT: &str = "/dev/shm";

/// The location in which workspaces are made.
#[derive(Debug, Clone)]
pub struct WorkspaceRoot {
    directory: PathBuf,
    disk_allowed: bool,
    /// The location before it became private; other workers may have left workspaces there.
    shared: Option<PathBuf>,
    /// Whether the kernel limits, by a separate tmpfs, what the engine of each workspace writes.
    bounded: bool,
}

impl WorkspaceRoot {
    /// The location named by the environment, or `/dev/shm`.
    pub fn from_environment() -> Self {
        Self {
            directory: std::env::var_os(VARIABLE).map_or_else(|| PathBuf::from(DEFAULT), PathBuf::from),
            disk_allowed: std::env::var_os(DISK_VARIABLE).is_some_and(|v| v == DISK_WORDS),
            shared: None,
            bounded: false,
        }
    }

    /// A location for workspaces; `disk_allowed` accepts one that is not memory-backed.
    pub fn new(directory: PathBuf, disk_allowed: bool) -> Self {
        Self { directory, disk_allowed, shared: None, bounded: false }
    }

    /// Capacity in bytes when empty; `u64::MAX` if the system sets no limit or does not report it.
    pub fn size_bytes(&self) -> u64 {
        let told = rustix::fs::statvfs(&self.directory);
        let size = told.map_or(0, |stat| stat.f_blocks.saturating_mul(stat.f_frsize));
        if size == 0 { u64::MAX } else { size }
    }

    /// Makes a workspace without a record.
    ///
    /// # Errors
    /// `infra.workspace_unavailable` when the location does not exist, cannot be written to, or is
    /// a disk.
    pub fn create(&self) -> Result<Workspace, Failure> {
        self.make(LedgerRecorder::default(), None)
    }

    /// Makes the workspace of an attempt. All operations in it are recorded in the ledger.
    ///
    /// # Errors
    /// Those of [`WorkspaceRoot::create`], and `infra.audit`: the workspace was not made then.
    pub fn create_recorded(&self, ledger: Arc<Ledger>) -> Result<Workspace, Failure> {
        self.make_recorded(ledger, Maker::Worker)
    }

    /// As [`WorkspaceRoot::create_recorded`], for a command: another command may destroy what it
    /// leaves if it is killed.
    ///
    /// # Errors
    /// Those of [`WorkspaceRoot::create_recorded`].
    pub fn create_recorded_by_command(&self, ledger: Arc<Ledger>) -> Result<Workspace, Failure> {
        self.make_recorded(ledger, Maker::Command)
    }

    fn make_recorded(&self, ledger: Arc<Ledger>, maker: Maker) -> Result<Workspace, Failure> {
        let name = Name::of_ledger(ledger.id(), maker)?;
        self.make(LedgerRecorder::new(ledger), Some(name))
    }

    fn make(&self, account: LedgerRecorder, name: Option<Name>) -> Result<Workspace, Failure> {
        let real = self.usable()?;
        let last = name.as_ref().map(Name::to_string).unwrap_or_default();
        let new =
            NewFile { kind: Kind::Directory, role: FileRole::Workspace, parent: 0, name: last.as_bytes() };
        let mut there = None;
        let made = account.make(new, "making the workspace", || {
            make_locked(&real, &last).inspect(|made| there = Some(made.path.clone()))
        });
        let (lock, id) = made.map_err(|failure| {
            // The directory was made but could not be recorded: it is empty and not in use.
            let left = there.is_some_and(|path| std::fs::remove_dir(path).is_err());
            match failure.code {
                _ if left => Failure::new(failure.code, format!("{}; it is left behind", failure.message)),
                FailureCode::Io => Failure::new(FailureCode::WorkspaceUnavailable, failure.message),
                _ => failure,
            }
        })?;
        let workspace = Workspace { root: lock, id, account, gone: false, private: self.is_private() };
        let bounded = self.bounded.then(|| Bounded::mount(&workspace.root.path));
        let bounded = bounded.transpose().unwrap_or_else(|error| {
            tracing::warn!(error = %error, "could not mount a separate tmpfs for a job; counting what its engine writes instead");
            None
        });
        for (name, role) in LAYOUT {
            workspace.make_directory_by(name, role, || {
                rustix::fs::mkdirat(&workspace.root, name, Mode::RWXU)?;
                bounded.as_ref().map_or(Ok(()), |bounded| bounded.attach(name))
            })?;
        }
        drop(bounded);
        Ok(workspace)
    }

    /// The real path of the location, if it is memory-backed or the operator accepts a disk.
    fn usable(&self) -> Result<PathBuf, Failure> {
        let shown = self.directory.display();
        let fail = |text: String| Failure::new(FailureCode::WorkspaceUnavailable, text);
        let real =
            std::fs::canonicalize(&self.directory).map_err(|e| fail(format!("workspace {shown}: {e}")))?;
        let kind = rustix::fs::statfs(&real).map_err(|e| fail(format!("workspace {shown}: {e}")))?.f_type;
        if is_memory(kind.cast_unsigned()) || self.disk_allowed {
            return Ok(real);
        }
        Err(fail(format!(
            "workspace {shown} is not on memory-backed storage (tmpfs); a disk is used only with {DISK_VARIABLE}={DISK_WORDS}"
        )))
    }
}

/// Makes and locks a new directory. It is renamed after its ledger, if any, only once it is locked:
/// before that it looks abandoned and may be swept.
fn make_locked(place: &Path, last: &str) -> io::Result<Locked> {
    let make = || loop {
        let path = place.join(Name::random()?.to_string());
        match rustix::fs::mkdir(&path, Mode::RWXU) {
            Err(rustix::io::Errno::EXIST) => {}
            made => return made.map(|()| path).map_err(io::Error::from),
        }
    };
    let (path, lock) = lock::locked(make)?;
    if last.is_empty() {
        return Ok(Locked { path, lock });
    }
    let named = place.join(last);
    rustix::fs::rename(&path, &named)?;
    Ok(Locked { path: named, lock })
}

/// A directory locked by this process.
#[derive(Debug)]
struct Locked {
    path: PathBuf,
    lock: OwnedFd,
}

fn is_memory(kind: u64) -> bool {
    matches!(kind & 0xffff_ffff, TMPFS | RAMFS)
}

/// One job's directory. Dropping it destroys everything in it; [`Workspace::remove`] also returns
/// whether that succeeded.
#[derive(Debug)]
pub struct Workspace {
    root: Locked,
    id: FileId,
    account: LedgerRecorder,
    gone: bool,
    private: bool,
}

impl Workspace {
    /// The directory of the unpacked input.
    pub fn input(&self) -> PathBuf {
        self.root.path.join(INPUT)
    }

    /// The directory that the engine writes its output to.
    pub fn output(&self) -> PathBuf {
        self.root.path.join(OUTPUT)
    }

    /// The engine's current directory.
    pub fn scratch(&self) -> PathBuf {
        self.root.path.join(SCRATCH)
    }

    /// Removes the workspace's paths from the text: engines quote the paths of files in their
    /// messages, and the name in the archive is sufficient.
    pub fn hide(&self, text: &str) -> String {
        LAYOUT
            .iter()
            .map(|(name, _)| self.root.path.join(name))
            .fold(text.to_owned(), |text, directory| text.replace(&format!("{}/", directory.display()), ""))
    }

    /// Lets the kernel limit, where it can, what an engine writes: to this cap in bytes and to the
    /// maximum number of files. Must be called before an engine runs.
    pub(crate) fn bound(&self, bytes: u64) {
        if is_bounded(&self.root, OUTPUT)
            && let Err(error) = bounded::resize(&self.output(), bytes)
        {
            tracing::warn!(error = %error, "could not resize the tmpfs of a job; counting what its engine writes instead");
        }
    }

    /// Whether no other process can open its files by a path.
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// Bytes that can still be written.
    ///
    /// # Errors
    /// `infra.io` when the system does not report it.
    pub fn free_bytes(&self) -> Result<u64, Failure> {
        let stat = rustix::fs::statvfs(&self.root.path)
            .map_err(|e| Failure::io("asking for the room in the workspace", &e.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Refuses a job whose plaintext would not fit: `bytes` of `what`.
    ///
    /// # Errors
    /// `infra.workspace_full`, with both sizes.
    pub fn admit(&self, what: &str, bytes: u64) -> Result<(), Failure> {
        let free = self.free_bytes()?;
        if bytes <= free {
            return Ok(());
        }
        let message = format!(
            "{what} needs {} in the workspace, which has {} free",
            display_size(bytes),
            display_size(free)
        );
        Err(Failure::new(FailureCode::WorkspaceFull, message)
            .with("needed_bytes", bytes)
            .with("free_bytes", free))
    }

    /// The directory of the unpacked input.
    ///
    /// # Errors
    /// `infra.io`.
    pub(crate) fn input_folder(&self) -> Result<Folder, Failure> {
        self.folder(INPUT, FileRole::Input)
    }

    /// The directory of the engine's output.
    ///
    /// # Errors
    /// `infra.io`.
    pub(crate) fn output_folder(&self) -> Result<Folder, Failure> {
        self.folder(OUTPUT, FileRole::Output)
    }

    /// The directory of an archive that is to be uploaded.
    ///
    /// # Errors
    /// `infra.io`.
    pub(crate) fn packed_folder(&self) -> Result<Folder, Failure> {
        self.folder(PACKED, FileRole::Output)
    }

    /// Checks that everything so far is on record. Must be called before an engine is started,
    /// which makes files without announcing them, and before anything leaves the workspace.
    ///
    /// # Errors
    /// `infra.audit`.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.account.check()
    }

    /// Records what an engine made, once it is dead.
    ///
    /// # Errors
    /// `infra.io`, `infra.audit`; `limit.files` when there are more files than a ledger can record;
    /// `engine.misbehaved` when its directories are gone.
    pub(crate) fn scan(&self) -> Result<(), Failure> {
        for (name, role) in [(OUTPUT, FileRole::Output), (SCRATCH, FileRole::Temporary)] {
            // Without Landlock an engine can move them.
            if folder::open_directory(&self.root, name).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
                let text = "the engine moved its directories to another place, where its files may be left";
                return Err(Failure::new(FailureCode::EngineMisbehaved, text));
            }
            self.folder(name, role)?
                .scan()
                .map_err(|e| Failure::io("looking for what the engine made", &e))?;
        }
        self.account.check_found()?;
        self.check()
    }

    /// Empties the directories that the engine writes to, before another run.
    ///
    /// # Errors
    /// `infra.io`, `infra.audit`.
    pub(crate) fn clear_output(&self) -> Result<(), Failure> {
        self.renew(OUTPUT, FileRole::Output)?;
        self.renew(SCRATCH, FileRole::Temporary)
    }

    /// Replaces its own directories by those of another workspace, to which an engine host has
    /// confined itself. Both must be empty of plaintext. Returns `false` if a directory that only
    /// the job may write to is not empty, or if a directory could not be moved.
    ///
    /// Directories of a workspace without a ledger are recorded here as newly made.
    ///
    /// # Errors
    /// `infra.io`, `infra.audit`.
    pub(crate) fn take_over(&self, other: &Self) -> Result<bool, Failure> {
        let fail = |e: io::Error| Failure::io("taking over a workspace", &e);
        for directory in [self.input(), other.input(), other.output()] {
            if std::fs::read_dir(directory).map_err(fail)?.next().is_some() {
                return Ok(false);
            }
        }
        // A host with a separate user id needs to pass through it.
        let mode = rustix::fs::fstat(&other.root).map_err(|e| fail(e.into()))?.st_mode;
        rustix::fs::fchmod(&self.root, Mode::from_raw_mode(mode)).map_err(|e| fail(e.into()))?;
        let mut all = true;
        for (name, role) in LAYOUT.into_iter().filter(|(name, _)| *name != PACKED) {
            self.destroy_directory(name, role)?;
            self.make_directory_by(name, role, || {
                if is_bounded(&other.root, name) {
                    rustix::fs::mkdirat(&self.root, name, Mode::RWXU)?;
                    all &=
                        bounded::hand_over(&other.root.path.join(name), &self.root.path.join(name)).is_ok();
                } else if rustix::fs::renameat(&other.root, name, &self.root, name).is_err() {
                    all = false;
                    rustix::fs::mkdirat(&self.root, name, Mode::RWXU)?;
                }
                Ok(())
            })?;
        }
        Ok(all)
    }

    /// Destroys the input, when it is no longer needed.
    ///
    /// # Errors
    /// `infra.io`, `infra.audit`.
    pub(crate) fn clear_input(&self) -> Result<(), Failure> {
        self.renew(INPUT, FileRole::Input)
    }

    /// Destroys the workspace and everything in it: overwrites, reads back, unlinks.
    ///
    /// # Errors
    /// `infra.io`: plaintext may be left, and the caller must report it.
    pub fn remove(mut self) -> Result<(), Failure> {
        self.destroy().map_err(|e| {
            let shown = self.root.path.display();
            Failure::io(format!("removing the workspace {shown}, where plaintext may be left"), &e)
        })
    }

    fn destroy(&mut self) -> io::Result<()> {
        self.gone = true;
        let (root, lock) = (self.root.path.as_path(), self.root.as_fd());
        Remains { root, lock, id: self.id, account: &self.account, leftover: false }.destroy()
    }

    fn folder(&self, name: &str, role: FileRole) -> Result<Folder, Failure> {
        let directory = folder::open_directory(&self.root, name)
            .map_err(|e| Failure::io("opening a directory of the workspace", &e))?;
        Ok(Folder::new(&self.root.path.join(name), directory, name, role, self.account.clone()))
    }

    fn make_directory(&self, name: &str, role: FileRole) -> Result<(), Failure> {
        self.make_directory_by(name, role, || Ok(rustix::fs::mkdirat(&self.root, name, Mode::RWXU)?))
    }

    fn make_directory_by(
        &self,
        name: &str,
        role: FileRole,
        make: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), Failure> {
        let new = NewFile { kind: Kind::Directory, role, parent: self.id, name: name.as_bytes() };
        let make = || {
            make()?;
            folder::open_directory(&self.root, name)
        };
        self.account.make(new, "making the workspace", make).map(drop)
    }

    /// Destroys a directory with everything in it, and makes it again.
    fn renew(&self, name: &str, role: FileRole) -> Result<(), Failure> {
        if is_bounded(&self.root, name) {
            // The directory stays, with its limit.
            let cleared = self.folder(name, role)?.clear();
            return cleared.map_err(|e| Failure::io("destroying files of the workspace", &e));
        }
        self.destroy_directory(name, role)?;
        self.make_directory(name, role)
    }

    fn destroy_directory(&self, name: &str, role: FileRole) -> Result<(), Failure> {
        let folder = self.folder(name, role)?;
        let cleared = folder.clear().and_then(|()| {
            let remove = || remove_directory(&self.root.path, self.root.as_fd(), name);
            self.account.rmdir(folder.id(), folder.inode(), remove)
        });
        cleared.map_err(|e| Failure::io("destroying files of the workspace", &e))
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if !self.gone && self.destroy().is_err() {
            tracing::error!("a workspace could not be removed: plaintext may be left in it");
        }
    }
}

impl AsFd for Locked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }
}

#[cfg(test)]
mod tests;
