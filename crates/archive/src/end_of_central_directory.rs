//! The end of an archive: where the central directory is, and how many entries it has.
//!
//! Readers differ in how they search for the end of central directory record, so there must be only
//! one way to read it. The record ends exactly at the end of the file. Nothing before it or in its
//! comment can be taken for another one. The zip64 record, if present, lies directly before its
//! locator and agrees with the end record (APPNOTE 4.3.14 to 4.3.16).

use crate::records::{
    CENTRAL, CENTRAL_BYTES, END, END_BYTES, END64_BYTES, End, End64, LOCATOR_BYTES, Locator, MAX_COMMENT,
    MAX16, MAX32,
};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::ArchiveLimits;
use std::ops::Range;

/// Number of bytes at the end of a file that contain all end records.
pub(super) const TAIL_BYTES: u64 = END_BYTES + MAX_COMMENT + LOCATOR_BYTES + END64_BYTES;

/// Allowance for the central directory's size, in bytes, on top of the allowance per entry.
const DIRECTORY_SLACK: u64 = 1 << 20;
/// Allowance per entry in the central directory, in bytes, on average: name, extra fields and
/// comment.
const DIRECTORY_BYTES_PER_ENTRY: u64 = 4 << 10;

/// Where the central directory lies, and its declared number of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EndOfCentralDirectory {
    pub(super) directory: Range<u64>,
    pub(super) entries: u64,
}

/// Parses the end records. `tail` is the last [`TAIL_BYTES`] of a file of `size` bytes, or the
/// whole file.
///
/// # Errors
/// `input.archive.truncated`, `.trailing_data`, `.ambiguous_end`, `.multi_disk`,
/// `.zip64`, `.directory`, `.unowned_bytes`, `.too_many_entries`, `.directory_size`.
pub(super) fn read(tail: &[u8], size: u64, limits: &ArchiveLimits) -> Result<EndOfCentralDirectory, Failure> {
    let at = find(tail)?;
    let Some(end) = End::parse(&tail[at..]) else { return Err(missing()) };
    let start = size - tail.len() as u64;
    let said = match locator(tail, at) {
        Some(locator) => with_zip64(&end, locator, tail, at, start)?,
        None => without_zip64(&end, start + at as u64)?,
    };
    said.validate_count(limits)?;
    said.validate_place(tail, start)
}

/// Position of the only end record.
fn find(tail: &[u8]) -> Result<usize, Failure> {
    let all: Vec<usize> =
        tail.windows(END.len()).enumerate().filter(|(_, w)| *w == END).map(|(at, _)| at).collect();
    let reach = |at: usize| End::parse(&tail[at..]).map(|e| at + 22 + usize::from(e.comment_bytes));
    let mut exact = all.iter().copied().filter(|&at| reach(at) == Some(tail.len()));
    match (exact.next(), exact.next()) {
        (Some(at), None) if all.last() == Some(&at) => Ok(at),
        (Some(_), _) => Err(Failure::new(
            FailureCode::ArchiveAmbiguousEnd,
            "the archive has more than one end record, or bytes in its comment that can be read as one",
        )),
        (None, _) => Err(match all.last().map(|&at| reach(at)) {
            Some(Some(reach)) if reach < tail.len() => Failure::new(
                FailureCode::ArchiveTrailingData,
                format!("{} bytes follow the end record of the archive", tail.len() - reach),
            ),
            _ => missing(),
        }),
    }
}

fn missing() -> Failure {
    Failure::new(FailureCode::ArchiveTruncated, "the archive has no whole end record: its end is missing")
}

fn locator(tail: &[u8], end_at: usize) -> Option<Locator> {
    Locator::parse(tail.get(end_at.checked_sub(LOCATOR_BYTES as usize)?..)?)
}

/// What the end records say about the central directory, with or without zip64.
struct RawEocd {
    entries: u64,
    bytes: u64,
    at: u64,
    /// Where the end records begin, which is where the central directory must end.
    end_at: u64,
}

fn without_zip64(end: &End, end_at: u64) -> Result<RawEocd, Failure> {
    if end.disk != 0 || end.directory_disk != 0 {
        return Err(multi_disk());
    }
    if end.entries == MAX16
        || end.entries_here == MAX16
        || end.directory_bytes == MAX32
        || end.directory_at == MAX32
    {
        return Err(zip64("the end record refers to a zip64 record that is not there"));
    }
    if end.entries != end.entries_here {
        return Err(directory("the end record gives two numbers of entries"));
    }
    Ok(RawEocd {
        entries: end.entries.into(),
        bytes: end.directory_bytes.into(),
        at: end.directory_at.into(),
        end_at,
    })
}

