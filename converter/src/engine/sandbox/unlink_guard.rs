//! Files that an engine removes are moved aside instead, so that the worker can destroy them.
//!
//! An engine writes plaintext to its own temporary files and removes them: journals, indexes, parts
//! of its output. If the engine removed them, they would not be in the ledger and could not be
//! overwritten. The filter traps every call that removes a name with `SIGSYS`, and the handler
//! ([`crate::engine::sandbox::sigsys`]) emulates the call:
//!
//! - a file that is removed, or replaced by renaming another over it, is renamed to a name with
//!   [`PREFIX`] in the same directory, where the worker finds it after the engine is dead;
//! - a directory with nothing else in it likewise;
//! - everything else, and every error, is as in unlink(2), rmdir(2) and rename(2).
//!
//! A removal therefore frees no memory before the job ends. Landlock checks the paths as it would
//! have checked the removal: a move needs the same right.
//!
//! This runs in a signal handler: no allocation, no lock, and no call that the filter traps.

use crate::engine::sandbox::observed;
use crate::engine::sandbox::signal_record::{DIGITS, decimal};
use cadmill_core::domain::removed::{PREFIX, is_removed};
use libc::{AT_FDCWD, AT_REMOVEDIR, RENAME_NOREPLACE, c_int, c_long, c_uint};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of a path with its NUL, as in the kernel (`limits.h`).
const PATH_BYTES: usize = libc::PATH_MAX as usize;

/// Largest number of bytes of a name with two numbers of 32 bits.
const NAME_BYTES: usize = PREFIX.len() + 2 * 10 + 1;

/// Attempts to find a free name. A second one is needed only if an engine creates such names
/// itself, to obstruct the guard.
const TRIES: u32 = 64;

/// The next number.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// The result of the call, with errors as negative numbers, as from the kernel; `None` if the call
/// removes no name.
///
/// # Safety
/// `number` and `arguments` must be those of a system call that the calling thread was about to
/// make. As in the kernel, its pointers are to strings with a NUL; unlike in the kernel, an invalid
/// pointer crashes the process.
pub(super) unsafe fn answer(number: c_long, arguments: [u64; 6]) -> Option<c_long> {
    let fd = |index: usize| arguments[index] as c_int;
    // SAFETY: guaranteed by the caller.
    let path = |index: usize| unsafe { text(arguments[index]) };
    let outcome = match number {
        #[cfg(target_arch = "x86_64")]
        libc::SYS_unlink => remove(AT_FDCWD, path(0), Kind::File),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rmdir => remove(AT_FDCWD, path(0), Kind::Directory),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rename => rename(WorkspaceRoot(AT_FDCWD, path(0)), WorkspaceRoot(AT_FDCWD, path(1))),
        libc::SYS_unlinkat => match fd(2) {
            0 => remove(fd(0), path(1), Kind::File),
            AT_REMOVEDIR => remove(fd(0), path(1), Kind::Directory),
            _ => Err(libc::EINVAL),
        },
        libc::SYS_renameat => rename(WorkspaceRoot(fd(0), path(1)), WorkspaceRoot(fd(2), path(3))),
        libc::SYS_renameat2 => match arguments[4] as c_uint {
            0 => rename(WorkspaceRoot(fd(0), path(1)), WorkspaceRoot(fd(2), path(3))),
            // The filter allows the variants that destroy nothing.
            _ => Err(libc::EINVAL),
        },
        _ => return None,
    };
    Some(outcome.map_or_else(|error| -c_long::from(error), |()| 0))
}

/// A path, and the directory that it is relative to unless it is absolute.
#[derive(Clone, Copy)]
struct WorkspaceRoot<'a>(c_int, &'a CStr);

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    File,
    Directory,
}

/// The kernel's result or its error.
type Done = Result<(), c_int>;

/// # Safety
/// As for [`answer`].
unsafe fn text<'a>(pointer: u64) -> &'a CStr {
    if pointer == 0 {
        return c"";
    }
    // SAFETY: the caller guarantees a string with a NUL.
    unsafe { CStr::from_ptr(pointer as *const libc::c_char) }
}

