//! Observes, across watchers, a lease that may be dead: accounts for how long it has been
//! unchanged, without I/O.
//!
//! The time is a lower bound. A watcher starts from the value in the record, which was true when
//! written, and adds the time that its own clock measures since its first look. It writes its
//! result back to the record, so that the next watcher resumes when this one is interrupted. Only
//! durations are exchanged, never timestamps: clocks of two machines are not compared, and a reboot
//! loses at most the time not yet written.

use std::time::Duration;
use tokio::time::Instant;

/// One watcher of one revision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vigil {
    /// The time known when `since` was taken.
    known: Duration,
    since: Instant,
}

impl Vigil {
    /// `recorded` must be read before `now` is taken.
    pub(super) fn new(recorded: u64, now: Instant) -> Self {
        Self { known: Duration::from_millis(recorded), since: now }
    }

    /// Merges a newer reading of the same revision, read before `now`: another watcher may know of
    /// a longer time.
    pub(super) fn hear(&mut self, recorded: u64, now: Instant) {
        if Duration::from_millis(recorded) > self.unchanged(now) {
            *self = Self::new(recorded, now);
        }
    }

    /// How long the lease has been unchanged, at least.
    pub(super) fn unchanged(&self, now: Instant) -> Duration {
        self.known + now.saturating_duration_since(self.since)
    }

    /// The same in milliseconds, as stored in the record.
    pub(super) fn millis(&self, now: Instant) -> u64 {
        u64::try_from(self.unchanged(now).as_millis()).unwrap_or(u64::MAX)
    }
}

/// How often a watcher reads the lease and writes what it has observed. A watcher that lives for
/// less adds nothing to what is known.
pub(super) fn look_interval(lease: Duration) -> Duration {
    (lease / 10).min(Duration::from_secs(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Actions of the watchers: one restarts, reads or writes.
    fn acts() -> impl Strategy<Value = Vec<(usize, u8, u64)>> {
        prop::collection::vec((0usize..3, 0u8..3, 0u64..700), 0..80)
    }

    proptest! {
        /// However watchers start, stop, read and write concurrently, none reports more time than
        /// has passed.
        #[test]
        fn nobody_knows_more_than_has_passed(acts in acts()) {
            let start = Instant::now();
            let mut now = start;
            let mut recorded = 0;
            let mut watchers = [Vigil::new(0, start); 3];
            for (who, act, millis) in acts {
                now += Duration::from_millis(millis);
                match act {
                    0 => watchers[who] = Vigil::new(recorded, now),
                    1 => watchers[who].hear(recorded, now),
                    _ => recorded = recorded.max(watchers[who].millis(now)),
                }
                let passed = now - start;
                prop_assert!(Duration::from_millis(recorded) <= passed);
                prop_assert!(watchers.iter().all(|watcher| watcher.unchanged(now) <= passed));
            }
        }
    }

    /// Each watcher lives for a third of the lease: together they find it dead.
    #[test]
    fn watchers_that_are_interrupted_add_up() {
        let lease = Duration::from_secs(5);
        let (start, life) = (Instant::now(), lease / 3);
        let (mut now, mut recorded, mut lives) = (start, 0, 0);
        while Duration::from_millis(recorded) < lease {
            lives += 1;
            let watcher = Vigil::new(recorded, now);
            let end = now + life;
            while now + look_interval(lease) <= end {
                now += look_interval(lease);
                recorded = watcher.millis(now);
            }
            now = end + Duration::from_secs(7);
        }
        assert_eq!(lives, 4);
    }
}
