//! Parts of an input that are missing, or that end before others do.
//!
//! A shapefile or a MapInfo table is several files. GDAL converts what they have in common, and
//! says nothing of the rest.

use super::numbers;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// What the result lacks because the input does.
pub(super) fn losses(input: &Path) -> Vec<String> {
    let extension = input.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    // A file that cannot be read is left to GDAL, which says why.
    match extension.as_str() {
        "shp" | "shx" | "dbf" => {
            let mut losses = shapefile(input).unwrap_or_default();
            losses.extend(
                part(input, "dbf").and_then(|table| numbers::losses(&table).ok()).unwrap_or_default(),
            );
            losses
        }
        "tab" => table(input).unwrap_or_default(),
        "mif" | "mid" => interchange(input).unwrap_or_default(),
        _ => changes(input).into_iter().collect(),
    }
}

/// Changes to a database that are in its log and not yet in the file itself (SQLite, "Write-Ahead
/// Logging", section 2). They are not read, as the log of an input is not applied to it.
fn changes(input: &Path) -> Option<String> {
    let mut log = input.as_os_str().to_owned();
    log.push("-wal");
    let bytes = std::fs::metadata(log).ok()?.len();
    let text = "the database has changes in a log (-wal) beside it, which were not read: close the program that has it open, which writes them to the file";
    (bytes > 0).then(|| text.to_owned())
}

/// The file of the same name with this extension, in any case.
pub(super) fn part(input: &Path, extension: &str) -> Option<PathBuf> {
    let stem = input.file_stem()?;
    let is_part = |path: &PathBuf| {
        path.file_stem().is_some_and(|other| other.eq_ignore_ascii_case(stem))
            && path.extension().is_some_and(|other| other.eq_ignore_ascii_case(extension))
    };
    let directory = input.parent().filter(|directory| !directory.as_os_str().is_empty());
    let entries = std::fs::read_dir(directory.unwrap_or(Path::new("."))).ok()?;
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_part).collect();
    // One that is spelt like the input comes before others.
    found.sort_by_key(|path| path.file_stem() != Some(stem));
    found.into_iter().next()
}

fn shapefile(input: &Path) -> io::Result<Vec<String>> {
    let (Some(shapes), Some(table)) = (part(input, "shp"), part(input, "dbf")) else { return Ok(Vec::new()) };
    let Some(rows) = rows(&table)? else {
        return Ok(vec![
            "the table (.dbf) is empty or damaged: the attributes of all shapes were left out".to_owned(),
        ]);
    };
    let shapes = match part(input, "shx") {
        Some(index) => shapes_of_index(&index)?,
        None => shapes_of(&shapes)?,
    };
    Ok(fewer(("shapes", "the .shp file", shapes), ("rows", "the .dbf file", rows)).into_iter().collect())
}

/// What is said if one file has more than the other.
fn fewer(one: (&str, &str, u64), other: (&str, &str, u64)) -> Option<String> {
    let (more, less) = if one.2 >= other.2 { (one, other) } else { (other, one) };
    let left_out = more.2 - less.2;
    (left_out > 0).then(|| {
        format!(
            "{} has {} {}, but {} has {} {}: {left_out} {} were left out",
            more.1, more.2, more.0, less.1, less.2, less.0, more.0
        )
    })
}

/// The number of rows that a dBASE table declares. `None` if GDAL takes it for none.
fn rows(path: &Path) -> io::Result<Option<u64>> {
    let mut header = [0; 32];
    match File::open(path)?.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let [length, record] =
        [8, 10].map(|at: usize| u64::from(u16::from_le_bytes([header[at], header[at + 1]])));
    let rows = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    let is_whole = length >= 32 && record > 0 && std::fs::metadata(path)?.len() >= length;
    Ok(is_whole.then_some(rows.into()))
}

/// Bytes of the header of a .shp or .shx file, and of an entry of the latter.
const SHAPE_HEADER: u64 = 100;
const INDEX_ENTRY: u64 = 8;

