//! Names of layers, styles, line types, blocks and applications.
//!
//! AutoCAD discards a drawing for one bad name. Names are made legal here, and stay different where
//! the data's are different: case does not count to readers, and a replaced character may make two
//! names one.

use crate::report::Report;
use crate::text::{self, LONGEST, Place};
use cadmill_core::domain::text::Charset;
use std::collections::{HashMap, HashSet};

/// What a name is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameKind {
    /// A layer.
    Layer,
    /// A line type.
    Linetype,
    /// A text style.
    TextStyle,
    /// A block.
    Block,
    /// An application, whose extended data entities have.
    Application,
    /// An attribute of a block.
    Tag,
}

/// A name that is not written as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// What it is of.
    pub kind: NameKind,
    /// The name in the data.
    pub from: String,
    /// The name in the drawing.
    pub to: String,
}

/// Characters that AutoCAD allows in no name (`$EXTNAMES` 1). The vertical bar is for drawings
/// that refer to others.
const FORBIDDEN: &[char] = &['<', '>', '/', '\\', '"', ':', ';', '?', '*', '|', ',', '=', '`'];

/// A legal name for a text, which fits when it is encoded.
pub(crate) fn legal(text: &str, kind: NameKind, charset: Charset) -> String {
    let replaced: String = text
        .trim()
        .chars()
        .map(|c| match c {
            // A caret would be read as the beginning of an escape by some readers of names.
            '^' => '_',
            ' ' if kind == NameKind::Tag => '_',
            _ if FORBIDDEN.contains(&c) || c.is_control() || (c.is_whitespace() && c != ' ') => '_',
            _ => c,
        })
        .collect();
    let name = fit(&replaced, LONGEST, charset);
    if name.is_empty() { "_".to_owned() } else { name }
}

/// As much of a legal name as takes so many bytes.
fn fit(name: &str, limit: usize, charset: Charset) -> String {
    let mut length = 0;
    let fitting = name.chars().take_while(|c| {
        text::tokens(c.encode_utf8(&mut [0; 4]), Place::Name, charset, &mut Report::default(), |token| {
            length += token.len();
        });
        length <= limit
    });
    fitting.collect::<String>().trim_end().to_owned()
}

/// The names of one kind, each with its place in a list.
pub(crate) struct Names {
    kind: NameKind,
    charset: Charset,
    by_source: HashMap<String, u32>,
    taken: HashSet<String>,
}

impl Names {
    pub(crate) fn new(kind: NameKind, charset: Charset, reserved: &[&str]) -> Self {
        let taken = reserved.iter().map(|name| name.to_lowercase()).collect();
        Self { kind, charset, by_source: HashMap::new(), taken }
    }

    /// The place of a name that was added before.
    pub(crate) fn find(&self, source: &str) -> Option<u32> {
        self.by_source.get(source).copied()
    }

    /// Gives a name to what is at `place`, and reports it if it is not the source's.
    pub(crate) fn add(&mut self, source: &str, place: u32, renamed: &mut Vec<Renamed>) -> String {
        let wanted = legal(source, self.kind, self.charset);
        let mut name = wanted.clone();
        let mut number = 2u32;
        while !self.taken.insert(name.to_lowercase()) {
            let suffix = format!("_{number}");
            name = fit(&wanted, LONGEST - suffix.len(), self.charset) + &suffix;
            number += 1;
        }
        self.by_source.insert(source.to_owned(), place);
        if name != source {
            renamed.push(Renamed { kind: self.kind, from: source.to_owned(), to: name.clone() });
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn legal_layer(text: &str) -> String {
        legal(text, NameKind::Layer, Charset::CP949)
    }

    #[test]
    fn names_are_made_legal() {
        for (text, name) in [
            ("건물 1동.A", "건물 1동.A"),
            (r#"a<>/\":;?*|,=`b"#, "a_____________b"),
            ("  x\t ", "x"),
            ("a\nb^", "a_b_"),
            ("", "_"),
            ("*Model_Space", "_Model_Space"),
            ("a\u{a0}b", "a_b"),
        ] {
            assert_eq!(legal_layer(text), name, "{text:?}");
        }
        assert_eq!(legal("a b", NameKind::Tag, Charset::CP949), "a_b");
    }

    #[test]
    fn names_fit() {
        assert_eq!(legal_layer(&"가".repeat(200)).chars().count(), 127);
        assert_eq!(legal_layer(&"é".repeat(200)).chars().count(), 36);
        assert_eq!(legal(&"가".repeat(200), NameKind::Layer, Charset::UTF_8).chars().count(), 85);
    }

    #[test]
    fn different_names_stay_different() {
        let mut names = Names::new(NameKind::Layer, Charset::UTF_8, &["0"]);
        let mut renamed = Vec::new();
        let sources = ["a/b", "a,b", "A_B", "a_b", "0", "a_b_2"];
        let given: Vec<String> =
            sources.iter().enumerate().map(|(n, name)| names.add(name, n as u32, &mut renamed)).collect();
        assert_eq!(given, ["a_b", "a_b_2", "A_B_3", "a_b_4", "0_2", "a_b_2_2"]);
        assert_eq!(renamed.len(), 6);
        let long = "x".repeat(300);
        let first = names.add(&long, 6, &mut renamed);
        let second = names.add(&(long.clone() + "y"), 7, &mut renamed);
        assert_eq!((first.len(), second.len()), (255, 255));
        assert!(second.ends_with("_2"));
        assert_eq!((names.find(&long), names.find("b")), (Some(6), None));
    }
}
