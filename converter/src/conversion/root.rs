//! The file to convert: found by its name, and completed by what its other parts lack.

use crate::engine::supervisor::clean;
use crate::intake::index;
use crate::workspace::Folder;
use cadmill_core::domain::failure::{Failure, FailureCode};

/// The root that stands for all candidates.
pub(super) const ALL: &str = "*";

/// Makes what the input lacks and what follows from the rest of it. Returns what the owner should
/// know.
pub(super) fn complete(folder: &Folder, name: &str) -> Result<Option<String>, Failure> {
    let restored = index::restore(folder, name)?;
    Ok(restored.map(|records| {
        format!("the index (.shx) of {name} was missing, and was made anew from its {records} records")
    }))
}

/// The file of an archive that the user names.
///
/// # Errors
/// `input.root_missing`, with the names that there are.
pub(super) fn named_root(root: &str, names: &[&str]) -> Result<String, Failure> {
    let wanted = root.trim_end_matches('/');
    let found = names
        .iter()
        .any(|name| name.trim_end_matches('/') == wanted || name.starts_with(&format!("{wanted}/")));
    if found && !wanted.is_empty() {
        return Ok(wanted.to_owned());
    }
    let files: Vec<String> = names.iter().filter(|n| !n.ends_with('/')).map(|&n| n.to_owned()).collect();
    let shown: Vec<&str> = files.iter().take(20).map(String::as_str).collect();
    let message = format!("the archive has no '{}'; it has {}", clean(root), shown.join(", "));
    Err(Failure::new(FailureCode::RootMissing, message).with("entries", files))
}
