//! A mount namespace for the worker itself: what it mounts, nobody else sees.
//!
//! It is not part of the engine's confinement, which inherits it. It requires root. A user
//! namespace would give the right to mount to everyone, but the kernel gives every
//! capability in it to each process of the user who made it (user_namespaces(7)), from
//! outside as well, and in every namespace below it: see docs/adr/0014.

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use rustix::process::geteuid;
use rustix::thread::UnshareFlags;
use std::ffi::CString;
use std::io;
use std::path::Path;

/// Magic numbers of statfs(2), for file systems that lie in memory.
pub const TMPFS: u64 = 0x0102_1994;
/// See [`TMPFS`].
pub const RAMFS: u64 = 0x8584_58f6;

/// Whether this process may be protected from others of its user by a mount namespace.
/// Root may: the engines that it starts have capabilities until they are confined, which
/// keeps out a process without.
pub fn may_leave_mounts() -> bool {
    geteuid().is_root()
}

/// Enters a mount namespace of its own, and tells whether the host allows it. Mounts of
/// the machine still come and go in it; those that are made in it stay in it.
///
/// # Errors
/// The system's: the way was allowed half. The process is of no use then.
pub fn leave_mounts() -> io::Result<bool> {
    // SAFETY: unsharing a mount namespace changes no memory and no descriptor table. The
    // current directory stops being shared with other threads; there is none.
    if unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.is_err() {
        return Ok(false);
    }
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    Ok(true)
}

/// Mounts memory of at most so many bytes on a directory; others may pass through its
/// root and not list it. Where the kernel can, it is kept from the swap (Linux 6.4).
///
/// # Errors
/// The system's.
pub fn mount_memory(on: &Path, bytes: u64) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let try_with = |more: &str| -> io::Result<()> {
        let options = CString::new(format!("mode=0711,size={bytes}{more}")).map_err(io::Error::other)?;
        Ok(mount("cadmill", on, "tmpfs", flags, options.as_c_str())?)
    };
    try_with(",noswap").or_else(|_| try_with(""))
}

/// Takes the memory away again, with all that is in it.
///
/// # Errors
/// The system's, when something of it is still open.
pub fn unmount_memory(from: &Path) -> io::Result<()> {
    Ok(unmount(from, UnmountFlags::NOFOLLOW)?)
}
