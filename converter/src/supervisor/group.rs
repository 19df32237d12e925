//! A control group for one process, where the host lets us make one, and the
//! kernel's word on who ran out of memory.
//!
//! Both versions of the interface are known, by their files (kernel documentation,
//! `cgroup-v1/memory.rst` and `cgroup-v2.rst`). A group of version 2 that has
//! processes of its own cannot hand controllers down, so that one works as a rule for
//! the root of a container or of the machine only.

use cadmill_core::domain::limits::Caps;
use rustix::process::Pid;
use std::io;
use std::path::{Path, PathBuf};

/// Threads in the group. More than the watchdog allows, which tells of them.
const MAX_PROCESSES: u64 = 1024;

/// What the kernel itself keeps for a process, page tables and such, in bytes.
const OVERHEAD_BYTES: u64 = 128 << 20;

/// The group of one process.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Directories that were made, one a controller.
    made: Vec<PathBuf>,
    /// Where the kernel counts the processes that it took for want of memory.
    counter: Option<PathBuf>,
    /// What it had counted before.
    before: u64,
}

impl Group {
    /// Moves the process into a group of its own, or into none.
    ///
    /// The group's memory has room for the engine and all that it may write to memory:
    /// it stops what the limit on private data and the watchdog do not see.
    pub(super) fn of(pid: Pid, caps: &Caps) -> Self {
        let bytes = caps.memory_bytes.saturating_add(caps.output_bytes).saturating_add(OVERHEAD_BYTES);
        let name = format!("cadmill-engine-{}", pid.as_raw_nonzero());
        let mut group = Self::default();
        let parents = Parents::find();
        if let Some(parent) = &parents.unified {
            group.join(parent, &name, pid, &[("memory.max", bytes), ("pids.max", MAX_PROCESSES)]);
        }
        if let Some(parent) = &parents.memory {
            group.join(parent, &name, pid, &[("memory.limit_in_bytes", bytes)]);
        }
        if let Some(parent) = &parents.pids {
            group.join(parent, &name, pid, &[("pids.max", MAX_PROCESSES)]);
        }
        // Where there is no group of its own, the count of ours will do.
        let own = group.made.iter().find_map(|made| counter_of(made));
        let ours = || [parents.unified, parents.memory].iter().flatten().find_map(|p| counter_of(p));
        group.counter = own.or_else(ours);
        group.before = group.count();
        group
    }

    /// Whether the process has a group with a limit of its own.
    pub(super) fn is_own(&self) -> bool {
        !self.made.is_empty()
    }

    fn join(&mut self, parent: &Path, name: &str, pid: Pid, limits: &[(&str, u64)]) {
        let directory = parent.join(name);
        // One of the same number that a killed supervisor left is empty.
        let _ = std::fs::remove_dir(&directory);
        if std::fs::create_dir(&directory).is_err() {
            return;
        }
        let joined = limits
            .iter()
            .try_for_each(|(file, value)| std::fs::write(directory.join(file), value.to_string()))
            .and_then(|()| std::fs::write(directory.join("cgroup.procs"), pid.to_string()));
        match joined {
            Ok(()) => self.made.push(directory),
            Err(_) => drop(std::fs::remove_dir(&directory)),
        }
    }

    fn count(&self) -> u64 {
        self.counter.as_ref().and_then(|path| killed_in(&std::fs::read_to_string(path).ok()?)).unwrap_or(0)
    }

    /// Whether the kernel took a process of the group for want of memory since the start.
    pub(super) fn has_run_out(&self) -> bool {
        self.count() > self.before
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for directory in self.made.drain(..) {
            if let Err(error) = remove(&directory) {
                tracing::warn!(error = %error, "a control group could not be removed");
            }
        }
    }
}

/// The kernel takes a moment to see that the last process is gone.
fn remove(directory: &Path) -> io::Result<()> {
    let mut result = std::fs::remove_dir(directory);
    for _ in 0..20 {
        match &result {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(std::time::Duration::from_millis(1));
                result = std::fs::remove_dir(directory);
            }
            _ => break,
        }
    }
    result
}

/// The file that counts, by version.
fn counter_of(directory: &Path) -> Option<PathBuf> {
    ["memory.events", "memory.oom_control"]
        .iter()
        .map(|name| directory.join(name))
        .find(|path| path.is_file())
}

/// The number after `oom_kill`.
fn killed_in(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

/// The groups of this process, where groups below them can be made.
#[derive(Debug, Default)]
struct Parents {
    unified: Option<PathBuf>,
    memory: Option<PathBuf>,
    pids: Option<PathBuf>,
}

impl Parents {
    fn find() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let (groups, mounts) = (read("/proc/self/cgroup"), read("/proc/self/mountinfo"));
        let find = |controller: &str| group_of(controller, &groups, &mounts);
        Self { unified: find(""), memory: find("memory"), pids: find("pids") }
    }
}

/// The directory of this process's group for a controller of version 1, or of
/// version 2 when it is empty (cgroups(7), proc(5)).
fn group_of(controller: &str, groups: &str, mounts: &str) -> Option<PathBuf> {
    let path = groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        controllers.split(',').any(|c| c == controller).then_some(path)
    })?;
    mounts.lines().find_map(|line| {
        let (fields, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1)?);
        let matching = match controller {
            "" => kind == "cgroup2",
            _ => kind == "cgroup" && options.split(',').any(|option| option == controller),
        };
        let mut fields = fields.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        // In a container the mount's root is often the group itself.
        let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
        matching.then(|| Path::new(point).join(below))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
31 25 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
32 25 0:28 /pod/one /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 25 0:29 / /sys/fs/cgroup/pids rw,relatime shared:3 - cgroup pids rw,pids
";

    #[test]
    fn the_own_group_is_found_in_either_version() {
        let groups = "9:name=systemd:/\n8:pids:/a/b\n4:memory:/pod/one/two\n0::/x\n";
        let find = |controller| group_of(controller, groups, MOUNTS);
        assert_eq!(find("pids"), Some("/sys/fs/cgroup/pids/a/b".into()));
        assert_eq!(find("memory"), Some("/sys/fs/cgroup/memory/two".into()));
        assert_eq!(find(""), Some("/sys/fs/cgroup/unified/x".into()));
        assert_eq!(group_of("", groups, ""), None);
    }

    #[test]
    fn the_kernels_count_is_read_in_either_version() {
        assert_eq!(killed_in("low 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 5\n"), Some(2));
        assert_eq!(killed_in("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), Some(7));
        assert_eq!(killed_in("oom 3\n"), None);
    }
}
