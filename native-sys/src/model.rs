//! What a model file declares, and a library does not have in the end without a word: elements of
//! a PLY file that is cut short, and scenes of a glTF file other than the default one.

use crate::engine::EngineError;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Bytes that a header of a PLY file may have.
const MAX_HEADER: u64 = 1 << 16;

/// Longest line of a PLY file of which the words are counted.
const MAX_LINE: u64 = 1 << 16;

/// Checks what the file declares. Returns what the result will lack.
///
/// # Errors
/// [`EngineError::Rejected`] for a file that is cut short.
pub(crate) fn check(input: &Path) -> Result<Option<String>, EngineError> {
    let extension = input.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    // A file that cannot be read is left to the library, which says why.
    let scenes = match extension.as_str() {
        "ply" => return whole(input).unwrap_or(Ok(())).map(|()| None),
        "gltf" => File::open(input).and_then(|file| scenes(BufReader::new(file))).unwrap_or(0),
        "glb" => binary_scenes(input).unwrap_or(0),
        _ => 0,
    };
    Ok((scenes > 1).then(|| {
        let others = scenes - 1;
        format!(
            "the file has {scenes} scenes, of which the default one was converted: {others} were left out"
        )
    }))
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
fn whole(path: &Path) -> io::Result<Result<(), EngineError>> {
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
                elements.push(Elements { name: (*name).to_owned(), count, properties: Vec::new() });
            }
            (["property", "list", count, item, _], Some(last)) => {
                let (Some(count), Some(item)) = (bytes_of(count), bytes_of(item)) else { return Ok(None) };
                last.properties.push(Property::List(count, item));
            }
            (["property", kind, _], Some(last)) => {
                let Some(bytes) = bytes_of(kind) else { return Ok(None) };
                last.properties.push(Property::Single(bytes));
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

/// The scenes of a binary glTF file, whose first chunk is JSON.
fn binary_scenes(path: &Path) -> io::Result<u64> {
    let mut file = BufReader::new(File::open(path)?);
    let mut header = [0; 20];
    file.read_exact(&mut header)?;
    if &header[..4] != b"glTF" || &header[16..] != b"JSON" {
        return Ok(0);
    }
    let length = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
    scenes(file.take(length.into()))
}

/// The number of scenes in the JSON of a glTF file: of objects in the member `scenes`. The rest may
/// be large, and is not kept.
fn scenes(json: impl BufRead) -> io::Result<u64> {
    const MEMBER: &[u8] = b"scenes";
    let (mut depth, mut count) = (0_u64, 0);
    let (mut is_text, mut is_escaped, mut in_scenes) = (false, false, false);
    let mut last = Vec::new();
    for byte in json.bytes() {
        let byte = byte?;
        match byte {
            _ if is_text && is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => {
                is_text = !is_text;
                if is_text {
                    last.clear();
                }
            }
            // Not all of a long text.
            _ if is_text => last.extend((last.len() <= MEMBER.len()).then_some(byte)),
            b'{' | b'[' => {
                in_scenes |= byte == b'[' && depth == 1 && last == MEMBER;
                count += u64::from(byte == b'{' && depth == 2 && in_scenes);
                depth += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                in_scenes &= depth > 1;
                last.clear();
            }
            _ => {}
        }
    }
    Ok(count)
}

/// What the user can do about the reasons that Assimp gives, by words in them.
const ADVICE: &[(&str, &str)] = &[
    (
        "IFC: Unrecognized file schema",
        "of STEP files only those with an IFC schema are read: export the model as IFC, or as a mesh such as glTF or OBJ",
    ),
    ("No suitable reader found", "the content is not of the format that the name says"),
    ("could not open referenced file", "put that file beside the model, into the same archive"),
    ("file is empty", "the model has no faces: export it again"),
    ("malformed XML", "the XML is damaged or cut short: export the model again"),
    ("exceeds size of actual data", "the file is cut short: transfer or export it again"),
    ("block offset is out of range", "the file is damaged or cut short: export it again, or as ASCII FBX"),
    ("Chunk is too large", "the file is damaged or cut short: transfer or export it again"),
    ("Failed to determine STL storage", "the file is damaged or cut short: transfer or export it again"),
    ("Cannot parse string", "the file is damaged or cut short: transfer or export it again"),
];

/// The library wrote nothing, and gave no reason.
const NOT_EXPORTED: &str = "Assimp could not export the scene";

/// The failure for a reason of Assimp, whichever way it is called, with what the user can do.
pub(crate) fn refused(reason: &str) -> EngineError {
    if reason.trim_end() == NOT_EXPORTED {
        return EngineError::Rejected(format!(
            "{NOT_EXPORTED}, and gave no reason: the model is damaged, or has nothing that the output format has"
        ));
    }
    match ADVICE.iter().find(|(words, _)| reason.contains(words)) {
        Some((_, advice)) => {
            EngineError::Rejected(format!("{}; {advice}", reason.trim_end().trim_end_matches('.')))
        }
        None => EngineError::Rejected(reason.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, bytes: &[u8]) -> Result<Option<String>, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        check(&path).map_err(|error| error.to_string())
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
        assert_eq!(of("a.ply", &whole), Ok(None));
        assert_eq!(of("a.ply", &[&whole[..], b"\n\n"].concat()), Ok(None));
        let cut = of("a.ply", &whole[..whole.len() - 2]).unwrap_err();
        assert!(cut.contains("declares 2 elements 'face' and has 1"), "{cut}");
        let cut = of("a.ply", &whole[..whole.len() - body.len() + 4]).unwrap_err();
        assert!(cut.contains("declares 3 elements 'vertex' and has 1"), "{cut}");
        // Not a header.
        assert_eq!(of("a.ply", b"ply\nformat ascii 1.0\n"), Ok(None));
        assert_eq!(of("a.stl", &whole[..whole.len() - 2]), Ok(None));
    }

    #[test]
    fn binary_files_that_are_cut_short_are_refused() {
        for (form, indices) in [
            ("binary_little_endian", [0_i32, 1, 2].map(i32::to_le_bytes).concat()),
            ("binary_big_endian", [0_i32, 1, 2].map(i32::to_be_bytes).concat()),
        ] {
            let face = [&[3][..], &indices].concat();
            let whole = [&ply(form)[..], &[0; 24], &face, &face].concat();
            assert_eq!(of("a.ply", &whole), Ok(None));
            let cut = of("a.ply", &whole[..whole.len() - 1]).unwrap_err();
            assert!(cut.contains("declares 2 elements 'face' and has 1"), "{cut}");
            let cut = of("a.ply", &whole[..whole.len() - 27]).unwrap_err();
            assert!(cut.contains("declares 3 elements 'vertex' and has 2"), "{cut}");
        }
    }

    #[test]
    fn scenes_are_counted() {
        let one = r#"{"scene":0,"scenes":[{"nodes":[0]}],"nodes":[{"name":"scenes"},{"extras":{"scenes":[{},{}]}}]}"#;
        assert_eq!(of("a.gltf", one.as_bytes()), Ok(None));
        let two = r#"{"asset":{"generator":"a \"scenes\" ["}, "scenes" : [{"nodes":[0],"extras":{}}, {"nodes":[1]}]}"#;
        assert!(of("a.gltf", two.as_bytes()).unwrap().unwrap().contains("2 scenes"));
        let mut binary = b"glTF\x02\0\0\0\0\0\0\0".to_vec();
        binary.extend((two.len() as u32).to_le_bytes());
        binary.extend(b"JSON");
        binary.extend(two.as_bytes());
        assert!(of("a.glb", &binary).unwrap().is_some());
        assert_eq!(of("a.glb", b"glTF"), Ok(None));
    }

    #[test]
    fn reasons_say_what_to_do() {
        let text = |reason| match refused(reason) {
            EngineError::Rejected(text) => text,
            other => panic!("{other:?}"),
        };
        assert!(text("IFC: Unrecognized file schema: AUTOMOTIVE_DESIGN").contains("export the model as IFC"));
        assert_eq!(text("something new"), "something new");
        assert!(text(NOT_EXPORTED).contains("damaged, or has nothing"));
    }
}