/// Emulates unlink(2) and rmdir(2).
fn remove(directory: c_int, path: &CStr, kind: Kind) -> Done {
    let place = WorkspaceRoot(directory, path);
    let found = status(place)?;
    match (kind, found.kind) {
        (Kind::File, Kind::Directory) => return Err(libc::EISDIR),
        (Kind::Directory, Kind::File) => return Err(libc::ENOTDIR),
        (Kind::Directory, Kind::Directory) => {
            last_name(path.to_bytes()).map_err(|special| match special {
                Special::Here => libc::EINVAL,
                Special::Above => libc::ENOTEMPTY,
                Special::Root => libc::EBUSY,
            })?;
            nothing_is_in(place)?;
        }
        (Kind::File, Kind::File) => {}
    }
    set_aside(place, &mut Path::new())
}

/// Emulates rename(2).
fn rename(from: WorkspaceRoot<'_>, to: WorkspaceRoot<'_>) -> Done {
    match moved(from, to) {
        Err(libc::EEXIST) => {}
        other => return other,
    }
    last_name(to.1.to_bytes()).map_err(|_| libc::EBUSY)?;
    let (old, new) = (status(from)?, status(to)?);
    if old.inode == new.inode {
        return Ok(());
    }
    if old.kind == Kind::File && to.1.to_bytes().ends_with(b"/") {
        return Err(libc::ENOTDIR);
    }
    match (old.kind, new.kind) {
        (Kind::File, Kind::Directory) => return Err(libc::EISDIR),
        (Kind::Directory, Kind::File) => return Err(libc::ENOTDIR),
        (Kind::Directory, Kind::Directory) => nothing_is_in(to)?,
        (Kind::File, Kind::File) => {}
    }
    let mut aside = Path::new();
    set_aside(to, &mut aside)?;
    moved(from, to).inspect_err(|_| {
        // The move failed: the file to be replaced gets its name back.
        let _ = moved(WorkspaceRoot(to.0, aside.as_text()), to);
    })
}

/// Renames the file to a name with [`PREFIX`], which is stored in `aside`.
fn set_aside(place: WorkspaceRoot<'_>, aside: &mut Path) -> Done {
    for _ in 0..TRIES {
        aside.beside(place.1.to_bytes())?;
        match moved(place, WorkspaceRoot(place.0, aside.as_text())) {
            Err(libc::EEXIST) => {}
            other => return other,
        }
    }
    Err(libc::EBUSY)
}

/// Last components of a path that are not a name.
enum Special {
    Here,
    Above,
    Root,
}

/// The index of the last name in a path. Slashes may follow the name of a directory.
fn last_name(path: &[u8]) -> Result<usize, Special> {
    let end = path.iter().rposition(|&b| b != b'/').map_or(0, |last| last + 1);
    let start = path[..end].iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
    match &path[start..end] {
        b"" => Err(Special::Root),
        b"." => Err(Special::Here),
        b".." => Err(Special::Above),
        _ => Ok(start),
    }
}

/// A path under construction, on the stack.
struct Path {
    bytes: [u8; PATH_BYTES],
    length: usize,
}

impl Path {
    fn new() -> Self {
        Self { bytes: [0; PATH_BYTES], length: 0 }
    }

    /// A new name in the directory of `path`.
    fn beside(&mut self, path: &[u8]) -> Done {
        let start = last_name(path).map_err(|_| libc::EBUSY)?;
        if start + NAME_BYTES > PATH_BYTES {
            return Err(libc::ENAMETOOLONG);
        }
        self.length = 0;
        self.push(&path[..start]);
        self.push(PREFIX.as_bytes());
        self.number(std::process::id());
        self.push(b"-");
        self.number(NEXT.fetch_add(1, Ordering::Relaxed));
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
        self.bytes[self.length] = 0;
    }

    fn number(&mut self, number: u32) {
        self.push(decimal(number.into(), &mut [0; DIGITS]));
    }

