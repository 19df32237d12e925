//! The names by which files and people call encodings.

use super::charset::{Charset, Kind};
use super::dos;
use encoding_rs::Encoding;

/// Spellings that neither the standard has nor a rule of [`of_label`](Charset::of_label), in lower
/// case without signs, and their code pages.
const SPELLINGS: &[(&str, u16)] = &[
    ("utf", 65001),
    ("utf8", 65001),
    ("utf8n", 65001),
    ("utf8bom", 65001),
    ("utf8sig", 65001),
    ("utf8mb4", 65001),
    ("unicode", 65001),
    ("uhc", 949),
    ("euckr", 949),
    ("korean", 949),
    ("wansung", 949),
    ("ksx1001", 949),
    ("windowskorean", 949),
    ("sjis", 932),
    ("shiftjis", 932),
    ("mskanji", 932),
    ("windows31j", 932),
    ("cswindows31j", 932),
    ("windowsjapanese", 932),
    ("eucjp", 51932),
    ("ujis", 51932),
    ("packedeucjapanese", 51932),
    ("euccn", 936),
    ("gb2312", 936),
    ("gb231280", 936),
    ("windowssimpchinese", 936),
    ("gb18030", 54936),
    ("big5", 950),
    ("big5hkscs", 950),
    ("big5eten", 950),
    ("windowstradchinese", 950),
    ("windowslatin1", 1252),
    ("ansi", 1252),
    ("windowslatin2", 1250),
    ("windowscyrillic", 1251),
    ("windowsgreek", 1253),
    ("windowsturkish", 1254),
    ("windowshebrew", 1255),
    ("windowsarabic", 1256),
    ("windowsbalticrim", 1257),
    ("windowsvietnamese", 1258),
    ("windowsthai", 874),
    ("tis620", 874),
    ("macroman", 10000),
    ("xmacroman", 10000),
    ("maccyrillic", 10007),
    ("koi8r", 20866),
    ("koi8u", 21866),
];

/// A label in lower case, without signs.
fn plain(label: &str) -> String {
    label.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

impl Charset {
    /// The encoding that a label means; `None` if no encoding has it, or one that is no encoding of
    /// files (`replacement`, `x-user-defined`).
    pub fn of_label(label: &str) -> Option<Self> {
        let label = label.trim_matches(|c: char| c.is_whitespace() || c == '\0' || c == '"');
        if let Some(encoding) = Encoding::for_label(label.as_bytes()) {
            let usable = ![encoding_rs::REPLACEMENT, encoding_rs::X_USER_DEFINED].contains(&encoding);
            return usable.then_some(Self(Kind::Standard(encoding)));
        }
        let plain = plain(label);
        if let Some((_, page)) = SPELLINGS.iter().find(|(spelling, _)| *spelling == plain) {
            return Self::of_code_page(*page);
        }
        let digits = plain.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let prefix = &plain[..plain.len() - digits.len()];
        if let ("" | "iso", Some(part)) = (prefix, digits.strip_prefix("8859")) {
            return Self::of_iso_8859(part);
        }
        if prefix == "latin" {
            let parts = ["1", "2", "3", "4", "9", "10", "13", "14", "15", "16"];
            let number = digits.parse::<usize>().ok()?;
            return Self::of_iso_8859(parts.get(number.checked_sub(1)?)?);
        }
        if let ("ksc" | "ks", true) = (prefix, digits.starts_with("5601")) {
            return Some(Self::CP949);
        }
        const CODE_PAGES: &[&str] =
            &["", "ansi", "cp", "dos", "ms", "win", "windows", "ibm", "oem", "codepage", "pc"];
        CODE_PAGES.contains(&prefix).then(|| Self::of_code_page(digits.parse().ok()?)).flatten()
    }

    /// The encoding that a file declares by a label. A label of ASCII declares nothing of other bytes.
    pub fn of_declaration(label: &str) -> Option<Self> {
        const ASCII: &[&str] =
            &["ascii", "usascii", "ansix341968", "iso646us", "iso646irv1991", "cp367", "ibm367"];
        Self::of_label(label).filter(|_| !ASCII.contains(&plain(label).as_str()))
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
            936 | 20936 | 51936 => "gbk",
            54936 => "gb18030",
            950 | 951 => "big5",
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
            number => return dos::upper(number).map(|_| Self(Kind::Dos(number))),
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
            ("eucJP", "EUC-JP"),
            ("ujis", "EUC-JP"),
            ("EUC-CN", "GBK"),
            ("eucCN", "GBK"),
            ("20936", "GBK"),
            ("Big-5", "Big5"),
            ("big5hkscs", "Big5"),
            ("951", "Big5"),
            ("CSWINDOWS31J", "Shift_JIS"),
            ("MS_Kanji", "Shift_JIS"),
            ("latin1", "windows-1252"),
            ("latin9", "ISO-8859-15"),
            ("MacRoman", "macintosh"),
            ("x-mac-roman", "macintosh"),
            ("MacCyrillic", "x-mac-cyrillic"),
            ("TIS620", "windows-874"),
            ("KOI8R", "KOI8-R"),
            ("UTF-8-BOM", "UTF-8"),
        ] {
            assert_eq!(name(label).as_deref(), Some(expected), "{label:?}");
        }
        for label in ["", "none", "cp", "12345", "replacement", "x-user-defined", "ansi_x", "latin-99", "가"]
        {
            assert_eq!(name(label), None, "{label:?}");
        }
        // Encodings that nothing here decodes.
        for label in ["johab", "1361", "CP1361", "OEM", "52936", "864", "CodePage864", "EUC-TW", "UTF-7"] {
            assert_eq!(name(label), None, "{label:?}");
        }
        for label in ["ascii", "US-ASCII", "ANSI_X3.4-1968"] {
            assert!(name(label).is_some() && Charset::of_declaration(label).is_none(), "{label:?}");
        }
        assert_eq!(Charset::of_declaration("949"), Some(Charset::CP949));
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
}
