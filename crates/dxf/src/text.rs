//! Text as values of the format: one line, in the drawing's encoding, with the escapes that readers
//! resolve.
//!
//! | in the data | written |
//! |---|---|
//! | `^` | `^` and a blank |
//! | tab | `^I` |
//! | line break (LF, CR LF, CR, NEL, LS, PS) | `\P` in MTEXT, `^J` in extended data, a blank elsewhere |
//! | other control characters | nothing, and counted |
//! | `%%` | `%%%%%%` in TEXT and attributes, so that `%%c` is no diameter; `%{}%c` in MTEXT |
//! | `\`, `{`, `}`, no-break space | `\\`, `\{`, `\}`, `\~` in MTEXT |
//! | what the code page lacks | `\U+XXXX` for each UTF-16 unit, and counted |
//! | what reads as `\U+XXXX` or `\M+NXXXX` | its backslash as `\U+005C`, but in MTEXT, and counted |
//!
//! Nothing is cut within a character or an escape: tokens are what may be cut between.

use crate::report::Report;
use cadmill_core::domain::text::Charset;

/// Bytes that a string may have. Documents of AutoCAD give 255 for extended data, and 256 as what
/// OPEN fails at; the type has 2,049.
pub(crate) const LONGEST: usize = 255;

/// Bytes of one piece of an MTEXT. Documents give 250 characters; the limit of a line is in bytes.
const PIECE: usize = 250;

/// Where a text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// TEXT and attributes.
    Line,
    /// MTEXT.
    Paragraphs,
    /// Extended data.
    Data,
    /// Names and descriptions.
    Name,
}

/// Whether readers see nothing of a text.
pub(crate) fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c.is_control())
}

/// Whether a text has more than one line.
pub(crate) fn has_breaks(text: &str) -> bool {
    text.contains(is_break)
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Calls `token` with the bytes of each character or escape.
pub(crate) fn tokens(
    text: &str,
    place: Place,
    charset: Charset,
    report: &mut Report,
    mut token: impl FnMut(&[u8]),
) {
    let mut rest = text;
    let mut bytes = Vec::with_capacity(16);
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let mut length = c.len_utf8();
        bytes.clear();
        match c {
            _ if is_break(c) => {
                if c == '\r' && after.starts_with('\n') {
                    length += 1;
                }
                report.joined_lines += u64::from(matches!(place, Place::Line | Place::Name));
                bytes.extend_from_slice(match place {
                    Place::Paragraphs => br"\P",
                    Place::Data => b"^J",
                    Place::Line | Place::Name => b" ",
                });
            }
            '\t' => bytes.extend_from_slice(b"^I"),
            _ if c.is_control() => report.dropped_controls += 1,
            '^' => bytes.extend_from_slice(b"^ "),
            '%' if matches!(place, Place::Line | Place::Paragraphs) => {
                // A single sign is literal. Of a run each stands for itself by an escape, or alone.
                length = rest.len() - rest.trim_start_matches('%').len();
                let (each, last): (&[u8], &[u8]) = match (length, place) {
                    (1, _) => (b"", b"%"),
                    (_, Place::Line) => (b"%%%", b"%%%"),
                    _ => (b"%{}", b"%"),
                };
                for _ in 1..length {
                    token(each);
                }
                bytes.extend_from_slice(last);
            }
            '\\' | '{' | '}' if place == Place::Paragraphs => bytes.extend_from_slice(&[b'\\', c as u8]),
            '\u{a0}' if place == Place::Paragraphs => bytes.extend_from_slice(br"\~"),
            '\\' if reads_as_escape(after) => {
                report.escaped_escapes += 1;
                bytes.extend_from_slice(br"\U+005C");
            }
            _ if c.is_ascii() => bytes.push(c as u8),
            _ => charset.encode(&rest[..length], &mut bytes, |c, out| {
                report.escaped_characters += 1;
                push_escape(out, c);
            }),
        }
        if !bytes.is_empty() {
            token(&bytes);
        }
        rest = &rest[length..];
    }
}

fn push_escape(out: &mut Vec<u8>, c: char) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for unit in c.encode_utf16(&mut [0; 2]) {
        out.extend_from_slice(br"\U+");
        out.extend([12, 8, 4, 0].map(|shift| DIGITS[usize::from(*unit >> shift & 15)]));
    }
}

/// Whether a backslash before this is an escape to readers.
fn reads_as_escape(after: &str) -> bool {
    let bytes = after.as_bytes();
    let hexadecimal = |from: usize| {
        bytes.get(from..from + 4).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    match bytes {
        [b'U' | b'u', b'+', ..] => hexadecimal(2),
        [b'M' | b'm', b'+', digit, ..] => digit.is_ascii_digit() && hexadecimal(3),
        _ => false,
    }
}

/// Whether a text is written as it is.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && !matches!(byte, b'^' | b'\\' | b'%' | b'{' | b'}'))
}

/// Replaces the contents of `out` by a text.
pub(crate) fn encode(text: &str, place: Place, charset: Charset, report: &mut Report, out: &mut Vec<u8>) {
    out.clear();
    if is_plain(text) {
        return out.extend_from_slice(text.as_bytes());
    }
    tokens(text, place, charset, report, |token| out.extend_from_slice(token));
}

