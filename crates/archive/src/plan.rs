//! A validated central directory, as the plan for reading the archive.

use super::encoding;
use super::entry::{Entry, EntryHeader};
use crate::entry_error::{EntryError, shown};
use crate::records::{LOCAL_BYTES, MAX16};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::ArchiveLimits;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Size of the largest data descriptor, in bytes: 64-bit with signature (APPNOTE 4.3.9).
const DESCRIPTOR_MOST: u64 = 24;

/// The entries in offset order. Their segments cover the file from its first byte to the central
/// directory, without gaps or overlaps.
#[derive(Debug, Clone)]
pub struct Plan {
    entries: Vec<Entry>,
    directory_at: u64,
    expanded: u64,
}

impl Plan {
    /// Sorts the entries and assigns each its segment.
    ///
    /// # Errors
    /// `input.archive.empty`, `.overlap`, `.unowned_bytes`, `.trailing_data`.
    pub(super) fn new(
        mut facts: Vec<EntryHeader>,
        directory_at: u64,
        expanded: u64,
    ) -> Result<Self, Failure> {
        facts.sort_by_key(|f| f.segment.start);
        if facts.first().is_some_and(|first| first.segment.start > 0) {
            let message = "bytes that are not part of the archive lie before its first entry";
            return Err(Failure::new(FailureCode::ArchiveTrailingData, message));
        }
        if facts.is_empty() && directory_at > 0 {
            let message = "bytes that no record owns lie before the directory";
            return Err(Failure::new(FailureCode::ArchiveUnownedBytes, message));
        }
        if let Some(last) = facts.last().filter(|last| last.segment.start >= directory_at) {
            let text = "has its local header in the directory or behind it";
            return Err(EntryError::new(FailureCode::ArchiveOverlap, text).of(&last.name));
        }
        tile(&mut facts, directory_at)?;
        if facts.iter().all(|f| f.name.ends_with('/')) {
            return Err(Failure::new(FailureCode::ArchiveEmpty, "the archive contains no file"));
        }
        let entries = facts.into_iter().map(|f| Entry { facts: Arc::new(f) }).collect();
        Ok(Self { entries, directory_at, expanded })
    }

    /// The entries, in offset order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Names of the entries, in offset order; names of directories end with `/`. Without the
    /// directory of the archive itself, which has none.
    pub fn names(&self) -> Vec<&str> {
        self.entries.iter().filter(|e| !e.is_root()).map(Entry::name).collect()
    }

    /// How names were read whose encoding the archive does not say: a sentence for the owner. `None` if
    /// there are none.
    pub fn guessed_names(&self) -> Option<String> {
        let mut tally: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.facts.unicode_path.is_none()) {
            if let Some(encoding) = encoding::guessed(&entry.facts.raw_name) {
                *tally.entry(encoding).or_default() += 1;
            }
        }
        let read: Vec<String> =
            tally.iter().map(|((encoding, why), names)| format!("{names} as {encoding}, {why}")).collect();
        (!read.is_empty())
            .then(|| format!("the archive does not say how its names are encoded: read {}", read.join("; ")))
    }

    /// What these limits leave for an archive in this one: its entries and their sizes count
    /// together with those of this one.
    pub fn remaining(&self, limits: &ArchiveLimits) -> ArchiveLimits {
        ArchiveLimits {
            entries: limits.entries.saturating_sub(self.entries.len() as u64),
            expanded_bytes: limits.expanded_bytes.saturating_sub(self.expanded),
            ..*limits
        }
    }

    /// Number of files.
    pub fn files(&self) -> u64 {
        self.entries.iter().filter(|e| !e.is_directory()).count() as u64
    }

    /// Sum of the uncompressed sizes that the central directory declares, in bytes.
    pub fn expanded_bytes(&self) -> u64 {
        self.expanded
    }

    /// Byte range of all segments: from the first byte to the central directory.
    pub fn body(&self) -> Range<u64> {
        0..self.directory_at
    }
}

/// Each segment ends where the next one begins, the last at the central directory. The length must
/// be possible for header, data and descriptor; the exact length is checked when the local header
/// is read.
fn tile(facts: &mut [EntryHeader], directory_at: u64) -> Result<(), Failure> {
    for at in 0..facts.len() {
        let end = facts.get(at + 1).map_or(directory_at, |next| next.segment.start);
        let this = &facts[at];
        let lengths = lengths(this);
        let why = match end.checked_sub(this.segment.start) {
            Some(length) if lengths.contains(&length) => {
                facts[at].segment.end = end;
                continue;
            }
            Some(length) if length >= lengths.end => EntryError::new(
                FailureCode::ArchiveUnownedBytes,
                format!("is followed by bytes that no record owns, before {}", neighbour(facts, at)),
            ),
            _ => EntryError::new(
                FailureCode::ArchiveOverlap,
                format!("shares bytes with {}", neighbour(facts, at)),
            ),
        };
        return Err(why.of(&this.name));
    }
    Ok(())
}

fn neighbour(facts: &[EntryHeader], at: usize) -> String {
    facts.get(at + 1).map_or("the directory".to_owned(), |next| format!("entry '{}'", shown(&next.name)))
}

/// Possible lengths of an entry's segment. Whether there is a data descriptor is said by the local
/// header.
fn lengths(facts: &EntryHeader) -> Range<u64> {
    let fixed = (LOCAL_BYTES as u64 + facts.raw_name.len() as u64).saturating_add(facts.packed);
    fixed..fixed.saturating_add(DESCRIPTOR_MOST + u64::from(MAX16) + 1)
}
