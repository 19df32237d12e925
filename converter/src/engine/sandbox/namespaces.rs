//! Steps 4 and 5: guards that depend on the host: an empty network namespace, and a user id that no
//! other process has.
//!
//! The confinement does not rely on either. The system call filter denies sockets and signals
//! without them; they are a second barrier.

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};
use std::io;

/// Enters a new network namespace, whose only interface is a loopback that is down. Root creates it
/// directly; other users need a user namespace around it, which not every host allows. Returns
/// whether it succeeded.
pub fn leave_network() -> bool {
    let with_user = UnshareFlags::NEWUSER | UnshareFlags::NEWNET;
    let flags = if geteuid().is_root() { UnshareFlags::NEWNET } else { with_user };
    // SAFETY: unsharing a network or user namespace changes neither memory nor the descriptor
    // table; there is one thread.
    unsafe { rustix::thread::unshare_unsafe(flags) }.is_ok()
}

/// Takes this user id and the group id with the same number, as real, effective and saved id, and
/// no supplementary groups.
///
/// # Errors
/// Errors of the underlying system calls. The supervisor has changed the owner of the directories
/// by then, so the process cannot continue with another id.
pub fn become_user(id: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Drops every capability. Root without its own user id keeps one, to read input files that belong
/// to another user; Landlock limits which files those are.
///
/// # Errors
/// Errors of the underlying system calls.
pub fn drop_capabilities() -> io::Result<()> {
    let kept = if geteuid().is_root() { CapabilitySet::DAC_READ_SEARCH } else { CapabilitySet::empty() };
    let held = rustix::thread::capabilities(None)?;
    let kept = kept & held.permitted;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)?;
    Ok(())
}
