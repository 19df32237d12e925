//! Signals to single threads, and the handlers of signals, which `std` and `rustix` do not offer.

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

/// The signals of a crash, whose handlers a library leaves as they were.
const OF_A_CRASH: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT];

/// The handlers of [`OF_A_CRASH`] in this process, to see later whether they are the same.
#[derive(Debug, Clone, Copy)]
pub struct CrashHandlers([(usize, libc::c_int, u64); 5]);

impl CrashHandlers {
    /// Those of now.
    pub fn now() -> Self {
        Self(OF_A_CRASH.map(|signal| {
            // SAFETY: all zeros is a valid `sigaction`.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            // SAFETY: nothing is set, and `action` may be written to.
            unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
            // The kernel's mask is the first 64 bits of glibc's.
            // SAFETY: `sa_mask` has more than 64 bits.
            let mask = unsafe { (&raw const action.sa_mask).cast::<u64>().read_unaligned() };
            (action.sa_sigaction, action.sa_flags, mask)
        }))
    }

    /// The signals whose handlers are others now.
    pub fn changed(self) -> Vec<i32> {
        let signals = OF_A_CRASH.into_iter().zip(self.0.into_iter().zip(Self::now().0));
        signals.filter(|(_, (before, now))| before != now).map(|(signal, _)| signal).collect()
    }
}
