//! Pinned libraries: whether a file is the one whose SHA-256 the engines file names.
//!
//! Hashing costs milliseconds for each ten megabytes, more than all else that a small job
//! pays for its engine. A worker remembers the files that it has hashed ([`PinCache`]), and
//! tells the engine host which file that was ([`FileFingerprint`]). The host opens the file, loads it
//! through the very descriptor that it looked at, and hashes it itself unless the seal fits.
//! So what is told can only spare the hashing of a file that is the same and unchanged.
//!
//! A seal is device, inode, size, times of modification and change. The kernel sets the
//! time of change at each write and at each change of the other times, and nobody can set
//! it back. What that rests on:
//!
//! - The clock of files goes in steps, of 10 ms at most. A file that was changed less than
//!   [`SETTLED`] ago is not remembered: a second change could have the same time.
//! - The file system keeps the time of change, and does so for writes through a mapping.
//!   Only those that are known to are trusted ([`KEEPS_TIMES`]); `tmpfs` is not among them.
//!
//! It refuses nothing that hashing at each start refuses. What neither helps against is one
//! who may write to the file while it is in use: he can wait until it is loaded, for code is
//! mapped and not copied. Libraries belong where only the operator writes.

use crate::digest;
use rustix::fs::{fstat, fstatfs};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How long a file must have been unchanged to be remembered.
const SETTLED: Duration = Duration::from_secs(2);

/// File systems, by the numbers of statfs(2): ext2 to ext4, XFS, Btrfs, overlay, SquashFS, EROFS.
const KEEPS_TIMES: [u64; 6] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x794C_7630, 0x7371_7368, 0xE0F5_E1E2];

/// What tells a file and its content from any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileFingerprint {
    device: u64,
    inode: u64,
    bytes: i64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileFingerprint {
    /// Of an open file.
    ///
    /// # Errors
    /// The system's.
    pub fn of(file: &File) -> io::Result<Self> {
        let stat = fstat(file)?;
        Ok(Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            bytes: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime, stat.st_ctime_nsec as i64),
        })
    }

    /// Whether the next change would show.
    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let changed = Duration::from_secs(u64::try_from(self.changed.0).unwrap_or(u64::MAX));
        changed.checked_add(SETTLED + Duration::from_secs(1)).is_some_and(|settled| settled <= now)
    }
}

/// Files that were hashed in this process, and what came of it.
#[derive(Debug, Clone, Default)]
pub struct PinCache {
    known: Arc<Mutex<HashMap<(PathBuf, String), FileFingerprint>>>,
}

