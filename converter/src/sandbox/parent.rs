//! Step 3: the host dies with its supervisor, even when that one is killed.

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::io;

/// Asks the kernel for `SIGKILL` when the parent ends.
///
/// The kernel takes the parent's *thread* for the parent: the supervisor starts
/// hosts from a thread that outlives them.
///
/// # Errors
/// The system's, and `NotConnected` when the supervisor is gone already: the
/// signal comes for later deaths only.
pub fn die_with(supervisor: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let parent = getppid().map(Pid::as_raw_nonzero);
    if parent.is_some_and(|p| p.get().cast_unsigned() == supervisor) {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::NotConnected, "the supervisor has ended"))
    }
}
