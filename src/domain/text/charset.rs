//! Encodings by their names.

use encoding_rs::{CoderResult, DecoderResult, EUC_KR, Encoding, UTF_8};
use std::fmt;

/// An encoding of text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Charset(Kind);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One of the WHATWG Encoding Standard.
    Standard(&'static Encoding),
    /// A code page of DOS that the standard lacks, by its number. Each byte is a character.
    Dos(u16),
}

/// Code pages of DOS that `iconv` knows and in which every byte is a character.
const DOS: &[u16] = &[437, 737, 775, 850, 852, 855, 857, 858, 860, 861, 862, 863, 865, 869];

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

    /// The encoding that a label means; `None` if no encoding has it, or one that is no encoding of
    /// files (`replacement`, `x-user-defined`).
    pub fn of_label(label: &str) -> Option<Self> {
        let label = label.trim_matches(|c: char| c.is_whitespace() || c == '\0' || c == '"');
        if let Some(encoding) = Encoding::for_label(label.as_bytes()) {
            let usable = ![encoding_rs::REPLACEMENT, encoding_rs::X_USER_DEFINED].contains(&encoding);
            return usable.then_some(Self(Kind::Standard(encoding)));
        }
        let plain: String =
            label.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        match plain.as_str() {
            "utf" | "utf8" | "utf8n" | "unicode" | "65001" => return Some(Self::UTF_8),
            "uhc" | "euckr" | "korean" | "wansung" | "ksx1001" | "windowskorean" => return Some(Self::CP949),
            "sjis" | "windowsjapanese" => return Self::of_code_page(932),
            "windowssimpchinese" => return Self::of_code_page(936),
            "windowstradchinese" => return Self::of_code_page(950),
            "windowslatin1" | "ansi" => return Some(Self::WINDOWS_1252),
            _ => {}
        }
        let digits = plain.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let prefix = &plain[..plain.len() - digits.len()];
        if let ("" | "iso", Some(part)) = (prefix, digits.strip_prefix("8859")) {
            return Self::of_iso_8859(part);
        }
        if let ("ksc" | "ks", true) = (prefix, digits.starts_with("5601")) {
            return Some(Self::CP949);
        }
        const CODE_PAGES: &[&str] =
            &["", "ansi", "cp", "dos", "ms", "win", "windows", "ibm", "oem", "codepage", "pc"];
        CODE_PAGES.contains(&prefix).then(|| Self::of_code_page(digits.parse().ok()?)).flatten()
    }

    fn of_iso_8859(part: &str) -> Option<Self> {
        let encoding = Encoding::for_label(format!("iso-8859-{}", part.parse::<u16>().ok()?).as_bytes());
        encoding.map(|encoding| Self(Kind::Standard(encoding)))
    }

    /// The encoding of a code page of Windows or DOS.
    pub fn of_code_page(number: u16) -> Option<Self> {
        let label = match number {
            // Johab is not one that the standard has.
            949 | 51949 => "euc-kr",
            932 => "shift_jis",
            20932 | 51932 => "euc-jp",
            936 => "gbk",
            54936 => "gb18030",
            950 => "big5",
            866 => "ibm866",
            874 => "windows-874",
            1250..=1258 => {
                return Encoding::for_label(format!("windows-{number}").as_bytes())
                    .map(|e| Self(Kind::Standard(e)));
            }
            10000 => "macintosh",
            10007 => "x-mac-cyrillic",
            20866 => "koi8-r",
            21866 => "koi8-u",
            28591..=28605 => return Self::of_iso_8859(&(number - 28590).to_string()),
            65001 => "utf-8",
            number => return DOS.contains(&number).then_some(Self(Kind::Dos(number))),
        };
        Encoding::for_label(label.as_bytes()).map(|encoding| Self(Kind::Standard(encoding)))
    }

    /// The code page that the language driver id in the header of a dBASE file means (byte 29), by
    /// the tables of dBASE IV, Visual FoxPro and Esri; `None` if it says nothing. Of some, which
    /// [`of_code_page`](Self::of_code_page) does not know, no text can be read.
    pub fn dbase_page(id: u8) -> Option<u16> {
        Some(match id {
            0x01 | 0x09 | 0x0b | 0x0d | 0x0f | 0x11 | 0x15 | 0x18 | 0x19 | 0x1b => 437,
            0x02 | 0x0a | 0x0e | 0x10 | 0x12 | 0x14 | 0x16 | 0x1a | 0x1d | 0x25 | 0x37 => 850,
            // 0x57 says "ANSI", which was the code page of whoever wrote it.
            0x03 | 0x58 | 0x59 => 1252,
            0x04 => 10000,
            0x08 | 0x17 | 0x66 => 865,
            0x13 | 0x7b => 932,
            0x1c | 0x6c => 863,
            0x1f | 0x22 | 0x23 | 0x40 | 0x64 | 0x87 => 852,
            0x24 => 860,
            0x26 | 0x65 => 866,
            0x4d | 0x7a => 936,
            0x4e | 0x79 => 949,
            0x4f | 0x78 => 950,
            0x50 | 0x7c => 874,
            0x67 => 861,
            0x68 => 895,
            0x69 => 620,
            0x6a | 0x86 => 737,
            0x6b | 0x88 => 857,
            0x7d => 1255,
            0x7e => 1256,
            0x96 => 10007,
            0x97 => 10029,
            0x98 => 10006,
            0xc8 => 1250,
            0xc9 => 1251,
            0xca => 1254,
            0xcb => 1253,
            0xcc => 1257,
            _ => return None,
        })
    }

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
            Kind::Dos(_) => return Fit::Whole,
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
            Kind::Dos(_) => text.is_ascii(),
        }
    }

    /// The text; `None` if the bytes are not whole text of this encoding.
    pub fn decode(self, bytes: &[u8]) -> Option<String> {
        match self.0 {
            Kind::Standard(encoding) => {
                encoding.decode_without_bom_handling_and_without_replacement(bytes).map(Into::into)
            }
            Kind::Dos(_) => None,
        }
    }

    /// A decoder that takes text in pieces; `None` for a code page of DOS.
    pub fn decoder(self) -> Option<Decoder> {
        match self.0 {
            Kind::Standard(encoding) => Some(Decoder(encoding.new_decoder_with_bom_removal())),
            Kind::Dos(_) => None,
        }
    }
}