impl PinCache {
    /// The seal of the file, if its SHA-256 is known to be this one. None says nothing: the
    /// engine host hashes it then, and tells what is wrong.
    pub fn seal(&self, path: &Path, sha256: &str) -> Option<FileFingerprint> {
        let file = File::open(path).ok()?;
        let seal = FileFingerprint::of(&file).ok()?;
        let key = (path.to_owned(), sha256.to_owned());
        if self.known().get(&key) == Some(&seal) {
            return Some(seal);
        }
        self.known().remove(&key);
        if !keeps_times(&file) || !seal.is_settled(SystemTime::now()) {
            return None;
        }
        let found = digest::sha256(&file).ok()?;
        // Unchanged while it was read.
        if found != sha256 || FileFingerprint::of(&file).ok()? != seal {
            return None;
        }
        self.known().insert(key, seal);
        Some(seal)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<(PathBuf, String), FileFingerprint>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keeps_times(file: &File) -> bool {
    fstatfs(file).is_ok_and(|stat| KEEPS_TIMES.contains(&(stat.f_type as u64)))
}

/// The file, if it is the pinned one: by its seal, or by its content.
///
/// # Errors
/// [`PinError`].
pub fn open(path: &Path, sha256: &str, sealed: Option<FileFingerprint>) -> Result<File, PinError> {
    let missing = |e: io::Error| PinError::Missing(format!("cannot open {}: {e}", path.display()));
    let file = File::open(path).map_err(missing)?;
    if sealed.is_some() && sealed == FileFingerprint::of(&file).ok() {
        return Ok(file);
    }
    let found = digest::sha256(&file).map_err(missing)?;
    if found == sha256 {
        return Ok(file);
    }
    Err(PinError::Other(format!("{} has SHA-256 {found}, but {sha256} is pinned", path.display())))
}

/// Why a pinned file is not used; with words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinError {
    /// It cannot be read.
    Missing(String),
    /// It is another file.
    Other(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{FileTimes, OpenOptions};
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    /// A file on a disk, with its digest. The build's own directory is on one.
    fn file(content: &[u8]) -> (tempfile::NamedTempFile, String) {
        let mut file = tempfile::NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all(content).unwrap();
        (file, digest::sha256(content).unwrap())
    }

    /// The time of change cannot be set, so that a file is old only when time has passed.
    fn settle() {
        std::thread::sleep(SETTLED + Duration::from_millis(1100));
    }

    /// Whether this file system is among those that are trusted: it is where cadmill is built.
    fn remembered(file: &tempfile::NamedTempFile) -> bool {
        keeps_times(file.as_file())
    }

    #[test]
    fn a_changed_file_has_another_seal_though_its_size_and_time_are_the_same() {
        let (file, digest) = file(b"the library");
        if !remembered(&file) {
            println!("skipped: a file system that is not trusted");
            return;
        }
        settle();
        let pins = PinCache::default();
        let seal = pins.seal(file.path(), &digest).expect("it is the pinned one");
        assert_eq!(pins.seal(file.path(), &digest), Some(seal));
        assert!(open(file.path(), &digest, Some(seal)).is_ok());

        let modified = file.as_file().metadata().unwrap().modified().unwrap();
        file.as_file().write_all_at(b"THE", 0).unwrap();
        file.as_file().set_times(FileTimes::new().set_modified(modified)).unwrap();
        assert_eq!(file.as_file().metadata().unwrap().modified().unwrap(), modified);
        // The worker does not tell the host any more, and the host does not believe it.
        assert_eq!(pins.seal(file.path(), &digest), None);
        let error = open(file.path(), &digest, Some(seal)).unwrap_err();
        assert!(matches!(&error, PinError::Other(text) if text.contains("is pinned")), "{error:?}");
        settle();
        assert_eq!(pins.seal(file.path(), &digest), None);
        assert!(open(file.path(), &digest, None).is_err());
    }

    #[test]
    fn another_file_in_its_place_is_hashed() {
        let (first, digest) = file(b"the library");
        if !remembered(&first) {
            println!("skipped: a file system that is not trusted");
            return;
        }
        let (same, _) = file(b"the library");
        let (other, _) = file(b"another one");
        settle();
        let pins = PinCache::default();
        let seal = pins.seal(first.path(), &digest).unwrap();
        std::fs::rename(same.path(), first.path()).unwrap();
        // The renamed one has just been changed, as far as its times say.
        assert_eq!(pins.seal(first.path(), &digest), None);
        assert!(open(first.path(), &digest, Some(seal)).is_ok(), "by its content");
        std::fs::rename(other.path(), first.path()).unwrap();
        assert_eq!(pins.seal(first.path(), &digest), None);
        assert!(open(first.path(), &digest, Some(seal)).is_err());
    }

    #[test]
    fn what_was_changed_just_now_or_is_on_tmpfs_is_not_remembered() {
        let (fresh, digest) = file(b"the library");
        let pins = PinCache::default();
        assert_eq!(pins.seal(fresh.path(), &digest), None);
        let memory = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        OpenOptions::new().write(true).open(memory.path()).unwrap().write_all(b"the library").unwrap();
        assert!(!keeps_times(memory.as_file()));
        assert!(pins.known().is_empty());
        assert!(open(memory.path(), &digest, None).is_ok());
        assert!(matches!(open(Path::new("/nonexistent"), &digest, None), Err(PinError::Missing(_))));
    }

    #[test]
    fn a_pin_is_no_other_files_pin() {
        let (file, digest) = file(b"the library");
        settle();
        let pins = PinCache::default();
        let _ = pins.seal(file.path(), &digest);
        assert_eq!(pins.seal(file.path(), &"0".repeat(64)), None);
    }

    #[test]
    fn time_must_have_passed_since_the_last_change() {
        let seal = |seconds| FileFingerprint {
            device: 1,
            inode: 1,
            bytes: 1,
            modified: (0, 0),
            changed: (seconds, 0),
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        assert!(seal(997).is_settled(now) && !seal(998).is_settled(now));
        assert!(!seal(2000).is_settled(now), "from the future");
        assert!(!seal(-1).is_settled(now) && !seal(i64::MAX).is_settled(now));
    }
}
