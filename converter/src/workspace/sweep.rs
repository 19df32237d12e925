//! Removing what killed processes left.

use super::{PREFIX, Place};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Workspaces of dead processes that were removed.
    pub removed: u64,
    /// Such workspaces that could not be removed; the next sweep tries again.
    pub left: u64,
}

impl Place {
    /// Removes the workspaces whose processes are dead. Those of the living, here or
    /// in another container that shares the place, are locked and stay.
    ///
    /// # Errors
    /// When the place cannot be listed.
    pub fn sweep(&self) -> io::Result<Swept> {
        let mut swept = Swept::default();
        for entry in std::fs::read_dir(&self.directory)?.flatten() {
            let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
            if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            match lock(&entry.path()) {
                // The lock is held until the directory is gone.
                Ok(Some(_lock)) => match std::fs::remove_dir_all(entry.path()) {
                    Ok(()) => swept.removed += 1,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(_) => swept.left += 1,
                },
                Ok(None) => {}
                // Another user's directory is not ours to judge.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(_) => swept.left += 1,
            }
        }
        Ok(swept)
    }
}

/// Locks a directory; nothing when another has the lock or the directory is gone.
pub(super) fn lock(directory: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(directory, flags, Mode::empty()) {
        Ok(opened) => opened,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // Removed between opening and locking, it is nobody's workspace any more.
    Ok((rustix::fs::fstat(&opened)?.st_nlink > 0).then_some(opened))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_living_stay_and_the_dead_go() {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let at = Place::new(place.path().into(), false);
        let living = at.create().unwrap();
        let dead = place.path().join("cadmill-of-a-killed-process");
        std::fs::create_dir_all(dead.join("in/deep")).unwrap();
        std::fs::write(dead.join("in/deep/plan.dxf"), "plaintext").unwrap();
        let foreign = place.path().join("somebody-elses");
        std::fs::create_dir(&foreign).unwrap();
        assert_eq!(at.sweep().unwrap(), Swept { removed: 1, left: 0 });
        assert!(living.input().exists() && foreign.exists() && !dead.exists());
        assert_eq!(at.sweep().unwrap(), Swept::default());
        // A process that ends without removing leaves no lock.
        let kept = living.input().parent().unwrap().to_owned();
        living.remove().unwrap();
        assert!(!kept.exists());
    }
}
