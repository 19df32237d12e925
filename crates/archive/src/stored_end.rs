//! Stored content that a streaming reader would take for the end of its entry.
//!
//! The end of a stored entry whose length is said only after it cannot be found without the central
//! directory: streaming readers search. libarchive takes the first signature of a data descriptor
//! that the checksum of the bytes before it follows; Apache Commons Compress also takes one without
//! checking the checksum, or the local or central header that comes after one without signature,
//! and compares the size. Content in which they would find an end that is not the true one is
//! refused. By chance this does not occur: a signature and four bytes more must be right.

use crate::entry_error::EntryError;
use crate::records::{CENTRAL, DESCRIPTOR, LOCAL, u32_at, u64_at};
use cadmill_core::domain::failure::FailureCode;

/// Bytes from a signature on that are needed to judge it: a checksum and a size follow.
const AHEAD: usize = 12;
/// Bytes before a header that are needed: the longest descriptor without signature.
const BEHIND: usize = 20;

/// The search through the content of one entry and its true descriptor, which it may reach into.
#[derive(Debug)]
pub(super) struct StoredEnd {
    /// The true length of the content.
    length: u64,
    /// The next position to look at, and the bytes around it, which begin at `held_at`.
    at: u64,
    held: Vec<u8>,
    held_at: u64,
    /// Of the content up to `hashed`.
    crc: crc32fast::Hasher,
    hashed: u64,
}

impl StoredEnd {
    pub(super) fn new(length: u64) -> Self {
        Self { length, at: 0, held: Vec::new(), held_at: 0, crc: crc32fast::Hasher::new(), hashed: 0 }
    }

    /// Takes the next bytes of the content, and after them the descriptor.
    ///
    /// # Errors
    /// `input.archive.stored_descriptor`.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), EntryError> {
        self.held.extend_from_slice(bytes);
        let end = (self.held_at + self.held.len() as u64).saturating_sub(AHEAD as u64);
        while self.at <= end && self.held.len() >= AHEAD {
            let from = self.index(self.at);
            let to = self.index(end);
            let Some(found) = self.held[from..=to].iter().position(|&byte| byte == b'P') else {
                self.at = end + 1;
                break;
            };
            self.at += found as u64;
            if self.is_end_here() {
                let text = "is stored, and has content that streaming readers would take for its end";
                return Err(EntryError::new(FailureCode::ArchiveStoredDescriptor, text));
            }
            self.at += 1;
        }
        self.release();
        Ok(())
    }

    fn is_end_here(&mut self) -> bool {
        let at = self.index(self.at);
        let (before, after) = self.held.split_at(at);
        if after.starts_with(&DESCRIPTOR) && self.at < self.length {
            let (crc, size) = (u32_at(after, 4), u32_at(after, 8));
            // The low half of a 64-bit size is where a 32-bit one is.
            return size == self.at as u32 || crc == self.crc_before();
        }
        if after.starts_with(&LOCAL) || after.starts_with(&CENTRAL) {
            let narrow = before.last_chunk::<12>().is_some_and(|descriptor| {
                [4, 8].iter().all(|&at| u32_at(descriptor, at) == (self.at - 12) as u32)
            });
            let wide = before
                .last_chunk::<20>()
                .is_some_and(|descriptor| [4, 12].iter().all(|&at| u64_at(descriptor, at) == self.at - 20));
            return narrow || wide;
        }
        false
    }

    /// The checksum of the content up to the current position.
    fn crc_before(&mut self) -> u32 {
        let (from, to) = (self.index(self.hashed), self.index(self.at));
        self.crc.update(&self.held[from..to]);
        self.hashed = self.at;
        self.crc.clone().finalize()
    }

    /// Drops the bytes that are not needed any more.
    fn release(&mut self) {
        let keep = self.at.saturating_sub(BEHIND as u64).max(self.held_at);
        let (from, to) = (self.index(self.hashed), self.index(keep));
        if to > from {
            self.crc.update(&self.held[from..to]);
            self.hashed = keep;
        }
        self.held.drain(..to);
        self.held_at = keep;
    }

    fn index(&self, at: u64) -> usize {
        (at - self.held_at) as usize
    }
}
