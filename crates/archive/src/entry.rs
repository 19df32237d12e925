//! One entry of a judged directory.

use std::ops::Range;
use std::sync::Arc;

/// A directory or file of an archive, as its directory declares it.
///
/// - The name is relative, without `..`, in NFC, with `/` between the parts and
///   at the end of a directory.
/// - The segment holds local header, data and data descriptor, and no other byte.
#[derive(Debug, Clone)]
pub struct Entry {
    pub(super) facts: Arc<EntryHeader>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryHeader {
    pub(super) name: String,
    /// The name as its bytes are in the archive.
    pub(super) raw_name: Box<[u8]>,
    /// Whether the directory has a Unicode path field for it.
    pub(super) has_unicode_path: bool,
    pub(super) method: Method,
    /// The general purpose flags (APPNOTE 4.4.4).
    pub(super) flags: u16,
    pub(super) crc: u32,
    pub(super) packed: u64,
    pub(super) expanded: u64,
    pub(super) segment: Range<u64>,
}

/// How the content is compressed (APPNOTE 4.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflate,
}

impl Method {
    pub(super) fn number(self) -> u16 {
        match self {
            Self::Stored => 0,
            Self::Deflate => 8,
        }
    }
}

/// Flags that an entry may have (APPNOTE 4.4.4): two that tell how hard deflate
/// tried, the data descriptor, UTF-8.
pub(super) const FLAG_DESCRIPTOR: u16 = 1 << 3;
pub(super) const FLAG_UTF8: u16 = 1 << 11;
pub(super) const FLAGS_KNOWN: u16 = 0b110 | FLAG_DESCRIPTOR | FLAG_UTF8;
/// Flags that tell of encryption: of the content, strong, of the headers.
pub(super) const FLAGS_ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;

impl EntryHeader {
    pub(super) fn has_descriptor(&self) -> bool {
        self.flags & FLAG_DESCRIPTOR != 0
    }
}

impl Entry {
    /// The name: decoded, in NFC, relative; that of a directory ends with `/`.
    pub fn name(&self) -> &str {
        &self.facts.name
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.facts.name.ends_with('/')
    }

    /// Size of the content that the directory declares, in bytes.
    pub fn expanded_bytes(&self) -> u64 {
        self.facts.expanded
    }

    /// Where local header, data and data descriptor lie in the file.
    pub fn segment(&self) -> Range<u64> {
        self.facts.segment.clone()
    }
}
