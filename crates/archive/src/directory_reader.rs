//! Reads and validates the central directory, without I/O.

use super::directory::Directory;
use super::plan::Plan;
use crate::end_of_central_directory::{self, TAIL_BYTES};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::ArchiveLimits;
use std::ops::Range;

/// Reads and validates the central directory. It requests byte ranges of the file and is fed their
/// bytes in pieces of any size: first the tail, then the part of the central directory that the
/// tail does not contain.
#[derive(Debug)]
pub struct CentralDirectoryReader {
    size: u64,
    limits: ArchiveLimits,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Tail(Vec<u8>),
    Directory {
        directory: Box<Directory>,
        /// The range still to be requested.
        wanted: Range<u64>,
        /// The bytes after `wanted`, from the tail.
        held: Vec<u8>,
    },
    Failed,
}

impl CentralDirectoryReader {
    /// Creates a reader for a file of this size, in bytes.
    ///
    pub fn new(size_bytes: u64, limits: &ArchiveLimits) -> Result<Self, Failure> {
        if size_bytes < crate::records::END_BYTES {
            return Err(Failure::new(
                FailureCode::ArchiveTruncated,
                format!("{size_bytes} bytes are too few for an archive"),
            ));
        }
        Ok(Self { size: size_bytes, limits: *limits, stage: Stage::Tail(Vec::new()) })
    }

    /// The byte range wanted next; `None` when [`CentralDirectoryReader::finish`] may be called. In
    /// total, this requests slightly more than 64 KiB of tail, and then the central directory.
    pub fn wants(&self) -> Option<Range<u64>> {
        match &self.stage {
            Stage::Tail(tail) => Some(self.tail_at() + tail.len() as u64..self.size),
            Stage::Directory { wanted, .. } if !wanted.is_empty() => Some(wanted.clone()),
            Stage::Directory { .. } | Stage::Failed => None,
        }
    }

    /// Takes the next bytes of the wanted range: a prefix of at least one byte. The wanted range
    /// shrinks from the front. Bytes beyond the range are ignored.
    ///
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Tail(mut tail) => {
                let left = (self.size - self.tail_at()) as usize - tail.len();
                tail.extend_from_slice(&bytes[..left.min(bytes.len())]);
                self.stage = if bytes.len() < left { Stage::Tail(tail) } else { self.validate_tail(&tail)? };
            }
            Stage::Directory { mut directory, mut wanted, held } => {
                let left = usize::try_from(wanted.end - wanted.start).unwrap_or(usize::MAX);
                let bytes = &bytes[..left.min(bytes.len())];
                directory.feed(bytes)?;
                wanted.start += bytes.len() as u64;
                if wanted.is_empty() {
                    directory.feed(&held)?;
                }
                self.stage = Stage::Directory { directory, wanted, held };
            }
            Stage::Failed => return Err(unfinished()),
        }
        Ok(())
    }

    /// Returns the plan, after all wanted bytes have been fed.
    ///
    pub fn finish(self) -> Result<Plan, Failure> {
        match self.stage {
            Stage::Directory { directory, wanted, .. } if wanted.is_empty() => directory.finish(),
            _ => Err(unfinished()),
        }
    }

    fn tail_at(&self) -> u64 {
        self.size.saturating_sub(TAIL_BYTES)
    }

    fn validate_tail(&self, tail: &[u8]) -> Result<Stage, Failure> {
        let ending = end_of_central_directory::read(tail, self.size, &self.limits)?;
        let place = ending.directory.clone();
        let mut directory = Box::new(Directory::new(ending, &self.limits));
        let held_at = self.tail_at().clamp(place.start, place.end);
        // Saturating: the tail holds nothing of a central directory that ends before it.
        let from = held_at.saturating_sub(self.tail_at()) as usize;
        let to = place.end.saturating_sub(self.tail_at()) as usize;
        let held = &tail[from..to];
        let wanted = place.start..held_at;
        if wanted.is_empty() {
            directory.feed(held)?;
            return Ok(Stage::Directory { directory, wanted, held: Vec::new() });
        }
        Ok(Stage::Directory { directory, wanted, held: held.to_vec() })
    }
}

fn unfinished() -> Failure {
    Failure::new(FailureCode::ArchiveTruncated, "the directory of the archive was not read whole")
}
