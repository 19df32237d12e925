//! Step 8: reports a crash.
//!
//! Many libraries do not check allocations: they crash on the null pointer. The supervisor cannot
//! tell that from any other `SIGSEGV`, unless it learns that the crashing thread's last failed call
//! failed with `ENOMEM`, or that the process was at its cap. The handler writes both as one
//! [`Message::Dying`](crate::engine::protocol::Message::Dying) and lets the signal take effect.
//!
//! The handler runs in a broken process: it uses only async-signal-safe calls (`pread`, `write`,
//! `raise`), does not allocate or lock, and has its own stack, because the normal one may have
//! overflowed. The file with the memory figures was opened before access to files was restricted.

use crate::engine::sandbox::signal_record::{self, Note};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// `SIGXFSZ` is sent for a file that is too large. Its default action ends the process, but a JVM
/// ignores it unless a handler was installed before.
const SIGNALS: [i32; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGABRT, libc::SIGFPE, libc::SIGILL, libc::SIGXFSZ];

/// `/proc/self/status`, open.
static STATUS: AtomicI32 = AtomicI32::new(-1);

const STACK_BYTES: usize = 64 << 10;

/// Installs the handlers for this process. Messages go to `messages`; `status` is this process's
/// `/proc/self/status`.
///
/// # Errors
/// Errors of the underlying system calls.
pub fn install(messages: RawFd, status: &File) -> io::Result<()> {
    signal_record::go_to(messages);
    STATUS.store(status.as_raw_fd(), Ordering::SeqCst);
    let stack = Box::leak(vec![0u8; STACK_BYTES].into_boxed_slice());
    let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: STACK_BYTES };
    // SAFETY: the stack was leaked, so it stays valid and has no other user. It serves the calling
    // thread, which is the one that converts.
    if unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    for signal in SIGNALS {
        // SAFETY: all zeros is a valid `sigaction`; the relevant fields are set below.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_signal as *const () as usize;
        // RESETHAND: the signal raised again, or a second crash inside the handler, ends the
        // process.
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESETHAND | libc::SA_NODEFER;
        // SAFETY: the handler has the signature for a call without SA_SIGINFO, and uses
        // async-signal-safe calls only.
        if unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn on_signal(signal: i32) {
    // Read first: the calls below change it.
    // SAFETY: the address of the calling thread's errno is always valid.
    let errno = unsafe { *libc::__errno_location() };
    let mut note = <Note>::new();
    note.text(b"{\"dying\":{\"signal\":");
    note.number(signal.unsigned_abs().into());
    note.text(b",\"errno\":");
    note.number(errno.unsigned_abs().into());
    note.text(b",\"data_bytes\":");
    note.number(data_bytes());
    note.text(b"}}");
    note.send();
    // Let the signal end the process. The handler is reset already, unless a JVM has installed its
    // own and called this one: the JVM's must not receive the signal again.
    // SAFETY: `signal` and `raise` are async-signal-safe.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// The process's private data, in bytes: `VmData` in its status.
fn data_bytes() -> u64 {
    let mut buffer = [0u8; 2048];
    let fd = STATUS.load(Ordering::SeqCst);
    // SAFETY: the buffer is writable for its whole length; `pread` is async-signal-safe, and
    // returns an error for a closed descriptor.
    let length = unsafe { libc::pread(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    let mut lines = buffer[..usize::try_from(length).unwrap_or(0)].split(|&b| b == b'\n');
    let field = lines.find_map(|line| line.strip_prefix(b"VmData:")).unwrap_or(&[]);
    let digits = field.iter().filter(|b| b.is_ascii_digit());
    digits.fold(0u64, |n, &b| n * 10 + u64::from(b - b'0')) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::frame::Decoder;
    use crate::engine::protocol::Message;

    #[test]
    fn a_note_is_a_message() {
        let mut note = <Note>::new();
        note.text(b"{\"dying\":{\"signal\":");
        note.number(11);
        note.text(b",\"errno\":");
        note.number(0);
        note.text(b",\"data_bytes\":");
        note.number(u64::MAX);
        note.text(b"}}");
        let mut decoder = Decoder::default();
        decoder.push(note.frame());
        let message = decoder.next().unwrap();
        assert_eq!(message, Some(Message::Dying { signal: 11, errno: 0, data_bytes: u64::MAX }));
    }

    #[test]
    fn data_is_measured() {
        let status = File::open("/proc/self/status").unwrap();
        STATUS.store(status.as_raw_fd(), Ordering::SeqCst);
        assert!(data_bytes() > 64 << 10);
    }
}
