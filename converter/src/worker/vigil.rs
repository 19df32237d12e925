//! Watching a lease that may be dead, across watchers: a pure account of the time that it
//! has not changed.
//!
//! The time is one that has passed at least. A watcher begins with what the record says,
//! which was true when it was written, and adds what its own clock measures from its first
//! look on. What it knows goes back into the record, so that one who takes over when it is
//! interrupted does not begin anew. Only durations are told, never moments: the clocks of
//! two machines are not compared, and a restart of the machine loses at most what has not
//! been written yet.

use std::time::{Duration, Instant};

/// One watcher of one revision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vigil {
    /// What was known when `since` was taken.
    known: Duration,
    since: Instant,
}

impl Vigil {
    /// `recorded` was read before `now`.
    pub(super) fn new(recorded: u64, now: Instant) -> Self {
        Self { known: Duration::from_millis(recorded), since: now }
    }

    /// The record was read before `now`, with the same revision: another may know more.
    pub(super) fn hear(&mut self, recorded: u64, now: Instant) {
        if Duration::from_millis(recorded) > self.unchanged(now) {
            *self = Self::new(recorded, now);
        }
    }

    /// For how long the lease has not changed, at least.
    pub(super) fn unchanged(&self, now: Instant) -> Duration {
        self.known + now.saturating_duration_since(self.since)
    }

    /// The same as the record takes it.
    pub(super) fn millis(&self, now: Instant) -> u64 {
        u64::try_from(self.unchanged(now).as_millis()).unwrap_or(u64::MAX)
    }
}

/// How often a watcher looks at a lease, and writes down what it has seen: a watcher that
/// lives for less adds nothing to what the others know.
pub(super) fn look_interval(lease: Duration) -> Duration {
    (lease / 10).min(Duration::from_secs(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What happens to some watcher: it is started anew, looks, or writes.
    fn acts() -> impl Strategy<Value = Vec<(usize, u8, u64)>> {
        prop::collection::vec((0usize..3, 0u8..3, 0u64..700), 0..80)
    }

    proptest! {
        /// However watchers come, go, look and write at the same time: none ever knows a
        /// time that has not passed.
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

    /// Each lives for a third of the lease: together they see it dead.
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
