//! What the bytes of texts say about their encoding.

use super::charset::{Charset, Fit};

/// Collects texts of one source, and tells their encoding if they can be of one only.
///
/// 1. Text in which every value is valid UTF-8 is UTF-8: other encodings hardly ever are.
/// 2. Text in which every value is valid CP949, with at least one character of the Hangul rows of
///    KS X 1001 (lead B0 to C8, trail A1 to FE), is CP949, which Korean Windows writes. In CP437
///    these lead bytes are box-drawing and shade characters, in windows-1252 capital letters with
///    accents in front of others.
/// 3. Nothing is known of other text.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Values with other characters than those of ASCII.
    values: u64,
    utf8: Tally,
    cp949: Tally,
    latin: Tally,
    has_hangul_row: bool,
    /// Whether bytes 80 to 9F occur, in which windows-1252 differs from ISO 8859-1.
    has_c1: bool,
    /// Which of the bytes 80 to FF occur, from the lowest bit.
    bytes: u128,
    /// What the source declares.
    declared: Option<(Charset, Tally)>,
}

/// How the values fit one encoding.
#[derive(Debug, Clone, Default)]
struct Tally {
    whole: u64,
    cut: u64,
    wrong: u64,
}

impl Tally {
    fn add(&mut self, fit: Fit) {
        match fit {
            Fit::Whole => self.whole += 1,
            Fit::Cut => self.cut += 1,
            Fit::No => self.wrong += 1,
        }
    }

    fn fits(&self) -> bool {
        self.wrong == 0 && self.whole > 0
    }
}

impl Evidence {
    /// Evidence on text that is declared to be in this encoding, or in none.
    pub fn new(declared: Option<Charset>) -> Self {
        Self {
            values: 0,
            utf8: Tally::default(),
            cp949: Tally::default(),
            latin: Tally::default(),
            has_hangul_row: false,
            has_c1: false,
            bytes: 0,
            declared: declared.map(|charset| (charset, Tally::default())),
        }
    }

    /// Takes one value.
    pub fn see(&mut self, value: &[u8]) {
        self.see_field(value, false);
    }

    /// Takes the value of a field of fixed width. One that fills it, `is_full`, may end within a
    /// character.
    pub fn see_field(&mut self, value: &[u8], is_full: bool) {
        if value.is_ascii() {
            return;
        }
        let fit = |charset: Charset| match charset.fit(value) {
            Fit::Cut if !is_full => Fit::No,
            fit => fit,
        };
        self.values += 1;
        self.has_c1 = self.has_c1 || value.iter().any(|byte| (0x80..0xa0).contains(byte));
        for byte in value.iter().filter(|byte| **byte >= 0x80) {
            self.bytes |= 1 << (byte - 0x80);
        }
        if self.utf8.wrong == 0 {
            self.utf8.add(fit(Charset::UTF_8));
        }
        if self.cp949.wrong == 0 {
            self.cp949.add(fit(Charset::CP949));
            self.has_hangul_row = self.has_hangul_row || has_hangul_row(value);
        }
        if self.latin.wrong == 0 {
            self.latin.add(fit(Charset::WINDOWS_1252));
        }
        if let Some((charset, tally)) = &mut self.declared {
            tally.add(fit(*charset));
        }
    }

