//! Brings the input into the workspace.
//!
//! An archive is never stored. Its central directory is read and checked first. Then its body is
//! expanded during the download, into files that have their full size from the start. A local file
//! is read in place; an object of the store is read by concurrent ranged requests. All later steps
//! are the same code for both:
//!
//! ```text
//!   store: ranged GETs, in order, bounded --+-> a digest of all
//!                                           |
//!                                           +-> entry k   -> inflate -+
//!                                           +-> entry k+1 -> inflate -+-> write
//!   local file: a reader for each entry ------> …                     -+
//! ```
//!
//! The engine is started only after all checks have passed: every CRC-32, every size, the digest,
//! and the ETag of the object in every reply. Memory is bounded by [`DownloadConfig`] and by the
//! number of threads, whatever the size of the file.

mod expand;
mod file_writer;
pub(crate) mod index;
mod local;
mod range_reader;
mod remote;
pub(crate) mod sidecars;

pub use local::Local;
pub use remote::Remote;

use crate::workspace::Folder;
use cadmill_archive::{CentralDirectoryReader, Entry, Plan};
use cadmill_core::domain::failure::Failure;
use std::borrow::Cow;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Bytes requested at once while a central directory is read.
const BLOCK: u64 = 1 << 20;

/// How much of a download is in flight at once.
///
/// - `buffer_bytes` must hold at least three parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadConfig {
    /// Bytes of one request. 8 MiB: the size at which S3 gives its full throughput
    /// ("Best practices design patterns: optimizing Amazon S3 performance").
    pub part_bytes: u64,
    /// Maximum number of bytes requested and not yet consumed.
    pub buffer_bytes: u64,
    /// Concurrent requests, not counting hedged requests.
    pub requests: usize,
    /// Requests for a part before the attempt fails. The store client itself already retries each
    /// request that got no answer.
    pub tries: u32,
    /// Pause before a part is retried; it doubles each time.
    pub pause: Duration,
    /// A part is hedged by a second request when it takes three times as long as the others did,
    /// and at least this long.
    pub hedge_after: Duration,
    /// The same, before any other part has arrived to compare with.
    pub hedge_first_after: Duration,
}

impl Default for DownloadConfig {
    fn default() -> Self {
        Self::with_buffer(Self::BUFFER_BYTES)
    }
}

impl DownloadConfig {
    /// Default buffer size in bytes.
    pub const BUFFER_BYTES: u64 = 48 << 20;

    /// The largest part.
    const PART_BYTES: u64 = 8 << 20;

    /// A configuration with a buffer of this many bytes. The part size is reduced if fewer than
    /// three parts would fit.
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

/// An input: a local file or an object of the store.
pub trait Source {
    /// The file's name, without directories.
    fn name(&self) -> &str;

    /// Its size, in bytes.
    fn size_bytes(&self) -> u64;

    /// The checked central directory, if it is an archive.
    fn plan(&self) -> Option<&Plan>;

    /// Bytes that it will occupy in the workspace.
    fn needs_bytes(&self) -> u64;

    /// Expands the archive into `directory`, which must be empty. `progress` is called on this
    /// thread with the fraction received, from 0 to 1. On failure, files already written stay: the
    /// workspace is removed as a whole.
    ///
    /// # Errors
    /// `input.archive.*` for the first invalid entry, `input.digest_mismatch`, `input.replaced`,
    /// `job.cancelled`, `infra.*`.
    fn expand(
        &self,
        directory: &Folder,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(f64),
    ) -> Result<(), Failure>;

    /// Makes a file that is not an archive readable, in `directory` if it is not yet on this host.
    /// Returns its path.
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

/// Whether a file that begins with `head` is a ZIP archive (APPNOTE 4.3.7, 4.3.16): it begins with
/// a local file header, or with the end record of an empty archive.
fn begins_as_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}

/// The range of the archive's directory to read next.
fn wanted(opening: &CentralDirectoryReader) -> Option<Range<u64>> {
    opening.wants().map(|range| range.start..range.end.min(range.start + BLOCK))
}

/// A part of the input that becomes one file.
struct Piece<'a> {
    /// The range of its bytes in the input.
    segment: Range<u64>,
    /// Path below the input directory.
    path: Cow<'a, str>,
    /// Size of the file.
    size_bytes: u64,
    /// Its archive entry; without one the bytes are the content.
    entry: Option<&'a Entry>,
}

/// The pieces of an archive, in byte order. Directories are included because their headers are
/// checked too.
fn pieces(plan: &Plan) -> Vec<Piece<'_>> {
    let names: Vec<&str> = plan.entries().iter().map(Entry::name).collect();
    let paths = sidecars::spelt(&names);
    plan.entries().iter().zip(paths).map(|(entry, path)| Piece::of(entry, path)).collect()
}

impl<'a> Piece<'a> {
    fn of(entry: &'a Entry, path: Cow<'a, str>) -> Self {
        Self { segment: entry.segment(), path, size_bytes: entry.expanded_bytes(), entry: Some(entry) }
    }
}

#[cfg(test)]
mod tests;
