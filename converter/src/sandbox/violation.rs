//! The handler of a forbidden system call: it tells the number, and the process ends.
//!
//! The filter answers a forbidden call with `SIGSYS` and does not make it. Where the
//! signal is blocked or the handler is gone, the kernel ends the process itself; the
//! number is lost then, and nothing else is.

use super::note::Note;
use std::io;

/// `si_code` of a signal that the filter sent (siginfo.h).
const SYS_SECCOMP: i32 = 1;

/// The part of `siginfo_t` that a `SIGSYS` has on 64-bit Linux (sigaction(2)).
#[repr(C)]
struct Info {
    _signal: i32,
    _errno: i32,
    code: i32,
    _padding: i32,
    _call_address: u64,
    syscall: i32,
    arch: u32,
}

/// Installs the handler. Notes go where [`super::crash::install`] said.
///
/// # Errors
/// The system's.
pub fn install() -> io::Result<()> {
    // SAFETY: all zeros is a valid `sigaction`; the fields that matter follow.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as usize;
    // RESETHAND: the signal that is raised again ends the process.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND | libc::SA_NODEFER;
    // SAFETY: the handler has the type that SA_SIGINFO asks for, and keeps to
    // async-signal-safe calls.
    if unsafe { libc::sigaction(libc::SIGSYS, &action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

extern "C" fn on_signal(signal: i32, info: *const Info, _context: *const libc::c_void) {
    // SAFETY: the kernel passes a whole `siginfo_t`, which is larger than `Info`.
    let info = unsafe { &*info };
    // A signal that somebody sent by hand says nothing of a call.
    if info.code == SYS_SECCOMP {
        let mut note = Note::new();
        note.text(b"{\"violation\":{\"syscall\":");
        note.number(u64::from(info.syscall.cast_unsigned()));
        note.text(b",\"arch\":");
        note.number(info.arch.into());
        note.text(b"}}");
        note.send();
    }
    // SAFETY: `raise` is async-signal-safe, and allowed by the filter.
    unsafe { libc::raise(signal) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    #[test]
    fn the_layout_is_that_of_the_kernel() {
        assert_eq!(offset_of!(Info, code), offset_of!(libc::siginfo_t, si_code));
        assert_eq!((offset_of!(Info, syscall), offset_of!(Info, arch)), (24, 28));
        assert!(size_of::<Info>() <= size_of::<libc::siginfo_t>());
    }
}
