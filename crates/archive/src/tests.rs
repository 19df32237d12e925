//! Archives at and beyond the limits, through the public API.

use super::*;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::ArchiveLimits;
use std::io;
use std::io::Write;
use zip::write::SimpleFileOptions;

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, content) in entries {
        if name.ends_with('/') {
            writer.add_directory(*name, options).unwrap();
        } else {
            writer.start_file(*name, options).unwrap();
            writer.write_all(content).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

/// How the bytes are passed: all at once, or in pieces of this size, in and out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Feeding {
    Whole,
    Pieces(usize),
}

impl Feeding {
    pub(super) const BYTES: Self = Self::Pieces(1);

    fn of(self, length: usize) -> usize {
        match self {
            Self::Whole => length,
            Self::Pieces(piece) => length.min(piece),
        }
    }
}

fn plan_of(bytes: &[u8], limits: &ArchiveLimits, feeding: Feeding) -> Result<Plan, Failure> {
    let mut opening = CentralDirectoryReader::new(bytes.len() as u64, limits)?;
    while let Some(wanted) = opening.wants() {
        let wanted = &bytes[wanted.start as usize..wanted.end as usize];
        opening.feed(&wanted[..feeding.of(wanted.len())])?;
    }
    opening.finish()
}

/// Name and content of every entry, read from memory.
pub(super) fn read_all(
    bytes: &[u8],
    limits: &ArchiveLimits,
    feeding: Feeding,
) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    plan_of(bytes, limits, feeding)?
        .entries()
        .iter()
        .map(|entry| Ok((entry.name().to_owned(), content(bytes, entry, feeding)?)))
        .collect()
}

fn content(bytes: &[u8], entry: &Entry, feeding: Feeding) -> Result<Vec<u8>, Failure> {
    let segment = &bytes[entry.segment().start as usize..entry.segment().end as usize];
    let mut decoder = Decoder::new(entry);
    let mut content = Vec::new();
    let piece = feeding.of(segment.len()).max(1);
    let mut output = vec![0; feeding.of(64 << 10)];
    for mut input in segment.chunks(piece) {
        loop {
            let step = decoder.step(input, &mut output)?;
            input = &input[step.consumed..];
            content.extend(&output[..step.produced]);
            if step == Step::default() {
                break;
            }
        }
        assert!(input.is_empty(), "the decoder takes all input");
    }
    decoder.finish()?;
    Ok(content)
}

fn unpack(bytes: &[u8], limits: &ArchiveLimits) -> Result<Vec<(String, Vec<u8>)>, FailureCode> {
    read_all(bytes, limits, Feeding::Whole).map_err(|failure| failure.code)
}

fn refused(bytes: &[u8]) -> FailureCode {
    unpack(bytes, &ArchiveLimits::default()).expect_err("it must be refused")
}

/// Replaces every occurrence of a text by one of equal length, in the local headers and the central
/// directory.
fn patched(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    let mut hits = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|w| w == from) {
        bytes[at + found..at + found + from.len()].copy_from_slice(to);
        at += found + from.len();
        hits += 1;
    }
    assert!(hits > 0, "nothing to patch");
    bytes
}

