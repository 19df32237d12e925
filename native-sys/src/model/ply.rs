//! What a PLY file declares: whether it has all of it, and what Assimp does not read of it.

use super::names::listed;
use crate::engine::EngineError;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Bytes that a header may have.
const MAX_HEADER: u64 = 1 << 16;

/// Longest line of which the words are counted.
const MAX_LINE: u64 = 1 << 16;

/// The elements that Assimp reads, and their properties that it has a place for.
const READ: &[(&str, &[&str])] = &[
    (
        "vertex",
        &[
            "x",
            "y",
            "z",
            "nx",
            "ny",
            "nz",
            "normal_x",
            "normal_y",
            "normal_z",
            "u",
            "v",
            "s",
            "t",
            "tx",
            "ty",
            "texture_u",
            "texture_v",
            "red",
            "green",
            "blue",
            "alpha",
            "r",
            "g",
            "b",
            "a",
            "diffuse_red",
            "diffuse_green",
            "diffuse_blue",
            "diffuse_alpha",
        ],
    ),
    ("face", &["vertex_indices", "vertex_index", "texcoord", "material_index"]),
    ("tristrips", &["vertex_indices", "vertex_index", "material_index"]),
    (
        "material",
        &[
            "ambient_red",
            "ambient_green",
            "ambient_blue",
            "ambient_alpha",
            "ambient_coeff",
            "diffuse_red",
            "diffuse_green",
            "diffuse_blue",
            "diffuse_alpha",
            "diffuse_coeff",
            "specular_red",
            "specular_green",
            "specular_blue",
            "specular_alpha",
            "specular_coeff",
            "specular_power",
            "opacity",
        ],
    ),
];

/// See [`super::left_out`].
pub(super) fn left_out(path: &Path, format: &str) -> io::Result<Vec<String>> {
    let header = header(&mut BufReader::new(File::open(path)?))?;
    let (mut warnings, mut properties) = (Vec::new(), Vec::new());
    for kind in header.map(|(_, elements)| elements).unwrap_or_default() {
        if kind.count == 0 {
            continue;
        }
        match READ.iter().find(|(name, _)| *name == kind.name) {
            Some((_, read)) => {
                let others = kind.names.iter().filter(|name| !read.contains(&name.as_str()));
                properties.extend(others.map(|name| format!("{name} of {}", kind.name)));
            }
            None => warnings.push(format!(
                "the file has {} elements '{}', which Assimp does not read: they were left out",
                kind.count,
                listed([kind.name.as_str()].into_iter())
            )),
        }
    }
    if !properties.is_empty() {
        let names = listed(properties.iter().map(String::as_str));
        warnings.push(format!("format '{format}' as Assimp fills it cannot carry these properties: {names}"));
    }
    Ok(warnings)
}

/// The form of the elements of a PLY file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    LittleEndian,
    BigEndian,
}

/// Elements of one kind: how many, and what each has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Elements {
    name: String,
    count: u64,
    properties: Vec<Property>,
    /// The names of the properties.
    names: Vec<String>,
}

/// Bytes of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Property {
    Single(u64),
    /// Bytes of the number of items, and of an item.
    List(u64, u64),
}

fn bytes_of(kind: &str) -> Option<u64> {
    Some(match kind {
        "char" | "uchar" | "int8" | "uint8" => 1,
        "short" | "ushort" | "int16" | "uint16" => 2,
        "int" | "uint" | "int32" | "uint32" | "float" | "float32" => 4,
        "double" | "float64" => 8,
        _ => return None,
    })
}

/// Whether a PLY file has what its header declares. What is no header is left to the library.
pub(super) fn whole(path: &Path) -> io::Result<Result<(), EngineError>> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let Some((form, elements)) = header(&mut file)? else { return Ok(Ok(())) };
    for kind in &elements {
        let found = match form {
            Form::Text => lines(&mut file, kind)?,
            form => records(&mut file, kind, form == Form::BigEndian)?,
        };
        if found < kind.count {
            return Ok(Err(EngineError::Rejected(format!(
                "the file is cut short: it declares {} elements '{}' and has {found}; transfer or export it again",
                kind.count, kind.name
            ))));
        }
    }
    Ok(Ok(()))
}

fn header(file: &mut impl BufRead) -> io::Result<Option<(Form, Vec<Elements>)>> {
    let mut head = file.take(MAX_HEADER);
    let (mut form, mut elements, mut line) = (None, Vec::<Elements>::new(), Vec::new());
    while head.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        match (words.as_slice(), elements.last_mut()) {
            (["end_header"], _) => return Ok(form.map(|form| (form, elements))),
            (["format", name, ..], _) => {
                form = match *name {
                    "ascii" => Some(Form::Text),
                    "binary_little_endian" => Some(Form::LittleEndian),
                    "binary_big_endian" => Some(Form::BigEndian),
                    _ => return Ok(None),
                };
            }
            (["element", name, count], _) => {
                let Ok(count) = count.parse() else { return Ok(None) };
                elements.push(Elements {
                    name: (*name).to_owned(),
                    count,
                    properties: Vec::new(),
                    names: Vec::new(),
                });
            }
            (["property", "list", count, item, property], Some(last)) => {
                let (Some(count), Some(item)) = (bytes_of(count), bytes_of(item)) else { return Ok(None) };
                last.properties.push(Property::List(count, item));
                last.names.push((*property).to_owned());
            }
            (["property", kind, property], Some(last)) => {
                let Some(bytes) = bytes_of(kind) else { return Ok(None) };
                last.properties.push(Property::Single(bytes));
                last.names.push((*property).to_owned());
            }
            _ => {}
        }
        line.clear();
    }
    Ok(None)
}

