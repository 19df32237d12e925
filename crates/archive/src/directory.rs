//! The central directory, parsed header by header as its bytes arrive.
//!
//! Only the current header and the entries so far are kept: memory is bounded by [`ArchiveLimits`],
//! whatever the central directory declares.

use super::central;
use super::entry::EntryHeader;
use super::name;
use super::plan::Plan;
use crate::end_of_central_directory::EndOfCentralDirectory;
use crate::entry_error::EntryError;
use crate::records::{CENTRAL, CENTRAL_BYTES, Central};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::{ArchiveLimits, display_size};
use std::collections::HashSet;

/// Maximum ratio of a name's bytes in the archive to its bytes in composed UTF-8: a Hangul syllable
/// of three bytes may be stored as three jamo of three bytes each.
const RAW_NAME_FACTOR: usize = 3;

/// A central directory being read.
#[derive(Debug)]
pub(super) struct Directory {
    ending: EndOfCentralDirectory,
    limits: ArchiveLimits,
    /// The current header.
    record: Vec<u8>,
    header: Option<Central>,
    entries: Vec<EntryHeader>,
    keys: HashSet<String>,
    expanded: u64,
}

impl Directory {
    pub(super) fn new(ending: EndOfCentralDirectory, limits: &ArchiveLimits) -> Self {
        Self {
            ending,
            limits: *limits,
            record: Vec::new(),
            header: None,
            entries: Vec::new(),
            keys: HashSet::new(),
            expanded: 0,
        }
    }

    /// Takes the next bytes of the central directory.
    ///
    /// # Errors
    /// `input.archive.*`, naming the entry.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let wanted = self.header.map_or(CENTRAL_BYTES, |h| h.record_bytes()) - self.record.len();
            let (taken, rest) = bytes.split_at(wanted.min(bytes.len()));
            self.record.extend_from_slice(taken);
            bytes = rest;
            if taken.len() == wanted {
                self.advance()?;
            }
        }
        Ok(())
    }

    /// Returns the plan, after the last byte.
    ///
    pub(super) fn finish(self) -> Result<Plan, Failure> {
        if !self.record.is_empty() {
            return Err(broken("the last record of the directory is cut short"));
        }
        if self.entries.len() as u64 != self.ending.entries {
            return Err(broken("the directory has fewer entries than the end record says"));
        }
        self.no_file_as_directory()?;
        Plan::new(self.entries, self.ending.directory.start, self.expanded)
    }

    fn advance(&mut self) -> Result<(), Failure> {
        let Some(header) = self.header else {
            let header = self.begin()?;
            self.header = Some(header);
            // A header without name, extra fields and comment is already complete.
            return if header.record_bytes() == CENTRAL_BYTES { self.advance() } else { Ok(()) };
        };
        let number = self.entries.len() as u64 + 1;
        let (name, rest) = self.record[CENTRAL_BYTES..].split_at(usize::from(header.common.name_bytes));
        let (extra, comment) = rest.split_at(usize::from(header.common.extra_bytes));
        let facts =
            central::validate(&header, central::Variable { name, extra, comment }, number, &self.limits)?;
        self.take(facts)?;
        self.header = None;
        self.record.clear();
        Ok(())
    }

    fn begin(&self) -> Result<Central, Failure> {
        let number = self.entries.len() as u64 + 1;
        if number > self.ending.entries {
            return Err(broken("the directory has more entries than the end record says"));
        }
        let Some(header) = Central::parse(&self.record) else {
            debug_assert!(!self.record.starts_with(&CENTRAL));
            return Err(broken("a record of the directory does not begin as one"));
        };
        if usize::from(header.common.name_bytes) > self.limits.name_bytes.saturating_mul(RAW_NAME_FACTOR) {
            return Err(
                EntryError::new(FailureCode::ArchiveName, "has a name that is too long").of_number(number)
            );
        }
        Ok(header)
    }

    fn take(&mut self, facts: EntryHeader) -> Result<(), Failure> {
        if !self.keys.insert(name::key(&facts.name)) {
            return Err(EntryError::new(FailureCode::ArchiveDuplicateName, "has the name of another entry")
                .of(&facts.name));
        }
        self.expanded = self.expanded.saturating_add(facts.expanded);
        if self.expanded > self.limits.expanded_bytes {
            let message =
                format!("the archive expands to more than {}", display_size(self.limits.expanded_bytes));
            return Err(Failure::new(FailureCode::ArchiveExpandedSize, message)
                .with("limit_bytes", self.limits.expanded_bytes));
        }
        self.entries.push(facts);
        Ok(())
    }

    /// A file `a` and an entry `a/b` cannot both be created.
    fn no_file_as_directory(&self) -> Result<(), Failure> {
        let files: HashSet<String> =
            self.entries.iter().filter(|f| !f.name.ends_with('/')).map(|f| name::key(&f.name)).collect();
        for facts in &self.entries {
            let key = name::key(&facts.name);
            if key.match_indices('/').any(|(at, _)| files.contains(&key[..at])) {
                let text = "lies inside another entry that is a file";
                return Err(EntryError::new(FailureCode::ArchiveDuplicateName, text).of(&facts.name));
            }
        }
        Ok(())
    }
}

fn broken(message: &str) -> Failure {
    Failure::new(FailureCode::ArchiveDirectory, message)
}
