//! Files that engines read and write through our callbacks.
//!
//! A [`Directory`] opens files beneath itself only, whatever path it is given. It resolves the path
//! itself, one component at a time, relative to the open directory and without following a link
//! that it has not read. `openat2` with `RESOLVE_BENEATH` would do that, but the seccomp filter
//! cannot inspect its flags and returns `ENOSYS`. A [`Stream`] is such a file with the semantics of
//! C's `FILE`, but it tracks its position without asking the kernel, which libraries query often.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The only directory in which files are opened.
#[derive(Debug)]
pub(crate) struct Directory {
    base: PathBuf,
    handle: OwnedFd,
}

impl Directory {
    pub(crate) fn open(base: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(base, flags, Mode::empty())?;
        Ok(Self { base: base.to_owned(), handle })
    }

    /// Opens a file by its path relative to the directory, or by its absolute path.
    fn open_file(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        let relative = self.relative(path)?;
        let flags = flags | OFlags::CLOEXEC;
        let mode = if flags.contains(OFlags::CREATE) { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
        let file = File::from(self.follow(relative, flags, mode)?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// Opens the file at a path. Links are followed as long as they stay beneath the directory: an
    /// absolute link, and `..` above the directory, fail with `EXDEV` as with `RESOLVE_BENEATH`.
    /// Concurrent changes of directories cannot cause an escape: `..` returns to the descriptor
    /// that was opened on the way.
    fn follow(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let mut entered: Vec<OwnedFd> = Vec::new();
        let mut left = Vec::new();
        push(&mut left, path.as_os_str().as_bytes())?;
        let mut links = 0;
        while let Some(name) = left.pop() {
            match name.as_slice() {
                b"." => continue,
                b".." => {
                    entered.pop().ok_or(Errno::XDEV)?;
                    continue;
                }
                _ => {}
            }
            let here = entered.last().map_or(self.handle.as_fd(), AsFd::as_fd);
            let is_last = left.is_empty();
            let opened = if is_last {
                rustix::fs::openat(here, name.as_slice(), flags | OFlags::NOFOLLOW, mode)
            } else {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat(here, name.as_slice(), flags, Mode::empty())
            };
            match opened {
                Ok(opened) if is_last => return Ok(opened),
                Ok(opened) => entered.push(opened),
                // The kernel's errors for a link: `ELOOP` for `O_NOFOLLOW` alone, `ENOTDIR`
                // together with `O_DIRECTORY`.
                Err(error @ (Errno::LOOP | Errno::NOTDIR)) => {
                    let target =
                        rustix::fs::readlinkat(here, name.as_slice(), Vec::new()).map_err(|_| error)?;
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    push(&mut left, target.as_bytes())?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        // The path ends in a directory.
        Err(Errno::ISDIR.into())
    }

    fn relative<'a>(&self, path: &'a Path) -> io::Result<&'a Path> {
        let relative = path.strip_prefix(&self.base).unwrap_or(path);
        if relative.is_absolute() { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(relative) }
    }
}

/// Maximum number of links in a path, as in the kernel (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Pushes the components of a path onto the stack of remaining ones; the last is the next.
fn push(left: &mut Vec<Vec<u8>>, path: &[u8]) -> io::Result<()> {
    if path.starts_with(b"/") {
        return Err(Errno::XDEV.into());
    }
    let names = path.rsplit(|&byte| byte == b'/');
    left.extend(names.map(|name| if name.is_empty() { b".".to_vec() } else { name.to_vec() }));
    Ok(())
}

/// Size of the read and the write buffer of a stream, in bytes.
const BUFFER: usize = 256 << 10;

/// An open file that tracks its own position.
#[derive(Debug)]
pub(crate) struct Stream {
    file: File,
    position: u64,
    readable: bool,
    writable: bool,
    /// Bytes of the file from `ahead_at` on. Empty while data is to be written.
    ahead: Vec<u8>,
    ahead_at: u64,
    /// Bytes to be written at `pending_at`. Empty while data is read.
    pending: Vec<u8>,
    pending_at: u64,
}

impl Stream {
    /// Opens a file in one of the modes of `fopen`.
    pub(crate) fn open(directory: &Directory, path: &Path, mode: &str) -> io::Result<Self> {
        let plus = mode.contains('+');
        let first = mode.chars().next().unwrap_or('r');
        let flags = match first {
            'w' => OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC,
            'a' => OFlags::RDWR | OFlags::CREATE,
            _ if plus => OFlags::RDWR,
            _ => OFlags::RDONLY,
        };
        let file = directory.open_file(path, flags)?;
        let position = if first == 'a' { file.metadata()?.len() } else { 0 };
        Ok(Self {
            file,
            position,
            readable: first == 'r' || plus,
            writable: first != 'r' || plus,
            ahead: Vec::new(),
            ahead_at: 0,
            pending: Vec::new(),
            pending_at: 0,
        })
    }

    /// Whether this mode of `fopen` writes.
    pub(crate) fn mode_writes(mode: &str) -> bool {
        mode.contains(['w', 'a', '+'])
    }

    /// Reads until the buffer is full or the file ends, like `fread`.
    pub(crate) fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if !self.readable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.flush()?;
        let mut filled = 0;
        while filled < target.len() {
            let wanted = &mut target[filled..];
            let length = match self.held() {
                held if !held.is_empty() => {
                    let length = held.len().min(wanted.len());
                    wanted[..length].copy_from_slice(&held[..length]);
                    length
                }
                // Large reads bypass the buffer.
                _ if wanted.len() >= BUFFER => self.file.read_at(wanted, self.position)?,
                _ => {
                    self.fill()?;
                    if self.ahead.is_empty() {
                        break;
                    }
                    continue;
                }
            };
            if length == 0 {
                break;
            }
            filled += length;
            self.position += length as u64;
        }
        Ok(filled)
    }

    /// The buffered bytes from the position on.
    fn held(&self) -> &[u8] {
        let offset = self.position.checked_sub(self.ahead_at).and_then(|o| usize::try_from(o).ok());
        offset.and_then(|o| self.ahead.get(o..)).unwrap_or(&[])
    }

    fn fill(&mut self) -> io::Result<()> {
        // No more than the file has: memory that is never touched costs nothing.
        let left = self.file.metadata()?.len().saturating_sub(self.position);
        self.ahead.resize(usize::try_from(left).unwrap_or(BUFFER).clamp(1, BUFFER), 0);
        let read = self.file.read_at(&mut self.ahead, self.position);
        self.ahead.truncate(*read.as_ref().unwrap_or(&0));
        self.ahead_at = self.position;
        read.map(drop)
    }

    /// Writes all bytes.
    pub(crate) fn write(&mut self, source: &[u8]) -> io::Result<()> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.ahead.clear();
        let follows = self.pending_at + self.pending.len() as u64 == self.position;
        if !follows || self.pending.len() + source.len() > BUFFER {
            self.flush()?;
        }
        if source.len() > BUFFER {
            self.file.write_all_at(source, self.position)?;
        } else {
            if self.pending.is_empty() {
                self.pending_at = self.position;
            }
            self.pending.extend_from_slice(source);
        }
        self.position += source.len() as u64;
        Ok(())
    }

    /// Flushes buffered data to the system.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all_at(&self.pending, self.pending_at);
        // Data that could not be written is lost; the error is reported once.
        self.pending.clear();
        written
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Moves the position; beyond the end is allowed.
    pub(crate) fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let target = match to {
            io::SeekFrom::Start(position) => Some(position),
            io::SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            io::SeekFrom::End(offset) => self.size()?.checked_add_signed(offset),
        };
        self.position = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }

    /// Size of the file, including data that is not yet flushed.
    pub(crate) fn size(&mut self) -> io::Result<u64> {
        self.flush()?;
        Ok(self.file.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{Read, Seek, SeekFrom, Write};

    #[derive(Debug, Clone)]
    enum Step {
        Read(usize),
        Write(Vec<u8>),
        Seek(u64),
        Back(u8),
        End,
        Flush,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0usize..600_000).prop_map(Step::Read),
            (0usize..300_000, any::<u8>()).prop_map(|(n, b)| Step::Write(vec![b; n])),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Step::Write),
            (0u64..400_000).prop_map(Step::Seek),
            any::<u8>().prop_map(Step::Back),
            Just(Step::End),
            Just(Step::Flush),
        ]
    }

