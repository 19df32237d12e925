//! What Assimp does not read of an OBJ file: free-form curves and surfaces, other files that it
//! calls, and the names of objects that have groups.

use super::names::listed;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// Statements that Assimp passes over, and that are a part of the model. The last five are of the
/// first version of the format.
const PASSED_OVER: &[&str] = &["call", "curv", "curv2", "surf", "bzp", "bsp", "cdc", "cdp", "res"];

/// Longest line of which the first word is looked at in one piece.
const MAX_LINE: usize = 1 << 12;

/// See [`super::left_out`].
pub(super) fn left_out(input: &Path, format: &str) -> io::Result<Vec<String>> {
    scan(BufReader::with_capacity(1 << 20, File::open(input)?)).map(|found| found.warnings(format))
}

#[derive(Debug, Default)]
struct Found {
    passed_over: BTreeMap<&'static str, u64>,
    /// Objects that end with the name of a group before they have an element.
    renamed: u64,
    /// The name of the last object, if no element and no group followed.
    object: Option<Vec<u8>>,
}

fn scan(mut file: impl BufRead) -> io::Result<Found> {
    let (mut found, mut line, mut continues) = (Found::default(), Vec::new(), false);
    loop {
        line.clear();
        if !next(&mut file, &mut line)? {
            return Ok(found);
        }
        if !continues {
            found.take(&line);
        }
        continues = line.trim_ascii_end().ends_with(b"\\");
    }
}

/// The begin of the next line. Carriage returns end lines too.
fn next(file: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    let mut is_there = false;
    loop {
        let buffer = file.fill_buf()?;
        if buffer.is_empty() {
            return Ok(is_there);
        }
        is_there = true;
        let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let part = &buffer[..end.unwrap_or(buffer.len())];
        // Of a long line, the last byte too: it may say that the line continues.
        let room = MAX_LINE.saturating_sub(line.len()).min(part.len());
        line.extend_from_slice(&part[..room]);
        if room < part.len()
            && let Some(last) = part.last()
        {
            line.push(*last);
        }
        let length = end.map_or(part.len(), |end| end + 1);
        file.consume(length);
        if end.is_some() {
            return Ok(true);
        }
    }
}

impl Found {
    fn take(&mut self, line: &[u8]) {
        let line = line.trim_ascii();
        let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (first, rest) = (&line[..end], line[end..].trim_ascii());
        match first {
            // Nearly all lines.
            b"v" | b"vn" | b"vt" => {}
            b"f" | b"l" | b"p" => self.object = None,
            b"o" => self.object = (!rest.is_empty()).then(|| rest.to_vec()),
            b"g" if !rest.is_empty() => {
                // Some programs write the name of the object into that of the group.
                let object = self.object.take().filter(|name| !rest.starts_with(name));
                self.renamed += u64::from(object.is_some());
            }
            _ => {
                if let Some(word) = PASSED_OVER.iter().find(|word| word.as_bytes() == first) {
                    *self.passed_over.entry(word).or_default() += 1;
                }
            }
        }
    }

    fn warnings(&self, format: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.passed_over.is_empty() {
            let total: u64 = self.passed_over.values().sum();
            let kinds: Vec<String> = self.passed_over.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
            let kinds = listed(kinds.iter().map(String::as_str));
            warnings.push(format!(
                "the file has {total} free-form curves, surfaces or calls of other files ({kinds}), which Assimp does not read: they were left out; export the model with faces"
            ));
        }
        if self.renamed > 0 {
            warnings.push(format!(
                "format '{format}' as Assimp fills it cannot carry {} names of objects (o) that are followed by the name of a group (g), which is kept",
                self.renamed
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        scan(text.as_bytes()).unwrap().warnings("glb2")
    }

    #[test]
    fn what_is_passed_over_is_counted() {
        let plain =
            "# curv\no a\nv 0 0 0\nv 1 0 0\nv 1 1 0\nusemtl surf\nf 1 2 \\\ncurv\ng b\nf 1 2 3\np 1\nl 1 2\n";
        assert_eq!(of(plain), [""; 0]);
        assert_eq!(of(&format!("#{}\\\nsurf 1\n{plain}", "x".repeat(1 << 13))), [""; 0]);
        let curved =
            format!("{plain}cstype bezier\rdeg 3\r\tcurv 0 1 1 2 3 4\r\nend\nbzp 1 2\nsurf 0 1 0 1 1");
        let told = of(&curved);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("3 free-form") && told[0].contains("1 bzp, 1 curv, 1 surf"), "{told:?}");
    }

    #[test]
    fn names_that_are_replaced_are_counted() {
        let told =
            of("o a\ng b c\nf 1 2 3\no d\nf 1 2 3\ng e\no f\ng\nf 1 2 3\no h\nv 1 2 3\ng i\no j\ng j_mat\n");
        assert!(told.len() == 1 && told[0].contains("cannot carry 2 names of objects"), "{told:?}");
    }
}
