//! Validation of one central directory header.

use super::encoding;
use super::entry::{EntryHeader, FLAG_UTF8, FLAGS_ENCRYPTED, FLAGS_KNOWN, Method, method_name};
use super::extra::{self, Extra};
use super::name;
use crate::entry_error::EntryError;
use crate::records::{Central, Common};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::ArchiveLimits;

/// The variable-length fields of the header.
pub(super) struct Variable<'a> {
    pub(super) name: &'a [u8],
    pub(super) extra: &'a [u8],
    pub(super) comment: &'a [u8],
}

/// Validates one header. `number` counts from 1. The segment in the result starts at the local
/// header and stays empty until the whole central directory has been read.
///
/// # Errors
/// `input.archive.*`, naming the entry.
pub(super) fn validate(
    central: &Central,
    variable: Variable<'_>,
    number: u64,
    limits: &ArchiveLimits,
) -> Result<EntryHeader, Failure> {
    let common = &central.common;
    let (raw_name, is_utf8) = (variable.name, common.flags & FLAG_UTF8 != 0);
    let fields = Extra::parse(variable.extra);
    // Decoded first, so that errors in the other fields can name the entry.
    let path = fields.as_ref().ok().and_then(|f| f.unicode_path);
    let written = encoding::decode(raw_name, is_utf8, path).map_err(|why| why.of_number(number))?;
    let named = |why: EntryError| why.of(&written);
    let name = name::of_entry(&written);
    if name != name::ROOT {
        name::check(&name, limits).map_err(named)?;
    }
    // The comment is not used, but some readers reject the whole archive because of it.
    if is_utf8 && std::str::from_utf8(variable.comment).is_err() {
        let text = "has a comment that is said to be UTF-8 and is not";
        return Err(named(EntryError::new(FailureCode::ArchiveNameEncoding, text)));
    }
    let method = validate_method(common).map_err(named)?;
    let fields = fields.map_err(named)?;
    let (packed, expanded, local_at) = sizes(central, &fields).map_err(named)?;
    validate_kind(central, &name, expanded).map_err(named)?;
    validate_sizes(method, packed, expanded, common.crc, limits).map_err(named)?;
    let unicode_path = fields.unicode_path.map(|_| written.as_str().into());
    Ok(EntryHeader {
        name,
        raw_name: raw_name.into(),
        unicode_path,
        method,
        flags: common.flags,
        crc: common.crc,
        packed,
        expanded,
        segment: local_at..local_at,
    })
}

/// Whether this reader supports the version needed to extract: 1.0 to 4.5, in the lower byte
/// (APPNOTE 4.4.3).
pub(super) fn is_known_version(needs: u16) -> bool {
    (10..=45).contains(&needs)
}

fn validate_method(common: &Common) -> Result<Method, EntryError> {
    if common.flags & FLAGS_ENCRYPTED != 0 {
        return Err(EntryError::new(FailureCode::ArchiveEncrypted, "is encrypted"));
    }
    let method = Method::of_number(common.method).ok_or_else(|| {
        let name = method_name(common.method).map(|name| format!(" ({name})")).unwrap_or_default();
        let text = format!(
            "uses compression method {}{name}; stored, deflate and Deflate64 are read",
            common.method
        );
        EntryError::new(FailureCode::ArchiveMethod, text)
    })?;
    if common.flags & !FLAGS_KNOWN != 0 {
        return Err(EntryError::new(
            FailureCode::ArchiveFlags,
            "has flags that are reserved or that patch other data",
        ));
    }
    if !is_known_version(common.needs) {
        let text = format!("needs version {} of the format; 10 to 45 are read", common.needs);
        return Err(EntryError::new(FailureCode::ArchiveVersion, text));
    }
    Ok(method)
}

/// Compressed size, uncompressed size and offset, taking the zip64 field into account.
fn sizes(central: &Central, fields: &Extra<'_>) -> Result<(u64, u64, u64), EntryError> {
    if central.disk != 0 {
        return Err(EntryError::new(FailureCode::ArchiveMultiDisk, "lies in another part of the archive"));
    }
    let narrow = [central.common.expanded, central.common.packed, central.local_at];
    let [expanded, packed, local_at] = extra::resolve_zip64(narrow, fields.zip64)?;
    Ok((packed, expanded, local_at))
}

/// Checks that name, attributes and size agree on whether the entry is a directory, and that it is
/// not a special file.
fn validate_kind(central: &Central, name: &str, expanded: u64) -> Result<(), EntryError> {
    let (attributes, is_directory) = (central.attributes, name.ends_with('/'));
    // The low bits are DOS attributes, the upper 16 bits `st_mode` of inode(7) (APPNOTE 4.4.15).
    // Both are checked whatever host system the entry declares.
    const VOLUME_OR_DEVICE: u32 = 0x08 | 0x40;
    const DIRECTORY: u32 = 0x10;
    const REPARSE_POINT: u32 = 0x400;
    // On the Amiga the upper 16 bits have two for the kind, and readers take them by that.
    const AMIGA: u8 = 1;
    let amiga_directory = central.host == AMIGA && attributes >> 16 & 0o6000 == 0o4000;
    let mode_kind = match attributes >> 16 & 0o170_000 {
        0 => None,
        0o100_000 => Some(false),
        0o040_000 => Some(true),
        // When it reads from a pipe, Info-ZIP names the entry `-` and stores the pipe's mode.
        0o010_000 if name == "-" => Some(false),
        0o120_000 => return Err(EntryError::new(FailureCode::ArchiveSymlink, "is a symbolic link")),
        _ => return Err(EntryError::new(FailureCode::ArchiveSpecialFile, "is a device, a pipe or a socket")),
    };
    if attributes & REPARSE_POINT != 0 {
        return Err(EntryError::new(FailureCode::ArchiveSymlink, "is a link of Windows"));
    }
    if attributes & VOLUME_OR_DEVICE != 0 {
        return Err(EntryError::new(FailureCode::ArchiveSpecialFile, "is a volume label or a device"));
    }
    let refuse = |text: &'static str| Err(EntryError::new(FailureCode::ArchiveTypeMismatch, text));
    let by_attributes = attributes & DIRECTORY != 0 || amiga_directory;
    if mode_kind.is_some_and(|kind| kind != is_directory) || (by_attributes && !is_directory) {
        return refuse("is a directory by its name or by its attributes, not by both");
    }
    if is_directory && expanded > 0 {
        return refuse("is a directory with content");
    }
    Ok(())
}

fn validate_sizes(
    method: Method,
    packed: u64,
    expanded: u64,
    crc: u32,
    limits: &ArchiveLimits,
) -> Result<(), EntryError> {
    let refuse = |text: &'static str| Err(EntryError::new(FailureCode::ArchiveSizeMismatch, text));
    match method {
        Method::Stored if packed != expanded => return refuse("is stored, but has two sizes"),
        Method::Deflate | Method::Deflate64 if packed == 0 => return refuse("has no compressed data"),
        _ => {}
    }
    if expanded == 0 && crc != 0 {
        return Err(EntryError::new(FailureCode::ArchiveCrc, "is empty, but has the checksum of something"));
    }
    let ratio = expanded / packed.max(1);
    if expanded > limits.ratio_exempt_bytes && ratio > limits.ratio {
        let text = format!("expands {ratio} times, {} times are allowed", limits.ratio);
        return Err(EntryError::new(FailureCode::ArchiveRatio, text));
    }
    Ok(())
}
