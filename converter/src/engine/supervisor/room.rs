//! How much of its allowance for output a process has used, and when to look again.
//!
//! Walking the directories is exact and takes milliseconds if there are many files. In between, the
//! file system reports in a microsecond how much it holds; if its growth could use up the
//! allowance, a walk is due at once. The less is left, the more often this is checked: what can be
//! written between two looks is less than the slack of a cap.
//!
//! The growth may come from other processes, so a walk decides. The process is stopped during it:
//! it could move its directories, or write while its files are counted.

use super::outcome::Cap;
use super::process::Process;
use crate::workspace::usage::{Bounds, Held, Written, written};
use cadmill_core::domain::limits::{MAX_WRITTEN_DEPTH, MAX_WRITTEN_FILES};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What a process can write to memory, and how many files it can create, in a second on fast
/// machines.
const BYTES_PER_SECOND: u64 = 8 << 30;
const ENTRIES_PER_SECOND: u64 = 500_000;

/// The shortest and the longest time between two looks.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(50);

/// How long a walk is spared while much is left, or the file system does not change: what can be
/// written meanwhile is less than [`LITTLE`]; and otherwise.
const RECENT: Duration = Duration::from_millis(100);
const JUST: Duration = Duration::from_millis(40);

/// How long one thread keeps a processor before the next has its turn. Threads that are stopped
/// before their turn comes, in the same order each time, would never run: so after some walks, and
/// after each while much is left, every thread has its turn before the next walk, even on one
/// processor. Meanwhile glances still see what the file system gains.
const TURN: Duration = Duration::from_millis(6);
const WALKS_PER_ROUND: u64 = 8;

/// How long the threads of a process may take to stop.
const STOPPING: Duration = Duration::from_millis(20);

/// Number of threads above which a process is stopped during each walk.
const CROWD: u64 = 4;

/// Bytes and files left below which little is left.
const LITTLE: u64 = 512 << 20;
const FEW: u64 = MAX_WRITTEN_FILES / 10 * 9;

/// The time until the next look, if `left` bytes are left of a cap that is enforced by sampling.
pub(super) fn pause_for(left: u64) -> Duration {
    Duration::from_secs_f64(left as f64 / BYTES_PER_SECOND as f64).clamp(SHORTEST, LONGEST)
}

/// The output allowance of one process.
#[derive(Debug)]
pub(super) struct Room {
    bounds: Bounds,
    /// The directories of the latest walk.
    directories: [PathBuf; 2],
    /// One of them, opened for fstatfs(2).
    file_system: Option<File>,
    /// What the latest walk found, and what the file system held before it.
    found: Written,
    held: Held,
    /// Upper bound of what may have been written by now.
    could_be: Written,
    /// When the latest walk ended, and how long it took.
    walked: Option<(Instant, Duration)>,
    walks: u64,
}