    fn as_text(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

/// The only kind of move that the filter allows here.
fn moved(from: WorkspaceRoot<'_>, to: WorkspaceRoot<'_>) -> Done {
    let (old, new) = (from.1.as_ptr(), to.1.as_ptr());
    // SAFETY: two strings with a NUL that live during the call.
    done(unsafe { libc::syscall(libc::SYS_renameat2, from.0, old, to.0, new, RENAME_NOREPLACE) })
}

/// The file at a path; symbolic links are not followed.
struct Status {
    kind: Kind,
    inode: (u64, u64),
}

fn status(place: WorkspaceRoot<'_>) -> Result<Status, c_int> {
    // SAFETY: all zeros is a valid `stat`.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: a string with a NUL and a struct that may be written to.
    done(unsafe { libc::fstatat(place.0, place.1.as_ptr(), &mut stat, flags) }.into())?;
    let is_directory = stat.st_mode & libc::S_IFMT == libc::S_IFDIR;
    let kind = if is_directory { Kind::Directory } else { Kind::File };
    Ok(Status { kind, inode: (stat.st_dev, stat.st_ino) })
}

/// `ENOTEMPTY` if the directory contains an entry that is not a removed file.
fn nothing_is_in(place: WorkspaceRoot<'_>) -> Done {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: a string with a NUL.
    let opened =
        unsafe { libc::syscall(libc::SYS_openat, place.0, place.1.as_ptr(), flags, 0, observed::MARK) };
    done(opened)?;
    let fd = c_int::try_from(opened).map_err(|_| libc::EBADF)?;
    let outcome = entries_are_removed(fd);
    // SAFETY: the descriptor was opened above and is not used again.
    unsafe { libc::close(fd) };
    outcome
}

fn entries_are_removed(fd: c_int) -> Done {
    let mut entries = [0u8; 2048];
    loop {
        // SAFETY: the buffer may be written to for its whole length.
        let read = unsafe { libc::syscall(libc::SYS_getdents64, fd, entries.as_mut_ptr(), entries.len()) };
        done(read)?;
        let mut rest = entries.get(..usize::try_from(read).unwrap_or(0)).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        // struct linux_dirent64, getdents(2): the length is at 16, the name at 19.
        while let (Some(&[low, high]), Some(name)) = (rest.get(16..18), rest.get(19..)) {
            let name = CStr::from_bytes_until_nul(name).unwrap_or(c"").to_bytes();
            if name != b"." && name != b".." && !is_removed(name) {
                return Err(libc::ENOTEMPTY);
            }
            rest = rest.get(usize::from(u16::from_ne_bytes([low, high])).max(1)..).unwrap_or_default();
        }
    }
}

fn done(answer: c_long) -> Done {
    if answer >= 0 {
        return Ok(());
    }
    // SAFETY: the address of the calling thread's errno is always valid.
    Err(unsafe { *libc::__errno_location() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::CString;
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    /// A step, with paths relative to a directory.
    #[derive(Debug, Clone)]
    enum Step {
        File(&'static str),
        Directory(&'static str),
        Unlink(&'static str),
        Rmdir(&'static str),
        Rename(&'static str, &'static str),
    }

    fn text(base: &Path, path: &str) -> CString {
        // Not `Path::join`, which would drop trailing slashes and dots.
        CString::new([base.as_os_str().as_bytes(), b"/", path.as_bytes()].concat()).unwrap()
    }

    fn of_the_kernel(answer: c_int) -> c_long {
        if answer == 0 { 0 } else { -io::Error::last_os_error().raw_os_error().unwrap() as c_long }
    }

    /// Performs the step by the kernel.
    fn really(base: &Path, step: &Step) -> c_long {
        let at = |path: &str| text(base, path);
        // SAFETY: strings with a NUL that live during the call; here and below.
        of_the_kernel(unsafe {
            match step {
                Step::Unlink(path) => libc::unlink(at(path).as_ptr()),
                Step::Rmdir(path) => libc::rmdir(at(path).as_ptr()),
                Step::Rename(from, to) => libc::rename(at(from).as_ptr(), at(to).as_ptr()),
                Step::Directory(path) => libc::mkdir(at(path).as_ptr(), 0o700),
                Step::File(path) => {
                    let fd = libc::open(at(path).as_ptr(), libc::O_CREAT | libc::O_WRONLY, 0o600);
                    if fd < 0 { fd } else { libc::close(fd) }
                }
            }
        })
    }

    /// Performs the step by the guard; steps that create something by the kernel too.
    fn answered(base: &Path, step: &Step) -> c_long {
        let call = |number: c_long, paths: [&str; 2], flags: c_int| {
            let [first, second] = paths.map(|path| text(base, path));
            let (first, second) = (first.as_ptr() as u64, second.as_ptr() as u64);
            let here = AT_FDCWD as u64;
            let arguments = match number {
                libc::SYS_unlinkat => [here, first, flags as u64, 0, 0, 0],
                _ => [here, first, here, second, 0, 0],
            };
            // SAFETY: strings with a NUL that live during the call.
            unsafe { answer(number, arguments) }.unwrap()
        };
        match step {
            Step::Unlink(path) => call(libc::SYS_unlinkat, [path, ""], 0),
            Step::Rmdir(path) => call(libc::SYS_unlinkat, [path, ""], AT_REMOVEDIR),
            Step::Rename(from, to) => call(libc::SYS_renameat2, [from, to], 0),
            made => really(base, made),
        }
    }

    /// The names of what was not removed, and the number of files, removed ones included.
    fn listing(base: &Path) -> (Vec<String>, usize) {
        let (mut names, mut files, mut pending) = (Vec::new(), 0, vec![(base.to_owned(), false)]);
        while let Some((directory, is_gone)) = pending.pop() {
            for entry in std::fs::read_dir(&directory).unwrap().map(Result::unwrap) {
                let is_gone = is_gone || is_removed(entry.file_name().as_bytes());
                let is_directory = entry.file_type().unwrap().is_dir();
                files += usize::from(!is_directory);
                if !is_gone {
                    let kind = if is_directory { "/" } else { "" };
                    names.push(format!("{}{kind}", entry.path().strip_prefix(base).unwrap().display()));
                }
                if is_directory {
                    pending.push((entry.path(), is_gone));
                }
            }
        }
        names.sort();
        (names, files)
    }

    fn path() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "c", "c/a", "x/a", "d/", "a/", ".",
        ])
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => path().prop_map(Step::File),
            2 => path().prop_map(Step::Directory),
            2 => path().prop_map(Step::Unlink),
            2 => path().prop_map(Step::Rmdir),
            3 => (path(), path()).prop_map(|(from, to)| Step::Rename(from, to)),
        ]
    }

    proptest! {
        /// An engine sees the same as without the guard, and no file is lost.
        #[test]
        fn it_is_as_in_the_kernel_and_nothing_is_lost(steps in prop::collection::vec(step(), 0..40)) {
            let (real, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let mut made = 0;
            for step in &steps {
                let before = listing(ours.path()).1;
                let mut answers = (really(real.path(), step), answered(ours.path(), step));
                // If a move has two errors, which of them is returned is not specified.
                if let Step::Rename(..) = step {
                    answers = (answers.0.signum(), answers.1.signum());
                }
                prop_assert_eq!(answers.0, answers.1, "{:?} of {:?}", step, steps);
                made += listing(ours.path()).1 - before;
                prop_assert_eq!(listing(real.path()).0, listing(ours.path()).0, "{:?} of {:?}", step, steps);
            }
            prop_assert_eq!(listing(ours.path()).1, made);
        }
    }

    #[test]
    fn names_that_are_taken_are_passed_over_and_errors_are_those_of_the_kernel() {
        let place = tempfile::tempdir().unwrap();
        let unlink = |path: &CStr, flags: c_int| {
            let arguments = [AT_FDCWD as u64, path.as_ptr() as u64, flags as u64, 0, 0, 0];
            // SAFETY: a string with a NUL that lives during the call.
            unsafe { answer(libc::SYS_unlinkat, arguments) }.unwrap()
        };
        let next = NEXT.load(Ordering::Relaxed);
        for number in next..next + 5 {
            let name = format!("{PREFIX}{}-{number}", std::process::id());
            std::fs::write(place.path().join(name), "in the way").unwrap();
        }
        std::fs::write(place.path().join("file"), "removed").unwrap();
        assert_eq!(unlink(&text(place.path(), "file"), 0), 0);
        let texts =
            std::fs::read_dir(place.path()).unwrap().map(|e| std::fs::read(e.unwrap().path()).unwrap());
        assert_eq!(texts.filter(|text| text == b"removed").count(), 1);
        for (path, flags, error) in [
            (c"", 0, libc::ENOENT),
            (c"/", 0, libc::EISDIR),
            (c"/proc/self", AT_REMOVEDIR, libc::ENOTDIR),
            (c"/nowhere/at/all", 0, libc::ENOENT),
            (c"/tmp", 1, libc::EINVAL),
        ] {
            assert_eq!(unlink(path, flags), -c_long::from(error), "{path:?}");
        }
        // SAFETY: no pointers.
        assert_eq!(unsafe { answer(libc::SYS_getpid, [0; 6]) }, None);
    }
}
