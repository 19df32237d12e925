//! Extra fields (APPNOTE 4.5): parsed strictly, each id at most once.
//!
//! Most hold timestamps and owners and are ignored. Fields that change the meaning of an entry for
//! readers that support them are rejected.

use crate::entry_error::EntryError;
use crate::records::{u16_at, u32_at, u64_at};
use cadmill_core::domain::failure::FailureCode;

/// 4.5.3: 64-bit sizes and offset.
const ZIP64: u16 = 0x0001;
/// 4.6.9: the name in UTF-8.
const UNICODE_PATH: u16 = 0x7075;

/// The relevant fields of one header.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Extra<'a> {
    pub(super) zip64: Option<&'a [u8]>,
    pub(super) unicode_path: Option<&'a [u8]>,
}

impl<'a> Extra<'a> {
    /// Parses all fields.
    ///
    /// # Errors
    /// `input.archive.extra_field` for bytes that do not parse, a repeated id, or a field that
    /// changes the entry's meaning; `input.archive.encrypted`, `.special_file`, `.symlink`.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, EntryError> {
        let mut extra = Self::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (id, data, after) =
                field(rest).ok_or_else(|| refuse("has extra fields that do not parse"))?;
            // A linear search of the earlier fields: an archive rarely has more than three.
            if ids(&bytes[..bytes.len() - rest.len()]).any(|earlier| earlier == id) {
                return Err(refuse("has the same extra field twice"));
            }
            validate(id, data)?;
            match id {
                ZIP64 => extra.zip64 = Some(data),
                UNICODE_PATH => extra.unicode_path = Some(data),
                _ => {}
            }
            rest = after;
        }
        Ok(extra)
    }
}

fn field(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(4)?;
    let (data, after) = rest.split_at_checked(usize::from(u16_at(head, 2)))?;
    Some((u16_at(head, 0), data, after))
}

fn ids(mut bytes: &[u8]) -> impl Iterator<Item = u16> {
    std::iter::from_fn(move || {
        let (id, _, after) = field(bytes)?;
        bytes = after;
        Some(id)
    })
}

fn validate(id: u16, data: &[u8]) -> Result<(), EntryError> {
    match id {
        // 4.5.12 strong encryption, and WinZip AES.
        0x0017 | 0x9901 => Err(EntryError::new(FailureCode::ArchiveEncrypted, "is encrypted")),
        // Reserved for the encoding of names; patches (4.5.14); libarchive's streaming format,
        // which has its own attributes.
        0x0008 | 0x000f | 0x6c78 => Err(refuse("has an extra field that changes what it is")),
        // 4.5.7: a link target or device number follows the twelve bytes of times and owner.
        0x000d if data.len() > 12 => Err(EntryError::new(
            FailureCode::ArchiveSpecialFile,
            "is a link or a device by its Unix extra field",
        )),
        // Info-ZIP's "ASi Unix": a CRC-32, then st_mode.
        0x756e if data.len() >= 6 && u16_at(data, 4) & 0o170_000 == 0o120_000 => {
            Err(EntryError::new(FailureCode::ArchiveSymlink, "is a symbolic link by its Unix extra field"))
        }
        _ => Ok(()),
    }
}

/// The name in a Unicode path field, if the field belongs to this raw name.
///
/// # Errors
/// `input.archive.name_encoding` if the version is unknown, the CRC-32 is that of another name, or
/// the name is not UTF-8.
pub(super) fn unicode_path<'a>(data: &'a [u8], raw: &[u8]) -> Result<&'a str, EntryError> {
    let encoding = |text| EntryError::new(FailureCode::ArchiveNameEncoding, text);
    let (head, name) =
        data.split_at_checked(5).ok_or_else(|| encoding("has a Unicode path field that is cut short"))?;
    if head[0] != 1 {
        return Err(encoding("has a Unicode path field of an unknown version"));
    }
    if u32_at(head, 1) != crc32fast::hash(raw) {
        return Err(encoding("has a Unicode path field that was made for another name"));
    }
    std::str::from_utf8(name).map_err(|_| encoding("has a Unicode path field that is not UTF-8"))
}

/// Reads the values of a zip64 field (4.5.3) in order.
pub(super) struct Zip64<'a>(&'a [u8]);

impl<'a> Zip64<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(super) fn next(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_at_checked(8)?;
        self.0 = rest;
        Some(u64_at(number, 0))
    }

    pub(super) fn is_spent(&self) -> bool {
        self.0.is_empty()
    }
}

fn refuse(text: &'static str) -> EntryError {
    EntryError::new(FailureCode::ArchiveExtraField, text)
}
