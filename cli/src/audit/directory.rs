//! The ledgers in a directory, as `cadmill convert --audit` and the sink `file` lay them out:
//! `JOB/ATTEMPT-PART.jsonl`.

use super::text::shown;
use cadmill_core::domain::failure::{Failure, FailureCode};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

const SUFFIX: &str = "jsonl";
/// Suffix of the file with a ledger's head.
const HEAD: &str = ".head.json";

/// The ledger's file of a head that lies in a directory.
fn of_head(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?.strip_suffix(HEAD)?;
    Some(path.with_file_name(format!("{name}.{SUFFIX}")))
}

/// Replaces each directory by the ledgers in it and in the directories directly below it. Links to
/// directories below it are not followed. A ledger that is missing beside its head is one of them. No
/// file is named twice.
///
/// # Errors
/// `input.unreadable` for a directory that cannot be listed or has no ledger.
pub(super) fn ledgers(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let fail = |error: io::Error| {
            Failure::new(FailureCode::InputUnreadable, format!("cannot read {}: {error}", shown(path)))
        };
        let mut found = below(path, true).map_err(fail)?;
        if found.is_empty() {
            return Err(fail(io::Error::other("it is a directory without ledgers")));
        }
        // A sweep follows the ledger that it completes.
        found.sort();
        files.append(&mut found);
    }
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
    Ok(files)
}

fn below(directory: &Path, deeper: bool) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if deeper && entry.file_type()?.is_dir() {
            found.append(&mut below(&path, false)?);
        } else if path.extension().is_some_and(|extension| extension == SUFFIX) {
            found.push(path);
        } else if let Some(missing) = of_head(&path).filter(|ledger| ledger.symlink_metadata().is_err()) {
            found.push(missing);
        }
    }
    Ok(found)
}
