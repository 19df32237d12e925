//! Writing text in an encoding of Windows or in UTF-8.
//!
//! The WHATWG Encoding Standard encodes for browsers, whose pages differ from those of Windows in
//! a few characters. Programs that read what is written here have the pages of Windows. A character
//! on which the two do not agree counts as missing, and the caller writes it in another way.

use super::charset::{Charset, Kind};
use encoding_rs::{BIG5, EncoderResult, Encoding, GBK, SHIFT_JIS, UTF_8, WINDOWS_1255};

impl Charset {
    /// Appends the bytes of a text to `out`. For each character that the encoding lacks, `missing`
    /// is called, which appends what stands for it, in ASCII.
    ///
    /// Of encodings with a state of their own (ISO-2022-JP), of UTF-16 and of code pages of DOS,
    /// only ASCII is written.
    pub fn encode(self, text: &str, out: &mut Vec<u8>, mut missing: impl FnMut(char, &mut Vec<u8>)) {
        let encoding = match self.0 {
            Kind::Standard(encoding) if encoding == UTF_8 => return out.extend_from_slice(text.as_bytes()),
            Kind::Standard(encoding)
                if encoding.is_ascii_compatible() && encoding.output_encoding() == encoding =>
            {
                Some(encoding)
            }
            Kind::Standard(_) | Kind::Dos(_) => None,
        };
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| !c.is_ascii()) {
            let (ascii, other) = rest.split_at(at);
            out.extend_from_slice(ascii.as_bytes());
            let c = other.chars().next().unwrap_or_default();
            let mut bytes = [0; 8];
            match encoding.and_then(|encoding| encode_char(encoding, c, &mut bytes)) {
                Some(length) => out.extend_from_slice(&bytes[..length]),
                None => missing(c, out),
            }
            rest = &other[c.len_utf8()..];
        }
        out.extend_from_slice(rest.as_bytes());
    }
}

/// The number of bytes of a character; `None` if the page of Windows lacks it.
fn encode_char(encoding: &'static Encoding, c: char, bytes: &mut [u8; 8]) -> Option<usize> {
    let mut utf8 = [0; 4];
    let text = c.encode_utf8(&mut utf8);
    let (result, _, length) = encoding.new_encoder().encode_from_utf8_without_replacement(text, bytes, true);
    let whole = matches!(result, EncoderResult::InputEmpty);
    (whole && !disputed(encoding, c, &bytes[..length])).then_some(length)
}

/// Whether the page of Windows lacks a character, or has it elsewhere, although the standard has it.
///
/// By comparison of all characters with code pages 874, 932, 936, 949, 950 and 1250 to 1258.
fn disputed(encoding: &'static Encoding, c: char, bytes: &[u8]) -> bool {
    // The standard makes control characters of bytes that the pages leave open.
    if matches!(c, '\u{80}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}') {
        return true;
    }
    let code = bytes.iter().fold(0u32, |code, byte| code << 8 | u32::from(*byte));
    if encoding == SHIFT_JIS {
        // The yen sign would become a backslash, the overline a tilde, the minus a wide hyphen.
        return matches!(c, '\u{a5}' | '\u{203e}' | '\u{2212}');
    }
    if encoding == GBK {
        // What GB 18030 added.
        return matches!(code, 0x80 | 0xa6d9..=0xa6f5 | 0xa8bc | 0xa8bf | 0xa989..=0xa995 | 0xfe50..)
            && !matches!(c, '\u{fe30}'..='\u{fe4f}');
    }
    if encoding == BIG5 {
        // Extensions of ETEN and of Hong Kong.
        return matches!(code, 0xa3c0..=0xa3e0 | 0xc6a1..=0xc8fe | 0xf9fe..);
    }
    encoding == WINDOWS_1255 && c == '\u{5ba}'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(page: u16, text: &str) -> (Vec<u8>, Vec<char>) {
        let (mut bytes, mut lacking) = (Vec::new(), Vec::new());
        Charset::of_code_page(page).unwrap().encode(text, &mut bytes, |c, out| {
            lacking.push(c);
            out.push(b'#');
        });
        (bytes, lacking)
    }

    #[test]
    fn characters_of_the_page_are_encoded() {
        assert_eq!(encode(949, "도면 A"), (b"\xb5\xb5\xb8\xe9 A".to_vec(), vec![]));
        assert_eq!(encode(1252, "é€"), (b"\xe9\x80".to_vec(), vec![]));
        assert_eq!(encode(65001, "도é😀"), ("도é😀".as_bytes().to_vec(), vec![]));
        assert_eq!(encode(932, "図面"), (b"\x90\x7d\x96\xca".to_vec(), vec![]));
    }

    #[test]
    fn what_the_page_lacks_is_left_to_the_caller() {
        assert_eq!(encode(949, "é가😀"), (b"#\xb0\xa1#".to_vec(), vec!['é', '😀']));
        assert_eq!(encode(437, "aé"), (b"a#".to_vec(), vec!['é']));
    }

    #[test]
    fn what_windows_encodes_otherwise_is_missing() {
        for (page, text) in [(932, "¥‾−"), (936, "€ǹ〾"), (950, "ёあ␀"), (1252, "\u{81}"), (1255, "\u{5ba}")]
        {
            let (bytes, lacking) = encode(page, text);
            assert_eq!((bytes.len(), String::from_iter(lacking)), (text.chars().count(), text.to_owned()));
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for page in [874, 932, 936, 949, 950, 1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258] {
            let charset = Charset::of_code_page(page).unwrap();
            // Odd, so that both bytes of a pair take every value.
            for c in ('\u{20}'..'\u{ffff}').step_by(7).filter(|c| !c.is_control()) {
                let mut bytes = Vec::new();
                let mut lacking = false;
                charset.encode(c.encode_utf8(&mut [0; 4]), &mut bytes, |_, _| lacking = true);
                if !lacking {
                    assert_eq!(charset.decode(&bytes), Some(c.to_string()), "{page} {c:?}");
                }
            }
        }
    }
}