/// The number of elements that are a line each, up to as many as there should be. The last one of
/// the file may lack words.
fn lines(file: &mut impl BufRead, kind: &Elements) -> io::Result<u64> {
    if kind.properties.is_empty() {
        return Ok(kind.count);
    }
    let (mut found, mut line) = (0, Vec::new());
    while found < kind.count {
        line.clear();
        if file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.len() as u64 == MAX_LINE {
            file.skip_until(b'\n')?;
        } else if line.trim_ascii().is_empty() || (!line.ends_with(b"\n") && !has_words(&line, kind)) {
            continue;
        }
        found += 1;
    }
    Ok(found)
}

/// Whether a line has as many words as the element has values.
fn has_words(line: &[u8], kind: &Elements) -> bool {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    kind.properties.iter().all(|property| match property {
        Property::Single(_) => words.next().is_some(),
        Property::List(..) => {
            let items = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse::<usize>().ok());
            items.is_some_and(|items| items == 0 || words.nth(items - 1).is_some())
        }
    })
}

/// The number of elements of a binary file, up to as many as there should be.
fn records(file: &mut BufReader<File>, kind: &Elements, is_big_endian: bool) -> io::Result<u64> {
    let singles = kind.properties.iter().map(|property| match property {
        Property::Single(bytes) => Some(*bytes),
        Property::List(..) => None,
    });
    if let Some(bytes) = singles.sum::<Option<u64>>() {
        if bytes == 0 {
            return Ok(kind.count);
        }
        let wanted = kind.count.saturating_mul(bytes);
        return Ok(skip(file, wanted)? / bytes);
    }
    for found in 0..kind.count {
        for property in &kind.properties {
            let bytes = match *property {
                Property::Single(bytes) => bytes,
                Property::List(count, item) => {
                    let mut number = [0; 8];
                    let number = &mut number[..count as usize];
                    if file.read_exact(number).is_err() {
                        return Ok(found);
                    }
                    let value = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
                    let items = match is_big_endian {
                        true => number.iter().fold(0, value),
                        false => number.iter().rev().fold(0, value),
                    };
                    items.saturating_mul(item)
                }
            };
            if skip(file, bytes)? < bytes {
                return Ok(found);
            }
        }
    }
    Ok(kind.count)
}

/// Skips bytes. Returns how many there were.
fn skip(file: &mut BufReader<File>, bytes: u64) -> io::Result<u64> {
    let mut left = bytes;
    while left > 0 {
        let there = file.fill_buf()?.len();
        if there == 0 {
            break;
        }
        let step = usize::try_from(left).unwrap_or(usize::MAX).min(there);
        file.consume(step);
        left -= step as u64;
    }
    Ok(bytes - left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, bytes: &[u8]) -> Result<(), String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(left_out(&path, "obj").unwrap(), [""; 0]);
        super::super::whole(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_read_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float intensity\nelement face 2\nproperty list uchar int vertex_indices\nproperty uchar red\nelement edge 1\nproperty int vertex1\nelement none 0\nend_header\n";
        std::fs::write(file.path(), text).unwrap();
        let told = left_out(file.path(), "obj").unwrap();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("1 elements 'edge'"), "{told:?}");
        assert!(
            told[1].ends_with("cannot carry these properties: intensity of vertex, red of face"),
            "{told:?}"
        );
    }

    fn ply(form: &str) -> Vec<u8> {
        format!(
            "ply\nformat {form} 1.0\ncomment x\nelement vertex 3\nproperty float x\nproperty float y\nelement face 2\nproperty list uchar int vertex_indices\nend_header\n"
        )
        .into_bytes()
    }

    #[test]
    fn text_that_is_cut_short_is_refused() {
        let body = b"0 0\n1 0\n0 1\n3 0 1 2\n3 2 1 0";
        let whole = [&ply("ascii")[..], body].concat();
        assert_eq!(of("a.ply", &whole), Ok(()));
        assert_eq!(of("a.ply", &[&whole[..], b"\n\n"].concat()), Ok(()));
        let cut = of("a.ply", &whole[..whole.len() - 2]).unwrap_err();
        assert!(cut.contains("declares 2 elements 'face' and has 1"), "{cut}");
        let cut = of("a.ply", &whole[..whole.len() - body.len() + 4]).unwrap_err();
        assert!(cut.contains("declares 3 elements 'vertex' and has 1"), "{cut}");
        // Not a header.
        assert_eq!(of("a.ply", b"ply\nformat ascii 1.0\n"), Ok(()));
        assert_eq!(of("a.stl", &whole[..whole.len() - 2]), Ok(()));
    }

    #[test]
    fn binary_files_that_are_cut_short_are_refused() {
        for (form, indices) in [
            ("binary_little_endian", [0_i32, 1, 2].map(i32::to_le_bytes).concat()),
            ("binary_big_endian", [0_i32, 1, 2].map(i32::to_be_bytes).concat()),
        ] {
            let face = [&[3][..], &indices].concat();
            let whole = [&ply(form)[..], &[0; 24], &face, &face].concat();
            assert_eq!(of("a.ply", &whole), Ok(()));
            let cut = of("a.ply", &whole[..whole.len() - 1]).unwrap_err();
            assert!(cut.contains("declares 2 elements 'face' and has 1"), "{cut}");
            let cut = of("a.ply", &whole[..whole.len() - 27]).unwrap_err();
            assert!(cut.contains("declares 3 elements 'vertex' and has 2"), "{cut}");
        }
    }
}
