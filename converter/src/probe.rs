//! What a running process uses of memory, from `/proc`; and what a dead one left, made easy
//! to remove.

use crate::tally::LONG_PATH;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::process::Pid;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Memory of a process, in bytes; zero when it cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// `VmRSS`.
    pub resident: u64,
    /// What the kernel holds for it that is not resident: page tables (`VmPTE`), pages in the
    /// swap (`VmSwap`) and huge pages (`HugetlbPages`).
    pub beside: u64,
    /// `VmSize`, what `RLIMIT_AS` caps.
    pub addresses: u64,
    /// `VmHWM`, the largest `VmRSS` so far.
    pub peak_resident: u64,
    /// `VmData`, what `RLIMIT_DATA` caps.
    pub data: u64,
    /// Number of threads.
    pub threads: u64,
    /// The first thread has ended and others go on. The kernel shows no memory of such a
    /// process under its own id; these numbers are from another thread.
    pub leaderless: bool,
}

impl Memory {
    /// All that the process holds now.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.resident + self.beside
    }
}

/// What a process uses now.
pub fn memory(pid: Pid) -> Memory {
    let directory = format!("/proc/{}", pid.as_raw_nonzero());
    match std::fs::read_to_string(format!("{directory}/status")) {
        Ok(text) if has_memory(&text) => parse(&text),
        // The first thread has ended: alone, or with the process.
        Ok(_) => other_threads(&directory)
            .map_or_else(Memory::default, |text| Memory { leaderless: true, ..parse(&text) }),
        Err(_) => Memory::default(),
    }
}

/// Whether a status is that of a thread that has memory. One that has ended has none.
fn has_memory(status: &str) -> bool {
    status.lines().any(|line| line.starts_with("VmRSS:"))
}

/// The status of a thread of the process that has memory and is not about to end.
fn other_threads(directory: &str) -> Option<String> {
    let threads = std::fs::read_dir(format!("{directory}/task")).ok()?;
    threads.flatten().find_map(|thread| {
        let status = std::fs::read_to_string(thread.path().join("status")).ok()?;
        let stat = std::fs::read_to_string(thread.path().join("stat")).ok()?;
        (has_memory(&status) && !is_ending(&status, &stat)).then_some(status)
    })
}

/// `PF_EXITING` of a thread's flags (proc(5)).
const EXITING: u64 = 4;

/// The bit of `SIGKILL` in a set of signals.
const KILLED: u64 = 1 << 8;

/// Whether a thread ends: when a process ends, its first thread may be gone before the others.
fn is_ending(status: &str, stat: &str) -> bool {
    let pending = ["SigPnd:", "ShdPnd:"].iter().any(|name| {
        let set = status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        set.and_then(|set| u64::from_str_radix(set, 16).ok()).is_some_and(|set| set & KILLED != 0)
    });
    // The name may contain anything; after its closing bracket the flags are the seventh.
    let flags = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(6));
    pending || flags.and_then(|flags| flags.parse::<u64>().ok()).is_none_or(|flags| flags & EXITING != 0)
}

/// The same, from an open `/proc/PID/status`.
pub fn memory_of(status: &File) -> Memory {
    status_text(status).map_or_else(|_| Memory::default(), |text| parse(&text))
}

/// What an open `/proc/PID/status` says now.
pub(crate) fn status_text(mut status: &File) -> io::Result<String> {
    // More than there is, so that it is read at once.
    let mut text = String::with_capacity(4096);
    status.rewind()?;
    status.read_to_string(&mut text)?;
    Ok(text)
}

fn parse(status: &str) -> Memory {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
        number.unwrap_or(0)
    };
    let bytes = |name| field(name) * 1024;
    Memory {
        resident: bytes("VmRSS:"),
        beside: bytes("VmPTE:") + bytes("VmSwap:") + bytes("HugetlbPages:"),
        addresses: bytes("VmSize:"),
        peak_resident: bytes("VmHWM:"),
        data: bytes("VmData:"),
        threads: field("Threads:"),
        leaderless: false,
    }
}

/// Makes what a dead engine left easy to remove, however it was made: directories that
/// may not be entered are opened, and those whose paths would be too long for the kernel
/// are put at the top, under other names. All others keep theirs.
///
/// Takes one descriptor at a time, whatever the depth. Nobody must use the directory.
///
/// # Errors
/// The system's.
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
            // With room for the names of what is in it.
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

/// Longest name of a file, in bytes, on every file system that workspaces lie on.
const NAME_MAX: usize = 255;

/// Moves a directory to the top, and tells its name there.
fn move_up(
    from: BorrowedFd<'_>,
    name: &[u8],
    top: BorrowedFd<'_>,
    moved: &mut u64,
) -> std::io::Result<Vec<u8>> {
    // A name that is taken is an error, and then the next one is not.
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
    use crate::tally::{Bounds, Written};

    fn written(directory: &Path) -> Written {
        let bounds = Bounds { bytes: u64::MAX, entries: u64::MAX, depth: u64::MAX };
        crate::tally::written(&[directory], &bounds, &|| Ok(false)).unwrap()
    }

    #[test]
    fn fields_are_read_in_kib() {
        let status = "Name:\tx\nVmSize:\t    4096 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n\
            VmData:\t     512 kB\nVmPTE:\t      64 kB\nVmSwap:\t       8 kB\nHugetlbPages:\t    2048 kB\n\
            Threads:\t3\n";
        let expected = Memory {
            resident: 1 << 20,
            beside: (64 + 8 + 2048) << 10,
            addresses: 4 << 20,
            peak_resident: 2 << 20,
            data: 512 << 10,
            threads: 3,
            leaderless: false,
        };
        assert_eq!(parse(status), expected);
        assert_eq!(expected.taken(), (1024 + 64 + 8 + 2048) << 10);
        assert_eq!(parse("Name:\tzombie\n"), Memory::default());
    }

    #[test]
    fn a_thread_that_ends_with_its_process_is_told_apart() {
        let status = |pending: &str| format!("SigPnd:\t{pending}\nShdPnd:\t0000000000000000\nVmRSS:\t1 kB\n");
        let stat = |flags: u32| format!("7 (a ) b) S 1 7 7 0 -1 {flags} 12 0");
        assert!(has_memory(&status("0")) && !has_memory("State:\tZ (zombie)\n"));
        assert!(!is_ending(&status("0000000000000000"), &stat(0x40_0040)));
        assert!(is_ending(&status("0000000000000100"), &stat(0x40_0040)));
        assert!(is_ending(&status("0000000000000000"), &stat(0x40_0044)));
        assert!(is_ending(&status("0000000000000000"), ""), "it is gone");
    }

    /// Makes directories in one another, with a file in the innermost.
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

    #[test]
    fn our_own_memory_is_seen() {
        let seen = memory(rustix::process::getpid());
        assert!(
            seen.resident > 100 << 10 && seen.peak_resident >= seen.resident && seen.data > 0,
            "{seen:?}"
        );
    }
}
