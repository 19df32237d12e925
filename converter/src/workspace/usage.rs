//! Measures what a running process writes: by walking its directories, and between walks by the
//! growth of the file system that they are on.
//!
//! The walk opens each directory from its parent's descriptor, so that no path is too long for it.
//! It grants itself access to directories that their owner may not read, for as long as it reads
//! them. Directories that it still cannot read are counted, and exceed any bounds. A walk ends when
//! it has seen more than the bounds allow.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat, StatVfs};
use rustix::io::Errno;
use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Longest accepted path below a directory, in bytes: enough for any name of an archive, and half
/// of the kernel's limit (`PATH_MAX`), so that the path of the directory itself fits before it.
pub const LONG_PATH: usize = 2048;

/// Unit of `st_blocks` in bytes, whatever the block size of the file system (stat(2)).
const BLOCK: u64 = 512;

/// Limits on the contents of a directory tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Sum of the sizes of the files, in bytes.
    pub bytes: u64,
    /// Files, directories and everything else.
    pub entries: u64,
    /// Nesting depth of directories.
    pub depth: u64,
}

/// The contents of a directory tree. If they exceed the bounds, only what was seen until then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Sum of the sizes of the files, in bytes. The size of a file is its length or its allocated
    /// size, whichever is larger.
    pub bytes: u64,
    /// Files, directories and everything else.
    pub entries: u64,
    /// Deepest nesting of directories.
    pub depth: u64,
    /// Directories that cannot be read, and paths longer than [`LONG_PATH`].
    pub closed: u64,
}

impl Written {
    /// Whether it exceeds the bounds.
    #[must_use]
    pub fn exceeds(&self, bounds: &Bounds) -> bool {
        self.bytes > bounds.bytes
            || self.entries > bounds.entries
            || self.depth > bounds.depth
            || self.closed > 0
    }
}

/// A directory being read. Its mode is restored afterwards, because later checks depend on it.
struct OpenDirectory {
    descriptor: OwnedFd,
    /// The mode before it was changed.
    before: Cell<Option<Mode>>,
}

impl OpenDirectory {
    /// Grants the owner access. A failure shows when the directory is read.
    fn open_up(&self) {
        if self.before.get().is_none()
            && let Ok(stat) = rustix::fs::fstat(&self.descriptor)
            && rustix::fs::fchmod(&self.descriptor, Mode::RWXU).is_ok()
        {
            self.before.set(Some(Mode::from_raw_mode(stat.st_mode)));
        }
    }
}

impl Drop for OpenDirectory {
    fn drop(&mut self) {
        if let Some(mode) = self.before.get() {
            let _ = rustix::fs::fchmod(&self.descriptor, mode);
        }
    }
}

/// A directory whose entries were read, and its subdirectories still to be entered.
struct Level {
    directory: OpenDirectory,
    inner: Vec<CString>,
    /// Length of its path below the top, in bytes.
    path: usize,
}

/// Measures several directories as if they were one. Links are not followed. Entries that vanish
/// meanwhile do not count. `is_enough` is called periodically and can end the walk: a process that
/// keeps creating files in a directory makes its readers wait.
///
/// # Errors
/// Errors of the system that do not concern the entries: no descriptors, no memory.
pub fn written(
    directories: &[&Path],
    bounds: &Bounds,
    is_enough: &dyn Fn() -> io::Result<bool>,
) -> io::Result<Written> {
    let mut walk = Walk { bounds, is_enough, found: Written::default(), buffer: Vec::new() };
    walk.buffer.resize(BUFFER, MaybeUninit::uninit());
    for directory in directories {
        let top = open(rustix::fs::CWD, directory.as_os_str().as_encoded_bytes(), &mut walk.found)?;
        let Some(top) = top else { continue };
        if !walk.through(top)? {
            break;
        }
    }
    Ok(walk.found)
}

/// Buffer for the directory entries that the kernel returns at once: about a thousand.
const BUFFER: usize = 32 << 10;

struct Walk<'a> {
    bounds: &'a Bounds,
    is_enough: &'a dyn Fn() -> io::Result<bool>,
    found: Written,
    buffer: Vec<MaybeUninit<u8>>,
}

