//! Signals to single threads, which `std` and `rustix` do not offer.

use rustix::process::{Pid, Signal};
use std::io;

/// Sends a signal to one thread of a process. A thread that has ended is ignored.
///
/// # Errors
/// The operating system's: `EPERM` if this process may not send signals to that one.
pub fn signal_thread(process: Pid, thread: Pid, signal: Signal) -> io::Result<()> {
    let [process, thread] = [process, thread].map(|pid| libc::c_long::from(pid.as_raw_nonzero().get()));
    // SAFETY: tgkill(2) takes three numbers and no pointer.
    let answer =
        unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::c_long::from(signal.as_raw())) };
    if answer == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) }
}
