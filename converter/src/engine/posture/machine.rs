//! What surrounds the engine process: facts of this process and of the machine.
//! What cannot be read is unknown, and never taken for good.

use super::KernelLandlock;
use crate::linux::mounts::{RAMFS, TMPFS};
use crate::linux::proc;
use crate::workspace::Workspace;
use serde::Serialize;
use std::path::Path;

/// What surrounds the engine process.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Machine {
    /// The kernel's version.
    pub kernel: String,
    /// User id of this process.
    pub uid: u32,
    /// Effective capabilities of this process, as the kernel numbers them.
    pub capabilities: Option<u64>,
    /// Bytes of swap in use or to be used; 0 when there is none.
    pub swap_bytes: Option<u64>,
    /// What the kernel does with a core dump; the engine process makes none.
    pub core_pattern: Option<String>,
    /// The file system of the workspace: `tmpfs`, `ramfs`, or its number.
    pub workspace_kind: String,
    /// Whether the workspace is memory that is never swapped out (ramfs, tmpfs with
    /// `noswap`).
    pub workspace_unswappable: bool,
    /// Whether the workspace lies in a mount namespace of the worker's own, and a process
    /// outside of it tried to get in and did not.
    pub workspace_private: bool,
    /// The ways in which that process got in; absent when none tried.
    pub workspace_entered: Option<Vec<&'static str>>,
    /// Bytes that the workspace has room for.
    pub workspace_free_bytes: Option<u64>,
    /// The kernel's Landlock.
    pub landlock: KernelLandlock,
}

impl Machine {
    /// Whether plaintext in the workspace may reach a disk by way of the swap. What is
    /// unknown may.
    pub fn may_swap(&self) -> bool {
        self.swap_bytes != Some(0) && !self.workspace_unswappable
    }

    /// Looks. `entered` is what came of the attempt to get in, if one was made.
    pub fn look(workspace: &Workspace, entered: Option<Vec<&'static str>>) -> Self {
        let scratch = workspace.scratch();
        let kind = kind_of(&scratch);
        let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            landlock: KernelLandlock::look(&kernel),
            kernel,
            uid: rustix::process::getuid().as_raw(),
            capabilities: read("/proc/self/status").and_then(|status| proc::capabilities(&status)),
            swap_bytes: read("/proc/swaps").map(|text| swap_bytes(&text)),
            core_pattern: read("/proc/sys/kernel/core_pattern"),
            workspace_unswappable: kind == "ramfs" || has_noswap(&scratch),
            workspace_kind: kind,
            workspace_private: workspace.is_private() && entered.as_ref().is_some_and(Vec::is_empty),
            workspace_entered: entered,
            workspace_free_bytes: workspace.free_bytes().ok(),
        }
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Sum of the sizes in `/proc/swaps`: the third column, in KiB (proc(5)).
fn swap_bytes(text: &str) -> u64 {
    let sizes = text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    sizes.sum::<u64>() * 1024
}

/// Magic numbers of statfs(2).
fn kind_of(path: &Path) -> String {
    match rustix::fs::statfs(path).map(|stat| stat.f_type.cast_unsigned() & 0xffff_ffff) {
        Ok(TMPFS) => "tmpfs".to_owned(),
        Ok(RAMFS) => "ramfs".to_owned(),
        Ok(number) => format!("{number:#x}"),
        Err(_) => "unknown".to_owned(),
    }
}

/// Whether the mount that holds the path has the option `noswap`.
fn has_noswap(path: &Path) -> bool {
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else { return false };
    // proc(5): the fifth field is the mount point, the last one the options of the
    // file system. The longest mount point that holds the path is its mount; of two
    // the later one lies above.
    let holding = mounts.lines().filter(|line| {
        line.split(' ').nth(4).is_some_and(|point| path.starts_with(point.replace("\\040", " ")))
    });
    let mount = holding.max_by_key(|line| line.split(' ').nth(4).map_or(0, str::len));
    mount
        .and_then(|line| line.rsplit(' ').next())
        .is_some_and(|options| options.split(',').any(|option| option == "noswap"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::WorkspaceRoot;

    #[test]
    fn swap_is_summed_up() {
        let head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert_eq!(swap_bytes(head), 0);
        let two = format!("{head}/dev/sda2 partition 1024 0 -2\n/swap file\t\t2048\t\t0\t\t-3\n");
        assert_eq!(swap_bytes(&two), 3 << 20);
    }

    #[test]
    fn capabilities_are_read() {
        assert_eq!(proc::capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n"), Some(0x1ff_ffff_ffff));
        assert_eq!(proc::capabilities("Name:\tx\n"), None);
    }

    #[test]
    fn this_machine_is_known() {
        let workspace = WorkspaceRoot::new("/dev/shm".into(), false).create().unwrap();
        let machine = Machine::look(&workspace, None);
        assert_eq!(machine.workspace_kind, "tmpfs");
        assert!(!machine.workspace_private, "no process tried to get in: {machine:?}");
        assert!(machine.kernel.starts_with(|c: char| c.is_ascii_digit()), "{machine:?}");
        assert_eq!(
            machine.landlock.abi.is_some(),
            machine.landlock.support == crate::engine::posture::Support::Enabled
        );
        assert!(machine.swap_bytes.is_some() && machine.core_pattern.is_some(), "{machine:?}");
    }
}
