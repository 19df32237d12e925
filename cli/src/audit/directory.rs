//! The ledgers in a directory, as `cadmill convert --audit` and the sink `file` lay them out:
//! `JOB/ATTEMPT-PART.jsonl`.

use super::text::shown;
use cadmill_core::domain::failure::{Failure, FailureCode};
use std::io;
use std::path::{Path, PathBuf};

const SUFFIX: &str = "jsonl";

/// Replaces each directory by the ledgers in it and in the directories directly below it. Links to
/// directories below it are not followed.
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
        }
    }
    Ok(found)
}
