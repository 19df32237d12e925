//! Checks of the XML prolog: everything before the first element.
//!
//! GDAL reads GML with Expat, which never follows references out of a document, or, if Expat does
//! not know the encoding, with Xerces, which reads the files that entities and document types refer
//! to (XXE). So Xerces is allowed only for documents without a document type, in an encoding in
//! which that can be checked.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of a document that are checked: a legitimate document has its first element before.
const HEAD: u64 = 256 << 10;

/// Prefixes of encoding names in which all markup bytes are ASCII.
const LIKE_ASCII: &[&str] = &[
    "utf-8",
    "us-ascii",
    "iso-8859-",
    "windows-",
    "cp949",
    "cp125",
    "ms949",
    "euc-",
    "ks_c_5601",
    "ksc",
    "shift_jis",
    "gb2312",
    "gbk",
    "gb18030",
    "big5",
    "koi8-",
];

/// Encodings that Expat knows, including those that GDAL adds.
const EXPAT: &[&str] =
    &["utf-8", "utf-16", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "iso8859-1"];

/// Whether the file is safe to read with either parser.
pub(super) fn is_harmless(input: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(input).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    read.is_ok() && is_harmless_head(&head)
}

/// Whether a document has a document type and an encoding that only Xerces can read.
pub(super) fn is_for_xerces_alone(input: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(input).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    read.is_ok() && is_head_for_xerces_alone(&head)
}

fn is_head_for_xerces_alone(head: &[u8]) -> bool {
    let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let Some((declaration, _)) = start.strip_prefix(b"<?xml").and_then(|rest| split(rest, b"?>")) else {
        return false;
    };
    let expat_reads = |name: String| EXPAT.iter().any(|known| name == *known);
    encoding(declaration).is_some_and(|name| !expat_reads(name)) && !is_harmless_head(head)
}

fn is_harmless_head(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    // A document without a declaration is in UTF-8 or UTF-16, which Expat reads.
    let Some(rest) = head.strip_prefix(b"<?xml") else { return false };
    let Some((declaration, rest)) = split(rest, b"?>") else { return false };
    encoding(declaration).is_some_and(|name| LIKE_ASCII.iter().any(|known| name.starts_with(known)))
        && has_no_document_type(rest)
}

/// The encoding named in the XML declaration, in lower case.
fn encoding(declaration: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(declaration).ok()?;
    let (_, after) = text.split_once("encoding")?;
    let value = after.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| ['"', '\''].contains(c))?;
    Some(value[1..].split(quote).next()?.to_ascii_lowercase())
}

/// Whether only comments and processing instructions precede the first element.
fn has_no_document_type(mut rest: &[u8]) -> bool {
    loop {
        rest = rest.trim_ascii_start();
        let end: &[u8] = if rest.starts_with(b"<!--") {
            b"-->"
        } else if rest.starts_with(b"<?") {
            b"?>"
        } else {
            return rest.len() > 1 && rest[0] == b'<' && rest[1] != b'!';
        };
        let Some((_, after)) = split(&rest[2..], end) else { return false };
        rest = after;
    }
}

fn split<'a>(bytes: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let found = bytes.windows(at.len()).position(|window| window == at)?;
    Some((&bytes[..found], &bytes[found + at.len()..]))
}

#[cfg(test)]
mod tests {
    use super::{is_harmless_head, is_head_for_xerces_alone};

    #[test]
    fn documents_without_a_type_in_a_known_encoding() {
        for text in [
            "<?xml version='1.0' encoding='EUC-KR'?><a/>",
            "\u{feff}<?xml version=\"1.0\" encoding = \"windows-949\" standalone=\"yes\"?>\n<!-- <!DOCTYPE a> --><?x y?>\n<a b='<!DOCTYPE'/>",
        ] {
            assert!(is_harmless_head(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn all_others_are_left_to_the_parser_that_follows_nothing() {
        for text in [
            "<?xml version='1.0' encoding='EUC-KR'?><!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
            "<?xml version='1.0' encoding='EUC-KR'?><!-- x --> <?y z?> <!DOCTYPE a [<!ENTITY e SYSTEM 'x'>]><a/>",
            "<?xml version='1.0' encoding='UTF-7'?>+ADwAIQ-DOCTYPE a+AD4-<a/>",
            "<?xml version='1.0' encoding='IBM037'?><a/>",
            "<?xml version='1.0' encoding='UTF-16'?><a/>",
            "<?xml version='1.0'?><a/>",
            "<a/>",
            "<?xml version='1.0' encoding='EUC-KR'?>",
            "<?xml version='1.0' encoding='EUC-KR'?><!-- no end",
            "<?xml version='1.0' encoding='EUC-KR'?>text<!DOCTYPE a>",
            "\x1f\u{8b}",
            "",
        ] {
            assert!(!is_harmless_head(text.as_bytes()), "{text}");
        }
        assert!(is_head_for_xerces_alone(b"<?xml version='1.0' encoding='EUC-KR'?><!DOCTYPE a><a/>"));
        assert!(is_head_for_xerces_alone(b"<?xml version='1.0' encoding='IBM037'?><a/>"));
        assert!(!is_head_for_xerces_alone(b"<?xml version='1.0' encoding='UTF-8'?><!DOCTYPE a><a/>"));
        assert!(!is_head_for_xerces_alone(b"<?xml version='1.0' encoding='EUC-KR'?><a/>"));
        let long = format!("<?xml version='1.0' encoding='EUC-KR'?>{}", " ".repeat(1 << 20));
        assert!(!is_harmless_head(long.as_bytes()));
    }
}