    proptest! {
        /// A stream behaves like the system's own file, whatever the order of calls.
        #[test]
        fn a_stream_is_a_file(steps in prop::collection::vec(step(), 1..30)) {
            let place = tempfile::tempdir().unwrap();
            let directory = Directory::open(place.path()).unwrap();
            let mut ours = Stream::open(&directory, Path::new("ours"), "wb+").unwrap();
            let mut theirs = File::options().read(true).write(true).create_new(true).open(place.path().join("theirs")).unwrap();
            for step in steps {
                match step {
                    Step::Read(n) => {
                        let mut a = vec![0; n];
                        let length = ours.read(&mut a).unwrap();
                        let mut b = Vec::new();
                        Read::by_ref(&mut theirs).take(n as u64).read_to_end(&mut b).unwrap();
                        prop_assert!(a[..length] == b, "{} and {} bytes", length, b.len());
                    }
                    Step::Write(bytes) => {
                        ours.write(&bytes).unwrap();
                        theirs.write_all(&bytes).unwrap();
                    }
                    Step::Seek(to) => prop_assert_eq!(ours.seek(SeekFrom::Start(to)).unwrap(), theirs.seek(SeekFrom::Start(to)).unwrap()),
                    Step::Back(n) => {
                        let by = -i64::from(n);
                        prop_assert_eq!(ours.seek(SeekFrom::Current(by)).ok(), theirs.seek(SeekFrom::Current(by)).ok());
                    }
                    Step::End => prop_assert_eq!(ours.seek(SeekFrom::End(0)).unwrap(), theirs.seek(SeekFrom::End(0)).unwrap()),
                    Step::Flush => ours.flush().unwrap(),
                }
                prop_assert_eq!(ours.position(), theirs.stream_position().unwrap());
                prop_assert_eq!(ours.size().unwrap(), theirs.metadata().unwrap().len());
            }
            ours.flush().unwrap();
            let read = |name: &str| std::fs::read(place.path().join(name)).unwrap();
            prop_assert!(read("ours") == read("theirs"));
        }
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let inner = place.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(place.path().join("secret"), "x").unwrap();
        std::fs::write(inner.join("file"), "x").unwrap();
        std::os::unix::fs::symlink("../secret", inner.join("link")).unwrap();
        let directory = Directory::open(&inner).unwrap();
        let open = |path: &Path| Stream::open(&directory, path, "rb");
        assert!(open(Path::new("file")).is_ok());
        assert!(open(&inner.join("file")).is_ok());
        for path in [
            Path::new("../secret"),
            Path::new("link"),
            &place.path().join("secret"),
            Path::new("/etc/passwd"),
        ] {
            assert!(open(path).is_err(), "{}", path.display());
        }
        assert!(open(Path::new(".")).is_err(), "a directory is no file");
    }

