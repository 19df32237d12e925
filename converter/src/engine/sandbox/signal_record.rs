//! Messages written in a signal handler: without allocation, locks or formatting.

use std::sync::atomic::{AtomicI32, Ordering};

/// The descriptor of the message pipe.
static MESSAGES: AtomicI32 = AtomicI32::new(-1);

/// Sets the descriptor that messages are written to.
pub(super) fn go_to(messages: i32) {
    MESSAGES.store(messages, Ordering::SeqCst);
}

/// A frame under construction, of at most `N` bytes. Bytes that do not fit are dropped.
pub(super) struct Note<const N: usize = 128> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Note<N> {
    pub(super) fn new() -> Self {
        Self { bytes: [0; N], length: 4 }
    }

    pub(super) fn text(&mut self, text: &[u8]) {
        for &byte in text {
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = byte;
                self.length += 1;
            }
        }
    }

    pub(super) fn number(&mut self, number: u64) {
        self.text(decimal(number, &mut [0; DIGITS]));
    }

    pub(super) fn frame(&mut self) -> &[u8] {
        let length = (self.length - 4) as u32;
        self.bytes[..4].copy_from_slice(&length.to_le_bytes());
        &self.bytes[..self.length]
    }

    /// Writes the frame. Errors are ignored: they cannot be reported.
    pub(super) fn send(&mut self) {
        let bytes = self.frame();
        // SAFETY: `bytes` is readable for its whole length; `write` is
        // async-signal-safe.
        unsafe { libc::write(MESSAGES.load(Ordering::SeqCst), bytes.as_ptr().cast(), bytes.len()) };
    }
}

/// Reports a call that is not allowed.
pub(super) fn send_violation(syscall: u64) {
    let mut note = <Note>::new();
    note.text(b"{\"violation\":{\"syscall\":");
    note.number(syscall);
    note.text(b"}}");
    note.send();
}

/// Number of digits of the largest number.
pub(super) const DIGITS: usize = 20;

/// The digits of a number.
pub(super) fn decimal(mut number: u64, digits: &mut [u8; DIGITS]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}
