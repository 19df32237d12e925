//! Destroys plaintext: whole directories, single files, and ranges of a file that are already
//! uploaded.
//!
//! All destruction goes through this module, so that bytes are handled in one place before their
//! memory is freed: they are overwritten and read back, and only then unlinked. If a step fails,
//! the others are still done. If a file cannot be overwritten, it is tried once more and then
//! unlinked anyway: its memory returns to the kernel, which clears it before reuse, and the ledger
//! records that the file was not overwritten.

use super::folder::{Folder, open_file};
use super::wipe;
use crate::workspace::recorder::{Found, Inode};
use cadmill_core::domain::ledger::record::{FileId, Kind};
use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Below these numbers of files and bytes one thread is enough.
const FEW_FILES: usize = 64;
const FEW_BYTES: u64 = 4 << 20;

/// Overwrites a range of the file and deallocates it; it reads as zeros then. The file keeps its
/// size. If the file system cannot deallocate ranges, the range is only overwritten.
///
/// # Errors
/// The system's error.
pub(crate) fn range(file: &File, range: Range<u64>) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if range.is_empty() {
        return Ok(());
    }
    wipe::range(file, range.clone())?;
    match rustix::fs::fallocate(file, flags, range.start, range.end - range.start) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        result => Ok(result?),
    }
}

/// An entry of a folder.
struct Item {
    /// Path below the folder.
    name: PathBuf,
    kind: ItemKind,
    inode: Inode,
    bytes: u64,
    names: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ItemKind {
    Directory,
    File,
    /// A link, a pipe, a socket: a name without content.
    Other,
}

impl Folder {
    /// Destroys one file.
    ///
    /// # Errors
    /// The system's error, if the file still exists.
    pub(crate) fn destroy(&self, name: impl AsRef<Path>) -> io::Result<()> {
        let name = name.as_ref();
        let item = Item::look(self, name.to_owned())?;
        let id = self.number(&item, self.id());
        self.destroy_all(&[(item, id)])
    }

    /// Records what an engine made, once it is dead: every entry that is not on record.
    ///
    /// # Errors
    /// The system's error, if not all entries could be read.
    pub(super) fn scan(&self) -> io::Result<()> {
        if !self.account().is_kept() {
            return Ok(());
        }
        let mut pending = vec![(PathBuf::new(), self.id())];
        while let Some((directory, parent)) = pending.pop() {
            for item in self.items(&directory)? {
                let id = self.number(&item, parent);
                if item.kind == ItemKind::Directory {
                    pending.push((item.name, id));
                }
            }
        }
        Ok(())
    }