/// Decodes text in pieces to UTF-8. A byte order mark at the beginning is dropped.
pub struct Decoder(encoding_rs::Decoder);

impl Decoder {
    /// Appends the text of the next bytes, `last` being true for the last ones. Returns the number
    /// of invalid sequences, each of which becomes U+FFFD.
    pub fn take(&mut self, mut bytes: &[u8], last: bool, text: &mut String) -> u64 {
        let mut wrong = 0;
        loop {
            text.reserve(self.0.max_utf8_buffer_length(bytes.len()).unwrap_or(bytes.len()).max(16));
            let before = text.len();
            let (result, read, replaced) = self.0.decode_to_string(bytes, text, last);
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

    fn name(label: &str) -> Option<String> {
        Charset::of_label(label).map(Charset::name)
    }

    #[test]
    fn labels_in_use_are_known() {
        for label in [
            "CP949",
            "cp949",
            "949",
            "ANSI_949",
            "ansi_949",
            "ansi949",
            "ANSI 949",
            "EUC-KR",
            "euckr",
            "ks_c_5601-1987",
            "KSC5601",
            "ksc_5601",
            "KS_C_5601",
            "dos949",
            "MS949",
            "windows-949",
            "OEM 949",
            "UHC",
            "korean",
            " 949\r\n",
        ] {
            assert_eq!(name(label).as_deref(), Some("CP949"), "{label:?}");
        }
        for label in ["UTF-8", "utf8", "UTF8", "utf_8", "65001", "cp65001", "\"UTF-8\"", "UTF-8\n"] {
            assert_eq!(name(label).as_deref(), Some("UTF-8"), "{label:?}");
        }
        for (label, expected) in [
            ("ANSI_1252", "windows-1252"),
            ("ISO 88591", "windows-1252"),
            ("88591", "windows-1252"),
            ("8859-1", "windows-1252"),
            ("88592", "ISO-8859-2"),
            ("28605", "ISO-8859-15"),
            ("ansi_1251", "windows-1251"),
            ("dos932", "Shift_JIS"),
            ("SJIS", "Shift_JIS"),
            ("ANSI_936", "GBK"),
            ("Big5", "Big5"),
            ("OEM 437", "CP437"),
            ("dos850", "CP850"),
            ("866", "IBM866"),
        ] {
            assert_eq!(name(label).as_deref(), Some(expected), "{label:?}");
        }
        for label in ["", "none", "cp", "12345", "replacement", "x-user-defined", "ansi_x", "latin-99", "가"]
        {
            assert_eq!(name(label), None, "{label:?}");
        }
    }

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
    fn language_drivers_are_known() {
        let name = |id| Charset::dbase_page(id).map(|page| Charset::of_code_page(page).map(Charset::name));
        for (id, expected) in [
            (0x4d, "GBK"),
            (0x4e, "CP949"),
            (0x4f, "Big5"),
            (0x50, "windows-874"),
            (0x78, "Big5"),
            (0x79, "CP949"),
            (0x7a, "GBK"),
            (0x7c, "windows-874"),
            (0x86, "CP737"),
            (0x88, "CP857"),
            (0x96, "x-mac-cyrillic"),
            (0xcc, "windows-1257"),
        ] {
            assert_eq!(name(id), Some(Some(expected.to_owned())), "{id:#x}");
        }
        // Kamenicky, Mazovia, and the Macintosh of Greece and of Central Europe.
        assert!([0x68, 0x69, 0x97, 0x98].iter().all(|id| name(*id) == Some(None)));
        assert!([0x00, 0x57, 0xff].iter().all(|id| name(*id).is_none()));
    }

    #[test]
    fn text_is_decoded_in_pieces() {
        let bytes = b"\xb5\xb5\xb8\xe9,a\xff";
        let mut decoder = Charset::CP949.decoder().unwrap();
        let mut text = String::new();
        let wrong: u64 = bytes.iter().map(|byte| decoder.take(&[*byte], false, &mut text)).sum();
        assert_eq!((wrong + decoder.take(&[], true, &mut text), text.as_str()), (1, "도면,a\u{fffd}"));
    }
}
