//! One entry of a validated central directory.

use super::name;
use std::ops::Range;
use std::sync::Arc;

/// A file or directory in an archive, as declared by the central directory.
///
/// - The name is relative, without `..`, in NFC, with `/` as the separator and at the end of a
///   directory. Only the directory of the archive itself, which some archives list, has none.
/// - The segment contains the local header, the data and the data descriptor, and no other bytes.
#[derive(Debug, Clone)]
pub struct Entry {
    pub(super) facts: Arc<EntryHeader>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryHeader {
    /// `/` for the directory of the archive itself.
    pub(super) name: String,
    /// The name's bytes as stored in the archive.
    pub(super) raw_name: Box<[u8]>,
    /// The decoded name, if the central directory has a Unicode path field for the entry.
    pub(super) unicode_path: Option<Box<str>>,
    pub(super) method: Method,
    /// The general purpose flags (APPNOTE 4.4.4). Whether a data descriptor follows is said by
    /// those of the local header.
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
    Deflate64,
}

impl Method {
    pub(super) fn number(self) -> u16 {
        match self {
            Self::Stored => 0,
            Self::Deflate => 8,
            Self::Deflate64 => 9,
        }
    }

    /// The method of this number; `None` if it is not read.
    pub(super) fn of_number(number: u16) -> Option<Self> {
        [Self::Stored, Self::Deflate, Self::Deflate64].into_iter().find(|method| method.number() == number)
    }
}

/// The name of a method that is not read (APPNOTE 4.4.5), as its writers call it.
pub(super) fn method_name(number: u16) -> Option<&'static str> {
    Some(match number {
        1 => "Shrink",
        2..=5 => "Reduce",
        6 => "Implode",
        7 => "Tokenize",
        10 => "PKWARE DCL Implode",
        12 => "bzip2",
        14 => "LZMA",
        16 => "IBM z/OS CMPSC",
        18 => "IBM TERSE",
        19 => "IBM LZ77",
        20 | 93 => "Zstandard",
        94 => "MP3",
        95 => "XZ",
        96 => "JPEG",
        97 => "WavPack",
        98 => "PPMd",
        99 => "AES encryption",
        _ => return None,
    })
}

pub(super) const FLAG_DESCRIPTOR: u16 = 1 << 3;
pub(super) const FLAG_UTF8: u16 = 1 << 11;
/// Flags that an entry may have (APPNOTE 4.4.4): the two deflate compression level bits, data
/// descriptor, and UTF-8.
pub(super) const FLAGS_KNOWN: u16 = 0b110 | FLAG_DESCRIPTOR | FLAG_UTF8;
/// Encryption flags: content, strong encryption, masked headers.
pub(super) const FLAGS_ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;

impl Entry {
    /// The name: decoded, in NFC, relative. A directory's name ends with `/`; that of the archive
    /// itself is empty.
    pub fn name(&self) -> &str {
        if self.is_root() { "" } else { &self.facts.name }
    }

    /// Whether the entry is the directory of the archive itself. There is nothing to create for it,
    /// but its bytes are part of the file and are checked like those of every entry.
    pub fn is_root(&self) -> bool {
        self.facts.name == name::ROOT
    }

    /// Whether the entry is a directory.
    pub fn is_directory(&self) -> bool {
        self.facts.name.ends_with('/')
    }

    /// Uncompressed size declared by the central directory, in bytes.
    pub fn expanded_bytes(&self) -> u64 {
        self.facts.expanded
    }

    /// Byte range of the local header, data and data descriptor in the file.
    pub fn segment(&self) -> Range<u64> {
        self.facts.segment.clone()
    }
}
