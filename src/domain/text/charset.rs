//! Encodings by their names.

use super::dos;
use encoding_rs::{CoderResult, DecoderResult, EUC_KR, Encoding, UTF_8};
use std::fmt;

/// An encoding of text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Charset(pub(super) Kind);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One of the WHATWG Encoding Standard.
    Standard(&'static Encoding),
    /// A code page of DOS that the standard lacks, by its number. Each byte is a character.
    Dos(u16),
}

/// How bytes fit an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// All of them are text.
    Whole,
    /// They end within a character: the value was cut to the width of its field.
    Cut,
    /// They are not text of this encoding.
    No,
}

impl Charset {
    /// UTF-8.
    pub const UTF_8: Self = Self(Kind::Standard(UTF_8));

    /// Code page 949 of Windows, which the standard calls EUC-KR.
    pub const CP949: Self = Self(Kind::Standard(EUC_KR));

    /// Windows-1252, the code page of Western Europe.
    pub const WINDOWS_1252: Self = Self(Kind::Standard(encoding_rs::WINDOWS_1252));

    /// Whether a language driver id is written on purpose. Programs write those of Western Europe
    /// for text of any kind.
    pub fn is_meant(self) -> bool {
        match self.0 {
            Kind::Dos(number) => number != 437 && number != 850,
            Kind::Standard(encoding) => encoding != encoding_rs::WINDOWS_1252,
        }
    }

    /// Whether `iconv` keeps the last letter of a text until it is asked for, because a mark may
    /// follow that forms one character with it. GDAL does not ask.
    pub fn holds_letters_back(self) -> bool {
        let held = [encoding_rs::WINDOWS_1255, encoding_rs::WINDOWS_1258];
        matches!(self.0, Kind::Standard(encoding) if held.contains(&encoding))
    }

    /// An encoding that gives the same text for these bytes, and of which `iconv` keeps nothing
    /// back. `None` if there is none, or if this one is no such encoding itself.
    pub fn stand_in(self, bytes: impl Iterator<Item = u8> + Clone) -> Option<Self> {
        if !self.holds_letters_back() {
            return None;
        }
        let others = [encoding_rs::ISO_8859_8, encoding_rs::WINDOWS_1252].map(|e| Self(Kind::Standard(e)));
        others.into_iter().find(|other| {
            bytes.clone().all(|byte| {
                let of = |charset: Self| charset.decode(&[byte]);
                other.fit(&[byte]) == Fit::Whole && of(self).is_some() && of(self) == of(*other)
            })
        })
    }

    /// Its name, for people.
    pub fn name(self) -> String {
        match self.0 {
            Kind::Standard(encoding) if encoding == EUC_KR => "CP949".to_owned(),
            Kind::Standard(encoding) => encoding.name().to_owned(),
            Kind::Dos(number) => format!("CP{number}"),
        }
    }

    /// Its name for `iconv`, by which native libraries convert text.
    pub fn iconv(self) -> String {
        let encoding = match self.0 {
            Kind::Dos(number) => return format!("CP{number}"),
            Kind::Standard(encoding) => encoding,
        };
        match encoding.name() {
            "EUC-KR" => "CP949".to_owned(),
            "Shift_JIS" => "CP932".to_owned(),
            "GBK" => "GB18030".to_owned(),
            "Big5" => "BIG5-HKSCS".to_owned(),
            "IBM866" => "CP866".to_owned(),
            "macintosh" => "MACINTOSH".to_owned(),
            "x-mac-cyrillic" => "MAC-CYRILLIC".to_owned(),
            "ISO-8859-8-I" => "ISO-8859-8".to_owned(),
            name => {
                name.strip_prefix("windows-").map_or_else(|| name.to_ascii_uppercase(), |n| format!("CP{n}"))
            }
        }
    }