    /// The bytes beyond ASCII that occur.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + Clone + use<> {
        let bytes = self.bytes;
        (0x80..=0xff).filter(move |byte| bytes & (1 << (byte - 0x80)) != 0)
    }

    /// Whether the text can be windows-1252, as nearly all text can.
    pub fn can_be_latin(&self) -> bool {
        self.latin.fits()
    }

    /// Whether windows-1252 and ISO 8859-1 give the same text.
    pub fn is_iso_8859_1(&self) -> bool {
        !self.has_c1
    }

    /// Number of values with other characters than those of ASCII. Without any, all encodings give
    /// the same text.
    pub fn values(&self) -> u64 {
        self.values
    }

    /// Whether the text can be what is declared.
    pub fn confirms_declared(&self) -> bool {
        self.declared.as_ref().is_some_and(|(_, tally)| tally.wrong == 0)
    }

    /// Number of values that are not what is declared.
    pub fn not_as_declared(&self) -> u64 {
        self.declared.as_ref().map_or(0, |(_, tally)| tally.wrong)
    }

    /// The only encoding that the text can be of.
    pub fn only(&self) -> Option<Charset> {
        if self.utf8.fits() {
            Some(Charset::UTF_8)
        } else if self.cp949.fits() && self.has_hangul_row {
            Some(Charset::CP949)
        } else {
            None
        }
    }

    /// Number of values that end within a character of this encoding.
    pub fn cut(&self, charset: Charset) -> u64 {
        if charset == Charset::UTF_8 {
            return self.utf8.cut;
        }
        if charset == Charset::CP949 {
            return self.cp949.cut;
        }
        self.declared.as_ref().filter(|(known, _)| *known == charset).map_or(0, |(_, tally)| tally.cut)
    }
}

/// Whether any byte pair is in rows 16 to 40 of KS X 1001. The bytes must be valid CP949, of which
/// the last character may be cut.
fn has_hangul_row(raw: &[u8]) -> bool {
    let mut rest = raw;
    while let Some((&lead, after)) = rest.split_first() {
        rest = after;
        if lead >= 0x80 {
            let Some((&trail, after)) = rest.split_first() else { return false };
            if (0xb0..=0xc8).contains(&lead) && (0xa1..=0xfe).contains(&trail) {
                return true;
            }
            rest = after;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn only(values: &[&[u8]]) -> Option<Charset> {
        let mut evidence = Evidence::new(None);
        values.iter().for_each(|value| evidence.see_field(value, true));
        evidence.only()
    }

    #[test]
    fn text_that_can_be_of_one_encoding_is_of_that() {
        assert_eq!(only(&["도면".as_bytes(), b"plan"]), Some(Charset::UTF_8));
        assert_eq!(only(&["도면".as_bytes(), &"도면".as_bytes()[..4]]), Some(Charset::UTF_8));
        assert_eq!(only(&[b"\xb5\xb5\xb8\xe9", b"\xb5\xb5\xb8"]), Some(Charset::CP949));
        // 똠방 has one syllable outside KS X 1001 and one inside.
        assert_eq!(only(&[b"\x8c\x63\xb9\xe6"]), Some(Charset::CP949));
        assert_eq!(only(&[b"plan"]), None);
        assert_eq!(only(&["도면".as_bytes(), b"\xb5\xb5\xb8\xe9"]), None);
        // Hanja of KS X 1001, but no Hangul: `é` and others in windows-1252 look like that.
        assert_eq!(only(&[b"\xf6\xdf"]), None);
        // Only a cut character.
        assert_eq!(only(&[b"\xec"]), None);
        // A letter with an accent at the end of a value that is not cut.
        let mut evidence = Evidence::new(None);
        evidence.see(b"S\xc3O, PARAN\xc1");
        assert!(evidence.only().is_none() && evidence.can_be_latin());
    }

    #[test]
    fn declarations_are_checked() {
        let mut evidence = Evidence::new(Some(Charset::UTF_8));
        evidence.see("도면".as_bytes());
        assert!(evidence.confirms_declared());
        evidence.see(b"\xb5\xb5\xb8\xe9");
        assert!(!evidence.confirms_declared());
        assert_eq!((evidence.not_as_declared(), evidence.values()), (1, 2));
    }

    proptest! {
        #[test]
        fn hangul_is_recognised_in_both(text in "[가-힣]{1,20}") {
            prop_assert_eq!(only(&[text.as_bytes()]), Some(Charset::UTF_8));
            let (bytes, _, lost) = encoding_rs::EUC_KR.encode(&text);
            // Only syllables outside of KS X 1001 cannot be told from other text.
            if !lost && has_hangul_row(&bytes) && std::str::from_utf8(&bytes).is_err() {
                prop_assert_eq!(only(&[&bytes]), Some(Charset::CP949));
            }
        }
    }
}
