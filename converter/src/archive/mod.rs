//! Unpacking a local zip archive into the workspace.
//!
//! The whole directory of the archive is judged before a byte is expanded
//! ([`Archive::open`]); expanding counts again what the directory declared and
//! checks every CRC-32 ([`Archive::unpack`]). Nothing is shown to an engine
//! until all of the archive has held.
//!
//! It refuses: methods other than stored and deflate, encryption, links and
//! special files, names that leave the archive or differ in case only, entries
//! that share bytes, headers that contradict the directory, and everything
//! beyond [`ArchiveLimits`].

mod end_record;
mod name;
mod source;
mod unpack;

use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::{ArchiveLimits, display_size};
use source::Source;
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// An archive whose directory has held.
pub struct Archive<'a> {
    zip: ZipArchive<Source<'a>>,
    file: &'a File,
    entries: Vec<Entry>,
}

/// One entry, directory or file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    index: usize,
    /// Relative, without `..`, with `/` between the parts and at the end of a directory.
    name: String,
    expanded_bytes: u64,
    is_directory: bool,
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
        // Before the directory is read into memory, which costs what it claims to hold.
        let declared = end_record::entries(file).map_err(|e| Failure::io("reading the archive", &e))?;
        refuse_too_many(declared.unwrap_or(0), limits)?;
        let mut zip =
            ZipArchive::new(Source::new(file)).map_err(|e| broken(&e, "the directory of the archive"))?;
        refuse_too_many(zip.len() as u64, limits)?;
        if zip.has_duplicate_names() {
            let message = "two entries of the archive have the same name";
            return Err(Failure::new(FailureCode::ArchiveDuplicateName, message));
        }
        let entries = judge_entries(&zip, limits)?;
        if entries.iter().all(|e| e.is_directory) {
            return Err(Failure::new(FailureCode::ArchiveEmpty, "the archive contains no file"));
        }
        zip.validate_header_consistency().map_err(|e| match e {
            ZipError::Io(error) => Failure::io("reading the archive", &error),
            // The reason goes out, the names that it may quote do not: they are not ours to judge.
            _ => Failure::new(
                FailureCode::ArchiveInconsistent,
                "the local headers of the archive contradict its directory",
            ),
        })?;
        Ok(Self { zip, file, entries })
    }

    /// Names of the entries, directories with a `/` at the end.
    pub fn names(&self) -> Vec<&str> {
        self.entries.iter().map(|e| e.name.as_str()).collect()
    }

    /// Number of files.
    pub fn files(&self) -> u64 {
        self.entries.iter().filter(|e| !e.is_directory).count() as u64
    }

    /// Sum of the expanded sizes that the directory declares, in bytes.
    pub fn expanded_bytes(&self) -> u64 {
        self.entries.iter().map(|e| e.expanded_bytes).sum()
    }
}

fn refuse_too_many(count: u64, limits: &ArchiveLimits) -> Result<(), Failure> {
    if count <= limits.entries {
        return Ok(());
    }
    let message = format!("the archive has {count} entries, {} are allowed", limits.entries);
    Err(Failure::new(FailureCode::ArchiveTooManyEntries, message)
        .with("entries", count)
        .with("limit", limits.entries))
}

fn judge_entries(zip: &ZipArchive<Source<'_>>, limits: &ArchiveLimits) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::with_capacity(zip.len());
    let mut names = HashSet::new();
    let mut total = 0u64;
    for index in 0..zip.len() {
        let data = zip.by_index_data(index).map_err(|e| broken(&e, "the directory of the archive"))?;
        let raw = data.name().map_err(|e| broken(&e, "an entry's name"))?.into_owned();
        let name = name::check(&raw, limits)?;
        let refuse = |code, text: &str| {
            Err(Failure::new(code, format!("entry '{name}' {text}")).with("entry", name.as_str()))
        };
        if data.encrypted() {
            return refuse(FailureCode::ArchiveEncrypted, "is encrypted");
        }
        if !matches!(data.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
            return refuse(
                FailureCode::ArchiveMethod,
                "uses a compression method other than stored and deflate",
            );
        }
        if is_special(data.unix_mode()) {
            return refuse(FailureCode::ArchiveSpecialFile, "is a link or a special file");
        }
        if !names.insert(name.trim_end_matches('/').to_lowercase()) {
            return refuse(FailureCode::ArchiveDuplicateName, "has the name of another entry");
        }
        let (packed, expanded) = (data.compressed_size(), data.size());
        if expanded > limits.ratio_exempt_bytes && expanded / packed.max(1) > limits.ratio {
            let text =
                format!("expands {} times, {} times are allowed", expanded / packed.max(1), limits.ratio);
            return refuse(FailureCode::ArchiveRatio, &text);
        }
        total = total.saturating_add(expanded);
        let is_directory = name.ends_with('/');
        if is_directory && expanded > 0 {
            return refuse(FailureCode::ArchiveInconsistent, "is a directory with content");
        }
        entries.push(Entry { index, name, expanded_bytes: expanded, is_directory });
    }
    if total > limits.expanded_bytes {
        let message = format!(
            "the archive expands to {}, {} are allowed",
            display_size(total),
            display_size(limits.expanded_bytes)
        );
        return Err(Failure::new(FailureCode::ArchiveExpandedSize, message)
            .with("expanded_bytes", total)
            .with("limit_bytes", limits.expanded_bytes));
    }
    no_file_as_directory(&entries)?;
    Ok(entries)
}

/// An entry `a` that is a file and another `a/b` cannot both be made.
fn no_file_as_directory(entries: &[Entry]) -> Result<(), Failure> {
    let files: HashSet<String> =
        entries.iter().filter(|e| !e.is_directory).map(|e| e.name.to_lowercase()).collect();
    for entry in entries {
        let name = entry.name.trim_end_matches('/').to_lowercase();
        for (at, _) in name.match_indices('/') {
            if files.contains(&name[..at]) {
                let message = format!("entry '{}' lies inside another entry that is a file", entry.name);
                return Err(Failure::new(FailureCode::ArchiveDuplicateName, message)
                    .with("entry", entry.name.as_str()));
            }
        }
    }
    Ok(())
}

/// Whether the Unix mode, if the archive has one, tells of anything but a file or a directory.
fn is_special(mode: Option<u32>) -> bool {
    // The file type bits of st_mode, inode(7); zero where only permissions are kept.
    !matches!(mode.unwrap_or(0) & 0o170_000, 0 | 0o100_000 | 0o040_000)
}

/// An error of the zip reader, by meaning.
fn broken(error: &ZipError, what: &str) -> Failure {
    match error {
        ZipError::Io(io) if io.kind() != io::ErrorKind::UnexpectedEof && io.raw_os_error().is_some() => {
            Failure::io("reading the archive", io)
        }
        _ => Failure::new(FailureCode::ArchiveInvalid, format!("{what} is truncated or damaged")),
    }
}

#[cfg(test)]
mod tests;
