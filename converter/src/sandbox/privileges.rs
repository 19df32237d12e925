//! Step 5: no privilege can be gained, and no other process may look inside.

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use std::io;

/// Sets `no_new_privs`, and makes the process not dumpable: a core pattern that
/// pipes into a program ignores the limit on core files, but not this.
///
/// # Errors
/// The system's.
pub fn drop_all() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    Ok(())
}