impl Walk<'_> {
    /// Returns whether the walk was completed.
    fn through(&mut self, top: OpenDirectory) -> io::Result<bool> {
        let Some(level) = self.read(top, 0)? else { return Ok(false) };
        let mut levels = vec![level];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.inner.pop() else {
                levels.pop();
                continue;
            };
            let path = level.path + name.to_bytes().len() + 1;
            let Some(inner) = open(&level.directory.descriptor, name.to_bytes(), &mut self.found)? else {
                continue;
            };
            self.found.depth = self.found.depth.max(levels.len() as u64);
            match self.read(inner, path)? {
                Some(level) if !self.found.exceeds(self.bounds) => levels.push(level),
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Counts the entries of a directory; `None` if the walk should end.
    fn read(&mut self, directory: OpenDirectory, path: usize) -> io::Result<Option<Level>> {
        let found = &mut self.found;
        let mut inner = Vec::new();
        let mut entries = RawDir::new(&directory.descriptor, &mut self.buffer);
        loop {
            if entries.is_buffer_empty() && (self.is_enough)()? {
                return Ok(None);
            }
            let entry = match entries.next() {
                None => break,
                // The directory was removed while it was read.
                Some(Err(Errno::NOENT)) => break,
                Some(entry) => entry?,
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            found.entries += 1;
            found.closed += u64::from(path + name.to_bytes().len() + 1 > LONG_PATH);
            if entry.file_type() == FileType::Directory {
                inner.push(name.to_owned());
            } else if let Some(stat) = status(&directory, name, found)? {
                let allocated = stat.st_blocks.unsigned_abs().saturating_mul(BLOCK);
                let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
                let length = if is_file { stat.st_size.unsigned_abs() } else { 0 };
                found.bytes = found.bytes.saturating_add(allocated.max(length));
                // On file systems that do not report the type of an entry.
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    inner.push(name.to_owned());
                }
            }
            if found.exceeds(self.bounds) {
                return Ok(None);
            }
        }
        Ok(Some(Level { directory, inner, path }))
    }
}

/// The status of an entry; `None` if it does not exist any more or cannot be read.
fn status(directory: &OpenDirectory, name: &CStr, found: &mut Written) -> io::Result<Option<Stat>> {
    let look = || rustix::fs::statat(&directory.descriptor, name, AtFlags::SYMLINK_NOFOLLOW);
    let stat = match look() {
        // Its owner may list the directory but not search it.
        Err(Errno::ACCESS) => {
            directory.open_up();
            look()
        }
        other => other,
    };
    judged(stat, found)
}

/// Opens a directory, overriding its owner's permissions if needed. `None` if it does not exist any
/// more or cannot be opened.
fn open(parent: impl AsFd, name: &[u8], found: &mut Written) -> io::Result<Option<OpenDirectory>> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open =
        |from: BorrowedFd<'_>, name: &[u8], how| rustix::fs::openat(from, name, flags | how, Mode::empty());
    let opened = match open(parent.as_fd(), name, OFlags::RDONLY) {
        Err(Errno::ACCESS) => open(parent.as_fd(), name, OFlags::PATH).and_then(|known| {
            // Through its descriptor, so that a file that has taken the name meanwhile is not
            // changed.
            let itself = format!("/proc/self/fd/{}", known.as_raw_fd());
            let before = Mode::from_raw_mode(rustix::fs::fstat(&known)?.st_mode);
            rustix::fs::chmod(&itself, Mode::RWXU)?;
            let opened = open(known.as_fd(), b".", OFlags::RDONLY);
            if opened.is_err() {
                let _ = rustix::fs::chmod(&itself, before);
            }
            Ok(OpenDirectory { descriptor: opened?, before: Cell::new(Some(before)) })
        }),
        other => other.map(|descriptor| OpenDirectory { descriptor, before: Cell::new(None) }),
    };
    judged(opened, found)
}

fn judged<T>(answer: Result<T, Errno>, found: &mut Written) -> io::Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        // Moved or replaced meanwhile.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(Errno::ACCESS | Errno::PERM) => {
            found.closed += 1;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The usage of a file system, by all its users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Allocated bytes.
    pub bytes: u64,
    /// Files, directories and everything else.
    pub entries: u64,
}

impl Held {
    /// The usage of the file system of this descriptor. Takes about a microsecond.
    ///
    /// # Errors
    /// The system's error.
    pub fn by(file_system: impl AsFd) -> io::Result<Self> {
        let StatVfs { f_blocks, f_bfree, f_frsize, f_files, f_ffree, .. } =
            rustix::fs::fstatvfs(file_system)?;
        let bytes = f_blocks.saturating_sub(f_bfree).saturating_mul(f_frsize);
        Ok(Self { bytes, entries: f_files.saturating_sub(f_ffree) })
    }

