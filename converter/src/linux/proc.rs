//! Memory usage of a running process, from `/proc`.

use rustix::process::Pid;
use std::fs::File;
use std::io::{self, Read, Seek};

/// Memory of a process, in bytes; zero when it cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// `VmRSS`.
    pub resident: u64,
    /// Memory that the kernel accounts for it apart from `VmRSS`: page tables (`VmPTE`),
    /// swapped-out pages (`VmSwap`) and huge pages (`HugetlbPages`).
    pub beside: u64,
    /// `VmSize`, what `RLIMIT_AS` caps.
    pub addresses: u64,
    /// `VmHWM`, the largest `VmRSS` so far.
    pub peak_resident: u64,
    /// `VmData`, what `RLIMIT_DATA` caps.
    pub data: u64,
    /// Number of threads.
    pub threads: u64,
    /// The first thread has ended and others continue. The kernel shows no memory for such a
    /// process under its own id; these numbers are from another thread.
    pub leaderless: bool,
}

impl Memory {
    /// All memory that the process holds now.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.resident + self.beside
    }
}

/// Memory of the machine that can be used without swapping, in bytes, as the kernel estimates it;
/// `None` if it does not report it.
pub fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    kib.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// The current memory usage of a process.
pub fn memory(pid: Pid) -> Memory {
    let directory = format!("/proc/{}", pid.as_raw_nonzero());
    match std::fs::read_to_string(format!("{directory}/status")) {
        Ok(text) if has_memory(&text) => parse(&text),
        // The first thread has ended, alone or with the process.
        Ok(_) => other_threads(&directory)
            .map_or_else(Memory::default, |text| Memory { leaderless: true, ..parse(&text) }),
        Err(_) => Memory::default(),
    }
}

/// Whether a status is that of a thread with memory. A thread that has ended has none.
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

/// Whether a thread is ending: when a process exits, its first thread may be gone before the
/// others.
fn is_ending(status: &str, stat: &str) -> bool {
    let pending = ["SigPnd:", "ShdPnd:"].iter().any(|name| {
        let set = status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        set.and_then(|set| u64::from_str_radix(set, 16).ok()).is_some_and(|set| set & KILLED != 0)
    });
    // The name may contain any character; the flags are the seventh field after its closing
    // parenthesis.
    let flags = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(6));
    pending || flags.and_then(|flags| flags.parse::<u64>().ok()).is_none_or(|flags| flags & EXITING != 0)
}

/// The threads of a process; none if it is gone.
pub(crate) fn threads(pid: Pid) -> impl Iterator<Item = Pid> {
    let threads = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    let numbers = threads.into_iter().flatten().flatten();
    numbers.filter_map(|thread| Pid::from_raw(thread.file_name().to_str()?.parse().ok()?))
}

/// The current memory usage, from an open `/proc/PID/status`.
pub fn memory_of(status: &File) -> Memory {
    status_text(status).map_or_else(|_| Memory::default(), |text| parse(&text))
}

/// The current content of an open `/proc/PID/status`.
pub(crate) fn status_text(mut status: &File) -> io::Result<String> {
    // Larger than the file, so that one read is enough.
    let mut text = String::with_capacity(4096);
    status.rewind()?;
    status.read_to_string(&mut text)?;
    Ok(text)
}

/// `CapEff` of a `/proc/PID/status`.
pub(crate) fn capabilities(status: &str) -> Option<u64> {
    let field = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(field.trim(), 16).ok()
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

/// Number of open descriptors of this process, for one that may not read `/proc/self/fd`.
pub fn open_descriptors() -> u64 {
    const HIGHEST: i32 = 4096;
    // SAFETY: fcntl(2) with F_GETFD takes any number, and changes nothing.
    (0..HIGHEST).filter(|&number| unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn our_own_memory_is_seen() {
        let seen = memory(rustix::process::getpid());
        assert!(
            seen.resident > 100 << 10 && seen.peak_resident >= seen.resident && seen.data > 0,
            "{seen:?}"
        );
    }
}
