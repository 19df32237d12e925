//! Reaps a child and returns its resource usage, which `std` does not offer.

use std::io;
use std::time::Duration;

/// How a child ended, and its resource usage.
#[derive(Debug, Clone, Copy)]
pub struct Reaped {
    /// Exit code, if it exited.
    pub exit: Option<i32>,
    /// Signal, if the child was killed by one.
    pub signal: Option<i32>,
    /// Largest resident set, in bytes.
    pub peak_resident_bytes: u64,
    /// Processor time, user and system.
    pub processor_time: Duration,
}

/// Waits for the child and removes it from the process table.
///
/// # Errors
/// The operating system's: `ECHILD` if the process is not a child of this one or was reaped
/// already.
pub fn reap(pid: rustix::process::Pid) -> io::Result<Reaped> {
    let mut status = 0;
    // SAFETY: all zeros is a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: `status` and `usage` are valid for writes.
        let answer = unsafe { libc::wait4(pid.as_raw_nonzero().get(), &mut status, 0, &mut usage) };
        if answer >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let seconds = |t: libc::timeval| {
        Duration::from_secs(t.tv_sec.unsigned_abs()) + Duration::from_micros(t.tv_usec.unsigned_abs())
    };
    Ok(Reaped {
        exit: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
        signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
        // Linux counts ru_maxrss in KiB (getrusage(2)).
        peak_resident_bytes: usage.ru_maxrss.unsigned_abs() * 1024,
        processor_time: seconds(usage.ru_utime) + seconds(usage.ru_stime),
    })
}
