//! Whether the output of a dead engine can be read. The engine chooses modes and names, so a file
//! that cannot be opened is the fault of the engine and not of the machine.

use crate::workspace::usage::LONG_PATH;
use cadmill_core::domain::removed::is_removed;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use std::io;
use std::path::Path;

/// What prevents a user without privileges from reading the output, if anything does. Root could
/// read it anyway: the outcome does not depend on the worker's user.
///
/// # Errors
/// The operating system's, for the directory itself.
pub(super) fn obstacle(directory: &Path) -> io::Result<Option<&'static str>> {
    const DIRECTORY: OFlags =
        OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    let top = rustix::fs::open(directory, DIRECTORY, Mode::empty())?;
    let mut pending: Vec<Vec<u8>> = vec![b".".to_vec()];
    while let Some(path) = pending.pop() {
        // Its mode was checked before it was added here: what fails now is the name.
        let Ok(opened) = rustix::fs::openat(&top, path.as_slice(), DIRECTORY, Mode::empty()) else {
            return Ok(Some("a directory that cannot be opened"));
        };
        for entry in Dir::read_from(&opened)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." || is_removed(name.to_bytes()) {
                continue;
            }
            let Ok(found) = rustix::fs::statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) else {
                return Ok(Some("a file that cannot be inspected"));
            };
            let inner = [path.as_slice(), b"/", name.to_bytes()].concat();
            if inner.len() > LONG_PATH {
                return Ok(Some("files that are too deeply nested"));
            }
            let mode = Mode::from_raw_mode(found.st_mode);
            match FileType::from_raw_mode(found.st_mode) {
                FileType::Directory if !mode.contains(Mode::RUSR | Mode::XUSR) => {
                    return Ok(Some("a directory that its owner cannot read"));
                }
                FileType::Directory => pending.push(inner),
                FileType::RegularFile if !mode.contains(Mode::RUSR) => {
                    return Ok(Some("a file that its owner cannot read"));
                }
                _ => {}
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_its_owner_cannot_read_is_an_obstacle_whoever_looks() {
        for (mode, is_directory, readable) in [
            (0o000, true, false),
            (0o300, true, false),
            (0o500, true, true),
            (0o000, false, false),
            (0o200, false, false),
            (0o400, false, true),
        ] {
            let place = tempfile::tempdir_in("/dev/shm").unwrap();
            let path = place.path().join("outer/x");
            std::fs::create_dir(place.path().join("outer")).unwrap();
            if is_directory { std::fs::create_dir(&path) } else { std::fs::write(&path, "x") }.unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(obstacle(place.path()).unwrap().is_none(), readable, "{mode:o} {is_directory}");
            std::fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        }
    }

    #[test]
    fn depth_is_an_obstacle_before_it_is_too_deep_to_see() {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let name = "n".repeat(250);
        let mut path = place.path().to_owned();
        for depth in 0..12 {
            path.push(&name);
            std::fs::create_dir(&path).unwrap();
            assert_eq!(obstacle(place.path()).unwrap().is_none(), depth < 8, "{depth}");
        }
    }
}