fn with_zip64(end: &End, locator: Locator, tail: &[u8], at: usize, start: u64) -> Result<RawEocd, Failure> {
    let locator_at = at - LOCATOR_BYTES as usize;
    let record_at = locator_at
        .checked_sub(END64_BYTES as usize)
        .filter(|&record_at| start + record_at as u64 == locator.record_at);
    let Some((record_at, wide)) = record_at.and_then(|at| Some((at, End64::parse(&tail[at..])?))) else {
        return Err(zip64("the zip64 record does not lie directly before its locator"));
    };
    if wide.rest_bytes != END64_BYTES - 12 {
        return Err(zip64("the zip64 record has a size other than that of its fields"));
    }
    if locator.disk != 0 || wide.disk != 0 || wide.directory_disk != 0 || !is_one_disk(end, locator) {
        return Err(multi_disk());
    }
    // Each field is equal in both records, or is the marker that refers to the zip64 record.
    // Info-ZIP writes a zip64 record unnecessarily when it reads from a pipe; all fields are equal
    // then.
    let same = |narrow: u64, max: u64, wide: u64| narrow == max || narrow == wide;
    let agree = same(end.disk.into(), MAX16.into(), 0)
        && same(end.directory_disk.into(), MAX16.into(), 0)
        && same(end.entries.into(), MAX16.into(), wide.entries)
        && same(end.entries_here.into(), MAX16.into(), wide.entries_here)
        && same(end.directory_bytes.into(), MAX32.into(), wide.directory_bytes)
        && same(end.directory_at.into(), MAX32.into(), wide.directory_at);
    if !agree {
        return Err(zip64("the zip64 record contradicts the end record"));
    }
    // Some writers say 2.0. It is advice: the record is there, and is the same in every version.
    if !(10..=63).contains(&wide.needs) {
        return Err(zip64("the zip64 record needs a version that is not known"));
    }
    if wide.entries != wide.entries_here {
        return Err(directory("the zip64 record gives two numbers of entries"));
    }
    Ok(RawEocd {
        entries: wide.entries,
        bytes: wide.directory_bytes,
        at: wide.directory_at,
        end_at: start + record_at as u64,
    })
}

/// Whether the locator's number of disks means one. OneDrive writes 0, which can mean nothing else
/// where every number of a disk is 0, and is not merely a reference to another record.
fn is_one_disk(end: &End, locator: Locator) -> bool {
    locator.disks == 1 || (locator.disks == 0 && end.disk == 0 && end.directory_disk == 0)
}

impl RawEocd {
    fn validate_count(&self, limits: &ArchiveLimits) -> Result<(), Failure> {
        if self.entries > limits.entries {
            let message = format!("the archive has {} entries, {} are allowed", self.entries, limits.entries);
            return Err(Failure::new(FailureCode::ArchiveTooManyEntries, message)
                .with("entries", self.entries)
                .with("limit", limits.entries));
        }
        let most = DIRECTORY_SLACK + self.entries * DIRECTORY_BYTES_PER_ENTRY;
        if self.bytes > most {
            let message = format!("the directory of {} entries has {} bytes", self.entries, self.bytes);
            return Err(Failure::new(FailureCode::ArchiveDirectorySize, message)
                .with("directory_bytes", self.bytes)
                .with("limit_bytes", most));
        }
        if self.bytes < self.entries.saturating_mul(CENTRAL_BYTES as u64) {
            return Err(directory("the directory is too short for the number of its entries"));
        }
        Ok(())
    }

    /// Checks that the central directory ends where the end records begin.
    fn validate_place(&self, tail: &[u8], start: u64) -> Result<EndOfCentralDirectory, Failure> {
        let end = self.at.checked_add(self.bytes);
        if end == Some(self.end_at) {
            return Ok(EndOfCentralDirectory { directory: self.at..self.end_at, entries: self.entries });
        }
        if end.is_none_or(|end| end > self.end_at) {
            return Err(directory("the directory would reach into the records after it"));
        }
        // Where the central directory would be if bytes had been prepended to the archive.
        let moved = self.end_at.checked_sub(self.bytes + start).and_then(|at| tail.get(at as usize..));
        if moved.is_some_and(|bytes| self.bytes > 0 && bytes.starts_with(&CENTRAL)) {
            let message = "bytes that are not part of the archive lie before it";
            return Err(Failure::new(FailureCode::ArchiveTrailingData, message));
        }
        let message = "bytes that no record owns lie between the directory and the end of the archive";
        Err(Failure::new(FailureCode::ArchiveUnownedBytes, message))
    }
}

fn zip64(message: &str) -> Failure {
    Failure::new(FailureCode::ArchiveZip64, message)
}

fn directory(message: &str) -> Failure {
    Failure::new(FailureCode::ArchiveDirectory, message)
}

fn multi_disk() -> Failure {
    Failure::new(FailureCode::ArchiveMultiDisk, "the archive is one part of several")
}