#[test]
fn a_plain_archive_is_unpacked_as_it_is() {
    let large: Vec<u8> = (0..3_000_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
    let bytes = archive(&[("d/", b""), ("d/large.bin", &large), ("d/e/small.txt", b"hello"), ("empty", b"")]);
    let expected = [
        ("d/", Vec::new()),
        ("d/large.bin", large),
        ("d/e/small.txt", b"hello".to_vec()),
        ("empty", Vec::new()),
    ];
    let expected: Vec<_> = expected.map(|(name, content)| (name.to_owned(), content)).into();
    assert!(unpack(&bytes, &ArchiveLimits::default()).unwrap() == expected);
}

#[test]
fn limits_hold_at_the_limit_and_not_beyond() {
    let bytes = archive(&[("a", &[1; 1000]), ("b", &[2; 24])]);
    let limits =
        |entries, expanded_bytes| ArchiveLimits { entries, expanded_bytes, ..ArchiveLimits::default() };
    assert!(unpack(&bytes, &limits(2, 1024)).is_ok());
    assert_eq!(unpack(&bytes, &limits(1, 1024)).unwrap_err(), FailureCode::ArchiveTooManyEntries);
    assert_eq!(unpack(&bytes, &limits(2, 1023)).unwrap_err(), FailureCode::ArchiveExpandedSize);
}

#[test]
fn a_bomb_is_refused_and_a_table_of_blanks_is_not() {
    let bytes = archive(&[("blanks.dbf", &vec![b' '; 1 << 20])]);
    let limits =
        |ratio, ratio_exempt_bytes| ArchiveLimits { ratio, ratio_exempt_bytes, ..ArchiveLimits::default() };
    assert_eq!(unpack(&bytes, &limits(100, 1 << 10)).unwrap_err(), FailureCode::ArchiveRatio);
    assert!(unpack(&bytes, &limits(100, 1 << 20)).is_ok());
    assert!(unpack(&bytes, &limits(2000, 1 << 10)).is_ok());
}

#[test]
fn damage_is_noticed_wherever_it_is() {
    let content: Vec<u8> = (0..10_000u32).flat_map(|i| (i * i).to_le_bytes()).collect();
    let bytes = archive(&[("a.obj", &content)]);
    for length in [4, 30, bytes.len() / 2, bytes.len() - 1] {
        assert_eq!(refused(&bytes[..length]), FailureCode::ArchiveTruncated, "cut to {length}");
    }
    let mut flipped = bytes.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    // Which of these errors a flipped bit in a deflate stream causes depends on the bit.
    let codes = [FailureCode::ArchiveCrc, FailureCode::ArchiveDamagedData, FailureCode::ArchiveSizeMismatch];
    assert!(codes.contains(&refused(&flipped)));
}

#[test]
fn archives_without_a_file_are_empty() {
    assert_eq!(refused(&archive(&[])), FailureCode::ArchiveEmpty);
    assert_eq!(refused(&archive(&[("d/", b"")])), FailureCode::ArchiveEmpty);
}

#[test]
fn names_that_lead_out_are_refused() {
    let bytes = archive(&[("aaaaaaaaaa.obj", b"x")]);
    for name in ["../aaaaaaa.obj", "/aaaaaaaaa.obj", "aaa/../aaa.obj", "..\\aaaaaaa.obj"] {
        let renamed = patched(&bytes, b"aaaaaaaaaa.obj", name.as_bytes());
        assert_eq!(refused(&renamed), FailureCode::ArchivePathEscape, "{name}");
    }
    let renamed = patched(&bytes, b"aaaaaaaaaa.obj", b"aaaaaaaaa\n.obj");
    assert_eq!(refused(&renamed), FailureCode::ArchiveName);
}

#[test]
fn names_are_spelt_in_one_way() {
    let bytes = archive(&[("./", b""), ("./d/", b""), ("./d/a.obj", b"x")]);
    let expected = [("", ""), ("d/", ""), ("d/a.obj", "x")];
    let expected: Vec<_> = expected.map(|(name, content)| (name.to_owned(), content.into())).into();
    assert_eq!(unpack(&bytes, &ArchiveLimits::default()).unwrap(), expected);
    let plan = plan_of(&bytes, &ArchiveLimits::default(), Feeding::Whole).unwrap();
    assert_eq!(plan.names(), ["d/", "d/a.obj"]);
    assert_eq!(plan.files(), 1);
    let root = &plan.entries()[0];
    assert!(root.is_root() && root.is_directory() && !root.segment().is_empty());
    assert!(plan.entries()[1..].iter().all(|entry| !entry.is_root()));
}

#[test]
fn an_archive_inside_has_the_limits_that_are_left() {
    let bytes = archive(&[("a.zip", &[1; 1000]), ("b", &[2; 24])]);
    let limits = ArchiveLimits { entries: 5, expanded_bytes: 2000, ..ArchiveLimits::default() };
    let plan = plan_of(&bytes, &limits, Feeding::Whole).unwrap();
    let left = plan.remaining(&limits);
    assert_eq!((left.entries, left.expanded_bytes), (3, 976));
    assert_eq!(ArchiveLimits { entries: 5, expanded_bytes: 2000, ..left }, limits);
}

#[test]
fn methods_that_are_not_read_are_named() {
    let bytes = archive(&[("a.obj", b"content")]);
    let directory = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    for (method, name) in [(12, "12 (bzip2)"), (14, "14 (LZMA)"), (93, "93 (Zstandard)"), (200, "200;")] {
        let mut bytes = bytes.clone();
        (bytes[directory + 10], bytes[8]) = (method, method);
        let failure = read_all(&bytes, &ArchiveLimits::default(), Feeding::Whole).unwrap_err();
        assert_eq!(failure.code, FailureCode::ArchiveMethod);
        assert!(failure.message.contains(name), "{}", failure.message);
    }
}

#[test]
fn twins_are_refused() {
    let bytes = archive(&[("road.shp", b"1"), ("ROAD.shq", b"2")]);
    let twins = patched(&bytes, b"ROAD.shq", b"ROAD.SHP");
    assert_eq!(refused(&twins), FailureCode::ArchiveDuplicateName);
    let same = patched(&archive(&[("road.shp", b"1"), ("roae.shp", b"2")]), b"roae", b"road");
    assert_eq!(refused(&same), FailureCode::ArchiveDuplicateName);
    let nested = archive(&[("a", b"file"), ("b/c", b"file")]);
    assert_eq!(refused(&patched(&nested, b"b/c", b"a/c")), FailureCode::ArchiveDuplicateName);
}

#[test]
fn links_are_refused() {
    let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    writer.add_symlink("link", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    assert_eq!(refused(&writer.finish().unwrap().into_inner()), FailureCode::ArchiveSymlink);
}

#[test]
fn encryption_and_other_methods_are_refused() {
    let bytes = archive(&[("a.obj", b"content")]);
    let directory = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    // APPNOTE 4.3.12: flags at 8, method at 10; 4.3.7: flags at 6, method at 8.
    let with = |central: usize, local: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[directory + central] = value;
        bytes[local] = value;
        bytes
    };
    assert_eq!(refused(&with(8, 6, 1)), FailureCode::ArchiveEncrypted);
    assert_eq!(refused(&with(10, 8, 12)), FailureCode::ArchiveMethod);
}

#[test]
fn headers_that_contradict_the_directory_are_refused() {
    let bytes = archive(&[("a.obj", b"content"), ("b.obj", b"other")]);
    let mut renamed = bytes.clone();
    renamed[30] = b'x';
    assert_eq!(refused(&renamed), FailureCode::ArchiveHeaderMismatch);
    // Both central directory headers point at the first entry.
    let mut overlapping = bytes.clone();
    let second = bytes.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    overlapping[second + 42..second + 46].copy_from_slice(&[0; 4]);
    assert_eq!(refused(&overlapping), FailureCode::ArchiveOverlap);
}

#[test]
fn a_declared_size_that_is_not_the_real_one_is_refused() {
    let bytes = archive(&[("a.obj", &[7; 5000])]);
    let directory = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    for size in [4999u32, 5001] {
        let mut lying = bytes.clone();
        lying[directory + 24..directory + 28].copy_from_slice(&size.to_le_bytes());
        lying[22..26].copy_from_slice(&size.to_le_bytes());
        assert_eq!(refused(&lying), FailureCode::ArchiveSizeMismatch, "{size}");
    }
}
