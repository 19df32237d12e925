//! Checks an entry's local header and data descriptor against the central directory.
//!
//! Streaming readers rely on the local header, seeking readers on the central directory, so the two
//! must agree (APPNOTE 4.3.7, 4.3.9).

use super::central::is_known_version;
use super::encoding;
use super::entry::{EntryHeader, FLAG_DESCRIPTOR, FLAG_UTF8, Method};
use super::extra::{self, Extra};
use crate::entry_error::EntryError;
use crate::records::{Common, DESCRIPTOR, LOCAL_BYTES, MAX32, u32_at, u64_at};
use cadmill_core::domain::failure::FailureCode;

/// What remains to be read after the fixed part of a local header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remainder {
    pub(super) extra_bytes: usize,
    /// Between the data and the end of the segment.
    pub(super) descriptor_bytes: u64,
}

/// Checks the fixed part.
///
/// # Errors
/// `input.archive.header_mismatch`, `.version`, `.overlap`, `.unowned_bytes`.
pub(super) fn validate(local: &Common, facts: &EntryHeader) -> Result<Remainder, EntryError> {
    // The flag of the descriptor may be in one of the headers only: the sizes and checksums of both
    // are compared, and the header before the data says what comes after it.
    if (local.flags ^ facts.flags) & !FLAG_DESCRIPTOR != 0 {
        return Err(mismatch("flags"));
    }
    if local.method != facts.method.number() {
        return Err(mismatch("a method"));
    }
    if usize::from(local.name_bytes) != facts.raw_name.len() {
        return Err(mismatch("a name"));
    }
    if !is_known_version(local.needs) {
        let text = format!("needs version {} of the format; 10 to 45 are read", local.needs);
        return Err(EntryError::new(FailureCode::ArchiveVersion, text));
    }
    let before_data = LOCAL_BYTES as u64 + facts.raw_name.len() as u64 + u64::from(local.extra_bytes);
    let length = facts.segment.end - facts.segment.start;
    // Header, data and descriptor must fill the whole segment.
    let Some(descriptor_bytes) = length.checked_sub(before_data).and_then(|l| l.checked_sub(facts.packed))
    else {
        return Err(EntryError::new(FailureCode::ArchiveOverlap, "reaches into what follows it"));
    };
    Ok(Remainder { extra_bytes: local.extra_bytes.into(), descriptor_bytes })
}

/// Checks the rest, once the extra fields have been read. Returns the form of the data descriptor.
///
/// # Errors
/// `input.archive.header_mismatch`, `.stored_descriptor`, `.extra_field`,
/// `.zip64`, `.name_encoding`, `.overlap`, `.unowned_bytes`.
pub(super) fn validate_extra(
    local: &Common,
    extra: &[u8],
    descriptor_bytes: u64,
    facts: &EntryHeader,
) -> Result<Option<Descriptor>, EntryError> {
    let fields = Extra::parse(extra)?;
    if fields.unicode_path.is_some() != facts.unicode_path.is_some() {
        return Err(mismatch("a Unicode path field"));
    }
    if let Some(expected) = &facts.unicode_path {
        let name = encoding::decode(&facts.raw_name, facts.flags & FLAG_UTF8 != 0, fields.unicode_path)?;
        if name != **expected {
            return Err(mismatch("a name"));
        }
    }
    let (packed, expanded) = sizes(local, &fields)?;
    // If a descriptor follows, values that were not yet known may be zero. Info-ZIP and libarchive
    // still write the sizes that they know.
    let has_descriptor = local.flags & FLAG_DESCRIPTOR != 0;
    let same = |said: u64, is: u64| said == is || (has_descriptor && said == 0);
    if !same(local.crc.into(), facts.crc.into()) {
        return Err(mismatch("a checksum"));
    }
    if !same(packed, facts.packed) || !same(expanded, facts.expanded) {
        return Err(mismatch("a size"));
    }
    if !has_descriptor {
        return if descriptor_bytes == 0 { Ok(None) } else { Err(unowned()) };
    }
    let form = Descriptor::of(facts, fields.zip64.is_some(), descriptor_bytes)?;
    if facts.method == Method::Stored && !form.signed {
        // A streaming reader finds the end of a stored entry by the signature only.
        let text = "is stored, and has a data descriptor without signature";
        return Err(EntryError::new(FailureCode::ArchiveStoredDescriptor, text));
    }
    Ok(Some(form))
}

