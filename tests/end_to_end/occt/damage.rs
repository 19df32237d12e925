//! Damages files of STEP, IGES and BREP: the same way each time for a seed. It knows where the formats have
//! references and where they have text that no shape depends on, and nothing else of them.

use std::ops::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Format {
    Step,
    Iges,
    Brep,
}

/// Numbers from a seed (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) >> 1).unwrap() % limit
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

/// The file with the damage of this seed, and the kind of it: cut off, some bits flipped, or some references
/// replaced by others of the file.
pub(super) fn damaged(intact: &[u8], format: Format, seed: u64) -> (&'static str, Vec<u8>) {
    let mut numbers = Numbers(seed);
    match seed % 3 {
        0 => {
            let end = intact.len() / 20 + numbers.below(intact.len() * 9 / 10);
            ("truncated", intact[..end].to_vec())
        }
        1 => {
            let mut bytes = intact.to_vec();
            for _ in 0..=numbers.below(20) {
                bytes[numbers.below(intact.len())] ^= 1 << numbers.below(8);
            }
            ("flipped", bytes)
        }
        _ => {
            let mut bytes = intact.to_vec();
            for _ in 0..=numbers.below(3) {
                let (at, values) = match format {
                    Format::Step => step_reference(&bytes, &mut numbers),
                    Format::Iges => iges_reference(&bytes, &mut numbers),
                    Format::Brep => brep_reference(&bytes, &mut numbers),
                };
                bytes.splice(at, values);
            }
            ("rewired", bytes)
        }
    }
}

/// The digits from here on.
fn digits(bytes: &[u8], start: usize) -> Range<usize> {
    let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    start..start + length
}

/// `#12` after a parenthesis or a comma, and the number of another entity.
fn step_reference(bytes: &[u8], numbers: &mut Numbers) -> (Range<usize>, Vec<u8>) {
    let (mut references, mut names) = (Vec::new(), Vec::new());
    let mut before = b' ';
    for (at, byte) in bytes.iter().enumerate() {
        let number = digits(bytes, (at + 1).min(bytes.len()));
        if *byte == b'#' && !number.is_empty() {
            match before {
                b'(' | b',' => references.push(number),
                b';' => names.push(bytes[number].to_vec()),
                _ => {}
            }
        }
        if !byte.is_ascii_whitespace() {
            before = *byte;
        }
    }
    (numbers.of(&references), numbers.of(&names))
}

/// The lines of a section of an IGES file: where they begin.
fn section(bytes: &[u8], letter: u8) -> Vec<usize> {
    let mut starts = vec![0];
    starts.extend(bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1));
    starts.retain(|start| bytes.get(start + 72) == Some(&letter));
    starts
}

/// A number that may be the name of an entity, that is an odd one, and another of as many digits; or a
/// pointer of the directory, to the parameters or to the place of an entity.
fn iges_reference(bytes: &[u8], numbers: &mut Numbers) -> (Range<usize>, Vec<u8>) {
    let (directory, parameters) = (section(bytes, b'D'), section(bytes, b'P'));
    if numbers.below(2) == 0 {
        // The first line of an entity has the pointers.
        let start = directory[numbers.below(directory.len() / 2) * 2];
        let (column, limit) = numbers.of(&[(8, parameters.len()), (48, directory.len())]);
        let value = format!("{:8}", 1 + numbers.below(limit) / 2 * 2);
        return (start + column..start + column + 8, value.into_bytes());
    }
    let mut found = Vec::new();
    for start in parameters {
        for at in start..start + 63 {
            let number = digits(bytes, at + 1);
            let last = bytes.get(number.end);
            let odd = number.clone().last().is_some_and(|end| bytes[end] % 2 == 1);
            if bytes[at] == b',' && odd && number.end < start + 64 && matches!(last, Some(b',' | b';')) {
                found.push(number);
            }
        }
    }
    let at = numbers.of(&found);
    let least = 10_usize.pow(u32::try_from(at.len() - 1).unwrap());
    let most = (least * 10).min(directory.len().max(least + 2));
    let value = least + numbers.below(most - least);
    (at.clone(), format!("{:0width$}", value | 1, width = at.len()).into_bytes()[..at.len()].to_vec())
}

/// `+12 0` or `-12 0` among the shapes, and the number of another shape.
fn brep_reference(bytes: &[u8], numbers: &mut Numbers) -> (Range<usize>, Vec<u8>) {
    let word = b"TShapes ";
    let begin = memchr::memmem::find(bytes, word).unwrap() + word.len();
    let shapes: usize = std::str::from_utf8(&bytes[digits(bytes, begin)]).unwrap().parse().unwrap();
    let mut found = Vec::new();
    for at in begin..bytes.len() - 1 {
        let number = digits(bytes, at + 1);
        let whole = bytes.get(number.end) == Some(&b' ') && bytes[at - 1].is_ascii_whitespace();
        if matches!(bytes[at], b'+' | b'-') && whole && !number.is_empty() {
            found.push(number);
        }
    }
    (numbers.of(&found), (1 + numbers.below(shapes)).to_string().into_bytes())
}

/// The file with damage where no shape is: in a comment, in the header, or after the end.
pub(super) fn harmless(intact: &[u8], format: Format, seed: u64) -> Vec<u8> {
    let mut numbers = Numbers(seed);
    let mut bytes = intact.to_vec();
    let noise: Vec<u8> = (0..40).map(|_| u8::try_from(1 + numbers.below(255)).unwrap()).collect();
    match format {
        Format::Step => {
            let data = memchr::memmem::find(intact, b"DATA;").unwrap();
            if seed.is_multiple_of(2) {
                for _ in 0..=numbers.below(4) {
                    bytes[14 + numbers.below(data - 22)] ^= 1 << numbers.below(8);
                }
            } else {
                let ends: Vec<usize> = (data..intact.len() - 100).filter(|at| intact[*at] == b';').collect();
                let noise: Vec<u8> = noise.into_iter().filter(|byte| *byte != b'*').collect();
                let at = numbers.of(&ends) + 1;
                bytes.splice(at..at, [b" /* ", &noise[..], b" */"].concat());
            }
        }
        Format::Iges => {
            // What the start section says is for people.
            let start = numbers.of(&section(intact, b'S'));
            for (at, byte) in noise.iter().enumerate() {
                bytes[start + at] = b' ' + byte % 95;
            }
        }
        Format::Brep => {
            if seed.is_multiple_of(2) {
                let version = memchr::memmem::find(intact, b"CASCADE Topology").unwrap();
                let line = noise.iter().map(|byte| b' ' + byte % 95).chain([b'\n']);
                bytes.splice(..version, line);
            } else {
                bytes.extend(noise);
            }
        }
    }
    bytes
}
