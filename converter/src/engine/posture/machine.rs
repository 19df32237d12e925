//! The environment of the engine process: facts about this process and the machine. A fact that
//! cannot be read is unknown, and never counts as good.

use super::KernelLandlock;
use crate::linux::mounts::{RAMFS, TMPFS};
use crate::linux::proc;
use crate::workspace::Workspace;
use serde::Serialize;
use std::path::Path;

/// The environment of the engine process.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Machine {
    /// The kernel's version.
    pub kernel: String,
    /// User id of this process.
    pub uid: u32,
    /// Effective capabilities of this process, as a bit mask of the kernel's numbers.
    pub capabilities: Option<u64>,
    /// Bytes of active swap; 0 if there is none.
    pub swap_bytes: Option<u64>,
    /// The kernel's core pattern; the engine process leaves no core dump.
    pub core_pattern: Option<String>,
    /// The file system of the workspace: `tmpfs`, `ramfs`, or its magic number.
    pub workspace_kind: String,
    /// Whether the workspace is memory that is never swapped out (ramfs, tmpfs with
    /// `noswap`).
    pub workspace_unswappable: bool,
    /// Whether the workspace is in the worker's own mount namespace, and a process outside it
    /// failed to get in.
    pub workspace_private: bool,
    /// The ways in which that process got in; absent if the attempt was not made.
    pub workspace_entered: Option<Vec<&'static str>>,
    /// Free bytes in the workspace.
    pub workspace_free_bytes: Option<u64>,
    /// The kernel's Landlock.
    pub landlock: KernelLandlock,
}

impl Machine {
    /// Whether plaintext in the workspace may reach a disk through swap. Unknown counts as yes.
    pub fn may_swap(&self) -> bool {
        self.swap_bytes != Some(0) && !self.workspace_unswappable
    }

    /// Collects the facts. `entered` is the result of the attempt to get in, if it was made.
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
    // proc(5): the fifth field is the mount point, the last one the options of the file system. The
    // longest mount point that contains the path is its mount; of two equal ones the later is on
    // top.
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