impl Room {
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            bounds: Bounds { bytes, entries: MAX_WRITTEN_FILES, depth: MAX_WRITTEN_DEPTH },
            directories: Default::default(),
            file_system: None,
            found: Written::default(),
            held: Held::default(),
            could_be: Written::default(),
            walked: None,
            walks: 0,
        }
    }

    /// How long a walk is spared after the latest one, if the process has so many threads.
    fn spared(&self, threads: u64, is_unchanged: bool) -> Duration {
        let round = TURN.saturating_mul(u32::try_from(threads).unwrap_or(u32::MAX));
        let recent = if self.is_low() && !is_unchanged { JUST } else { RECENT };
        let is_due = !self.is_low() || self.walks.is_multiple_of(WALKS_PER_ROUND);
        if is_due { recent.max(round) } else { recent }
    }

    /// Lowers the allowance, if `bytes` is less.
    pub(super) fn limit(&mut self, bytes: u64) {
        self.bounds.bytes = self.bounds.bytes.min(bytes);
    }

    /// Whether so little is left that a late look would be too late.
    pub(super) fn is_low(&self) -> bool {
        self.bounds.bytes.saturating_sub(self.could_be.bytes) < LITTLE
            || self.bounds.entries.saturating_sub(self.could_be.entries) < FEW
    }

    /// The time until the next glance.
    pub(super) fn pause(&self) -> Duration {
        let entries = self.bounds.entries.saturating_sub(self.could_be.entries);
        let entries = Duration::from_secs_f64(entries as f64 / ENTRIES_PER_SECOND as f64);
        let bytes = self.bounds.bytes.saturating_sub(self.could_be.bytes);
        entries.clamp(SHORTEST, LONGEST).min(pause_for(bytes))
    }

    /// Queries the file system, and walks if it has grown by as much as is left.
    ///
    /// # Errors
    /// Errors of the underlying system calls.
    pub(super) fn glance(
        &mut self,
        directories: &[PathBuf; 2],
        process: &Process,
    ) -> io::Result<Option<Cap>> {
        if self.could_exceed()? { self.count_stopped(directories, process, &|_| false) } else { Ok(None) }
    }

    /// Whether the file system has grown by as much as is left.
    fn could_exceed(&mut self) -> io::Result<bool> {
        let come = self.come()?;
        self.could_be.bytes = self.found.bytes.saturating_add(come.bytes);
        self.could_be.entries = self.found.entries.saturating_add(come.entries);
        Ok(self.could_be.exceeds(&self.bounds))
    }

    /// Glances, and walks if the latest walk is old, or little is left and something has changed:
    /// what others free hides what the process writes. A process with many `threads`, or with
    /// little left, is stopped meanwhile: a thread may hold the lock of a directory while others
    /// run in its place, and the walk would wait.
    ///
    /// # Errors
    /// Errors of the underlying system calls.
    pub(super) fn walk(
        &mut self,
        directories: &[PathBuf; 2],
        process: &Process,
        threads: u64,
    ) -> io::Result<Option<Cap>> {
        if let Some(cap) = self.glance(directories, process)? {
            return Ok(Some(cap));
        }
        let recent = self.spared(threads, self.is_unchanged()?);
        // A process with many files is not stopped for more than half of the time.
        if self.walked.is_some_and(|(ended, took)| ended.elapsed() < recent.max(took)) {
            return Ok(None);
        }
        let (found, bounds) = (self.found, self.bounds);
        let is_beyond = |come: Held| {
            found.bytes.saturating_add(come.bytes) > bounds.bytes
                || found.entries.saturating_add(come.entries) > bounds.entries
        };
        let cap = if threads > CROWD || self.is_low() {
            self.count_stopped(directories, process, &is_beyond)?
        } else {
            self.count(directories, &is_beyond)?
        };
        if cap.is_none() { self.glance(directories, process) } else { Ok(cap) }
    }

    /// Whether the file system holds what it held before the latest walk.
    fn is_unchanged(&self) -> io::Result<bool> {
        Ok(self.holds()?.is_some_and(|now| now == self.held))
    }

    /// Walks once more, after all writers are dead.
    ///
    /// # Errors
    /// Errors of the underlying system calls.
    pub(super) fn last_walk(&mut self, directories: &[PathBuf; 2]) -> io::Result<Option<Cap>> {
        self.count(directories, &|_| false)
    }

    /// Growth of the file system since the latest walk, by any process.
    fn come(&self) -> io::Result<Held> {
        Ok(self.holds()?.map(|now| now.since(&self.held)).unwrap_or_default())
    }

    /// What the file system holds now, if it could be opened.
    fn holds(&self) -> io::Result<Option<Held>> {
        self.file_system.as_ref().map(Held::by).transpose()
    }

    /// Counts while the process is stopped: until then it could move what is being counted. If it
    /// does not stop at once, because of a call that writes much, what is there already may be too
    /// much; found so twice, it is: a directory that was moved meanwhile may be counted twice, but
    /// each thread that was asked to stop ends its call and begins no other.
    ///
    /// If the process is to be killed, it stays stopped until then.
    fn count_stopped(
        &mut self,
        directories: &[PathBuf; 2],
        process: &Process,
        is_enough: &dyn Fn(Held) -> bool,
    ) -> io::Result<Option<Cap>> {
        process.stop_group()?;
        let cap = self.count_stopping(directories, process, is_enough);
        if !matches!(cap, Ok(Some(_))) {
            process.go_on()?;
        }
        cap
    }

    fn count_stopping(
        &mut self,
        directories: &[PathBuf; 2],
        process: &Process,
        is_enough: &dyn Fn(Held) -> bool,
    ) -> io::Result<Option<Cap>> {
        let until = Instant::now() + STOPPING;
        while !process.has_stopped() && Instant::now() < until {
            // Twice without a pause: this thread may have to wait for a processor after one.
            if self.could_exceed()?
                && self.count(directories, &|_| false)?.is_some()
                && let Some(cap) = self.count(directories, &|_| false)?
            {
                return Ok(Some(cap));
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        self.count(directories, is_enough)
    }

    /// Walks, and returns the cap that is exceeded. The walk is abandoned if `is_enough` returns
    /// true for the growth since it began, and has no effect then.
    fn count(
        &mut self,
        directories: &[PathBuf; 2],
        is_enough: &dyn Fn(Held) -> bool,
    ) -> io::Result<Option<Cap>> {
        if self.file_system.is_none() || self.directories != *directories {
            self.file_system = File::open(&directories[0]).ok();
            self.directories.clone_from(directories);
            self.held = self.holds()?.unwrap_or_default();
        }
        // Taken before the walk: what is written during it counts twice rather than not at all.
        let held = self.holds()?.unwrap_or_default();
        let begun = Instant::now();
        let given_up = std::cell::Cell::new(false);
        let enough = || -> io::Result<bool> {
            given_up.set(is_enough(self.come()?));
            Ok(given_up.get())
        };
        let [work, output] = directories;
        let found = written(&[work.as_path(), output.as_path()], &self.bounds, &enough)?;
        if !given_up.get() {
            (self.found, self.could_be, self.held) = (found, found, held);
            self.walked = Some((Instant::now(), begun.elapsed()));
            self.walks += 1;
        }
        Ok(self.exceeded())
    }

    fn exceeded(&self) -> Option<Cap> {
        let (bounds, found) = (&self.bounds, &self.found);
        if found.bytes > bounds.bytes {
            return Some(Cap::Output { limit: bounds.bytes, observed: found.bytes });
        }
        found.exceeds(bounds).then_some(Cap::Files { limit: bounds.entries, observed: found.entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_come_faster_when_little_is_left() {
        let mut room = Room::new(16 << 30);
        assert_eq!(room.pause(), Duration::from_millis(20), "10,000 files at their speed");
        room.could_be.bytes = (16 << 30) - (16 << 20);
        assert_eq!(room.pause().as_millis(), 1);
        room.could_be.bytes = 20 << 30;
        assert_eq!(room.pause(), SHORTEST);
        assert_eq!(Room::new(64 << 20).pause().as_millis(), 7);
    }

    #[test]
    fn every_thread_has_its_turn_between_walks() {
        let mut room = Room::new(16 << 30);
        assert_eq!(room.spared(4, false), RECENT);
        assert_eq!(room.spared(52, false), Duration::from_millis(312));
        room.could_be.bytes = (16 << 30) - (16 << 20);
        let mut spared = |walks| {
            room.walks = walks;
            room.spared(52, false)
        };
        assert_eq!([spared(1), spared(7), spared(9)], [JUST; 3]);
        assert_eq!(spared(8), Duration::from_millis(312));
    }

    #[test]
    fn a_walk_tells_which_cap_it_is() {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let directories = ["work", "output"].map(|name| place.path().join(name));
        directories.iter().for_each(|directory| std::fs::create_dir(directory).unwrap());
        let mut room = Room::new(8192);
        std::fs::write(directories[0].join("a"), [0; 8192]).unwrap();
        assert_eq!(room.last_walk(&directories).unwrap(), None);
        std::fs::write(directories[1].join("b"), [0; 1]).unwrap();
        assert!(matches!(room.last_walk(&directories).unwrap(), Some(Cap::Output { limit: 8192, .. })));
        let deep = directories[1].join("d/".repeat(70));
        std::fs::create_dir_all(deep).unwrap();
        assert!(matches!(Room::new(1 << 20).last_walk(&directories).unwrap(), Some(Cap::Files { .. })));
    }
}
