//! Extra fields (APPNOTE 4.5): parsed strictly, each id at most once.
//!
//! Most hold timestamps and owners and are ignored. Fields that change the meaning of an entry for
//! readers that support them are rejected.

use crate::entry_error::EntryError;
use crate::records::{MAX32, u16_at, u32_at};
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

/// The numbers of a header: those of its 32-bit fields, or of its zip64 field (4.5.3) where a 32-bit
/// field is the marker that refers to it.
///
/// Readers take the field in two ways: one number for each marker, in order, or every number by its
/// place, with or without a marker. If the field holds exactly one number for each marker, only the
/// first way is possible. If it holds more, both must give the same numbers: what is said twice is
/// said alike.
///
/// # Errors
/// `input.archive.zip64`.
pub(super) fn resolve_zip64<const N: usize>(
    narrow: [u32; N],
    field: Option<&[u8]>,
) -> Result<[u64; N], EntryError> {
    let refuse = |text: &'static str| Err(EntryError::new(FailureCode::ArchiveZip64, text));
    let markers = narrow.iter().filter(|&&number| number == MAX32).count();
    let field = match field {
        Some(field) => field,
        None if markers == 0 => return Ok(narrow.map(u64::from)),
        None => return refuse("refers to a zip64 field that is not there"),
    };
    let (chunks, rest) = field.as_chunks::<8>();
    let wide: Vec<u64> = chunks.iter().map(|number| u64::from_le_bytes(*number)).collect();
    let mut in_order = wide.iter();
    let mut numbers = narrow.map(u64::from);
    for (number, _) in numbers.iter_mut().zip(narrow).filter(|(_, narrow)| *narrow == MAX32) {
        let Some(&value) = in_order.next() else {
            return refuse("refers to a zip64 field that is not there");
        };
        *number = value;
    }
    let is_exact = markers > 0 && wide.len() == markers && rest.is_empty();
    // After all the numbers there may be that of the disk, which is 0 in an archive that is read.
    let is_in_place = wide.len() <= N
        && (rest.is_empty() || (wide.len() == N && rest == [0; 4]))
        && wide.iter().zip(numbers).all(|(wide, number)| *wide == number)
        && narrow.iter().skip(wide.len()).all(|&number| number != MAX32);
    match is_exact || (is_in_place && !wide.is_empty()) {
        true => Ok(numbers),
        false => refuse("has a zip64 field that contradicts its header, or is not whole"),
    }
}

fn refuse(text: &'static str) -> EntryError {
    EntryError::new(FailureCode::ArchiveExtraField, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(narrow: [u32; 3], numbers: &[u64], rest: &[u8]) -> Option<[u64; 3]> {
        let field: Vec<u8> =
            numbers.iter().flat_map(|n| n.to_le_bytes()).chain(rest.iter().copied()).collect();
        resolve_zip64(narrow, Some(&field)).ok()
    }

    #[test]
    fn a_number_is_said_once_or_twice_and_alike() {
        const M: u32 = MAX32;
        let all = Some([30, 20, 10]);
        // Once, in the field.
        assert_eq!(resolved([M, 20, 10], &[30], b""), all);
        assert_eq!(resolved([30, M, 10], &[20], b""), all);
        assert_eq!(resolved([30, 20, M], &[10], b""), all);
        assert_eq!(resolved([M, M, M], &[30, 20, 10], b""), all);
        // Twice.
        assert_eq!(resolved([30, 20, 10], &[30], b""), all);
        assert_eq!(resolved([30, 20, 10], &[30, 20], b""), all);
        assert_eq!(resolved([30, 20, 10], &[30, 20, 10], b""), all);
        assert_eq!(resolved([30, 20, 10], &[30, 20, 10], &[0; 4]), all);
        assert_eq!(resolved([M, 20, 10], &[30, 20], b""), all);
        assert_eq!(resolved([M, 20, 10], &[30, 20, 10], &[0; 4]), all);
        assert_eq!(resolved([M, M, 10], &[30, 20, 10], b""), all);
        assert_eq!(resolved([M, M, M], &[30, 20, 10], &[0; 4]), all);
        assert_eq!(resolved([7, M, 10], &[7, 7], b""), Some([7, 7, 10]));
    }

    #[test]
    fn numbers_that_differ_or_that_two_readers_would_take_differently_are_refused() {
        const M: u32 = MAX32;
        for (narrow, numbers) in [
            ([30, 20, 10], &[31][..]),
            ([30, 20, 10], &[30, 21]),
            ([30, 20, 10], &[30, 20, 11]),
            ([30, 20, 10], &[20]),
            ([M, 20, 10], &[30, 21]),
            ([M, M, 10], &[30, 20, 11]),
            // By the marker 30, by its place 20.
            ([30, M, 10], &[30, 20]),
            ([30, 20, M], &[30, 20, 10]),
            ([M, 20, M], &[30, 20, 10]),
            // Not there, or more than there is.
            ([M, M, M], &[30, 20]),
            ([M, 20, 10], &[]),
            ([30, 20, 10], &[]),
            ([30, 20, 10], &[30, 20, 10, 0]),
        ] {
            assert_eq!(resolved(narrow, numbers, b""), None, "{narrow:?} {numbers:?}");
        }
        assert_eq!(resolved([30, 20, 10], &[30, 20, 10], &[1, 0, 0, 0]), None, "another disk");
        assert_eq!(resolved([30, 20, 10], &[30, 20], &[0; 4]), None, "a disk in the place of the offset");
        assert_eq!(resolved([M, 20, 10], &[30], &[0; 4]), None, "a disk in the place of a size");
        assert_eq!(resolved([M, 20, 10], &[30], &[0]), None, "fewer bytes than a number has");
    }
}