/// The number of shapes that an index declares: its header has its length in words.
fn shapes_of_index(path: &Path) -> io::Result<u64> {
    let mut header = [0; SHAPE_HEADER as usize];
    File::open(path)?.read_exact(&mut header)?;
    let words = u32::from_be_bytes([header[24], header[25], header[26], header[27]]);
    Ok((u64::from(words) * 2).saturating_sub(SHAPE_HEADER) / INDEX_ENTRY)
}

/// The number of shapes of a file without an index: each begins with its number and its length in
/// words.
fn shapes_of(path: &Path) -> io::Result<u64> {
    let mut file = BufReader::new(File::open(path)?);
    file.seek_relative(SHAPE_HEADER as i64)?;
    let mut shapes = 0;
    let mut header = [0; 8];
    while file.read_exact(&mut header).is_ok() {
        let words = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        file.seek_relative(i64::from(words) * 2)?;
        shapes += 1;
    }
    Ok(shapes)
}

/// A MapInfo table has its rows in a .dat file, its objects in a .map file, and where the object of
/// each row lies in an .id file, of which the position 0 says that there is none.
fn table(input: &Path) -> io::Result<Vec<String>> {
    let Some(data) = part(input, "dat") else { return Ok(Vec::new()) };
    let index = part(input, "id");
    if part(input, "map").is_some() {
        let (Some(index), Some(rows)) = (index, rows(&data)?) else { return Ok(Vec::new()) };
        let entries = std::fs::metadata(index)?.len() / 4;
        return Ok(fewer(("rows", "the .dat file", rows), ("entries", "the .id file", entries))
            .into_iter()
            .collect());
    }
    let Some(index) = index else {
        // A table of its own kind: it has no objects.
        return Ok(Vec::new());
    };
    let mut file = BufReader::new(File::open(index)?);
    let (mut objects, mut entry) = (0_u64, [0; 4]);
    while file.read_exact(&mut entry).is_ok() {
        objects += u64::from(entry != [0; 4]);
    }
    let lost = format!("the .map file is missing: the geometry of {objects} rows was left out");
    Ok((objects > 0).then_some(lost).into_iter().collect())
}

/// Longest line of a MapInfo interchange file that is looked at; a longer one counts once.
const MAX_LINE: u64 = 1 << 16;

/// A MapInfo interchange file has its objects in a .mif file, and a line for each in a .mid file.
fn interchange(input: &Path) -> io::Result<Vec<String>> {
    let Some(geometry) = part(input, "mif") else { return Ok(Vec::new()) };
    let (columns, objects) = objects(&geometry)?;
    if columns == 0 {
        return Ok(Vec::new());
    }
    let Some(data) = part(input, "mid") else {
        return Ok(vec![format!(
            "the .mid file is missing: the attributes of {objects} objects were left out"
        )]);
    };
    let (mut rows, mut blank) = (0, 0);
    each_line(&data, |line| {
        // Blank lines at the end are no rows.
        blank += 1;
        if !line.trim_ascii().is_empty() {
            rows += std::mem::take(&mut blank);
        }
    })?;
    Ok(fewer(("objects", "the .mif file", objects), ("rows", "the .mid file", rows)).into_iter().collect())
}

/// Words with which objects begin.
const OBJECTS: &[&str] = &[
    "none",
    "point",
    "line",
    "pline",
    "region",
    "arc",
    "text",
    "rect",
    "roundrect",
    "ellipse",
    "multipoint",
    "collection",
];

/// The number of columns and of objects of a .mif file.
fn objects(path: &Path) -> io::Result<(u64, u64)> {
    let (mut columns, mut objects, mut members, mut is_data) = (0, 0, 0_u64, false);
    each_line(path, |line| {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let Some(first) = words.next() else { return };
        let number = |word: Option<&[u8]>| {
            word.and_then(|word| std::str::from_utf8(word).ok()?.parse::<u64>().ok()).unwrap_or(0)
        };
        if !is_data {
            is_data = first.eq_ignore_ascii_case(b"data");
            if first.eq_ignore_ascii_case(b"columns") {
                columns = number(words.next());
            }
        } else if OBJECTS.iter().any(|word| first.eq_ignore_ascii_case(word.as_bytes())) {
            // The parts of a collection are objects of their own words.
            match members.checked_sub(1) {
                Some(left) => members = left,
                None => objects += 1,
            }
            if first.eq_ignore_ascii_case(b"collection") {
                members = number(words.next());
            }
        }
    })?;
    Ok((columns, objects))
}

