//! What an engine wrote, checked for what no reader could read: some writers do not escape names of
//! fields, layers and materials in XML.

use crate::engine::EngineError;
use cadmill_core::domain::removed::is_removed;
use quick_xml::events::{BytesStart, Event};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Extensions of XML documents.
const XML: &[&str] = &["assxml", "dae", "gml", "gpx", "jml", "kml", "svg", "x3d", "xml", "xsd"];

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// Checks the files in the directory of the output, and in the directories below.
///
/// # Errors
/// [`EngineError::Unfit`] for a document that is not well-formed; [`EngineError::Rejected`] for a file
/// that cannot be read.
pub fn check_written(directory: &Path) -> Result<(), EngineError> {
    let unreadable = |error: io::Error| EngineError::Rejected(format!("reading the output: {error}"));
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (path, name) = (entry.path(), entry.file_name());
        if is_removed(name.as_encoded_bytes()) {
            continue;
        }
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if entry.file_type().map_err(unreadable)?.is_dir() {
            check_written(&path)?;
        } else if XML.contains(&extension.as_str())
            && let Some(reason) = fault(File::open(&path).map_err(unreadable)?)
        {
            let name = name.to_string_lossy();
            return Err(EngineError::Unfit(format!(
                "the XML of {name} would not be well-formed ({reason}), as the writer of this format does not escape all names: rename fields, layers or materials that have other characters than letters and digits, or choose another format"
            )));
        }
    }
    Ok(())
}

/// The first fault of a document (XML 1.0, 5th edition, section 2.1), as far as writers make them.
fn fault(document: impl Read) -> Option<String> {
    let mut reader = quick_xml::Reader::from_reader(Characters {
        document: BufReader::with_capacity(PIECE, document),
        checked: 0,
    });
    let mut buffer = Vec::new();
    let (mut elements, mut open) = (0_u64, 0_u64);
    loop {
        let event = match reader.read_event_into(&mut buffer) {
            Ok(event) => event,
            Err(error) => return Some(format!("byte {}: {error}", reader.error_position())),
        };
        let wrong = match &event {
            Event::Start(start) | Event::Empty(start) => {
                elements += 1;
                open += u64::from(matches!(event, Event::Start(_)));
                wrong_start(start)
            }
            Event::End(_) => {
                open = open.saturating_sub(1);
                None
            }
            Event::GeneralRef(name) if name.resolve_char_ref().ok().flatten().is_none() => {
                let known: &[&[u8]] = &[b"amp", b"lt", b"gt", b"quot", b"apos"];
                (!known.contains(&&**name)).then(|| "an unknown entity".to_owned())
            }
            Event::Eof if elements == 0 => Some("it has no element".to_owned()),
            Event::Eof if open > 0 => Some("it ends within an element".to_owned()),
            Event::Eof => return None,
            _ => None,
        };
        if let Some(wrong) = wrong {
            return Some(format!("byte {}: {wrong}", reader.buffer_position()));
        }
        buffer.clear();
    }
}

/// What is wrong with the name or the attributes of an element.
fn wrong_start(start: &BytesStart<'_>) -> Option<String> {
    if !is_name(start.name().into_inner()) {
        return Some("the name of an element has characters that no name has".to_owned());
    }
    for attribute in start.attributes() {
        match attribute {
            Err(error) => return Some(error.to_string()),
            Ok(attribute) if !is_name(attribute.key.into_inner()) => {
                return Some("the name of an attribute has characters that no name has".to_owned());
            }
            Ok(attribute) if attribute.value.contains(&b'<') => {
                return Some("an attribute has a '<'".to_owned());
            }
            Ok(attribute) if has_bare_ampersand(&attribute.value) => {
                return Some("an attribute has an '&'".to_owned());
            }
            Ok(_) => {}
        }
    }
    None
}

fn has_bare_ampersand(value: &[u8]) -> bool {
    let mut rest = value;
    while let Some(at) = rest.iter().position(|byte| *byte == b'&') {
        rest = &rest[at + 1..];
        let end = rest.iter().take(12).position(|byte| *byte == b';');
        if !end
            .is_some_and(|end| end > 0 && rest[..end].iter().all(|b| b.is_ascii_alphanumeric() || *b == b'#'))
        {
            return true;
        }
    }
    false
}

/// Whether each part of a qualified name is one, as far as ASCII characters are concerned
/// (Namespaces in XML 1.0, section 3).
fn is_name(name: &[u8]) -> bool {
    name.split(|byte| *byte == b':').all(|part| {
        let is_start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii();
        let is_part = |byte: u8| is_start(byte) || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
        part.first().copied().is_some_and(is_start) && part.iter().copied().all(is_part)
    })
}

/// A document, of which control characters that XML does not have are refused.
struct Characters<R> {
    document: BufReader<R>,
    /// Bytes that were read and looked at, and are not used yet.
    checked: usize,
}

impl<R: Read> Read for Characters<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: Read> BufRead for Characters<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let piece = self.document.fill_buf()?;
        if piece.len() == self.checked {
            return Ok(piece);
        }
        self.checked = piece.len();
        let is_refused = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r');
        if piece.iter().any(is_refused) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a control character"));
        }
        Ok(piece)
    }

    fn consume(&mut self, amount: usize) {
        self.checked = self.checked.saturating_sub(amount);
        self.document.consume(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_well_formed_or_say_why_not() {
        for good in [
            "<?xml version=\"1.0\"?><a b=\"&lt;&#x1f;\"><!-- & --><b:c>도면 &amp; &#10;</b:c><d/></a>",
            "<a><![CDATA[ < & ]]></a>\n",
        ] {
            assert_eq!(fault(good.as_bytes()), None, "{good}");
        }
        for bad in [
            "",
            "<a><b></a>",
            "<a>",
            "<a>b & c</a>",
            "<a>&nbsp;</a>",
            "<a b=\"x < y\"/>",
            "<a b=\"x & y\"/>",
            "<a b=\"x\"y\"/>",
            "<a b='1' b='2'/>",
            "<a name=\"x\0y\"/>",
            "<ogr:1x>1</ogr:1x>",
            "<a(b)>1</a(b)>",
        ] {
            assert!(fault(bad.as_bytes()).is_some(), "{bad}");
        }
    }

    #[test]
    fn documents_are_found_below_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("a")).unwrap();
        std::fs::write(directory.path().join("a/b.KML"), "<a>").unwrap();
        assert!(matches!(check_written(directory.path()), Err(EngineError::Unfit(_))));
        std::fs::write(directory.path().join("a/b.KML"), "<a/>").unwrap();
        assert!(check_written(directory.path()).is_ok());
    }
}
