//! Parts of docs/ARCHIVES.md that tests write.

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ARCHIVES.md");

/// The text from `begin` on, up to `end` or else to the end of the document.
pub(crate) fn part(begin: &str, end: Option<&str>) -> String {
    let document = std::fs::read_to_string(PATH).unwrap();
    split(&document, begin, end).1.to_owned()
}

/// Asserts that this part of the document is `expected`. With `UPDATE_DOCS=1` in the environment it
/// is written instead.
pub(crate) fn assert_documented(begin: &str, end: Option<&str>, expected: &str, command: &str) {
    let document = std::fs::read_to_string(PATH).unwrap();
    let (before, found, after) = split(&document, begin, end);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PATH, [before, expected, after].concat()).unwrap();
    } else {
        assert!(found == expected, "docs/ARCHIVES.md is out of date: UPDATE_DOCS=1 {command}");
    }
}

/// What is before the part, the part, and what is behind it.
fn split<'a>(document: &'a str, begin: &str, end: Option<&str>) -> (&'a str, &'a str, &'a str) {
    let at = document.find(begin).unwrap_or_else(|| panic!("docs/ARCHIVES.md has no {begin:?}"));
    let length = end.map_or(document.len() - at, |end| {
        document[at..].find(end).unwrap_or_else(|| panic!("docs/ARCHIVES.md has no {end:?}"))
    });
    (&document[..at], &document[at..at + length], &document[at + length..])
}
