//! Pinned libraries: whether a file has the SHA-256 that the engines file names.
//!
//! Hashing takes milliseconds per ten megabytes, more than everything else that a small job spends
//! on its engine. A worker remembers the files that it has hashed ([`PinCache`]), and passes the
//! fingerprint of the file, its seal ([`FileFingerprint`]), to the engine host. The host opens the
//! file, checks it and loads it through the same descriptor, and hashes it itself unless the seal
//! matches. The seal can therefore only save hashing a file that is the same and unchanged.
//!
//! A seal is device, inode, size, and the times of modification and status change (mtime, ctime).
//! The kernel sets ctime at each write and whenever another time is set, and it cannot be set back.
//! This relies on the following:
//!
//! - The clock for file times advances in steps of 10 ms at most. A file that was changed less than
//!   [`SETTLED`] ago is not remembered: a second change could have the same time.
//! - The file system keeps ctime, also for writes through a mapping. Only file systems known to do
//!   so are trusted ([`KEEPS_TIMES`]); `tmpfs` is not among them.
//!
//! Under these conditions a seal accepts no file that hashing at each start would refuse. Neither
//! protects against a user who may write to the file while it is in use: the file can be changed
//! after loading, because code is mapped and not copied. Libraries must be in directories that only
//! the operator can write to.

use crate::digest;
use rustix::fs::{fstat, fstatfs};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How long a file must be unchanged before it is remembered.
const SETTLED: Duration = Duration::from_secs(2);

/// File systems, by the magic numbers of statfs(2): ext2 to ext4, XFS, Btrfs, overlay, SquashFS,
/// EROFS.
const KEEPS_TIMES: [u64; 6] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x794C_7630, 0x7371_7368, 0xE0F5_E1E2];

/// Identifies a file and its content.
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
    /// Returns the fingerprint of an open file.
    ///
    /// # Errors
    /// Errors of the underlying system calls.
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

    /// The fingerprint of a file that no change can leave as it is; none if the file system does not
    /// keep times, or the last change was just now.
    pub fn of_settled(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let fingerprint = Self::of(&file).ok()?;
        (keeps_times(&file) && fingerprint.is_settled(SystemTime::now())).then_some(fingerprint)
    }

    /// Whether the next change would alter the times.
    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let changed = Duration::from_secs(u64::try_from(self.changed.0).unwrap_or(u64::MAX));
        changed.checked_add(SETTLED + Duration::from_secs(1)).is_some_and(|settled| settled <= now)
    }
}

/// Files that were hashed in this process, with the results.
#[derive(Debug, Clone, Default)]
pub struct PinCache {
    known: Arc<Mutex<HashMap<(PathBuf, String), FileFingerprint>>>,
}

impl PinCache {
    /// The seal of the file, if it is known to have this SHA-256. `None` proves nothing: the engine
    /// host then hashes the file, and reports what is wrong.
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
        // The file was not changed while it was read.
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

/// Opens the file, if it is the pinned one: by its seal, or by its content.
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

/// Why a pinned file is not used, with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinError {
    /// The file cannot be read.
    Missing(String),
    /// The file has another digest.
    Other(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{FileTimes, OpenOptions};
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    /// A file on a disk, with its digest: the directory of the build is on one.
    fn file(content: &[u8]) -> (tempfile::NamedTempFile, String) {
        let mut file = tempfile::NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all(content).unwrap();
        (file, digest::sha256(content).unwrap())
    }

    /// Waits until the file is old enough: ctime cannot be set.
    fn settle() {
        std::thread::sleep(SETTLED + Duration::from_millis(1100));
    }

    /// Whether this file system is trusted: it is the one that cadmill is built on.
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
        // The worker no longer sends the seal, and the host would reject it.
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
        // By its times, the renamed file has just been changed.
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