/// Compressed and uncompressed size. The zip64 field of a local header must hold both (APPNOTE
/// 4.5.3): some readers take them without looking at the markers. The sizes need not be large: a
/// writer that reads from a pipe cannot know them.
fn sizes(local: &Common, fields: &Extra<'_>) -> Result<(u64, u64), EntryError> {
    if fields.zip64.is_some_and(|data| data.len() != 16) {
        let text = "has a zip64 field in its local header that is not of two sizes";
        return Err(EntryError::new(FailureCode::ArchiveZip64, text));
    }
    let [expanded, packed] = extra::resolve_zip64([local.expanded, local.packed], fields.zip64)?;
    Ok((packed, expanded))
}

/// The form of a data descriptor (APPNOTE 4.3.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptor {
    signed: bool,
    wide: bool,
}

impl Descriptor {
    /// Derives the form from the number of bytes available, which differs for each. If the local
    /// header has a zip64 field or a size does not fit in 32 bits, the sizes are 64-bit. They may be
    /// without either: yazl decides by what it was asked for, and Java and Go omit the field.
    fn of(facts: &EntryHeader, has_zip64: bool, bytes: u64) -> Result<Self, EntryError> {
        let must_be_wide = has_zip64 || facts.packed.max(facts.expanded) >= u64::from(MAX32);
        let forms = [(false, false), (true, false), (false, true), (true, true)]
            .map(|(signed, wide)| Self { signed, wide })
            .into_iter()
            .filter(|form| form.wide || !must_be_wide);
        match forms.clone().find(|form| form.bytes() as u64 == bytes) {
            Some(form) => Ok(form),
            None if forms.clone().all(|form| bytes < form.bytes() as u64) => Err(EntryError::new(
                FailureCode::ArchiveOverlap,
                "has no room for its data descriptor before what follows",
            )),
            None => Err(unowned()),
        }
    }

    pub(super) fn bytes(self) -> usize {
        match (self.signed, self.wide) {
            (false, false) => 12,
            (true, false) => 16,
            (false, true) => 20,
            (true, true) => 24,
        }
    }

    /// Checks the descriptor. `bytes` must have the length [`Descriptor::bytes`].
    ///
    /// # Errors
    /// `input.archive.header_mismatch`.
    pub(super) fn validate(self, bytes: &[u8], facts: &EntryHeader) -> Result<(), EntryError> {
        let bytes = match self.signed {
            true => bytes.strip_prefix(&DESCRIPTOR).ok_or_else(|| mismatch("a data descriptor"))?,
            false => bytes,
        };
        let (packed, expanded) = match self.wide {
            true => (u64_at(bytes, 4), u64_at(bytes, 12)),
            false => (u32_at(bytes, 4).into(), u32_at(bytes, 8).into()),
        };
        if (u32_at(bytes, 0), packed, expanded) == (facts.crc, facts.packed, facts.expanded) {
            Ok(())
        } else {
            Err(mismatch("a data descriptor"))
        }
    }
}

fn unowned() -> EntryError {
    EntryError::new(FailureCode::ArchiveUnownedBytes, "is followed by bytes that no record owns")
}

/// A field that differs between local header or descriptor and central directory.
pub(super) fn mismatch(what: &str) -> EntryError {
    let text = format!("has {what} in the archive that contradicts the directory");
    EntryError::new(FailureCode::ArchiveHeaderMismatch, text)
}
