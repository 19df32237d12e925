//! Whether a cleanup program is alive: plaintext that nothing will delete is not taken in.
//!
//! Clocks differ between machines, and step. So what counts is that the record of the cleanup programs
//! changes while this process looks at it; its times count only until it has looked for long enough.

use crate::domain::crew::Crew;
use crate::jobs::Jobs;
use crate::metrics;
use crate::ports::PortResult;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was seen of the record.
pub struct Attendance {
    jobs: Jobs,
    fresh: Duration,
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
    /// Looks at the record at most every `fresh`; until then its last answer counts.
    pub fn new(jobs: Jobs, fresh: Duration) -> Self {
        Self { jobs, fresh, since: Instant::now(), seen: Mutex::default() }
    }

    /// Whether a cleanup program has renewed its lease within three of its intervals. Each change of the
    /// answer is logged once.
    ///
    /// # Errors
    /// If the job store fails.
    pub async fn is_given(&self) -> PortResult<bool> {
        if let Some(given) = self.recent() {
            return Ok(given);
        }
        let crew = self.jobs.store().crew().await?.unwrap_or_default();
        let by_clock = crew.is_attended(self.jobs.clock().now());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.looked.map(|_| seen.given);
        seen.take(&crew, by_clock, (self.since, Instant::now()), self.fresh);
        metrics::cleanup_attended(seen.given);
        match (before, seen.given) {
            (None | Some(true), false) => {
                tracing::error!(
                    "no cleanup program is alive: the files of jobs that end are not deleted until one is"
                );
            }
            (Some(false), true) => tracing::info!("a cleanup program is alive"),
            _ => {}
        }
        Ok(seen.given)
    }

    /// Looks at the record again and again, for a program that has no other reason to. Not at once: what
    /// is started together with the cleanup is not to miss it.
    pub async fn watch(&self) -> Infallible {
        loop {
            tokio::time::sleep(self.fresh).await;
            if let Err(error) = self.is_given().await {
                tracing::debug!(error = %error, "the cleanup programs are not known");
            }
        }
    }

    /// Whether the last look found that no cleanup program is alive.
    pub fn is_missing(&self) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.looked.is_some() && !seen.given
    }

    fn recent(&self) -> Option<bool> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.looked.filter(|at| at.elapsed() < self.fresh).map(|_| seen.given)
    }
}

impl Seen {
    /// Takes the record as it is `now`; it has been looked at since a time, every `fresh`.
    fn take(&mut self, crew: &Crew, by_clock: bool, (since, now): (Instant, Instant), fresh: Duration) {
        if self.version.is_some_and(|version| version != crew.version) {
            self.changed = Some(now);
        }
        (self.version, self.looked) = (Some(crew.version), Some(now));
        let lease = Duration::from_millis(crew.lease) + fresh;
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

    const FRESH: Duration = Duration::from_secs(5);

    #[test]
    fn what_counts_is_that_the_record_changes() {
        let since = Instant::now();
        let at = |seconds| since + Duration::from_secs(seconds);
        let mut seen = Seen::default();
        let mut look = |crew: &Crew, by_clock, seconds| {
            seen.take(crew, by_clock, (since, at(seconds)), FRESH);
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
        seen.take(&crew, true, (since, since), FRESH);
        assert!(seen.given);
        seen.take(&crew, true, (since, since + Duration::from_secs(51)), FRESH);
        assert!(!seen.given, "a clock that is behind");
    }
}
