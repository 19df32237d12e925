//! The lock that a process holds on its workspace. The kernel releases it when the process dies.

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Makes a directory and locks it. Makes another if the first was removed before it was locked.
pub(super) fn locked<T: AsRef<Path>>(make: impl Fn() -> io::Result<T>) -> io::Result<(T, OwnedFd)> {
    loop {
        let made = make()?;
        if let Some(lock) = lock(made.as_ref())? {
            return Ok((made, lock));
        }
    }
}

/// Locks a directory; `None` if another process holds the lock or the directory does not exist.
pub(super) fn lock(directory: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(directory, flags, Mode::empty()) {
        Ok(opened) => opened,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // A directory that was removed between opening and locking is no longer a workspace.
    Ok((rustix::fs::fstat(&opened)?.st_nlink > 0).then_some(opened))
}
