//! Step 7: a crash leaves a note.
//!
//! Many libraries do not check an allocation: they crash on the null pointer.
//! To the supervisor that is a `SIGSEGV` like any other, unless it learns that
//! the crashing thread's last failed call had failed for want of memory, or that
//! the process stood at its cap. The handler writes both as one
//! [`Message::Dying`](crate::protocol::Message::Dying) and lets the signal do
//! its work.
//!
//! The handler runs in a broken process: it uses only async-signal-safe calls
//! (`open`, `read`, `write`, `sigaction`, `raise`), no allocation and no lock,
//! and its own stack, because the usual one may have overflowed.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, Ordering};

const SIGNALS: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGABRT, libc::SIGFPE, libc::SIGILL];

static MESSAGES: AtomicI32 = AtomicI32::new(-1);

const STACK_BYTES: usize = 64 << 10;

/// Installs the handlers for this process. Notes go to `messages`.
///
/// # Errors
/// The system's.
pub fn install(messages: RawFd) -> io::Result<()> {
    MESSAGES.store(messages, Ordering::SeqCst);
    let stack = Box::leak(vec![0u8; STACK_BYTES].into_boxed_slice());
    let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: STACK_BYTES };
    // SAFETY: the stack was leaked, so it is valid for ever and used by nothing
    // else. It serves the calling thread, which is the one that converts.
    if unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    for signal in SIGNALS {
        // SAFETY: all zeros is a valid `sigaction`; the fields that matter follow.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_signal as *const () as usize;
        // RESETHAND: the signal that is raised again, or a second crash inside the
        // handler, ends the process.
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESETHAND | libc::SA_NODEFER;
        // SAFETY: the handler has the type that is called without SA_SIGINFO, and
        // keeps to async-signal-safe calls.
        if unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn on_signal(signal: i32) {
    // First of all: the calls below change it.
    // SAFETY: the address of the calling thread's errno is always valid.
    let errno = unsafe { *libc::__errno_location() };
    let mut note = Note::default();
    note.text(b"{\"dying\":{\"signal\":");
    note.number(signal.unsigned_abs().into());
    note.text(b",\"errno\":");
    note.number(errno.unsigned_abs().into());
    note.text(b",\"data_bytes\":");
    note.number(data_bytes());
    note.text(b"}}");
    let bytes = note.frame();
    // SAFETY: `bytes` is readable; a descriptor that is closed gives an error that
    // there is nobody to tell.
    unsafe { libc::write(MESSAGES.load(Ordering::SeqCst), bytes.as_ptr().cast(), bytes.len()) };
    // The handler is reset; let the signal end the process.
    // SAFETY: `raise` is async-signal-safe.
    unsafe { libc::raise(signal) };
}

/// The process's private data, from `/proc/self/statm`: its sixth number, in pages.
fn data_bytes() -> u64 {
    let mut buffer = [0u8; 128];
    // SAFETY: a C string; plain flags.
    let fd = unsafe { libc::open(c"/proc/self/statm".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd < 0 {
        return 0;
    }
    // SAFETY: the buffer is writable for its whole length.
    let length = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
    // SAFETY: opened above, closed once.
    unsafe { libc::close(fd) };
    let mut fields = buffer[..usize::try_from(length).unwrap_or(0)].split(|&b| b == b' ');
    let digits = fields.nth(5).unwrap_or(&[]);
    let pages =
        digits.iter().take_while(|b| b.is_ascii_digit()).fold(0u64, |n, &b| n * 10 + u64::from(b - b'0'));
    // SAFETY: async-signal-safe, no arguments to go wrong.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages * u64::try_from(page).unwrap_or(4096)
}

/// A frame built without allocation.
struct Note {
    bytes: [u8; 128],
    length: usize,
}

impl Default for Note {
    fn default() -> Self {
        Self { bytes: [0; 128], length: 4 }
    }
}

impl Note {
    fn text(&mut self, text: &[u8]) {
        for &byte in text {
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = byte;
                self.length += 1;
            }
        }
    }

    fn number(&mut self, mut number: u64) {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.text(&digits[at..]);
    }

    fn frame(&mut self) -> &[u8] {
        let length = (self.length - 4) as u32;
        self.bytes[..4].copy_from_slice(&length.to_le_bytes());
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Decoder, Message};

    #[test]
    fn a_note_is_a_message() {
        let mut note = Note::default();
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
        assert!(data_bytes() > 64 << 10);
    }
}
