//! Bringing the input into the workspace.
//!
//! An archive is never stored: its directory is read and judged first, and then its body
//! is expanded while it comes, into files that have their full size from the start. A local file is read in place, an object of the store by ranged requests,
//! several at once; what lies behind is the same code for both:
//!
//! ```text
//!   store: ranged GETs, in order, bounded --+-> a digest of all
//!                                           |
//!                                           +-> entry k   -> inflate -+
//!                                           +-> entry k+1 -> inflate -+-> write
//!   local file: a reader for each entry ------> …                     -+
//! ```
//!
//! The engine is started after all of this has held: every CRC-32, every size, the
//! digest, and the ETag of the object in every reply. Memory is bounded by [`DownloadConfig`] and
//! by the number of threads, whatever the size of the file.

mod expand;
mod file_writer;
mod local;
mod range_reader;
mod remote;

pub use local::Local;
pub use remote::Remote;

use crate::workspace::Folder;
use cadmill_archive::{CentralDirectoryReader, Entry, Plan};
use cadmill_core::domain::failure::Failure;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Bytes of a range that are asked for at once while a directory is read.
const BLOCK: u64 = 1 << 20;

/// How much of a download is under way at once.
///
/// - `buffer_bytes` holds three parts or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadConfig {
    /// Bytes of one request. 8 MiB: the size at which S3 gives its full throughput
    /// ("Best practices design patterns: optimizing Amazon S3 performance").
    pub part_bytes: u64,
    /// Bytes that have been asked for and not yet been taken up, at most.
    pub buffer_bytes: u64,
    /// Requests under way at once, second ones for the same part not counted.
    pub requests: usize,
    /// Times that a part is asked for before the attempt fails. Each is already
    /// repeated by the client of the store where it got no answer at all.
    pub tries: u32,
    /// Pause before retrying a part; twice as long each time.
    pub pause: Duration,
    /// A part is asked for a second time, beside the first, when it takes three times
    /// as long as the others did, and at least so long.
    pub hedge_after: Duration,
    /// The same while no other part has come that it could be compared with.
    pub hedge_first_after: Duration,
}

impl Default for DownloadConfig {
    fn default() -> Self {
        Self::with_buffer(Self::BUFFER_BYTES)
    }
}

impl DownloadConfig {
    /// Bytes of the buffer when nobody says.
    pub const BUFFER_BYTES: u64 = 48 << 20;

    /// The largest part.
    const PART_BYTES: u64 = 8 << 20;

    /// A flow with a buffer of so many bytes. Parts become smaller where fewer than
    /// three would fit.
    pub fn with_buffer(bytes: u64) -> Self {
        let part_bytes = (bytes / 3).clamp(1, Self::PART_BYTES);
        Self {
            part_bytes,
            buffer_bytes: bytes.max(part_bytes * 3),
            requests: 4,
            tries: 5,
            pause: Duration::from_millis(200),
            hedge_after: Duration::from_millis(500),
            hedge_first_after: Duration::from_secs(10),
        }
    }

    fn parts(&self) -> usize {
        usize::try_from(self.buffer_bytes / self.part_bytes).unwrap_or(usize::MAX).max(2)
    }
}

/// An input: a local file, or an object of the store.
pub trait Source {
    /// The file's name, without directories.
    fn name(&self) -> &str;

    /// Its size, in bytes.
    fn size_bytes(&self) -> u64;

    /// The judged directory, if it is an archive.
    fn plan(&self) -> Option<&Plan>;

    /// What it will take up in the workspace, in bytes.
    fn needs_bytes(&self) -> u64;

    /// Expands the archive into `directory`, which is empty. `progress` hears from this
    /// thread how much has come, from 0 to 1. What was written before a failure stays:
    /// the workspace is removed as a whole.
    ///
    /// # Errors
    /// `input.archive.*` for the first entry that does not hold, `input.digest_mismatch`,
    /// `input.replaced`, `job.cancelled`, `infra.*`.
    fn expand(
        &self,
        directory: &Folder,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(f64),
    ) -> Result<(), Failure>;

    /// Makes a file that is no archive readable, in `directory` if it is not yet on this
    /// machine; its path then.
    ///
    /// # Errors
    /// As for [`Source::expand`].
    fn place(
        &self,
        directory: &Folder,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(f64),
    ) -> Result<PathBuf, Failure>;
}

/// Whether a file with this beginning is a zip archive (APPNOTE 4.3.7, 4.3.16): it
/// begins with a local file header, or with the end record of an empty archive.
fn begins_as_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}

/// What is to be read next of the directory of an archive.
fn wanted(opening: &CentralDirectoryReader) -> Option<Range<u64>> {
    opening.wants().map(|range| range.start..range.end.min(range.start + BLOCK))
}

/// A part of the input that becomes one file.
struct Piece<'a> {
    /// Where its bytes lie in the input.
    segment: Range<u64>,
    /// Below the directory of the input.
    path: &'a str,
    /// Size of the file.
    size_bytes: u64,
    /// The entry that it is; without one the bytes are the content.
    entry: Option<&'a Entry>,
}

/// The pieces of an archive, in the order of their bytes, directories among them: their
/// headers are judged too.
fn pieces(plan: &Plan) -> Vec<Piece<'_>> {
    plan.entries().iter().map(Piece::of).collect()
}

impl<'a> Piece<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self {
            segment: entry.segment(),
            path: entry.name(),
            size_bytes: entry.expanded_bytes(),
            entry: Some(entry),
        }
    }
}

#[cfg(test)]
mod tests;
