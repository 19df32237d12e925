//! The timestamps that writers embed, masked in place on both sides, with the number of places
//! counted. Nothing else is masked.

use super::{Files, differences};
use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};

/// A timestamp that a writer embeds.
struct Mask {
    extension: &'static str,
    /// How many of them a file may have. With none the mask is obsolete; with more it would hide
    /// other differences.
    spots: RangeInclusive<usize>,
    /// Finds the bytes that depend on the time.
    find: fn(&[u8]) -> Vec<Range<usize>>,
}

/// All masks; every other byte is compared.
const MASKS: &[Mask] = &[
    // GeoPackage: `last_change` of gpkg_contents, and `timestamp` of
    // gpkg_metadata_reference if the layer has metadata: 2026-01-31T23:59:59.999Z.
    // And how many transactions changed the file, twice in its header: SQLite does not
    // write a row over itself, so the update of `last_change` at the end counts only when
    // a millisecond has passed since the layer was made.
    Mask { extension: "gpkg", spots: 3..=4, find: geopackage },
    // Shapefile: bytes 1 to 3 of the .dbf are the date of its last update.
    Mask {
        extension: "dbf",
        spots: 1..=1,
        find: |b| std::iter::once(1..4).filter(|r| r.end <= b.len()).collect(),
    },
    // COLLADA: <created> and <modified>.
    Mask {
        extension: "dae",
        spots: 2..=2,
        find: |b| {
            let tags: [&[u8]; 2] = [b"<created>", b"<modified>"];
            tags.iter().flat_map(|tag| after(b, tag, b"0000-00-00T00:00:00")).collect()
        },
    },
    // STEP: the second argument of FILE_NAME.
    Mask {
        extension: "stp",
        spots: 1..=1,
        find: |b| after(b, b"FILE_NAME('out.stp','", b"0000-00-00T00:00:00"),
    },
    // Binary FBX: the seven numbers of CreationTimeStamp, each four bytes after its
    // name and the letter of its type.
    Mask { extension: "fbx", spots: 7..=7, find: fbx_creation_time },
    // 3MF: the four bytes of DOS time and date, in the local header and in the
    // directory, of each of the three or more files in the zip archive.
    Mask { extension: "3mf", spots: 6..=12, find: zip_times },
];

/// Overwrites what depends on the time, and returns the number of places.
pub(crate) fn mask(name: &str, bytes: &mut [u8]) -> Result<usize, String> {
    let Some(mask) = MASKS.iter().find(|m| name.rsplit('.').next() == Some(m.extension)) else {
        return Ok(0);
    };
    let found = (mask.find)(bytes);
    if !mask.spots.contains(&found.len()) {
        return Err(format!("{name}: {} times, not {:?}", found.len(), mask.spots));
    }
    for range in &found {
        bytes[range.clone()].fill(b'#');
    }
    Ok(found.len())
}

/// The offsets of `needle`.
fn find_all(bytes: &[u8], needle: &[u8]) -> Vec<usize> {
    (0..(bytes.len() + 1).saturating_sub(needle.len()))
        .filter(|&at| bytes[at..].starts_with(needle))
        .collect()
}

/// Whether bytes match a shape, in which `0` stands for any digit.
fn has_shape(bytes: &[u8], shape: &[u8]) -> bool {
    bytes.len() == shape.len()
        && bytes.iter().zip(shape).all(|(b, s)| if *s == b'0' { b.is_ascii_digit() } else { b == s })
}

/// The ranges where a shape occurs.
fn shapes(bytes: &[u8], shape: &[u8]) -> Vec<Range<usize>> {
    (0..(bytes.len() + 1).saturating_sub(shape.len()))
        .map(|at| at..at + shape.len())
        .filter(|range| has_shape(&bytes[range.clone()], shape))
        .collect()
}

/// The ranges where a shape occurs directly after a text.
fn after(bytes: &[u8], text: &[u8], shape: &[u8]) -> Vec<Range<usize>> {
    find_all(bytes, text)
        .into_iter()
        .map(|at| at + text.len()..at + text.len() + shape.len())
        .filter(|range| bytes.get(range.clone()).is_some_and(|b| has_shape(b, shape)))
        .collect()
}

/// The times, and the change counter with its copy in the "version-valid-for number":
/// offsets 24 and 92 of the header, SQLite's database file format, section 1.3.
fn geopackage(bytes: &[u8]) -> Vec<Range<usize>> {
    let counters = [24..28, 92..96].into_iter().filter(|r| r.end <= bytes.len() && is_sqlite(bytes));
    counters.chain(shapes(bytes, b"0000-00-00T00:00:00.000Z")).collect()
}

fn is_sqlite(bytes: &[u8]) -> bool {
    bytes.starts_with(b"SQLite format 3\0")
}

