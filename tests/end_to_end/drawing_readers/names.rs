//! Names of layers: those that AutoCAD refuses are changed, and no others.

use super::shapes::{self, Shape};
use std::collections::{BTreeMap, BTreeSet};

/// Compares what was found with what is wanted, to which it gives the names of its layers in the
/// drawing: as many as there were, and changed only if they must be, which the warnings tell.
pub(super) fn take(wanted: &mut [Shape], found: &[Shape], warnings: &str) -> Result<(), String> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for (wanted, found) in wanted.iter_mut().zip(found) {
        let name = names.entry(wanted.layer.clone()).or_insert_with(|| found.layer.clone());
        wanted.layer.clone_from(name);
    }
    shapes::compare(wanted, found)?;
    // Names are told apart by letters that have no case.
    let different: BTreeSet<String> = names.values().map(|name| name.to_lowercase()).collect();
    assert_eq!(different.len(), names.len(), "{names:?}");
    let changed: Vec<_> = names.iter().filter(|(from, to)| from != to).collect();
    for (from, to) in &changed {
        let taken = names.values().any(|name| name != *to && name.to_lowercase() == from.to_lowercase());
        assert!(is_refused(from) || taken, "{from:?} is {to:?}");
    }
    let told = changed.is_empty() || warnings.contains("names that the format does not allow");
    assert!(told, "{changed:?}: {warnings}");
    Ok(())
}

fn is_refused(name: &str) -> bool {
    let forbidden =
        |c: char| "<>/\\\":;?*|,=`^".contains(c) || c.is_control() || (c.is_whitespace() && c != ' ');
    // With its escapes.
    name.contains(forbidden) || name.trim() != name || name.chars().count() * 7 > 255
}
