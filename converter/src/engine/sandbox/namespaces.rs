//! Steps 4 and 5: what the host gives where it is allowed: an empty network
//! namespace, a user id that no other process has.
//!
//! Neither is counted on. The filter of system calls denies sockets and signals
//! without them; they are a second lock.

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};
use std::io;

/// Enters a network namespace of its own, which has no interface but a loopback that
/// is down. Root makes it directly; others need a user namespace around it, which
/// not every host allows. Tells whether it succeeded.
pub fn leave_network() -> bool {
    let with_user = UnshareFlags::NEWUSER | UnshareFlags::NEWNET;
    let flags = if geteuid().is_root() { UnshareFlags::NEWNET } else { with_user };
    // SAFETY: unsharing a network or user namespace changes no memory and no
    // descriptor table; there is one thread.
    unsafe { rustix::thread::unshare_unsafe(flags) }.is_ok()
}

/// Takes this user id and the group id of the same number, for real, effective and
/// saved, and no other groups.
///
/// # Errors
/// The system's. The supervisor gave the directories away by then: there is no
/// going on with another id.
pub fn become_user(id: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Drops every capability. Root without a user id of its own keeps one, to read an
/// input that belongs to another user; Landlock says which files those are.
///
/// # Errors
/// The system's.
pub fn drop_capabilities() -> io::Result<()> {
    let kept = if geteuid().is_root() { CapabilitySet::DAC_READ_SEARCH } else { CapabilitySet::empty() };
    let held = rustix::thread::capabilities(None)?;
    let kept = kept & held.permitted;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)?;
    Ok(())
}
