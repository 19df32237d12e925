//! When a client should poll again, from the observed speed of finished jobs and the record of this
//! job.
//!
//! The estimate affects only how often a client polls. It may be far too high, for a format that is read much
//! faster than others: a job that is in work is therefore asked for after a sixth of the time that it has taken,
//! at the latest, so that its end is seen at most a sixth late.

use cadmill_core::domain::job::{Job, Millis, Stage, State};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Shortest pause: a third of the shortest job.
pub const MIN_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
pub const MAX_PAUSE: Duration = Duration::from_secs(15);

/// Bytes of input per second, before any job has finished.
const FIRST_GUESS: f64 = 10e6;
/// Weight of the latest job.
const WEIGHT: f64 = 0.2;
/// Minimum duration of a job, in seconds, whatever the file size: the time to start an engine.
const LEAST_SECONDS: f64 = 0.3;

/// Moving average of the speed of finished jobs, in bytes of input per second; recent jobs weigh
/// more.
pub struct Throughput(Mutex<f64>);

impl Default for Throughput {
    fn default() -> Self {
        Self(Mutex::new(FIRST_GUESS))
    }
}

impl Throughput {
    /// Adds a finished job. Each job must be added once.
    pub fn record(&self, job: &Job) {
        let (Some(claimed), Some(ended)) = (job.times.claimed, job.times.ended) else { return };
        let seconds = ended.saturating_sub(claimed) as f64 / 1000.0;
        if job.state == State::Completed && seconds > 0.0 {
            let speed = (job.order.size_bytes as f64 / seconds).max(1.0);
            let mut mean = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *mean += WEIGHT * (speed - *mean);
        }
    }

    /// How long to wait before the next poll of this job; none when it has ended.
    pub fn pause(&self, job: &Job, now: Millis) -> Option<Duration> {
        let speed = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let total = (job.order.size_bytes as f64 / speed).max(LEAST_SECONDS);
        // A third: a client that polls this often sees the end at most half as late again.
        let pause = match job.state {
            State::Processing => (left(job, total, now) / 3.0).min(elapsed(job, now) / 6.0),
            // Not uploaded yet, or waiting for a worker: all of the work remains.
            State::Pending => total / 3.0,
            _ => return None,
        };
        let pause = Duration::try_from_secs_f64(pause).unwrap_or(MAX_PAUSE);
        Some(pause.clamp(MIN_PAUSE, MAX_PAUSE))
    }
}

/// Seconds since the latest attempt began. The times come from the clocks of two machines; clock skew only makes
/// the pause worse.
fn elapsed(job: &Job, now: Millis) -> f64 {
    now.saturating_sub(job.times.claimed.unwrap_or(now)) as f64 / 1000.0
}

/// Estimated seconds until a job in progress ends: from its progress if it has some, else from its size.
fn left(job: &Job, total: f64, now: Millis) -> f64 {
    let elapsed = elapsed(job, now);
    let done = done(job);
    let by_size = (total - elapsed).max(0.0);
    if done < 0.05 { by_size } else { elapsed * (1.0 - done) / done }
}

/// Fraction of the whole job that is done, from 0 to 1, assuming typical shares of the stages.
fn done(job: &Job) -> f64 {
    let progress = f64::from(job.progress) / 1000.0;
    let (before, share) = match job.stage {
        None => (0.0, 0.0),
        Some(Stage::Fetch) => (0.0, 0.3),
        Some(Stage::Convert) => (0.3, 0.6),
        Some(Stage::Publish) => (0.9, 0.09),
        Some(Stage::Wipe) => (0.99, 0.01),
    };
    before + share * progress
}

#[cfg(test)]
mod tests {
    use super::*;
    use cadmill_core::domain::ids::JobId;
    use cadmill_core::domain::job::JobSpec;
    use cadmill_core::domain::state::{Policy, created};

    fn job(size_bytes: u64) -> Job {
        let order = JobSpec {
            owner: "ann".parse().unwrap(),
            file_name: "a.zip".parse().unwrap(),
            size_bytes,
            sha256: None,
            format: "dxf".to_owned(),
            root: None,
            options: Default::default(),
            compress: Default::default(),
            strict: false,
            accept_gzip: false,
            result_ttl_seconds: None,
        };
        created(JobId::from_random_bytes([1; 16]), order, &Policy::default(), 0)
    }

    #[test]
    fn large_files_are_asked_for_less_often() {
        let seen = Throughput::default();
        assert_eq!(seen.pause(&job(1), 0), Some(MIN_PAUSE));
        assert_eq!(seen.pause(&job(60_000_000), 0), Some(Duration::from_secs(2)));
        assert_eq!(seen.pause(&job(4_500_000), 0), Some(Duration::from_millis(150)));
        assert_eq!(seen.pause(&job(8 << 30), 0), Some(MAX_PAUSE));
        assert_eq!(seen.pause(&job(u64::MAX), 0), Some(MAX_PAUSE));
    }

    #[test]
    fn progress_tells_more_than_size() {
        let mut job = job(8 << 30);
        (job.state, job.stage, job.progress) = (State::Processing, Some(Stage::Convert), 500);
        job.times.claimed = Some(0);
        // 60 % in 30 s: 20 s remain.
        assert_eq!(Throughput::default().pause(&job, 30_000).unwrap().as_millis(), 5_000);
        // 87 % in 36 s: 5.4 s remain.
        job.progress = 950;
        assert_eq!(Throughput::default().pause(&job, 36_000).unwrap().as_millis(), 1_793);
    }

    /// A job that is much faster than others of its size, and whose progress is written with the renewals of its
    /// lease only: it is seen at most a sixth late, in a number of polls that grows with the logarithm of its time.
    #[test]
    fn an_end_is_seen_soon_whatever_the_estimate() {
        let seen = Throughput::default();
        for (ends, most_polls) in [(1_000, 10), (31_000, 34), (120_000, 44), (600_000, 78)] {
            let mut job = job(8 << 30);
            (job.state, job.times.claimed) = (State::Processing, Some(0));
            let (mut now, mut polls) = (0, 0);
            while now < ends {
                now += Millis::try_from(seen.pause(&job, now).unwrap().as_millis()).unwrap();
                polls += 1;
            }
            assert!(now - ends <= (ends / 6).clamp(100, 15_000), "{ends}: {now}");
            assert!(polls <= most_polls, "{ends}: {polls}");
        }
    }

    #[test]
    fn what_is_done_fast_is_asked_for_soon() {
        let seen = Throughput::default();
        let mut done = job(1 << 30);
        (done.state, done.times.claimed, done.times.ended) = (State::Completed, Some(0), Some(1_000));
        let before = seen.pause(&job(60_000_000), 0).unwrap();
        seen.record(&done);
        assert!(seen.pause(&job(60_000_000), 0).unwrap() < before);
        assert_eq!(seen.pause(&done, 0), None);
        // A zero duration carries no information.
        done.times.ended = Some(0);
        seen.record(&done);
        assert!(seen.pause(&job(60_000_000), 0).unwrap() >= MIN_PAUSE);
    }
}
