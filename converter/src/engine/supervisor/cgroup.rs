//! A control group for one process, where the host allows it, and the kernel's count of OOM kills.
//!
//! Both cgroup versions are supported, by their files (kernel documentation, `cgroup-v1/memory.rst`
//! and `cgroup-v2.rst`). In version 2 a group that contains processes cannot delegate controllers,
//! so that version usually works only at the root of a container or of the machine.
//!
//! Moving another process makes the kernel wait until no process is being created or is exiting,
//! which takes milliseconds. A thread that moves itself does not wait. In version 1, therefore, the
//! thread that starts the process enters the group for the duration of the start, and the process
//! is created in it. Version 2 does not let a thread enter a group with its own limits, so the
//! process is moved.

use super::process::Process;
use cadmill_core::domain::limits::Caps;
use rustix::process::Pid;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Limit on threads in the group. Higher than the watchdog's, so that the watchdog reports the
/// excess.
const MAX_PROCESSES: u64 = 1024;

/// Memory that the kernel itself uses for a process, such as page tables, in bytes.
const OVERHEAD_BYTES: u64 = 128 << 20;

/// Makes the group names of this process unique.
static MADE: AtomicU64 = AtomicU64::new(0);

/// The group of one process.
#[derive(Debug, Default)]
pub(super) struct Cgroup {
    /// The directories created, one per controller.
    made: Vec<PathBuf>,
    /// The file in which the kernel counts OOM kills.
    counter: Option<PathBuf>,
    /// The count before the process started.
    before: u64,
}

impl Cgroup {
    /// Starts a process in its own group, or in none.
    ///
    /// The group's memory limit covers the engine and everything that it may write to memory: it
    /// catches what `RLIMIT_DATA` and the watchdog do not see.
    ///
    /// # Errors
    /// Errors of `start`, and the operating system's if this thread could not leave the group
    /// again.
    pub(super) fn start(
        caps: &Caps,
        start: impl FnOnce() -> io::Result<Process>,
    ) -> io::Result<(Self, Process)> {
        let bytes = caps.memory_bytes.saturating_add(caps.output_bytes).saturating_add(OVERHEAD_BYTES);
        let name = format!("cadmill-engine-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let mut group = Self::default();
        let parents = Parents::find();
        for (parent, limit) in [
            (&parents.memory, ("memory.limit_in_bytes", bytes)),
            (&parents.pids, ("pids.max", MAX_PROCESSES)),
        ] {
            group.made.extend(parent.as_ref().and_then(|parent| make(&parent.join(&name), &[limit], enter)));
        }
        let started = start();
        group.made.iter().filter_map(|made| made.parent()).try_for_each(enter)?;
        let process = started?;
        if let Some(parent) = parents.unified.as_deref().filter(|parent| hands_down(parent)) {
            let limits = [("memory.max", bytes), ("pids.max", MAX_PROCESSES)];
            let made = make(&parent.join(&name), &limits, |group| take(group, process.pid()));
            group.made.extend(made);
        }
        // Without its own group, the counter of this process's group is used.
        let own = group.made.iter().find_map(|made| counter_of(made));
        let ours = || [parents.unified, parents.memory].iter().flatten().find_map(|p| counter_of(p));
        group.counter = own.or_else(ours);
        group.before = group.count();
        Ok((group, process))
    }

    /// Whether the process has its own group with a limit.
    pub(super) fn is_own(&self) -> bool {
        !self.made.is_empty()
    }

    fn count(&self) -> u64 {
        self.counter.as_ref().and_then(|path| killed_in(&std::fs::read_to_string(path).ok()?)).unwrap_or(0)
    }

    /// Whether the kernel has OOM-killed a process of the group since the start.
    pub(super) fn has_run_out(&self) -> bool {
        self.count() > self.before
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for directory in self.made.drain(..) {
            if let Err(error) = remove(&directory) {
                tracing::warn!(error = %error, "a control group could not be removed");
            }
        }
    }
}

/// Creates a group with these limits and calls `join`. `None` if either fails.
fn make(
    directory: &Path,
    limits: &[(&str, u64)],
    join: impl FnOnce(&Path) -> io::Result<()>,
) -> Option<PathBuf> {
    // A group with the same name, left by a killed supervisor, is empty.
    let _ = std::fs::remove_dir(directory);
    std::fs::create_dir(directory).ok()?;
    let joined = limits
        .iter()
        .try_for_each(|(file, value)| std::fs::write(directory.join(file), value.to_string()))
        .and_then(|()| join(directory));
    if joined.is_err() {
        let _ = std::fs::remove_dir(directory);
    }
    joined.ok().map(|()| directory.to_owned())
}

/// Whether this group of version 2 delegates the memory and pids controllers to its children.
fn hands_down(parent: &Path) -> bool {
    let controllers = std::fs::read_to_string(parent.join("cgroup.subtree_control")).unwrap_or_default();
    ["memory", "pids"].iter().all(|wanted| controllers.split_whitespace().any(|there| there == *wanted))
}

/// Moves this thread into a group of version 1; processes that it starts are created there.
fn enter(group: &Path) -> io::Result<()> {
    std::fs::write(group.join("tasks"), "0")
}

/// Moves a process into a group.
fn take(group: &Path, pid: Pid) -> io::Result<()> {
    std::fs::write(group.join("cgroup.procs"), pid.to_string())
}

/// Retries, because the kernel takes a moment to see that the last process is gone.
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

/// The file with the OOM kill counter, for either version.
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

/// The groups of this process below which groups can be created.
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

/// The directory of this process's group for a controller of version 1, or of version 2 if
/// `controller` is empty (cgroups(7), proc(5)).
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
        // In a container the root of the mount is often the group itself.
        let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
        matching.then(|| Path::new(point).join(below))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The groups of version 1 with limits that a process or thread is in.
    fn groups_of(who: &str) -> Vec<String> {
        let groups = std::fs::read_to_string(format!("/proc/{who}/cgroup")).unwrap();
        let limited = |line: &&str| line.contains(":memory:") || line.contains(":pids:");
        groups.lines().filter(limited).map(str::to_owned).collect()
    }