    /// For any tree and path, it opens what `openat2` with `RESOLVE_BENEATH` opens, and fails where
    /// that fails.
    fn as_the_kernel_does(tree: &[(u8, &str, &str)], paths: &[String]) {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("base")).unwrap();
        let base = place.path().join("base").canonicalize().unwrap();
        std::fs::write(place.path().join("a"), "outside").unwrap();
        for (kind, name, target) in tree {
            let at = base.join(name);
            // A link created earlier may lead outside: nothing is created there.
            let is_within = |parent: &Path| parent.canonicalize().is_ok_and(|it| it.starts_with(&base));
            if !at.parent().is_some_and(is_within) {
                continue;
            }
            // Entries that conflict with existing ones are skipped.
            let _ = match kind {
                0 => std::fs::create_dir(&at),
                1 => File::create_new(&at)
                    .and_then(|mut file| io::Write::write_all(&mut file, name.as_bytes())),
                _ => {
                    let target = target.replace("OUTSIDE", place.path().to_str().unwrap());
                    std::os::unix::fs::symlink(target.replace("BASE", base.to_str().unwrap()), &at)
                }
            };
        }
        let directory = Directory::open(&base).unwrap();
        for path in paths {
            let resolve = rustix::fs::ResolveFlags::BENEATH | rustix::fs::ResolveFlags::NO_MAGICLINKS;
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let read = |file: File| {
                let is_file = file.metadata().unwrap().is_file();
                is_file.then(|| io::read_to_string(file).unwrap())
            };
            let theirs = rustix::fs::openat2(&directory.handle, path, flags, Mode::empty(), resolve);
            let theirs = theirs.ok().map(File::from).and_then(read);
            let ours = directory.open_file(Path::new(path), OFlags::RDONLY).ok().and_then(read);
            assert_eq!(ours, theirs, "{path} in {tree:?}");
        }
    }

    fn name() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "d/e/b"])
    }

    fn target() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "a",
            "b",
            "d",
            "e",
            "d/a",
            "..",
            "../a",
            "../b",
            "../d/a",
            "../../a",
            "../..",
            ".",
            "./d/../b",
            "BASE/a",
            "OUTSIDE/a",
            "d/e/..",
            "nowhere",
        ])
    }

    proptest! {
        #[test]
        fn a_path_leads_where_the_kernel_says(
            tree in prop::collection::vec((0u8..3, name(), target()), 0..10),
            paths in prop::collection::vec(prop::collection::vec(target(), 1..4), 1..8),
        ) {
            let paths: Vec<String> = paths.iter().map(|parts| parts.join("/").replace("BASE/", "")).collect();
            as_the_kernel_does(&tree, &paths);
        }
    }

    #[test]
    fn links_without_end_and_files_taken_for_directories_are_errors() {
        let place = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("loop", place.path().join("loop")).unwrap();
        std::fs::write(place.path().join("file"), "x").unwrap();
        let directory = Directory::open(place.path()).unwrap();
        let error = |path: &str| directory.open_file(Path::new(path), OFlags::RDONLY).unwrap_err();
        assert_eq!(error("loop").raw_os_error(), Some(Errno::LOOP.raw_os_error()));
        assert_eq!(error("loop/x").raw_os_error(), Some(Errno::LOOP.raw_os_error()));
        assert_eq!(error("file/x").raw_os_error(), Some(Errno::NOTDIR.raw_os_error()));
        assert_eq!(error("").raw_os_error(), Some(Errno::ISDIR.raw_os_error()));
    }

    /// A new file is never created through a link that leads outside.
    #[test]
    fn nothing_is_made_through_a_link_that_leads_out() {
        let place = tempfile::tempdir().unwrap();
        let inner = place.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        for (link, target) in [("file", "../made"), ("directory", ".."), ("absolute", "/tmp/cadmill-made")] {
            std::os::unix::fs::symlink(target, inner.join(link)).unwrap();
        }
        let directory = Directory::open(&inner).unwrap();
        for path in ["file", "directory/made", "absolute", "../made", "x/../../made"] {
            assert!(Stream::open(&directory, Path::new(path), "wb").is_err(), "{path}");
        }
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
        assert!(!Path::new("/tmp/cadmill-made").exists());
    }

    #[test]
    fn modes_are_those_of_fopen() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::open(place.path()).unwrap();
        let open = |mode| Stream::open(&directory, Path::new("f"), mode);
        assert!(open("r").is_err() && open("r+").is_err());
        let mut file = open("wb").unwrap();
        file.write(b"abc").unwrap();
        assert!(file.read(&mut [0; 1]).is_err());
        file.flush().unwrap();
        let mut file = open("ab").unwrap();
        file.write(b"d").unwrap();
        file.flush().unwrap();
        let mut file = open("rb").unwrap();
        let mut content = [0; 9];
        assert_eq!(file.read(&mut content).unwrap(), 4);
        assert!(file.write(b"x").is_err());
        assert_eq!(&content[..4], b"abcd");
    }
}
