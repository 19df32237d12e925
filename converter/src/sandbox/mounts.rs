//! A mount namespace for the worker itself: what it mounts, nobody else sees.
//!
//! It is no step of the engine's confinement, which inherits it. Root makes it
//! directly; others need a user namespace around it, which not every host allows, and
//! keep their user id in it.

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use rustix::process::{getegid, geteuid};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};
use std::ffi::CString;
use std::io;
use std::path::Path;

/// AppArmor's way to let anyone have a user namespace in which nothing is allowed: no
/// way back out of one, so it must not be entered (Ubuntu 23.10 and later).
const HOLLOW_USER_NAMESPACES: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";

/// Enters a mount namespace of its own, and tells whether the host allows it. Mounts of
/// the machine still come and go in it; those that are made in it stay in it.
///
/// With a second thread in the process only root can.
///
/// # Errors
/// The system's: the way was allowed half. The process is of no use then.
pub fn leave_mounts() -> io::Result<bool> {
    let (user, group) = (geteuid(), getegid());
    let flags =
        if user.is_root() { UnshareFlags::NEWNS } else { UnshareFlags::NEWUSER | UnshareFlags::NEWNS };
    if !user.is_root() && std::fs::read(HOLLOW_USER_NAMESPACES).is_ok_and(|text| text != b"0\n") {
        return Ok(false);
    }
    // SAFETY: unsharing a mount or user namespace changes no memory and no descriptor
    // table. The current directory stops being shared with other threads; there is none.
    if unsafe { rustix::thread::unshare_unsafe(flags) }.is_err() {
        return Ok(false);
    }
    if !user.is_root() {
        // user_namespaces(7): the group may be mapped once no group can be added.
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", format!("{user} {user} 1", user = user.as_raw()))?;
        std::fs::write("/proc/self/gid_map", format!("{group} {group} 1", group = group.as_raw()))?;
    }
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    Ok(true)
}

/// Mounts memory of at most so many bytes on a directory; others may pass through its
/// root and not list it. Where the kernel can, it is kept from the swap (Linux 6.4,
/// not in a user namespace).
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
    with_mount_right(|| Ok(unmount(from, UnmountFlags::NOFOLLOW)?))
}

/// Puts the rights aside that a user namespace gave: only unmounting is left, and it
/// has to be asked for. Root keeps what it had before.
///
/// # Errors
/// The system's.
pub fn keep_mount_right_only() -> io::Result<()> {
    if geteuid().is_root() {
        return Ok(());
    }
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: CapabilitySet::SYS_ADMIN, inheritable: none };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

fn with_mount_right<T>(act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let held = rustix::thread::capabilities(None)?;
    let raised =
        CapabilitySets { effective: held.effective | (held.permitted & CapabilitySet::SYS_ADMIN), ..held };
    rustix::thread::set_capabilities(None, raised)?;
    let result = act();
    rustix::thread::set_capabilities(None, held)?;
    result
}
