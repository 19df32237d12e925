//! What the engine left in its output directory. It is untrusted: regular files
//! with plain names, not too many of them, and nothing else.

use crate::engine::sandbox::unlink_guard::is_removed;
use crate::publish::OutputFile;
use crate::workspace::Folder;
use cadmill_archive::Names;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::MAX_WRITTEN_FILES;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

/// The regular files below the output directory, by name, without those that the engine
/// has removed. Anything else that an engine may have left there, a link or a pipe, is
/// refused: it could lead out.
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
                // Another name of the file may lie anywhere, and change it later.
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

/// The names are the engine's, and become those of an archive that other programs expand
/// elsewhere. One that does not obey the rules is refused and not changed: files refer to
/// each other by name, and two names must not become one.
fn fit_for_an_archive(files: &[OutputFile]) -> Result<(), Failure> {
    let mut names = Names::default();
    files.iter().try_for_each(|file| {
        names.take(&file.name).map_err(|why| strange_output(&format!("a file that {why}")))
    })
}

fn strange_output(what: &str) -> Failure {
    Failure::new(FailureCode::EngineMisbehaved, format!("the engine left {what} among its output"))
}