    /// Whether bytes are text of this encoding.
    pub fn fit(self, bytes: &[u8]) -> Fit {
        let encoding = match self.0 {
            Kind::Dos(page) => {
                let is_whole = bytes.iter().all(|byte| dos::character(page, *byte) != dos::NONE);
                return if is_whole { Fit::Whole } else { Fit::No };
            }
            Kind::Standard(encoding) => encoding,
        };
        if encoding == UTF_8 {
            return match std::str::from_utf8(bytes) {
                Ok(_) => Fit::Whole,
                Err(error) if error.error_len().is_none() => Fit::Cut,
                Err(_) => Fit::No,
            };
        }
        // The standard makes control characters of five bytes that the code page lacks, and that
        // native libraries drop.
        let is_lacking = |byte: &u8| matches!(byte, 0x81 | 0x8d | 0x8f | 0x90 | 0x9d);
        if encoding == encoding_rs::WINDOWS_1252 && bytes.iter().any(is_lacking) {
            return Fit::No;
        }
        let mut decoder = encoding.new_decoder_without_bom_handling();
        let mut room = [0; 1024];
        let mut rest = bytes;
        loop {
            let (result, read, _) = decoder.decode_to_utf8_without_replacement(rest, &mut room, false);
            rest = &rest[read..];
            match result {
                DecoderResult::InputEmpty => break,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => return Fit::No,
            }
        }
        match decoder.decode_to_utf8_without_replacement(&[], &mut room, true).0 {
            DecoderResult::Malformed(..) => Fit::Cut,
            DecoderResult::InputEmpty | DecoderResult::OutputFull => Fit::Whole,
        }
    }

    /// Whether the bytes of ASCII are the characters of ASCII, as in all but UTF-16.
    pub fn is_ascii_compatible(self) -> bool {
        match self.0 {
            Kind::Standard(encoding) => encoding.is_ascii_compatible(),
            Kind::Dos(_) => true,
        }
    }

    /// Whether it has all characters of a text.
    pub fn has(self, text: &str) -> bool {
        match self.0 {
            Kind::Standard(encoding) => !encoding.encode(text).2,
            Kind::Dos(page) => {
                text.chars().all(|c| c.is_ascii() || dos::upper(page).is_some_and(|upper| upper.contains(c)))
            }
        }
    }

    /// The text; `None` if the bytes are not whole text of this encoding.
    pub fn decode(self, bytes: &[u8]) -> Option<String> {
        match self.0 {
            Kind::Standard(encoding) => {
                encoding.decode_without_bom_handling_and_without_replacement(bytes).map(Into::into)
            }
            Kind::Dos(page) => {
                let text: String = bytes.iter().map(|byte| dos::character(page, *byte)).collect();
                Some(text).filter(|text| !text.contains(dos::NONE))
            }
        }
    }

    /// A decoder that takes text in pieces.
    pub fn decoder(self) -> Decoder {
        Decoder(match self.0 {
            Kind::Standard(encoding) => Pieces::Standard(encoding.new_decoder_with_bom_removal()),
            Kind::Dos(page) => Pieces::Dos(page),
        })
    }
}

/// Decodes text in pieces to UTF-8. A byte order mark at the beginning is dropped.
pub struct Decoder(Pieces);

enum Pieces {
    Standard(encoding_rs::Decoder),
    Dos(u16),
}

impl Decoder {
    /// Appends the text of the next bytes, `last` being true for the last ones. Returns the number
    /// of invalid sequences, each of which becomes U+FFFD.
    pub fn take(&mut self, mut bytes: &[u8], last: bool, text: &mut String) -> u64 {
        let mut wrong = 0;
        let decoder = match &mut self.0 {
            Pieces::Standard(decoder) => decoder,
            Pieces::Dos(page) => {
                for byte in bytes {
                    let c = dos::character(*page, *byte);
                    wrong += u64::from(c == dos::NONE);
                    text.push(c);
                }
                return wrong;
            }
        };
        loop {
            text.reserve(decoder.max_utf8_buffer_length(bytes.len()).unwrap_or(bytes.len()).max(16));
            let before = text.len();
            let (result, read, replaced) = decoder.decode_to_string(bytes, text, last);
            if replaced {
                wrong += text[before..].matches('\u{fffd}').count() as u64;
            }
            bytes = &bytes[read..];
            if result == CoderResult::InputEmpty {
                return wrong;
            }
        }
    }
}