/// Calls `each` with the lines of a file; of a long one with its beginning.
fn each_line(path: &Path, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut line = Vec::new();
    let mut goes_on = false;
    while (&mut file).take(MAX_LINE).read_until(b'\n', &mut line)? > 0 {
        if !goes_on {
            each(&line);
        }
        goes_on = !line.ends_with(b"\n");
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, Vec<u8>)], input: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        losses(&directory.path().join(input))
    }

    /// A dBASE table without fields that declares this many rows.
    fn dbf(rows: u8) -> Vec<u8> {
        let mut bytes = vec![3, 0, 0, 0, rows, 0, 0, 0, 33, 0, 1];
        bytes.resize(33, 0);
        bytes
    }

    /// Shapes without coordinates, and their index.
    fn shapes(count: u32) -> (Vec<u8>, Vec<u8>) {
        let (mut shp, mut shx) = (vec![0; 100], vec![0; 100]);
        shx[24..28].copy_from_slice(&(50 + 4 * count).to_be_bytes());
        for number in 1..=count {
            shp.extend([number.to_be_bytes(), 2_u32.to_be_bytes(), [0; 4]].concat());
            shx.extend([0; 8]);
        }
        (shp, shx)
    }

    #[test]
    fn shapes_and_rows_are_counted() {
        let (shp, shx) = shapes(4);
        let parts = |rows| [("a.shp", shp.clone()), ("a.SHX", shx.clone()), ("A.dbf", dbf(rows))];
        assert_eq!(of(&parts(4), "a.shp"), [""; 0]);
        assert_eq!(
            of(&parts(2), "a.shp"),
            ["the .shp file has 4 shapes, but the .dbf file has 2 rows: 2 shapes were left out"]
        );
        assert_eq!(
            of(&parts(5), "a.shp"),
            ["the .dbf file has 5 rows, but the .shp file has 4 shapes: 1 rows were left out"]
        );
        // Without an index.
        assert_eq!(of(&[("a.shp", shp.clone()), ("a.dbf", dbf(3))], "a.shp").len(), 1);
        assert_eq!(of(&[("a.shp", shp.clone()), ("a.dbf", dbf(4))], "a.shp").len(), 0);
        assert!(of(&[("a.shp", shp), ("a.dbf", Vec::new())], "a.shp")[0].contains("attributes"));
        assert_eq!(of(&[("a.dbf", dbf(4))], "a.dbf"), [""; 0]);
    }

    #[test]
    fn a_table_without_its_objects_is_noticed() {
        let index = [0_u32, 512, 528].map(u32::to_le_bytes).concat();
        let parts = [("a.tab", Vec::new()), ("a.dat", dbf(3)), ("a.id", index)];
        assert_eq!(of(&parts, "a.tab"), ["the .map file is missing: the geometry of 2 rows was left out"]);
        // A table that never had any.
        assert_eq!(of(&parts[..2], "a.tab"), [""; 0]);
        let whole = [&parts[..], &[("a.map", Vec::new())]].concat();
        assert_eq!(of(&whole, "a.tab"), [""; 0]);
    }

    #[test]
    fn objects_and_lines_are_counted() {
        let mif = "Version 300\nColumns 1\n  point Char(10)\nData\n\nPoint 1 2\nNONE\nText\n \"point\"\n 1 2 3 4\ncollection 2\nregion 1\n 1\n1 2\nMultipoint 1\n 1 2\npoint 3 4\n";
        let parts = |mid: &str| [("a.mif", mif.as_bytes().to_vec()), ("a.mid", mid.as_bytes().to_vec())];
        assert_eq!(of(&parts("1\n2\n\n4\n5\n\n\n"), "a.mif"), [""; 0]);
        assert_eq!(
            of(&parts("1\n2\n3\n4\n5\n6\n7"), "a.mif"),
            ["the .mid file has 7 rows, but the .mif file has 5 objects: 2 rows were left out"]
        );
        assert_eq!(
            of(&parts("")[..1], "a.mif"),
            ["the .mid file is missing: the attributes of 5 objects were left out"]
        );
    }
}
