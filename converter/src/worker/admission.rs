//! Admission: whether a job fits this worker, before any of it is downloaded.
//!
//! tmpfs pages count against the same memory as processes, so one budget covers all of it: the
//! expanded size of the object, as much again for the output, and the engine. The object itself is
//! never stored. A job that does not fit now waits; a job that can never fit is refused.
//!
//! What a job may write is a part of its share, and all shares together fit the workspace: a job
//! that writes until it is killed does not take space from another.

use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::{MIN_MEMORY_BYTES, display_size};
use cadmill_core::metrics;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The memory that the jobs of a worker share, in bytes.
#[derive(Debug, Clone)]
pub struct Budget {
    total: u64,
    /// Capacity of the workspace in bytes, and the number of jobs that must fit in it at once.
    place: u64,
    jobs: u64,
    used: Arc<Mutex<Used>>,
}

/// Sum of the shares of the jobs, in bytes.
#[derive(Debug, Default)]
struct Used {
    memory: u64,
    place: u64,
}

/// A job's share of the memory, returned on drop.
#[derive(Debug)]
pub struct Share {
    bytes: Used,
    /// Memory left for the engine, in bytes.
    pub engine_bytes: u64,
    /// Bytes that the engine may write.
    pub output_bytes: u64,
    used: Arc<Mutex<Used>>,
    /// The whole budget, in bytes.
    total: u64,
}

/// The result of a request for admission.
#[derive(Debug)]
pub enum Admission {
    /// It may run.
    Now(Share),
    /// Other jobs hold the memory that it needs.
    Later,
    /// It would not fit even alone.
    Never(Failure),
}

impl Budget {
    /// Creates a budget of this many bytes.
    pub fn new(total: u64) -> Self {
        Self { total, place: u64::MAX, jobs: 1, used: Arc::default() }
    }

    /// Sets the capacity of the workspace in bytes and the number of jobs that must fit in it.
    #[must_use]
    pub fn in_place(self, bytes: u64, jobs: u32) -> Self {
        Self { place: bytes, jobs: u64::from(jobs.max(1)), ..self }
    }

    /// The whole budget, in bytes.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Reserves memory for an object that expands to `expanded` bytes (its own size if it is not an
    /// archive) and an engine that may use up to `engine` bytes of memory and write up to `output`
    /// bytes, or less when less is available.
    pub fn admit(&self, expanded: u64, engine: u64, output: u64) -> Admission {
        // The output may be as large as the input plus half of the engine's memory: once the engine
        // is dead, an archive of the output takes as much space as the output.
        let files = expanded.saturating_mul(2);
        let needed = files.saturating_add(MIN_MEMORY_BYTES);
        if needed > self.total {
            let message = format!(
                "the job needs {}: its files with their output {}, and the engine; a worker has {}",
                display_size(needed),
                display_size(files),
                display_size(self.total)
            );
            return Admission::Never(
                Failure::new(FailureCode::LimitAdmission, message)
                    .with("needed_bytes", needed)
                    .with("budget_bytes", self.total),
            );
        }
        // A tmpfs of a container is often smaller than its memory. No retry makes it larger.
        if expanded > self.place {
            let message = format!(
                "the files of the job need {}; the workspace of a worker has {}",
                display_size(expanded),
                display_size(self.place)
            );
            return Admission::Never(
                Failure::new(FailureCode::LimitAdmission, message)
                    .with("needed_bytes", expanded)
                    .with("workspace_bytes", self.place),
            );
        }
        let engine_bytes = engine.min(self.total - files);
        let fair = expanded.max(self.place / self.jobs / 2);
        let output_bytes = output.min(expanded + engine_bytes / 2).min(fair);
        // The archive takes the place of the input. A job that does not fit alone fails when its
        // workspace is made.
        let place = (expanded.max(output_bytes) + output_bytes).min(self.place);
        let bytes = Used { memory: files + engine_bytes, place };
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.memory + bytes.memory > self.total || used.place + bytes.place > self.place {
            return Admission::Later;
        }
        used.memory += bytes.memory;
        used.place += bytes.place;
        metrics::worker_memory(self.total, used.memory);
        let (used, total) = (Arc::clone(&self.used), self.total);
        Admission::Now(Share { bytes, engine_bytes, output_bytes, used, total })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.memory -= self.bytes.memory;
        used.place -= self.bytes.place;
        metrics::worker_memory(self.total, used.memory);
    }
}

/// Default memory budget for jobs, in bytes: four fifths of the limit of the control group or the
/// machine.
pub fn available_bytes() -> u64 {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
    });
    let own = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let total = [machine, group_limit(&own, read)].into_iter().flatten().min().unwrap_or(4 << 30);
    total / 5 * 4
}

