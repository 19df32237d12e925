//! Destroys a workspace with everything in it, on record.

use super::bounded::{self, is_bounded};
use super::folder::{self, Folder};
use super::layout::LAYOUT;
use super::recorder::{Found, LedgerRecorder, inode};
use cadmill_core::domain::ledger::record::{FileId, FileRole, Kind};
use rustix::fs::AtFlags;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

/// Attempts to empty a directory that another process is still filling.
const MAX_TRIES: u32 = 10;

/// Removes an empty directory of the layout, and the tmpfs mounted on it.
pub(super) fn remove_directory(root: &Path, lock: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    if is_bounded(lock, name) {
        // Fails as rmdir(2) would, but before the memory is unmounted.
        if std::fs::read_dir(root.join(name))?.next().is_some() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        bounded::release(&root.join(name))?;
    }
    Ok(rustix::fs::unlinkat(lock, name, AtFlags::REMOVEDIR)?)
}

/// A workspace that is being destroyed.
pub(super) struct Remains<'a> {
    pub(super) root: &'a Path,
    pub(super) lock: BorrowedFd<'a>,
    pub(super) id: FileId,
    pub(super) account: &'a LedgerRecorder,
    /// Whether a dead process left it; the role of its files does not matter then.
    pub(super) leftover: bool,
}

impl Remains<'_> {
    /// Destroys the workspace. If a step fails, the others are still done.
    pub(super) fn destroy(&self) -> io::Result<()> {
        let mut failed = None;
        for (name, role) in LAYOUT {
            match self.destroy_part(name, self.role(role)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => drop(failed.get_or_insert(error)),
                _ => {}
            }
        }
        // Anything else that was put here.
        let role = self.role(FileRole::Temporary);
        let rest = rustix::io::dup(self.lock)
            .map_err(io::Error::from)
            .and_then(|lock| Folder::new(self.root, lock, "", role, self.account.clone()).clear());
        if let Err(error) = rest {
            failed.get_or_insert(error);
        }
        let remove = || Ok(rustix::fs::rmdir(self.root)?);
        if let Err(error) = self.account.rmdir(self.id, inode(&self.lock), remove) {
            failed.get_or_insert(error);
        }
        self.account.tell_unlisted();
        self.tell_what_vanished(failed.is_none());
        failed.map_or(Ok(()), Err)
    }

    fn role(&self, while_used: FileRole) -> FileRole {
        if self.leftover { FileRole::Leftover } else { while_used }
    }

    fn destroy_part(&self, name: &str, role: FileRole) -> io::Result<()> {
        let directory = folder::open_directory(self.lock, name)?;
        let inode = inode(&directory);
        let id = self.account.number(inode).unwrap_or_else(|| {
            let (kind, name) = (Kind::Directory, name.as_bytes());
            self.account.found(&Found { kind, role, parent: self.id, name, bytes: 0, inode })
        });
        let folder = Folder::new(&self.root.join(name), directory, name, role, self.account.clone());
        let mut tries = 0;
        loop {
            tries += 1;
            let cleared = folder.clear();
            let remove = || remove_directory(self.root, self.lock, name);
            match cleared.and(self.account.rmdir(id, inode, remove)) {
                // The engine of a killed worker may live for a moment longer.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && tries < MAX_TRIES => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                done => return done,
            }
        }
    }

    /// Reports entries that are on record but were not found again: an engine removed them, and
    /// they were not overwritten.
    fn tell_what_vanished(&self, all_gone: bool) {
        const MAX_TOLD: usize = 20;
        for id in self.account.left().into_iter().take(if all_gone { MAX_TOLD } else { 0 }) {
            self.account.incident(
                "file.vanished",
                id,
                "it was removed by another, without being overwritten",
            );
        }
    }
}
