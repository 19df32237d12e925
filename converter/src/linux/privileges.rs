//! Step 7: no privilege can be gained, and no other process can look inside.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use std::io;

/// Disables core dumps, and keeps other processes of the same user from reading this process's
/// memory. The limit on core files alone is not sufficient: a core pattern that pipes into a
/// program ignores it.
///
/// # Errors
/// Errors of the underlying system calls.
pub fn no_core_dump() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Whether a crash would leave a core dump and other processes may read the memory. A failed query
/// counts as yes.
pub fn is_dumpable() -> bool {
    !matches!(rustix::process::dumpable_behavior(), Ok(DumpableBehavior::NotDumpable))
}

/// Sets `no_new_privs`, disables core dumps, and makes new files private.
///
/// # Errors
/// Errors of the underlying system calls.
pub fn drop_all() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    no_core_dump()?;
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    Ok(())
}

/// Lowers the priority of the process and of the engines that it starts, so that a server on the
/// same machine responds while they work. 0 leaves it unchanged.
///
/// # Errors
/// Errors of the underlying system calls.
pub fn be_nice(niceness: u8) -> io::Result<()> {
    if niceness > 0 {
        rustix::process::setpriority_process(None, niceness.into())?;
    }
    Ok(())
}
