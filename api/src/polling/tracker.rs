//! Which jobs are polled, how often, and which clients stopped polling before the end.
//!
//! The table is in memory and bounded: beyond [`MAX_POLLERS`] jobs, the job that was not polled for
//! the longest time is evicted. It serves the log and the poll counts in the record; nothing else
//! depends on it, and a restart clears it.

use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::State;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Maximum number of tracked jobs.
pub const MAX_POLLERS: usize = 100_000;
/// A client that has not polled for this long, or for three of its pauses if that is longer, gave
/// up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pollers of all jobs.
#[derive(Default)]
pub struct Pollers(Mutex<Table>);

#[derive(Default)]
struct Table {
    by_job: HashMap<JobId, Poller>,
    /// Jobs by their latest poll, oldest first.
    by_turn: BTreeMap<u64, JobId>,
    turn: u64,
}

struct Poller {
    turn: u64,
    polls: u64,
    /// Polls not yet added to the record.
    uncounted: u64,
    latest: Instant,
    pause: Duration,
    ended: bool,
    /// The client saw the end otherwise than by a poll.
    informed: bool,
}

/// The outcome of one poll.
#[derive(Debug, PartialEq, Eq)]
pub struct Polled {
    /// Polls of this job so far, including this one.
    pub polls: u64,
    /// Time since the previous poll.
    pub since: Option<Duration>,
    /// This poll is the first that reported the end of the job.
    pub saw_end: bool,
    /// Polls to add to the record now.
    pub count: u64,
}

/// A job that is no longer polled.
#[derive(Debug, PartialEq, Eq)]
pub struct IdlePoller {
    /// The job.
    pub job: JobId,
    /// Polls of the job.
    pub polls: u64,
    /// Polls to add to the record.
    pub count: u64,
    /// The client had not seen the end.
    pub abandoned: bool,
}

impl Pollers {
    /// Records a poll. `pause` is the pause that the client was asked to make.
    pub fn polled(&self, job: JobId, state: State, pause: Option<Duration>, now: Instant) -> Polled {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.turn += 1;
        let turn = table.turn;
        let before = table.by_job.remove(&job);
        if let Some(poller) = &before {
            table.by_turn.remove(&poller.turn);
        }
        let since = before.as_ref().map(|poller| now.saturating_duration_since(poller.latest));
        let informed = before.as_ref().is_some_and(|poller| poller.informed);
        let (polls, uncounted, knew_end) =
            before.map_or((0, 0, false), |poller| (poller.polls, poller.uncounted, poller.ended));
        let ended = state.is_terminal();
        let saw_end = ended && !knew_end;
        let count = if saw_end { uncounted + 1 } else { 0 };
        let uncounted = if saw_end { 0 } else { uncounted + 1 };
        let pause = pause.unwrap_or_default();
        let poller = Poller { turn, polls: polls + 1, uncounted, latest: now, pause, ended, informed };
        table.by_job.insert(job, poller);
        table.by_turn.insert(turn, job);
        if table.by_job.len() > MAX_POLLERS
            && let Some((_, oldest)) = table.by_turn.pop_first()
        {
            table.by_job.remove(&oldest);
        }
        Polled { polls: polls + 1, since, saw_end, count }
    }

    /// A client saw the end of the job otherwise than by a poll.
    pub fn saw_end(&self, job: JobId) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(poller) = table.by_job.get_mut(&job) {
            poller.informed = true;
        }
    }

    /// Removes and returns the jobs that clients have stopped polling and do not follow otherwise.
    pub fn sweep(&self, now: Instant, is_followed: impl Fn(JobId) -> bool) -> Vec<IdlePoller> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (&job, poller) in &mut table.by_job {
            if is_followed(job) {
                poller.latest = now;
            }
        }
        let is_silent =
            |poller: &Poller| now.saturating_duration_since(poller.latest) >= PATIENCE.max(3 * poller.pause);
        let silent: Vec<JobId> =
            table.by_job.iter().filter(|(_, poller)| is_silent(poller)).map(|(&job, _)| job).collect();
        let mut found = Vec::with_capacity(silent.len());
        for job in silent {
            if let Some(poller) = table.by_job.remove(&job) {
                table.by_turn.remove(&poller.turn);
                let (polls, count, abandoned) =
                    (poller.polls, poller.uncounted, !poller.ended && !poller.informed);
                found.push(IdlePoller { job, polls, count, abandoned });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> JobId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        JobId::from_random_bytes(bytes)
    }

    #[test]
    fn polls_are_counted_and_handed_over_once() {
        let (pollers, start) = (Pollers::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let pause = Some(Duration::from_secs(1));
        let first = pollers.polled(id(1), State::Pending, pause, at(0));
        assert_eq!(first, Polled { polls: 1, since: None, saw_end: false, count: 0 });
        let second = pollers.polled(id(1), State::Processing, pause, at(2));
        assert_eq!(second.since, Some(Duration::from_secs(2)));
        let end = pollers.polled(id(1), State::Completed, None, at(3));
        assert_eq!((end.saw_end, end.count), (true, 3));
        let again = pollers.polled(id(1), State::Completed, None, at(4));
        assert_eq!((again.saw_end, again.count), (false, 0));
        let silent = pollers.sweep(at(34), |_| false);
        assert_eq!(silent, [IdlePoller { job: id(1), polls: 4, count: 1, abandoned: false }]);
        assert_eq!(pollers.sweep(at(99), |_| false), []);
    }

    #[test]
    fn who_stops_before_the_end_gave_up() {
        let (pollers, start) = (Pollers::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        pollers.polled(id(1), State::Processing, Some(Duration::from_secs(15)), at(0));
        pollers.polled(id(2), State::Pending, Some(Duration::from_secs(1)), at(0));
        assert_eq!(pollers.sweep(at(29), |_| false), []);
        assert_eq!(
            pollers.sweep(at(30), |_| false),
            [IdlePoller { job: id(2), polls: 1, count: 1, abandoned: true }]
        );
        assert_eq!(
            pollers.sweep(at(45), |_| false),
            [IdlePoller { job: id(1), polls: 1, count: 1, abandoned: true }]
        );
    }

    #[test]
    fn who_follows_the_job_has_not_given_up() {
        let (pollers, start) = (Pollers::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        pollers.polled(id(1), State::Processing, None, at(0));
        pollers.polled(id(2), State::Processing, None, at(0));
        assert_eq!(pollers.sweep(at(60), |_| true), []);
        pollers.saw_end(id(1));
        let silent = pollers.sweep(at(90), |_| false);
        let abandoned: Vec<_> =
            silent.iter().filter(|silent| silent.abandoned).map(|silent| silent.job).collect();
        assert_eq!((silent.len(), abandoned), (2, vec![id(2)]));
    }

    #[test]
    fn the_table_is_bounded() {
        let (pollers, now) = (Pollers::default(), Instant::now());
        for number in 0..u32::try_from(MAX_POLLERS).unwrap() {
            pollers.polled(id(number), State::Pending, None, now);
        }
        // The first job is polled again, so the second is the oldest.
        pollers.polled(id(0), State::Pending, None, now);
        pollers.polled(id(u32::MAX), State::Pending, None, now);
        assert_eq!(pollers.polled(id(0), State::Pending, None, now).polls, 3);
        assert_eq!(pollers.polled(id(1), State::Pending, None, now).polls, 1);
        let table = pollers.0.lock().unwrap();
        assert_eq!((table.by_job.len(), table.by_turn.len()), (MAX_POLLERS, MAX_POLLERS));
    }
}
