//! Whether a cleanup program is alive: plaintext that nothing will delete is not taken in.
//!
//! Clocks differ between machines, and step. So what counts is that the record of the cleanup programs
//! changes while this process looks at it; its times count only until it has looked for long enough.

use cadmill_core::domain::crew::Crew;
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::PortResult;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer of the job store is used.
const FRESH: Duration = Duration::from_secs(5);

/// What was seen of the record.
pub(crate) struct Attendance {
    jobs: Jobs,
    since: Instant,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    looked: Option<Instant>,
    version: Option<u64>,
    /// When another version than before was seen.
    changed: Option<Instant>,
    given: bool,
}

impl Attendance {
    pub(crate) fn new(jobs: Jobs) -> Self {
        Self { jobs, since: Instant::now(), seen: Mutex::default() }
    }

    /// Whether a cleanup program has renewed its lease within three of its intervals.
    ///
    /// # Errors
    /// If the job store fails.
    pub(crate) async fn is_given(&self) -> PortResult<bool> {
        {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.looked.is_some_and(|at| at.elapsed() < FRESH) {
                return Ok(seen.given);
            }
        }
        let crew = self.jobs.store().crew().await?.unwrap_or_default();
        let by_clock = crew.is_attended(self.jobs.clock().now());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.given || seen.looked.is_none();
        seen.take(&crew, by_clock, (self.since, Instant::now()));
        if before && !seen.given {
            tracing::error!("no cleanup program is alive: files would not be deleted, so no job is accepted");
        }
        Ok(seen.given)
    }
}

impl Seen {
    /// Takes the record as it is `now`; it has been looked at since a time.
    fn take(&mut self, crew: &Crew, by_clock: bool, (since, now): (Instant, Instant)) {
        if self.version.is_some_and(|version| version != crew.version) {
            self.changed = Some(now);
        }
        (self.version, self.looked) = (Some(crew.version), Some(now));
        let lease = Duration::from_millis(crew.lease) + FRESH;
        self.given = !crew.members.is_empty()
            && match self.changed {
                Some(at) => now.duration_since(at) < lease,
                None => by_clock && now.duration_since(since) < lease,
            };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_that_the_record_changes() {
        let since = Instant::now();
        let at = |seconds| since + Duration::from_secs(seconds);
        let mut seen = Seen::default();
        let mut look = |crew: &Crew, by_clock, seconds| {
            seen.take(crew, by_clock, (since, at(seconds)));
            seen.given
        };
        assert!(!look(&Crew::default(), false, 0), "there never was one");
        let crew = Crew::default().with("a", 10, 45_010);
        assert!(look(&crew, false, 5), "it has come, whatever the clocks say");
        assert!(look(&crew, false, 50));
        assert!(!look(&crew, true, 60), "it has not changed for longer than a lease");
        let crew = crew.with("a", 20, 45_020);
        assert!(look(&crew, false, 65));
        assert!(!look(&crew.without("a"), true, 66), "it has left");
    }

    #[test]
    fn at_first_the_clock_counts() {
        let since = Instant::now();
        let crew = Crew::default().with("a", 10, 45_010);
        let mut seen = Seen::default();
        seen.take(&crew, true, (since, since));
        assert!(seen.given);
        seen.take(&crew, true, (since, since + Duration::from_secs(51)));
        assert!(!seen.given, "a clock that is behind");
    }
}
