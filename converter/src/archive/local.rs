//! An archive in a local file.

use super::opening::Opening;
use super::plan::Plan;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::ArchiveLimits;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes of the directory that are read at once, at most.
const CHUNK: u64 = 64 << 10;

/// An archive whose directory has held.
#[derive(Debug)]
pub struct Archive<'a> {
    pub(super) file: &'a File,
    pub(super) plan: Plan,
}

/// Whether the file begins as a zip archive does (APPNOTE 4.3.7, 4.3.16): with a
/// local file header, or with the end record of an empty archive.
///
/// # Errors
/// The system's.
pub fn is_zip(file: &File) -> io::Result<bool> {
    let mut head = [0; 4];
    match file.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(matches!(&head, b"PK\x03\x04" | b"PK\x05\x06")),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

impl<'a> Archive<'a> {
    /// Reads and judges the directory.
    ///
    /// # Errors
    /// `input.archive.*`, naming the entry.
    pub fn open(file: &'a File, limits: &ArchiveLimits) -> Result<Self, Failure> {
        let size = file.metadata().map_err(|e| Failure::io("reading the archive", &e))?.len();
        let mut opening = Opening::new(size, limits)?;
        let mut buffer = Vec::new();
        while let Some(wanted) = opening.wants() {
            buffer.resize((wanted.end - wanted.start).min(CHUNK) as usize, 0);
            read(file, &mut buffer, wanted.start)?;
            opening.feed(&buffer)?;
        }
        Ok(Self { file, plan: opening.finish()? })
    }

    /// Names of the entries, directories with a `/` at the end.
    pub fn names(&self) -> Vec<&str> {
        self.plan.names()
    }

    /// Number of files.
    pub fn files(&self) -> u64 {
        self.plan.files()
    }

    /// Sum of the expanded sizes that the directory declares, in bytes.
    pub fn expanded_bytes(&self) -> u64 {
        self.plan.expanded_bytes()
    }
}

/// Fills the buffer from a place in the file.
pub(super) fn read(file: &File, buffer: &mut [u8], at: u64) -> Result<(), Failure> {
    file.read_exact_at(buffer, at).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Failure::new(FailureCode::ArchiveTruncated, "the archive became shorter while it was read")
        }
        _ => Failure::io("reading the archive", &error),
    })
}
