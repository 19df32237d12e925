//! Makes what a dead engine left easy to remove.

use super::usage::LONG_PATH;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Makes a directory tree of a dead engine easy to remove: directories that cannot be entered are
/// opened, and those whose paths would exceed the kernel's limit are moved to the top, under new
/// names. All others keep their names.
///
/// Uses one descriptor at a time, whatever the depth. The directory must not be in use.
///
/// # Errors
/// The system's error.
pub fn flatten(directory: &Path) -> std::io::Result<()> {
    let top = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(directory)?;
    let mut pending: Vec<Vec<u8>> = subdirectories(top.as_fd())?;
    let mut moved = 0u64;
    while let Some(path) = pending.pop() {
        rustix::fs::chmodat(&top, path.as_slice(), Mode::RWXU, AtFlags::empty())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&top, path.as_slice(), flags, Mode::empty())?;
        for inner in subdirectories(opened.as_fd())? {
            // Leaves room for the names of its entries.
            let is_long = path.len() + inner.len() + 2 * NAME_MAX > LONG_PATH;
            pending.push(if is_long {
                move_up(opened.as_fd(), &inner, top.as_fd(), &mut moved)?
            } else {
                [path.as_slice(), b"/", &inner].concat()
            });
        }
    }
    Ok(())
}

/// Longest file name, in bytes, on every file system used for workspaces.
const NAME_MAX: usize = 255;

/// Moves a directory to the top, and returns its name there.
fn move_up(
    from: BorrowedFd<'_>,
    name: &[u8],
    top: BorrowedFd<'_>,
    moved: &mut u64,
) -> std::io::Result<Vec<u8>> {
    // If the name is taken, the next one is tried.
    loop {
        *moved += 1;
        let flat = format!("flat-{moved}").into_bytes();
        match rustix::fs::renameat_with(from, name, top, flat.as_slice(), RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(flat),
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn subdirectories(directory: BorrowedFd<'_>) -> std::io::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            found.push(name.to_bytes().to_vec());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::usage::{self, Bounds, Written};

    fn written(directory: &Path) -> Written {
        let bounds = Bounds { bytes: u64::MAX, entries: u64::MAX, depth: u64::MAX };
        usage::written(&[directory], &bounds, &|| Ok(false)).unwrap()
    }

    /// Makes nested directories, with a file in the innermost.
    fn make_deep(directory: &Path, name: &str, depth: usize) {
        let mut path = directory.to_owned();
        for _ in 0..depth {
            path.push(name);
            std::fs::create_dir(&path).unwrap();
        }
        std::fs::write(path.join("file"), "x").unwrap();
    }

    #[test]
    fn a_deep_tree_keeps_its_names_as_long_as_they_fit() {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        make_deep(directory.path(), "d", 100);
        flatten(directory.path()).unwrap();
        let found = written(directory.path());
        assert_eq!((found.entries, found.depth, found.closed), (101, 100, 0));
    }

    #[test]
    fn what_has_too_long_a_path_is_put_at_the_top() {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let name = "n".repeat(NAME_MAX);
        make_deep(directory.path(), &name, 12);
        std::fs::create_dir(directory.path().join("flat-1")).unwrap();
        std::os::unix::fs::symlink("/etc", directory.path().join("link")).unwrap();
        flatten(directory.path()).unwrap();
        let found = written(directory.path());
        assert_eq!((found.closed, found.entries), (0, 12 + 3));
        let longest = (found.depth as usize) * (NAME_MAX + 1) + "/file".len();
        assert!(found.depth > 2 && longest <= LONG_PATH, "{found:?}");
        assert!(directory.path().join("flat-2").is_dir(), "the first name was taken");
    }
}
