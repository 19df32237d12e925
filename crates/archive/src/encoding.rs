//! Decoding of entry names.
//!
//! The first rule that matches applies:
//!
//! 1. If the UTF-8 flag is set (APPNOTE 4.4.4, bit 11), the name is UTF-8.
//! 2. Valid UTF-8 is UTF-8. Info-ZIP and macOS write it without the flag.
//! 3. Valid CP949 with at least one character of the Hangul rows of KS X 1001 (lead B0 to C8, trail
//!    A1 to FE) is CP949, which Korean Windows writes. In CP437 these lead bytes are box-drawing
//!    and shade characters, which do not occur in file names.
//! 4. Anything else is CP437 (APPNOTE D.1).
//!
//! The byte FF is refused: it occurs in CP437 only, as a space, and `unzip` drops it.
//!
//! A Unicode path field (APPNOTE 4.6.9) does not select the rule, but must agree with one of the
//! readings. The text is then normalised to NFC.

use super::extra;
use crate::entry_error::EntryError;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::text::{Charset, Evidence};
use icu_normalizer::ComposingNormalizerBorrowed;

/// Decodes a name to NFC.
///
/// # Errors
/// `input.archive.name_encoding`.
pub(super) fn decode(raw: &[u8], is_utf8: bool, unicode_path: Option<&[u8]>) -> Result<String, EntryError> {
    let utf8 = std::str::from_utf8(raw).ok();
    if is_utf8 && utf8.is_none() {
        return Err(refuse("has a name that is said to be UTF-8 and is not"));
    }
    if raw.contains(&0xff) {
        return Err(refuse("has the byte FF in its name, which some programs drop"));
    }
    let path = unicode_path.map(|data| extra::unicode_path(data, raw)).transpose()?;
    let Some(path) = path else { return Ok(nfc(&chosen(raw, utf8))) };
    let agrees = match utf8 {
        Some(text) if is_utf8 || raw.is_ascii() => text == path,
        _ => utf8 == Some(path) || cp949(raw).as_deref() == Some(path) || cp437(raw) == path,
    };
    if agrees { Ok(nfc(path)) } else { Err(refuse("has another name in its Unicode path field")) }
}

/// The text in NFC.
pub(super) fn nfc(text: &str) -> String {
    ComposingNormalizerBorrowed::new_nfc().normalize(text).into_owned()
}

/// The encoding that was guessed for a name without a Unicode path field (rules 3 and 4), and why.
/// `None` if nothing was guessed.
pub(super) fn guessed(raw: &[u8]) -> Option<(&'static str, &'static str)> {
    match std::str::from_utf8(raw) {
        Ok(_) => None,
        Err(_) if korean(raw).is_some() => Some(("CP949", "in which they are Korean")),
        Err(_) => Some(("CP437", "the default of the format")),
    }
}

fn chosen(raw: &[u8], utf8: Option<&str>) -> String {
    match utf8 {
        Some(text) => text.to_owned(),
        None => korean(raw).unwrap_or_else(|| cp437(raw)),
    }
}

fn korean(raw: &[u8]) -> Option<String> {
    let mut evidence = Evidence::new(None);
    evidence.see(raw);
    evidence.only().filter(|charset| *charset == Charset::CP949).and_then(|charset| charset.decode(raw))
}

fn cp949(raw: &[u8]) -> Option<String> {
    Charset::CP949.decode(raw)
}

/// Each byte is a character of CP437.
fn cp437(raw: &[u8]) -> String {
    Charset::of_code_page(437).and_then(|charset| charset.decode(raw)).unwrap_or_default()
}

fn refuse(text: &'static str) -> EntryError {
    EntryError::new(FailureCode::ArchiveNameEncoding, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn legacy(raw: &[u8]) -> String {
        decode(raw, false, None).unwrap()
    }

    #[test]
    fn names_without_the_flag_are_read_by_the_rule() {
        assert_eq!(legacy(b"plan.dxf"), "plan.dxf");
        assert_eq!(legacy("도면.dxf".as_bytes()), "도면.dxf");
        // "도면.dxf" and "가나다" in CP949.
        assert_eq!(legacy(b"\xb5\xb5\xb8\xe9.dxf"), "도면.dxf");
        assert_eq!(legacy(b"\xb0\xa1\xb3\xaa\xb4\xd9/a.shp"), "가나다/a.shp");
        // 똠방 has one syllable outside KS X 1001 and one inside.
        assert_eq!(legacy(b"\x8c\x63\xb9\xe6.obj"), "똠방.obj");
        assert_eq!(legacy(b"Gr\x81\xe1e.dxf"), "Grüße.dxf");
        assert_eq!(legacy(b"Stra\xe1e.dxf"), "Straße.dxf");
        assert!(decode(b"a\xffb.dxf", false, None).is_err());
    }

    #[test]
    fn names_are_composed() {
        assert_eq!(decode("e\u{301}.dxf".as_bytes(), true, None).unwrap(), "é.dxf");
        assert_eq!(decode("한글".as_bytes(), false, None).unwrap(), "한글");
    }

    #[test]
    fn what_is_said_to_be_utf8_is() {
        assert!(decode(b"\xb5\xb5", true, None).is_err());
        assert!(decode(b"\xc0\xaf", true, None).is_err(), "an overlong form");
    }

    #[test]
    fn a_unicode_path_says_the_same_or_is_refused() {
        let field = |version: u8, raw: &[u8], path: &[u8]| {
            let mut data = vec![version];
            data.extend(crc32fast::hash(raw).to_le_bytes());
            data.extend(path);
            data
        };
        let read = |raw: &[u8], data: &[u8]| decode(raw, false, Some(data)).ok();
        let raw = b"\xb5\xb5\xb8\xe9.dxf";
        assert_eq!(read(raw, &field(1, raw, "도면.dxf".as_bytes())).as_deref(), Some("도면.dxf"));
        // The field can select a reading that the rule would not: 뷁 alone.
        assert_eq!(read(b"\x94\xee", &field(1, b"\x94\xee", "뷁".as_bytes())).as_deref(), Some("뷁"));
        assert_eq!(
            read(b"Stra\xe1e", &field(1, b"Stra\xe1e", "Straße".as_bytes())).as_deref(),
            Some("Straße")
        );
        assert_eq!(read(b"a", &field(1, b"a", b"b")), None, "another name");
        assert_eq!(read(b"a", &field(1, b"b", b"a")), None, "the CRC-32 of another name");
        assert_eq!(read(b"a", &field(2, b"a", b"a")), None, "another version");
        assert_eq!(read(b"\xff", &field(1, b"\xff", b"\xff")), None, "no UTF-8");
        assert_eq!(read(b"a", &[1, 0, 0]), None, "cut short");
    }
}
