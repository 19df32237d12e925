//! What a directory lies on, which decides what destroying a file can mean.
//!
//! In memory, the bytes of a file are overwritten in place before the file is removed. On a disk an
//! overwrite proves nothing: a journal, a snapshot, a copy-on-write file system or the wear levelling of
//! a flash disk may keep the old bytes. There files are unlinked only, and that is said.

use std::io;
use std::path::Path;

/// Magic numbers of statfs(2), for file systems in memory. A container's overlay is on a disk.
pub const TMPFS: u64 = 0x0102_1994;
/// See [`TMPFS`].
pub const RAMFS: u64 = 0x8584_58f6;

/// What a directory lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// tmpfs or ramfs. A tmpfs may be swapped out.
    Memory,
    /// Everything else.
    Disk,
}

impl Medium {
    /// That of an existing file or directory.
    ///
    /// # Errors
    /// The operating system's.
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = rustix::fs::statfs(path)?;
        // The type is signed on some architectures.
        let kind = u64::try_from(found.f_type & 0xffff_ffff).unwrap_or_default();
        Ok(if [TMPFS, RAMFS].contains(&kind) { Self::Memory } else { Self::Disk })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_from_everything_else() {
        assert_eq!(Medium::of(Path::new("/dev/shm")).unwrap(), Medium::Memory);
        // The file system of a build is on a disk, and `/proc` is neither.
        assert_eq!(Medium::of(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap(), Medium::Disk);
        assert_eq!(Medium::of(Path::new("/proc")).unwrap(), Medium::Disk);
        assert!(Medium::of(Path::new("/nowhere/at/all")).is_err());
    }
}