/// The lowest limit of memory, in bytes, of the control groups of a process, of the first or the second
/// version, and of those above them. `own` is what `/proc/self/cgroup` says (cgroups(7)). A container may
/// see its own group at the top, under whatever name the group has outside.
fn group_limit(own: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let groups = own.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
        let (top, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        Some((top, name, group.trim_start_matches('/')))
    });
    let limits = groups.flat_map(|(top, name, group)| {
        let above = Path::new(group).ancestors().map(|group| Path::new(top).join(group).join(name));
        above.filter_map(|path| read(&path)).collect::<Vec<_>>()
    });
    // "max" means unlimited.
    limits.filter_map(|text| text.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn what_fits_runs_and_what_does_not_waits() {
        let budget = Budget::new(9 * GIB);
        let Admission::Now(first) = budget.admit(2 * GIB, GIB, GIB) else { panic!("it fits") };
        assert_eq!(first.engine_bytes, GIB);
        assert!(matches!(budget.admit(2 * GIB, GIB, GIB), Admission::Later));
        drop(first);
        assert!(matches!(budget.admit(2 * GIB, GIB, GIB), Admission::Now(_)));
    }

    #[test]
    fn a_large_job_gets_what_is_left_for_its_engine() {
        let Admission::Now(share) = Budget::new(9 * GIB).admit(4 * GIB, 4 * GIB, GIB) else {
            panic!("it fits")
        };
        assert_eq!(share.engine_bytes, GIB);
    }

    #[test]
    fn what_can_never_fit_is_refused_at_the_limit() {
        let files = 2 * GIB;
        let at_limit = Budget::new(files + MIN_MEMORY_BYTES);
        assert!(matches!(at_limit.admit(GIB, GIB, GIB), Admission::Now(_)));
        let below = Budget::new(files + MIN_MEMORY_BYTES - 1);
        let Admission::Never(failure) = below.admit(GIB, GIB, GIB) else { panic!("it cannot fit") };
        assert_eq!(failure.code, FailureCode::LimitAdmission);
        assert!(matches!(below.admit(u64::MAX, u64::MAX, u64::MAX), Admission::Never(_)));
    }

    /// Whatever each job writes, all jobs and the archives of their outputs fit.
    #[test]
    fn what_jobs_may_write_fits_the_workspace_together() {
        let budget = Budget::new(64 * GIB).in_place(8 * GIB, 4);
        let mut shares = Vec::new();
        while let Admission::Now(share) = budget.admit(GIB / 4, 4 * GIB, 16 * GIB) {
            shares.push(share);
        }
        assert_eq!(shares.len(), 4);
        assert!(shares.iter().all(|share| share.output_bytes == GIB), "{shares:?}");
        // The cap of a large job is never below its own size: it waits for that much space.
        assert!(matches!(budget.admit(2 * GIB, GIB, 16 * GIB), Admission::Later));
        shares.clear();
        let Admission::Now(large) = budget.admit(3 * GIB, GIB, 16 * GIB) else { panic!("it fits alone") };
        assert_eq!(large.output_bytes, 3 * GIB);
        let Admission::Now(small) = budget.admit(GIB, GIB, GIB / 2) else { panic!("it fits beside it") };
        assert_eq!(small.output_bytes, GIB / 2);
    }

    /// A container has 64 MiB in /dev/shm by default.
    #[test]
    fn what_the_workspace_can_never_hold_is_refused() {
        let budget = Budget::new(64 * GIB).in_place(64 << 20, 2);
        assert!(matches!(budget.admit(64 << 20, GIB, GIB), Admission::Now(_)));
        let Admission::Never(failure) = budget.admit((64 << 20) + 1, GIB, GIB) else { panic!("it fits") };
        assert_eq!(failure.code, FailureCode::LimitAdmission);
        assert!(failure.message.contains("workspace"), "{}", failure.message);
    }

    #[test]
    fn a_job_may_write_by_its_share_of_memory_too() {
        let Admission::Now(share) = Budget::new(9 * GIB).admit(GIB, 2 * GIB, 16 * GIB) else {
            panic!("it fits")
        };
        assert_eq!(share.output_bytes, 2 * GIB);
    }

    #[test]
    fn the_lowest_limit_of_the_groups_counts() {
        let limit = |own: &str, files: &[(&str, &str)]| {
            let read = |path: &Path| {
                let found = files.iter().find(|(name, _)| path == Path::new(name));
                found.map(|(_, text)| (*text).to_owned())
            };
            group_limit(own, read)
        };
        // A container of the second version, which sees its group at the top.
        assert_eq!(limit("0::/\n", &[("/sys/fs/cgroup/memory.max", "8589934592\n")]), Some(8 * GIB));
        assert_eq!(limit("0::/\n", &[("/sys/fs/cgroup/memory.max", "max\n")]), None);
        // A service of a machine, below a slice with a limit.
        let files = [
            ("/sys/fs/cgroup/a.slice/b.service/memory.max", "max\n"),
            ("/sys/fs/cgroup/a.slice/memory.max", "2147483648\n"),
        ];
        assert_eq!(limit("0::/a.slice/b.service\n", &files), Some(2 * GIB));
        // A container of the first version, which sees the name that its group has outside.
        let own = "5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n1:name=systemd:/docker/1\n0::/docker/1\n";
        let files = [("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n")];
        assert_eq!(limit(own, &files), Some(GIB));
        assert_eq!(limit("", &files), None);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(available_bytes() > 64 << 20);
    }
}
