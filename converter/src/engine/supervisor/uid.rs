//! A user id for one process, which owns that process's directories and nothing else.
//!
//! The id is a fixed number plus the process id, so no two processes have the same id at a time. It
//! is used only if this process may change the owner of files, everything that the job reads and
//! writes is in the workspace, and other users may traverse the directories above it. A job that
//! reads the user's own files keeps the user's id.

use crate::engine::protocol::EngineRequest;
use rustix::fs::{Gid, Uid};
use rustix::process::Pid;
use rustix::thread::CapabilitySet;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Offset added to process ids. It is above the ids of people and services and the ranges of
/// container engines.
const FIRST: u32 = 0x6CAD_0000;

/// Changes the owner of the job's directories to the process's own user id. Returns the id, or
/// `None` where that is not possible.
///
/// # Errors
/// The operating system's, if changing the owners failed midway.
pub(super) fn chown(
    pid: Pid,
    request: &EngineRequest,
    work: &Path,
    output: &Path,
) -> io::Result<Option<u32>> {
    let Some(workspace) = work.parent() else { return Ok(None) };
    let input = request.task.directories().map(|[input, _]| input);
    let jvm = request.library.jvm.iter().flat_map(|jvm| jvm.reads().map(|path| path.as_path()));
    let mut library = request.library.path.as_deref().into_iter().chain(jvm);
    let apart = input.is_none_or(|input| input.starts_with(workspace)) && output.starts_with(workspace);
    if !apart || !may_give() || !workspace.parent().is_some_and(is_open) || !library.all(is_readable) {
        return Ok(None);
    }
    let id = FIRST + pid.as_raw_nonzero().get().unsigned_abs();
    // The directories below are private to their owners; this one is only traversed.
    std::fs::set_permissions(workspace, std::fs::Permissions::from_mode(0o711))?;
    for directory in [Some(work), Some(output), input].into_iter().flatten() {
        hand_over(directory, id)?;
    }
    Ok(Some(id))
}

/// Whether this process may change owners and user ids.
fn may_give() -> bool {
    let needed = CapabilitySet::CHOWN | CapabilitySet::SETUID | CapabilitySet::SETGID;
    // To read the files after the change of owner, and to remove them.
    let needed = needed | CapabilitySet::DAC_OVERRIDE;
    rustix::thread::capabilities(None).is_ok_and(|held| held.effective.contains(needed))
}

/// Whether every user may traverse the directory and each one above it.
fn is_open(directory: &Path) -> bool {
    directory.ancestors().all(|path| path.metadata().is_ok_and(|m| m.mode() & 0o001 != 0))
}

/// Whether every user may read the file.
fn is_readable(file: &Path) -> bool {
    file.metadata().is_ok_and(|m| m.mode() & 0o004 != 0) && file.parent().is_some_and(is_open)
}

/// Changes the owner of a directory and of everything in it. Symbolic links are not followed.
pub(super) fn hand_over(directory: &Path, id: u32) -> io::Result<()> {
    let owner = (Uid::from_raw(id), Gid::from_raw(id));
    let mut pending = vec![directory.to_owned()];
    while let Some(path) = pending.pop() {
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(rustix::fs::CWD, &path, Some(owner.0), Some(owner.1), flags)?;
        if path.symlink_metadata()?.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                pending.push(entry?.path());
            }
        }
    }
    Ok(())
}
