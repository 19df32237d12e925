//! What the tables of a drawing need to know of its features before the first is written: the names of
//! layers, the code page that has all of the text, and the extent.

use cadmill_dxf::CodePage;
use std::collections::HashSet;

/// Layers of a drawing.
pub(super) const MAX_LAYERS: usize = 50_000;

/// The order in which pages are tried: those of one alphabet first, as the others have its letters
/// too, and Korean before other languages of Asia. Not that of Vietnamese, 1258: GDAL loses the last
/// letter of a text in it, because iconv waits for an accent.
const PREFERRED: &[u16] = &[1252, 1254, 1251, 1250, 1253, 1257, 1255, 1256, 874, 949, 932, 936, 950];

/// Names and text, as far as they were seen.
#[derive(Debug)]
pub(super) struct Survey {
    /// In the order of their first appearance.
    pub(super) layers: Vec<String>,
    known: HashSet<String>,
    /// The pages that have all of the text.
    pages: Vec<CodePage>,
}

impl Survey {
    pub(super) fn new() -> Self {
        let pages = PREFERRED.iter().filter_map(|number| CodePage::new(*number)).collect();
        Self { layers: Vec::new(), known: HashSet::new(), pages }
    }

    /// Takes the name of a layer. Whether there is room for it.
    pub(super) fn layer(&mut self, name: &str) -> bool {
        if !self.known.contains(name) {
            if self.layers.len() == MAX_LAYERS {
                return false;
            }
            self.text(name);
            self.known.insert(name.to_owned());
            self.layers.push(name.to_owned());
        }
        true
    }

    /// Takes a text.
    pub(super) fn text(&mut self, text: &str) {
        if !text.is_ascii() {
            // GDAL reads 1252 as Latin-1, which has controls where that has a euro sign and dashes.
            let is_latin = text.chars().all(|c| c <= '\u{ff}');
            self.pages.retain(|page| page.has(text) && (is_latin || page.number() != 1252));
        }
    }

    /// The page that has all of the text, if there is one.
    pub(super) fn page(&self) -> Option<CodePage> {
        self.pages.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(texts: &[&str]) -> Option<u16> {
        let mut survey = Survey::new();
        texts.iter().for_each(|text| survey.text(text));
        survey.page().map(CodePage::number)
    }

    #[test]
    fn the_page_has_all_of_the_text() {
        assert_eq!(page(&["abc"]), Some(1252));
        assert_eq!(page(&["Straße", "é"]), Some(1252));
        assert_eq!(page(&["5 €", "a–é"]), Some(1254), "1252 has them, but GDAL does not read them");
        assert_eq!(page(&["abc", "도로"]), Some(949));
        assert_eq!(page(&["도로", "똠방각하", "漢字"]), Some(949));
        assert_eq!(page(&["Улица"]), Some(1251));
        assert_eq!(page(&["Улица", "도로"]), Some(949));
        assert_eq!(page(&["도로", "é"]), None);
        assert_eq!(page(&["ไทย"]), Some(874));
        assert_eq!(page(&["phơ"]), None, "1258 alone has it, which not all readers read");
        assert_eq!(page(&["😀"]), None);
    }

    #[test]
    fn layers_are_kept_once_in_their_order() {
        let mut survey = Survey::new();
        for name in ["b", "a", "b"] {
            assert!(survey.layer(name));
        }
        assert_eq!(survey.layers, ["b", "a"]);
    }
}