impl fmt::Debug for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl fmt::Display for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_within_characters_are_told_from_other_text() {
        let cp949 = b"\xb5\xb5\xb8\xe9";
        assert_eq!(Charset::CP949.fit(cp949), Fit::Whole);
        assert_eq!(Charset::CP949.fit(&cp949[..3]), Fit::Cut);
        assert_eq!(Charset::CP949.fit(b"\xff"), Fit::No);
        let utf8 = "도면".as_bytes();
        assert_eq!(Charset::UTF_8.fit(utf8), Fit::Whole);
        assert_eq!(Charset::UTF_8.fit(&utf8[..4]), Fit::Cut);
        assert_eq!(Charset::UTF_8.fit(cp949), Fit::No);
        let long = "가".repeat(2000);
        assert_eq!(Charset::UTF_8.fit(long.as_bytes()), Fit::Whole);
        assert_eq!(Charset::CP949.fit(&[0xb0, 0xa1].repeat(2000)), Fit::Whole);
    }

    #[test]
    fn names_for_iconv() {
        for (label, expected) in [
            ("cp949", "CP949"),
            ("utf-8", "UTF-8"),
            ("1252", "CP1252"),
            ("932", "CP932"),
            ("koi8-r", "KOI8-R"),
            ("iso-8859-2", "ISO-8859-2"),
            ("437", "CP437"),
            ("big5", "BIG5-HKSCS"),
        ] {
            assert_eq!(Charset::of_label(label).unwrap().iconv(), expected);
        }
    }

    #[test]
    fn what_iconv_keeps_back_is_read_as_another() {
        let stand_in = |page, bytes: &[u8]| {
            Charset::of_code_page(page).unwrap().stand_in(bytes.iter().copied()).map(Charset::name)
        };
        assert_eq!(stand_in(1255, b"\xf9\xec\xe5\xed").as_deref(), Some("ISO-8859-8"));
        // The sign of the shekel, and a vowel.
        assert_eq!(stand_in(1255, b"\xa4"), None);
        assert_eq!(stand_in(1255, b"\xc7"), None);
        assert_eq!(stand_in(1258, b"\xe0").as_deref(), Some("windows-1252"));
        assert_eq!(stand_in(1258, b"\xf0"), None);
        assert_eq!(stand_in(1252, b"\xe0"), None);
    }

    #[test]
    fn text_is_decoded_in_pieces() {
        let bytes = b"\xb5\xb5\xb8\xe9,a\xff";
        let mut decoder = Charset::CP949.decoder();
        let mut text = String::new();
        let wrong: u64 = bytes.iter().map(|byte| decoder.take(&[*byte], false, &mut text)).sum();
        assert_eq!((wrong + decoder.take(&[], true, &mut text), text.as_str()), (1, "도면,a\u{fffd}"));
    }

    #[test]
    fn code_pages_of_dos_are_text() {
        let page = |number| Charset::of_code_page(number).unwrap();
        assert_eq!(page(850).decode(b"Stra\xe1e, 5 \xd5").as_deref(), Some("Straße, 5 ı"));
        assert_eq!(page(857).decode(b"\xd5"), None);
        assert_eq!((page(857).fit(b"\xd5"), page(850).fit(b"\xd5")), (Fit::No, Fit::Whole));
        let mut text = String::new();
        assert_eq!(page(857).decoder().take(b"a\xd5\x80", true, &mut text), 1);
        assert_eq!(text, "a\u{fffd}Ç");
        assert!(page(437).has("größe") && !page(437).has("도면"));
    }
}
