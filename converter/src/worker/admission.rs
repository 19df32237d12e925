//! Admission: whether a job fits this worker, before a byte of it is downloaded.
//!
//! tmpfs pages count against the same memory as processes do, so one budget covers
//! all: what the object expands to, as much again for the output, and the engine. The
//! object itself is never stored. What does not fit now waits; what can never fit is
//! refused.

use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::{MIN_MEMORY_BYTES, display_size};
use std::sync::{Arc, Mutex, PoisonError};

/// The memory that the jobs of a worker share, in bytes.
#[derive(Debug, Clone)]
pub struct Budget {
    total: u64,
    used: Arc<Mutex<u64>>,
}

/// A job's share. Dropping it gives it back.
#[derive(Debug)]
pub struct Share {
    bytes: u64,
    /// What is left of it for the engine, in bytes.
    pub engine_bytes: u64,
    used: Arc<Mutex<u64>>,
}

/// The answer to a job that asks for room.
#[derive(Debug)]
pub enum Admission {
    /// It may run.
    Now(Share),
    /// Others use what it needs.
    Later,
    /// It would not fit if it were alone.
    Never(Failure),
}

impl Budget {
    /// A budget of this many bytes.
    pub fn new(total: u64) -> Self {
        Self { total, used: Arc::default() }
    }

    /// All of it, in bytes.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Room for an object that expands to `expanded` bytes (to itself when it is no
    /// archive) and an engine that may use up to `engine` bytes, or less when there is
    /// no more.
    pub fn admit(&self, expanded: u64, engine: u64) -> Admission {
        // The output is as large as the input; an engine whose output is larger
        // meets a full workspace, and the job is told so.
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
        let engine_bytes = engine.min(self.total - files);
        let bytes = files + engine_bytes;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if *used + bytes > self.total {
            return Admission::Later;
        }
        *used += bytes;
        Admission::Now(Share { bytes, engine_bytes, used: Arc::clone(&self.used) })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
    }
}

/// Memory that a worker may give to jobs when nobody says: four fifths of what the
/// control group or the machine allows, in bytes.
pub fn available_bytes() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
    });
    // cgroup v2, as the container sees its own group; "max" is no limit.
    let group = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse::<u64>().ok());
    let total = [machine, group].into_iter().flatten().min().unwrap_or(4 << 30);
    total / 5 * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn what_fits_runs_and_what_does_not_waits() {
        let budget = Budget::new(9 * GIB);
        let Admission::Now(first) = budget.admit(2 * GIB, GIB) else { panic!("it fits") };
        assert_eq!(first.engine_bytes, GIB);
        assert!(matches!(budget.admit(2 * GIB, GIB), Admission::Later));
        drop(first);
        assert!(matches!(budget.admit(2 * GIB, GIB), Admission::Now(_)));
    }

    #[test]
    fn a_large_job_gets_what_is_left_for_its_engine() {
        let Admission::Now(share) = Budget::new(9 * GIB).admit(4 * GIB, 4 * GIB) else { panic!("it fits") };
        assert_eq!(share.engine_bytes, GIB);
    }

    #[test]
    fn what_can_never_fit_is_refused_at_the_limit() {
        let files = 2 * GIB;
        let at_limit = Budget::new(files + MIN_MEMORY_BYTES);
        assert!(matches!(at_limit.admit(GIB, GIB), Admission::Now(_)));
        let below = Budget::new(files + MIN_MEMORY_BYTES - 1);
        let Admission::Never(failure) = below.admit(GIB, GIB) else { panic!("it cannot fit") };
        assert_eq!(failure.code, FailureCode::LimitAdmission);
        assert!(matches!(below.admit(u64::MAX, u64::MAX), Admission::Never(_)));
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(available_bytes() > 64 << 20);
    }
}