fn fbx_creation_time(bytes: &[u8]) -> Vec<Range<usize>> {
    // A record begins with the length of its name and the name. Its end offset, which precedes
    // them, is not needed: the seven numbers follow each other closely.
    const NUMBERS: [&[u8]; 7] = [
        b"\x04YearI",
        b"\x05MonthI",
        b"\x03DayI",
        b"\x04HourI",
        b"\x06MinuteI",
        b"\x06SecondI",
        b"\x0bMillisecondI",
    ];
    const RECORD: usize = 320;
    let Some(&start) = find_all(bytes, b"\x11CreationTimeStamp").first() else { return Vec::new() };
    let record = &bytes[start..(start + RECORD).min(bytes.len())];
    NUMBERS
        .iter()
        .flat_map(|number| find_all(record, number).into_iter().map(|at| start + at + number.len()))
        .map(|at| at..at + 4)
        .filter(|range| range.end <= bytes.len())
        .collect()
}

fn zip_times(bytes: &[u8]) -> Vec<Range<usize>> {
    let headers: [(&[u8], usize); 2] = [(b"PK\x03\x04", 10), (b"PK\x01\x02", 12)];
    headers
        .iter()
        .flat_map(|(signature, offset)| find_all(bytes, signature).into_iter().map(move |at| at + offset))
        .map(|at| at..at + 4)
        .filter(|range| range.end <= bytes.len())
        .collect()
}

/// A sample for each mask: the time is in the digits that differ.
const SAMPLES: &[(&str, &[u8], &[u8])] = &[
    (
        "out.gpkg",
        b"SQLite format 3\0\x10\x00\x01\x01\x00@  \0\0\0\x09....\
          ............................................................\0\0\0\x09\
          main2026-01-31T23:59:59.999Z\xff",
        b"SQLite format 3\0\x10\x00\x01\x01\x00@  \0\0\0\x0a....\
          ............................................................\0\0\0\x0a\
          main2027-12-01T00:00:00.000Z\xff",
    ),
    ("out.dbf", b"\x03\x7e\x01\x1f\x05\x00\x00\x00", b"\x03\x7f\x0c\x01\x05\x00\x00\x00"),
    (
        "out.dae",
        b"<created>2026-01-31T23:59:59</created><modified>2026-01-31T23:59:59</modified>",
        b"<created>2027-12-01T00:00:00</created><modified>2027-12-01T00:00:01</modified>",
    ),
    ("out.stp", b"FILE_NAME('out.stp','2026-01-31T23:59:59',(' '))", b"FILE_NAME('out.stp','2027-12-01T00:00:00',(' '))"),
    (
        "out.fbx",
        b"\x11CreationTimeStamp\x04YearI\xea\x07\0\0\x05MonthI\x01\0\0\0\x03DayI\x1f\0\0\0\x04HourI\x17\0\0\0\
          \x06MinuteI\x3b\0\0\0\x06SecondI\x3b\0\0\0\x0bMillisecondI\0\0\0\0.",
        b"\x11CreationTimeStamp\x04YearI\xeb\x07\0\0\x05MonthI\x02\0\0\0\x03DayI\x1e\0\0\0\x04HourI\x16\0\0\0\
          \x06MinuteI\x3a\0\0\0\x06SecondI\x3a\0\0\0\x0bMillisecondI\x01\0\0\0.",
    ),
];

#[test]
fn masks_hide_the_time() {
    for (name, first, second) in SAMPLES {
        let (mut first, mut second) = (first.to_vec(), second.to_vec());
        assert_ne!(first, second, "{name}");
        assert_eq!(mask(name, &mut first).unwrap(), mask(name, &mut second).unwrap(), "{name}");
        assert_eq!(first, second, "{name}");
    }
}

/// Each unmasked byte is changed in turn: the files must differ.
#[test]
fn masks_hide_nothing_else() {
    let dated = |name: &str, bytes: &[u8]| Files::from([(name.to_owned(), bytes.to_vec())]);
    for (name, sample, _) in SAMPLES {
        let find = MASKS.iter().find(|m| name.ends_with(m.extension)).expect("a mask").find;
        let hidden: BTreeSet<usize> = find(sample).into_iter().flatten().collect();
        assert!(!hidden.is_empty() && hidden.len() < sample.len(), "{name}");
        for at in (0..sample.len()).filter(|at| !hidden.contains(at)) {
            let mut changed = sample.to_vec();
            changed[at] ^= 0x01;
            let outcome = differences(dated(name, sample), dated(name, &changed));
            assert!(outcome.is_err(), "{name}: a change at {at} goes unseen");
        }
    }
    // A timestamp elsewhere is content.
    for name in ["out.geojson", "out.csv", "out.gml", "out.obj"] {
        let (one, other) = (b"2026-01-31T23:59:59.999Z", b"2027-01-31T23:59:59.999Z");
        assert!(differences(dated(name, one), dated(name, other)).is_err(), "{name}");
    }
}
