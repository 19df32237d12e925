//! The files in the engine's output directory. They are untrusted: only regular files with plain
//! names are accepted, up to a maximum number.

use crate::publish::OutputFile;
use crate::workspace::Folder;
use cadmill_archive::Names;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::MAX_WRITTEN_FILES;
use cadmill_core::domain::removed::is_removed;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

/// Lists the regular files below the output directory, by name, without files that the engine
/// removed meanwhile. Anything else, such as a link or a pipe, is refused: it could point outside
/// the workspace.
pub(super) fn output_files(folder: &Folder) -> Result<Vec<OutputFile>, Failure> {
    let mut files = Vec::new();
    let mut pending = vec![(folder.path().to_owned(), String::new())];
    let fail = |e: &std::io::Error| Failure::io("reading the engine's output", e);
    while let Some((directory, prefix)) = pending.pop() {
        for entry in std::fs::read_dir(&directory).map_err(|e| fail(&e))? {
            let entry = entry.map_err(|e| fail(&e))?;
            if is_removed(entry.file_name().as_bytes()) {
                continue;
            }
            let kind = entry.file_type().map_err(|e| fail(&e))?;
            let name =
                entry.file_name().into_string().map_err(|_| strange_output("a name that is not UTF-8"))?;
            let name = format!("{prefix}{name}");
            if kind.is_dir() {
                pending.push((entry.path(), format!("{name}/")));
            } else if kind.is_file() {
                // A second hard link could be anywhere, and let the file be changed later.
                let metadata = entry.metadata().map_err(|e| fail(&e))?;
                if metadata.nlink() != 1 {
                    return Err(strange_output("a file with several hard links"));
                }
                files.push(OutputFile { name, bytes: metadata.len(), folder: folder.clone() });
                if files.len() as u64 > MAX_WRITTEN_FILES {
                    let message = format!("the engine wrote more than {MAX_WRITTEN_FILES} files");
                    return Err(Failure::new(FailureCode::LimitFiles, message));
                }
            } else {
                return Err(strange_output("something that is not a regular file"));
            }
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    fit_for_an_archive(&files)?;
    Ok(files)
}

/// Checks the names: they come from the engine and become names in an archive that other programs
/// expand elsewhere. An invalid name is refused, not changed: files refer to each other by name,
/// and two names must not become one.
fn fit_for_an_archive(files: &[OutputFile]) -> Result<(), Failure> {
    let mut names = Names::default();
    files.iter().try_for_each(|file| {
        names.take(&file.name).map_err(|why| strange_output(&format!("a file that {why}")))
    })
}

fn strange_output(what: &str) -> Failure {
    Failure::new(FailureCode::EngineMisbehaved, format!("the engine left {what} among its output"))
}
