//! What a running process uses: its memory from `/proc`, its files from the directory.

use rustix::process::Pid;
use std::path::Path;

/// Memory of a process, in bytes; zero when it cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// `VmRSS`.
    pub resident: u64,
    /// `VmHWM`, the largest `VmRSS` so far.
    pub peak_resident: u64,
    /// `VmData`, what `RLIMIT_DATA` caps.
    pub data: u64,
}

/// What a process uses now.
pub fn memory(pid: Pid) -> Memory {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
    status.map_or_else(|_| Memory::default(), |text| parse(&text))
}

fn parse(status: &str) -> Memory {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
        number.unwrap_or(0) * 1024
    };
    Memory { resident: field("VmRSS:"), peak_resident: field("VmHWM:"), data: field("VmData:") }
}

/// Sum of the sizes of the files in a directory and below, in bytes. Links are
/// not followed. Files that vanish while it looks do not count.
pub fn directory_bytes(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => directory_bytes(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |m| m.len()),
            _ => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_kib() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nVmData:\t     512 kB\n";
        assert_eq!(parse(status), Memory { resident: 1 << 20, peak_resident: 2 << 20, data: 512 << 10 });
        assert_eq!(parse("Name:\tzombie\n"), Memory::default());
    }

    #[test]
    fn our_own_memory_is_seen() {
        let seen = memory(rustix::process::getpid());
        assert!(
            seen.resident > 100 << 10 && seen.peak_resident >= seen.resident && seen.data > 0,
            "{seen:?}"
        );
    }

    #[test]
    fn files_below_count_and_links_do_not() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("sub")).unwrap();
        std::fs::write(directory.path().join("a"), [0; 10]).unwrap();
        std::fs::write(directory.path().join("sub/b"), [0; 5]).unwrap();
        std::os::unix::fs::symlink("/etc", directory.path().join("c")).unwrap();
        assert_eq!(directory_bytes(directory.path()), 15);
    }
}