    #[test]
    fn a_process_begins_in_its_group_and_the_thread_that_starts_it_stays_where_it_was() {
        let before = groups_of("thread-self");
        let parents = Parents::find();
        let refuse = || Err(io::ErrorKind::NotFound.into());
        assert_eq!(Cgroup::start(&Caps::default(), refuse).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(groups_of("thread-self"), before);
        let name = format!("cadmill-engine-{}-", std::process::id());
        let left = || {
            let all = [&parents.memory, &parents.pids, &parents.unified].into_iter().flatten();
            let entries = all.flat_map(|parent| std::fs::read_dir(parent).unwrap().flatten());
            entries.filter(|e| e.file_name().to_string_lossy().starts_with(&name)).count()
        };
        // Other tests of this process also have groups for a moment.
        let since = std::time::Instant::now();
        while left() > 0 {
            assert!(since.elapsed().as_secs() < 10, "a process that was not started leaves a group");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let start = || Process::start(Path::new("/bin/cat"), Path::new("/"), Path::new("/"));
        let (group, process) = Cgroup::start(&Caps::default(), start).unwrap();
        assert_eq!(groups_of("thread-self"), before);
        let made: Vec<&Path> = [&parents.memory, &parents.pids]
            .into_iter()
            .flatten()
            .map(|parent| parent.as_path())
            .filter(|parent| group.made.iter().any(|made| made.starts_with(parent)))
            .collect();
        if made.is_empty() {
            println!("skipped: no group of version 1 can be made here");
            return;
        }
        let groups = groups_of(&process.pid().to_string());
        let inside = groups.iter().filter(|line| line.contains("cadmill-engine-")).count();
        assert_eq!(inside, made.len(), "{groups:?}");
        let directories = group.made.clone();
        drop(process);
        drop(group);
        assert!(directories.iter().all(|directory| !directory.exists()));
    }

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
    fn groups_of_version_2_are_made_where_they_can_have_both_limits() {
        let parent = tempfile::tempdir().unwrap();
        assert!(!hands_down(parent.path()), "there is no list");
        for (list, both) in [
            ("", false),
            ("cpu memory\n", false),
            ("pids\n", false),
            ("cpuset cpu io memory hugetlb pids\n", true),
        ] {
            std::fs::write(parent.path().join("cgroup.subtree_control"), list).unwrap();
            assert_eq!(hands_down(parent.path()), both, "{list:?}");
        }
    }

    #[test]
    fn the_kernels_count_is_read_in_either_version() {
        assert_eq!(killed_in("low 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 5\n"), Some(2));
        assert_eq!(killed_in("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), Some(7));
        assert_eq!(killed_in("oom 3\n"), None);
    }
}
