//! The fixed-length parts of the records of a zip archive, field by field.
//!
//! Section numbers are those of APPNOTE.TXT 6.3.10. Only the signatures are checked here.

/// 4.3.16.
pub(super) const END: [u8; 4] = *b"PK\x05\x06";
/// Size of the end record without its comment.
pub(super) const END_BYTES: u64 = 22;
/// Maximum length of the end record's comment.
pub(super) const MAX_COMMENT: u64 = 0xffff;
/// 4.3.15.
pub(super) const LOCATOR: [u8; 4] = *b"PK\x06\x07";
pub(super) const LOCATOR_BYTES: u64 = 20;
/// 4.3.14, without the extensible data sector.
pub(super) const END64: [u8; 4] = *b"PK\x06\x06";
pub(super) const END64_BYTES: u64 = 56;
/// 4.3.12, without name, extra fields and comment.
pub(super) const CENTRAL: [u8; 4] = *b"PK\x01\x02";
pub(super) const CENTRAL_BYTES: usize = 46;
/// 4.3.7, without name and extra fields.
pub(super) const LOCAL: [u8; 4] = *b"PK\x03\x04";
pub(super) const LOCAL_BYTES: usize = 30;
/// 4.3.9.3.
pub(super) const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";

/// Marker in a 32-bit field: the value is in the zip64 record (4.3.9.2, 4.4.1.4).
pub(super) const MAX32: u32 = u32::MAX;
/// The same marker in a 16-bit field.
pub(super) const MAX16: u16 = u16::MAX;

/// The end record (4.3.16).
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) disk: u16,
    pub(super) directory_disk: u16,
    pub(super) entries_here: u16,
    pub(super) entries: u16,
    pub(super) directory_bytes: u32,
    pub(super) directory_at: u32,
    pub(super) comment_bytes: u16,
}

impl End {
    /// Parses bytes that start with the record; `None` if the signature differs.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let record = record::<22>(bytes, END)?;
        Some(Self {
            disk: u16_at(record, 4),
            directory_disk: u16_at(record, 6),
            entries_here: u16_at(record, 8),
            entries: u16_at(record, 10),
            directory_bytes: u32_at(record, 12),
            directory_at: u32_at(record, 16),
            comment_bytes: u16_at(record, 20),
        })
    }
}

/// The zip64 locator (4.3.15).
#[derive(Debug, Clone, Copy)]
pub(super) struct Locator {
    pub(super) disk: u32,
    pub(super) record_at: u64,
    pub(super) disks: u32,
}

impl Locator {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let record = record::<20>(bytes, LOCATOR)?;
        Some(Self { disk: u32_at(record, 4), record_at: u64_at(record, 8), disks: u32_at(record, 16) })
    }
}

/// The zip64 end record (4.3.14).
#[derive(Debug, Clone, Copy)]
pub(super) struct End64 {
    /// Size of the record, excluding its signature and this field.
    pub(super) rest_bytes: u64,
    pub(super) needs: u16,
    pub(super) disk: u32,
    pub(super) directory_disk: u32,
    pub(super) entries_here: u64,
    pub(super) entries: u64,
    pub(super) directory_bytes: u64,
    pub(super) directory_at: u64,
}

impl End64 {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let record = record::<56>(bytes, END64)?;
        Some(Self {
            rest_bytes: u64_at(record, 4),
            needs: u16_at(record, 14),
            disk: u32_at(record, 16),
            directory_disk: u32_at(record, 20),
            entries_here: u64_at(record, 24),
            entries: u64_at(record, 32),
            directory_bytes: u64_at(record, 40),
            directory_at: u64_at(record, 48),
        })
    }
}

/// Fields common to the local header and the central directory header (4.3.7, 4.3.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Common {
    pub(super) needs: u16,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) crc: u32,
    pub(super) packed: u32,
    pub(super) expanded: u32,
    pub(super) name_bytes: u16,
    pub(super) extra_bytes: u16,
}

impl Common {
    fn parse(bytes: &[u8; 26]) -> Self {
        Self {
            needs: u16_at(bytes, 0),
            flags: u16_at(bytes, 2),
            method: u16_at(bytes, 4),
            crc: u32_at(bytes, 10),
            packed: u32_at(bytes, 14),
            expanded: u32_at(bytes, 18),
            name_bytes: u16_at(bytes, 22),
            extra_bytes: u16_at(bytes, 24),
        }
    }
}

/// A central directory header (4.3.12).
#[derive(Debug, Clone, Copy)]
pub(super) struct Central {
    pub(super) common: Common,
    /// The system whose attributes the header has (4.4.2).
    pub(super) host: u8,
    pub(super) comment_bytes: u16,
    pub(super) disk: u16,
    pub(super) attributes: u32,
    pub(super) local_at: u32,
}

impl Central {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let record = record::<CENTRAL_BYTES>(bytes, CENTRAL)?;
        Some(Self {
            host: record[5],
            common: Common::parse(record[6..].first_chunk()?),
            comment_bytes: u16_at(record, 32),
            disk: u16_at(record, 34),
            attributes: u32_at(record, 38),
            local_at: u32_at(record, 42),
        })
    }

    /// Size of the whole header, in bytes.
    pub(super) fn record_bytes(&self) -> usize {
        let variable = [self.common.name_bytes, self.common.extra_bytes, self.comment_bytes];
        CENTRAL_BYTES + variable.into_iter().map(usize::from).sum::<usize>()
    }
}

/// Parses a local header (4.3.7); `None` if the signature differs.
pub(super) fn parse_local(bytes: &[u8; LOCAL_BYTES]) -> Option<Common> {
    let record = record::<LOCAL_BYTES>(bytes, LOCAL)?;
    Some(Common::parse(record[4..].first_chunk()?))
}

fn record<const N: usize>(bytes: &[u8], signature: [u8; 4]) -> Option<&[u8; N]> {
    bytes.first_chunk().filter(|record| record.starts_with(&signature))
}

/// The little-endian number at this offset, which the caller has checked to be in range.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// As [`u16_at`].
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

/// As [`u16_at`].
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