    /// The growth since an earlier measurement.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(before.bytes),
            entries: self.entries.saturating_sub(before.entries),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const WIDE: Bounds = Bounds { bytes: u64::MAX, entries: u64::MAX, depth: 64 };

    fn count(directories: &[&Path], bounds: &Bounds) -> Written {
        written(directories, bounds, &|| Ok(false)).unwrap()
    }

    fn place() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap()
    }

    #[test]
    fn files_below_count_and_links_do_not() {
        let (first, second) = (place(), place());
        std::fs::create_dir(first.path().join("sub")).unwrap();
        std::fs::write(first.path().join("sub/b"), [0; 5000]).unwrap();
        std::os::unix::fs::symlink("/etc", first.path().join("c")).unwrap();
        std::fs::File::create(second.path().join("sparse")).unwrap().set_len(1 << 40).unwrap();
        let found = count(&[first.path(), second.path()], &WIDE);
        // Memory is allocated in whole pages.
        let expected = Written { bytes: (1 << 40) + 8192, entries: 4, depth: 1, closed: 0 };
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_allocated_behind_the_end_counts() {
        let place = place();
        let file = std::fs::File::create(place.path().join("kept")).unwrap();
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, 1 << 20).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0);
        assert_eq!(count(&[place.path()], &WIDE).bytes, 1 << 20);
    }

    /// Root can read every directory; the test that runs as another user covers more.
    #[test]
    fn neither_modes_nor_long_names_hide_anything() {
        let place = place();
        let (closed, inner) = (place.path().join("closed"), place.path().join("closed/inner"));
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join("file"), [0; 4096]).unwrap();
        for (path, mode) in [(&inner, 0o400), (&closed, 0o300)] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }
        let found = count(&[place.path()], &WIDE);
        assert_eq!((found.bytes, found.entries, found.closed), (4096, 3, 0), "{found:?}");
        // The mode was restored, for later checks.
        for (path, mode) in [(&closed, 0o300), (&inner, 0o400)] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap();
        }
        for (path, mode) in [(&inner, 0o400), (&closed, 0o300)] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }

        let mut here = rustix::fs::open(place.path(), OFlags::DIRECTORY, Mode::empty()).unwrap();
        let name = "n".repeat(250);
        for _ in 0..20 {
            rustix::fs::mkdirat(&here, &name, Mode::RWXU).unwrap();
            here = rustix::fs::openat(&here, &name, OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        let found = count(&[place.path()], &WIDE);
        assert_eq!((found.closed, found.exceeds(&WIDE)), (1, true), "{found:?}");
        crate::workspace::flatten::flatten(place.path()).unwrap();
        let found = count(&[place.path()], &WIDE);
        assert_eq!((found.closed, found.entries), (0, 3 + 20), "{found:?}");
    }

    #[test]
    fn a_walk_ends_at_the_bounds() {
        let place = place();
        for number in 0..100 {
            std::fs::write(place.path().join(format!("{number}")), [0; 4096]).unwrap();
        }
        let few = Bounds { entries: 10, ..WIDE };
        assert_eq!(count(&[place.path()], &few).entries, 11);
        let small = Bounds { bytes: 10 * 4096, ..WIDE };
        assert_eq!(count(&[place.path()], &small).bytes, 11 * 4096);
        let deep = place.path().join("d/".repeat(70));
        std::fs::create_dir_all(deep).unwrap();
        assert_eq!(count(&[place.path()], &WIDE).depth, 65);
    }

    #[test]
    fn a_walk_ends_when_it_is_told_to() {
        let place = place();
        std::fs::write(place.path().join("file"), "x").unwrap();
        assert_eq!(written(&[place.path()], &WIDE, &|| Ok(true)).unwrap(), Written::default());
    }

    #[test]
    fn what_is_gone_is_nothing() {
        assert_eq!(count(&[Path::new("/nonexistent")], &WIDE), Written::default());
    }

    #[test]
    fn a_file_system_tells_what_it_holds() {
        let place = place();
        let directory = std::fs::File::open(place.path()).unwrap();
        let before = Held::by(&directory).unwrap();
        assert_eq!(before.since(&Held { bytes: u64::MAX, entries: u64::MAX }), Held::default());
        assert!(before.bytes > 0 && before.entries > 0);
    }
}
