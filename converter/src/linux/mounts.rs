//! A mount namespace for the worker itself: other processes do not see what it mounts.
//!
//! It is not part of the engine's confinement, which inherits it. It requires root. A user
//! namespace would allow every user to mount, but the kernel grants all capabilities in it to each
//! process of the user who created it (user_namespaces(7)), also to processes outside, and in every
//! namespace below it: see docs/adr/0014.

pub use cadmill_stores::adapters::embedded::medium::{RAMFS, TMPFS};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use rustix::process::geteuid;
use rustix::thread::UnshareFlags;
use std::ffi::CString;
use std::io;
use std::path::Path;

/// Whether a mount namespace can protect this process from other processes of its user. It can for
/// root: the engines that it starts have capabilities until they are confined, which keeps out a
/// process without capabilities.
pub fn may_leave_mounts() -> bool {
    geteuid().is_root()
}

/// Enters a new mount namespace, and returns whether the host allows it. Mounts of the machine
/// still propagate into it; mounts made in it do not propagate out.
///
/// # Errors
/// The operating system's, if the second step failed. The process is unusable then.
pub fn leave_mounts() -> io::Result<bool> {
    // SAFETY: unsharing a mount namespace changes neither memory nor the descriptor table. The
    // current directory is no longer shared with other threads; there are none.
    if unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.is_err() {
        return Ok(false);
    }
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    Ok(true)
}

/// Mounts memory of at most `bytes` bytes on a directory. Other users may traverse its root but not
/// list it. Where the kernel supports it, the memory is not swapped out (Linux 6.4).
///
/// # Errors
/// Errors of the underlying system calls.
pub fn mount_memory(on: &Path, bytes: u64) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let try_with = |more: &str| -> io::Result<()> {
        let options = CString::new(format!("mode=0711,size={bytes}{more}")).map_err(io::Error::other)?;
        Ok(mount("cadmill", on, "tmpfs", flags, options.as_c_str())?)
    };
    try_with(",noswap").or_else(|_| try_with(""))
}

/// Unmounts the memory, with everything in it. Returns `false` if a process still uses it: no path
/// leads to it any more, and it is freed with that process.
///
/// # Errors
/// Errors of the underlying system calls.
pub fn unmount_memory(from: &Path) -> io::Result<bool> {
    match unmount(from, UnmountFlags::NOFOLLOW) {
        Err(Errno::BUSY) => Ok(unmount(from, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH).map(|()| false)?),
        done => Ok(done.map(|()| true)?),
    }
}
