//! Step 7: no privilege can be gained, and no other process may look inside.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use std::io;

/// Makes the process leave no core dump, and keeps other processes of the same
/// user from looking into its memory. The limit on core files alone is not
/// enough: a core pattern that pipes into a program ignores it.
///
/// # Errors
/// The system's.
pub fn no_core_dump() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Whether a crash would leave a core dump and others may look inside. What cannot be
/// asked counts as yes.
pub fn is_dumpable() -> bool {
    !matches!(rustix::process::dumpable_behavior(), Ok(DumpableBehavior::NotDumpable))
}

/// Sets `no_new_privs`, leaves no core dump, and makes new files private.
///
/// # Errors
/// The system's.
pub fn drop_all() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    no_core_dump()?;
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    Ok(())
}

/// Lowers the process's priority, and that of the engines that it starts: so that a
/// server on the same machine answers while they work. 0 leaves it as it is.
///
/// # Errors
/// The system's.
pub fn be_nice(niceness: u8) -> io::Result<()> {
    if niceness > 0 {
        rustix::process::setpriority_process(None, niceness.into())?;
    }
    Ok(())
}
