//! Step 6: the host dies with its supervisor, even when that one is killed, and has
//! no terminal.

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::io;
use std::os::fd::AsRawFd;

/// Asks the kernel for `SIGKILL` when the parent ends. A change of the user id takes
/// the wish back, so this comes after it.
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

/// Gives the controlling terminal up, so that `/dev/tty` is nobody's: through it a
/// library could write to the user's screen.
///
/// `setsid` would do the same, but not for the leader of a process group, which the
/// host is from its start, lest it gets the signals of the terminal.
pub fn leave_terminal() {
    // Without a terminal there is nothing to open.
    if let Ok(terminal) = rustix::fs::open("/dev/tty", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        // SAFETY: TIOCNOTTY takes no argument and changes no memory.
        unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCNOTTY) };
    }
}
