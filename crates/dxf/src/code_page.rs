//! Code pages of drawings.

use cadmill_core::domain::text::Charset;
use std::fmt;

/// A code page that `$DWGCODEPAGE` can name: 874, 932, 936, 949, 950, or 1250 to 1258.
///
/// Text is encoded in it up to R2004. From R2007 text is UTF-8 and the page only says which
/// language the author works in, as AutoCAD writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodePage(u16);

impl CodePage {
    /// Korean, with all syllables (Windows-949).
    pub const KOREAN: Self = Self(949);
    /// Western Europe.
    pub const WESTERN: Self = Self(1252);
    /// All of them.
    pub const NUMBERS: [u16; 14] =
        [874, 932, 936, 949, 950, 1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258];

    /// The page with this number; `None` if drawings cannot be in it.
    pub fn new(number: u16) -> Option<Self> {
        Self::NUMBERS.contains(&number).then_some(Self(number))
    }

    /// The page that a value of `$DWGCODEPAGE` names, in any case.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_uppercase();
        Self::new(name.strip_prefix("ANSI_")?.parse().ok()?)
    }

    /// Its number.
    pub fn number(self) -> u16 {
        self.0
    }

    /// Its encoding.
    pub fn charset(self) -> Charset {
        Charset::of_code_page(self.0).unwrap_or(Charset::WINDOWS_1252)
    }

    /// Whether it has every character of a text.
    pub fn has(self, text: &str) -> bool {
        let mut whole = true;
        self.charset().encode(text, &mut Vec::new(), |_, _| whole = false);
        whole
    }
}

impl fmt::Display for CodePage {
    /// The value of `$DWGCODEPAGE`, in the spelling that ezdxf and GDAL know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ANSI_{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_encodings_and_names() {
        for number in CodePage::NUMBERS {
            let page = CodePage::new(number).unwrap();
            assert!(Charset::of_code_page(number).is_some());
            assert_eq!(CodePage::of_name(&page.to_string()), Some(page));
        }
        assert_eq!(CodePage::new(437), None);
        assert_eq!(CodePage::of_name("ksc5601"), None);
    }

    #[test]
    fn characters_of_a_page() {
        assert!(CodePage::KOREAN.has("건물 뷁 A"));
        assert!(!CodePage::KOREAN.has("é"));
        assert!(CodePage::WESTERN.has("é"));
    }
}