/// Replaces the contents of `out` by as much of a text as fits; says whether it is the whole.
pub(crate) fn encode_cut(
    text: &str,
    place: Place,
    charset: Charset,
    report: &mut Report,
    out: &mut Vec<u8>,
) -> bool {
    out.clear();
    if text.len() <= LONGEST && is_plain(text) {
        out.extend_from_slice(text.as_bytes());
        return true;
    }
    let mut whole = true;
    tokens(text, place, charset, report, |token| {
        whole &= out.len() + token.len() <= LONGEST;
        if whole {
            out.extend_from_slice(token);
        }
    });
    whole
}

/// Calls `piece` with each piece of a text, all but the last as long as may be; returns their number.
/// An empty text has one.
pub(crate) fn pieces(
    text: &str,
    place: Place,
    charset: Charset,
    report: &mut Report,
    mut piece: impl FnMut(&[u8], bool),
) -> usize {
    let limit = if place == Place::Paragraphs { PIECE } else { LONGEST };
    if text.len() <= limit && is_plain(text) {
        piece(text.as_bytes(), true);
        return 1;
    }
    let mut current = Vec::with_capacity(limit);
    let mut count = 1;
    tokens(text, place, charset, report, |token| {
        if current.len() + token.len() > limit {
            piece(&current, false);
            current.clear();
            count += 1;
        }
        current.extend_from_slice(token);
    });
    piece(&current, true);
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, place: Place, charset: Charset) -> (String, Report) {
        let mut report = Report::default();
        let mut out = Vec::new();
        encode(text, place, charset, &mut report, &mut out);
        (String::from_utf8_lossy(&out).into_owned(), report)
    }

    #[test]
    fn escapes_by_place() {
        let utf8 = |text: &str, place| written(text, place, Charset::UTF_8).0;
        for (text, line, paragraphs, data) in [
            ("a^b", "a^ b", "a^ b", "a^ b"),
            ("a\tb", "a^Ib", "a^Ib", "a^Ib"),
            ("a\r\nb\nc\rd", "a b c d", r"a\Pb\Pc\Pd", "a^Jb^Jc^Jd"),
            ("5%", "5%", "5%", "5%"),
            ("%%c", "%%%%%%c", "%{}%c", "%%c"),
            ("%%%", "%%%%%%%%%", "%{}%{}%", "%%%"),
            (r"a\b{c}", r"a\b{c}", r"a\\b\{c\}", r"a\b{c}"),
            (r"\U+AC00", r"\U+005CU+AC00", r"\\U+AC00", r"\U+005CU+AC00"),
            (r"\U+AC0", r"\U+AC0", r"\\U+AC0", r"\U+AC0"),
            (r"\m+1ABCD", r"\U+005Cm+1ABCD", r"\\m+1ABCD", r"\U+005Cm+1ABCD"),
            ("a\u{a0}b", "a\u{a0}b", r"a\~b", "a\u{a0}b"),
            ("가\u{0}\u{7f}\u{9b}", "가", "가", "가"),
            ("", "", "", ""),
        ] {
            assert_eq!(utf8(text, Place::Line), line);
            assert_eq!(utf8(text, Place::Paragraphs), paragraphs);
            assert_eq!(utf8(text, Place::Data), data);
        }
    }

    #[test]
    fn what_the_page_lacks_is_escaped_and_counted() {
        let (text, report) = written("aé😀\u{1}", Place::Line, Charset::CP949);
        assert_eq!(text, r"a\U+00E9\U+D83D\U+DE00");
        assert_eq!((report.escaped_characters, report.dropped_controls), (2, 1));
    }

    #[test]
    fn pieces_are_not_cut_within_characters() {
        let text = "가\\é".repeat(200);
        for charset in [Charset::CP949, Charset::UTF_8] {
            let mut report = Report::default();
            let mut whole = Vec::new();
            let mut lengths = Vec::new();
            pieces(&text, Place::Paragraphs, charset, &mut report, |piece, last| {
                assert!(charset.decode(piece).is_some());
                assert!(piece.len() <= PIECE && (last || piece.len() > PIECE - 14));
                whole.extend_from_slice(piece);
                lengths.push(piece.len());
            });
            let mut expected = Vec::new();
            encode(&text, Place::Paragraphs, charset, &mut report, &mut expected);
            assert_eq!(whole, expected);
            assert!(lengths.len() > 3);
        }
    }

    #[test]
    fn cutting_at_the_limit() {
        let mut report = Report::default();
        let mut out = Vec::new();
        let mut cut = |text: &str| {
            let whole = encode_cut(text, Place::Line, Charset::UTF_8, &mut report, &mut out);
            (whole, out.len())
        };
        assert_eq!(cut(&"a".repeat(255)), (true, 255));
        assert_eq!(cut(&"a".repeat(256)), (false, 255));
        assert_eq!(cut(&"가".repeat(85)), (true, 255));
        assert_eq!(cut(&("a".to_owned() + &"가".repeat(85))), (false, 253));
    }
}