    /// Destroys the contents of the folder, in whatever state an engine left them.
    ///
    /// # Errors
    /// The system's error for the first entry that still exists.
    pub(super) fn clear(&self) -> io::Result<()> {
        // Removal may succeed even if flattening failed.
        let _ = super::flatten::flatten(self.path());
        let mut failed = None;
        let mut note = |error: io::Error| {
            failed.get_or_insert(error);
        };
        let (mut directories, mut files) = (Vec::new(), Vec::new());
        let mut named = HashSet::new();
        let mut pending = vec![(PathBuf::new(), self.id())];
        while let Some((directory, parent)) = pending.pop() {
            let items = self.items(&directory).unwrap_or_else(|error| {
                note(error);
                Vec::new()
            });
            for item in items {
                let second = item.names > 1 && item.kind != ItemKind::Directory && !named.insert(item.inode);
                let id = if second { self.find(&item, parent) } else { self.number(&item, parent) };
                if item.kind == ItemKind::Directory {
                    pending.push((item.name.clone(), id));
                    directories.push((item, id));
                } else {
                    files.push((item, id));
                }
            }
        }
        self.look_for_other_names(&files);
        if let Err(error) = self.destroy_all(&files) {
            note(error);
        }
        // Subdirectories were found after their parents.
        for (item, id) in directories.iter().rev() {
            let remove = || Ok(rustix::fs::unlinkat(self.directory(), &item.name, AtFlags::REMOVEDIR)?);
            if let Err(error) = self.account().rmdir(*id, item.inode, remove) {
                note(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Overwrites all files before the first is removed, so that a kill in the middle leaves as
    /// little plaintext as possible.
    fn destroy_all(&self, files: &[(Item, FileId)]) -> io::Result<()> {
        let bytes = files.iter().map(|(item, _)| item.bytes).sum();
        self.overwrite_all(files, bytes);
        let failed = Mutex::new(None);
        each(files.len(), bytes, &|index| {
            if let Err(error) = self.remove(&files[index].0, files[index].1) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// Writers of one file block each other, so each thread takes separate files; only a file
    /// larger than one thread's share is split.
    fn overwrite_all(&self, files: &[(Item, FileId)], bytes: u64) {
        let share = (bytes / wipe::threads() as u64).max(wipe::LARGE);
        let full = files.iter().filter(|(item, _)| item.kind == ItemKind::File && item.bytes > 0);
        let (large, mut small): (Vec<_>, Vec<_>) = full.partition(|(item, _)| item.bytes > share);
        large.into_iter().for_each(|(item, id)| self.overwrite(item, *id, true));
        // The largest first, so that it does not run alone at the end.
        small.sort_by_key(|(item, _)| std::cmp::Reverse(item.bytes));
        each(small.len(), bytes, &|index| self.overwrite(&small[index].0, small[index].1, false));
    }

    fn remove(&self, item: &Item, id: FileId) -> io::Result<()> {
        let unlink = || Ok(rustix::fs::unlinkat(self.directory(), &item.name, AtFlags::empty())?);
        self.account().unlink(id, item.inode, unlink)
    }

    fn overwrite(&self, item: &Item, id: FileId, split: bool) {
        self.account().wipe(id, || {
            let first = self.overwrite_once(item, split);
            let Some(error) = &first.error else { return first };
            // Only the kind, because the text of an error may contain a path.
            self.account().incident("wipe.failed", id, &error.kind().to_string());
            self.overwrite_once(item, split)
        });
    }

    fn overwrite_once(&self, item: &Item, split: bool) -> wipe::Overwritten {
        match self.open_to_overwrite(&item.name) {
            Ok(file) => wipe::file(&file, split),
            Err(error) => wipe::Overwritten { bytes: item.bytes, error: Some(error) },
        }
    }

    /// An engine may have removed the permissions, even its own.
    fn open_to_overwrite(&self, name: &Path) -> io::Result<File> {
        match open_file(self.directory(), name, OFlags::RDWR) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                rustix::fs::chmodat(self.directory(), name, Mode::RUSR | Mode::WUSR, AtFlags::empty())?;
                open_file(self.directory(), name, OFlags::RDWR)
            }
            opened => opened,
        }
    }

    /// The entry's number in the ledger. An entry without a number was made by the engine.
    fn number(&self, item: &Item, parent: FileId) -> FileId {
        self.account().number(item.inode).unwrap_or_else(|| self.find(item, parent))
    }

    fn find(&self, item: &Item, parent: FileId) -> FileId {
        let name = self.full_name(&item.name);
        self.account().found(&Found {
            kind: if item.kind == ItemKind::Directory { Kind::Directory } else { Kind::File },
            role: self.role(),
            parent,
            name: name.as_os_str().as_encoded_bytes(),
            bytes: item.bytes,
            inode: item.inode,
        })
    }

    /// Reports files with more names than were found. Their content is destroyed, but a name
    /// elsewhere may still reveal something.
    fn look_for_other_names(&self, files: &[(Item, FileId)]) {
        let mut seen: HashMap<Inode, (u64, u64, FileId)> = HashMap::new();
        for (item, id) in files.iter().filter(|(item, _)| item.kind == ItemKind::File && item.names > 1) {
            seen.entry(item.inode).or_insert((0, item.names, *id)).0 += 1;
        }
        for (found, names, id) in seen.into_values().filter(|(found, names, _)| found < names) {
            let note = format!("the file has {} names beyond this directory", names - found);
            self.account().incident("file.linked_elsewhere", id, &note);
        }
    }

    fn items(&self, directory: &Path) -> io::Result<Vec<Item>> {
        let entries = std::fs::read_dir(self.path().join(directory))?;
        entries.map(|entry| Item::look(self, directory.join(entry?.file_name()))).collect()
    }
}

/// Runs the work of each index below `count`, on several threads if that is worth it.
fn each(count: usize, bytes: u64, work: &(dyn Fn(usize) + Sync)) {
    if count < FEW_FILES && bytes < FEW_BYTES {
        (0..count).for_each(work);
    } else {
        wipe::in_parallel(count, work);
    }
}

impl Item {
    fn look(folder: &Folder, name: PathBuf) -> io::Result<Self> {
        let metadata = folder.path().join(&name).symlink_metadata()?;
        let kind = if metadata.is_dir() {
            ItemKind::Directory
        } else if metadata.is_file() {
            ItemKind::File
        } else {
            ItemKind::Other
        };
        let bytes = if kind == ItemKind::File { metadata.len() } else { 0 };
        Ok(Self { name, kind, inode: (metadata.dev(), metadata.ino()), bytes, names: metadata.nlink() })
    }
}
