//! Names of a file in a warning.

/// The names of at most this many things are in a warning.
const MAX_NAMES: usize = 10;

/// Longest name in a warning, in characters.
const MAX_NAME: usize = 60;

/// Names in a warning: not all of many, and no long ones.
pub(super) fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let total = names.len();
    let short = |name: &str| name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect::<String>();
    let mut text = names.take(MAX_NAMES).map(short).collect::<Vec<_>>().join(", ");
    if total > MAX_NAMES {
        text += &format!(" and {} more", total - MAX_NAMES);
    }
    text
}
