//! Step 6: the host dies with its supervisor, even if the supervisor is killed, and has no
//! controlling terminal.

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::io;
use std::os::fd::AsRawFd;

/// Requests `SIGKILL` for the end of the parent. A change of the user id clears this setting, so it
/// is made after that.
///
/// The kernel sends the signal when the parent's *thread* ends: the supervisor starts hosts from a
/// thread that outlives them.
///
/// # Errors
/// Errors of the underlying system calls, and `NotConnected` if the supervisor is gone already: the
/// signal is sent for later deaths only.
pub fn die_with(supervisor: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let parent = getppid().map(Pid::as_raw_nonzero);
    if parent.is_some_and(|p| p.get().cast_unsigned() == supervisor) {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::NotConnected, "the supervisor has ended"))
    }
}

/// Gives up the controlling terminal, so that `/dev/tty` cannot be opened: through it a library
/// could write to the user's screen.
///
/// `setsid` would do the same, but fails for the leader of a process group. The host is one from
/// its start, so that it does not receive the terminal's signals.
pub fn leave_terminal() {
    // Without a controlling terminal the open fails.
    if let Ok(terminal) = rustix::fs::open("/dev/tty", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        // SAFETY: TIOCNOTTY takes no argument and changes no memory.
        unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCNOTTY) };
    }
}
