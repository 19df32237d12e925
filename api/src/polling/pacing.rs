//! When to ask again: what this server has seen of how fast jobs are done, and what
//! the record says of this one.
//!
//! Nothing depends on the answer but how often a client asks.

use cadmill_core::domain::job::{Job, Millis, Stage, State};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Never sooner.
pub const MIN_PAUSE: Duration = Duration::from_millis(250);
/// Never later.
pub const MAX_PAUSE: Duration = Duration::from_secs(15);

/// Bytes of input that are done in a second, before any job was seen.
const FIRST_GUESS: f64 = 10e6;
/// Weight of the latest job.
const WEIGHT: f64 = 0.2;
/// No job takes less, in seconds, however small its file: starting an engine does.
const LEAST_SECONDS: f64 = 0.3;

/// The mean speed of finished jobs, in bytes of input a second; later ones weigh more.
pub struct Throughput(Mutex<f64>);

impl Default for Throughput {
    fn default() -> Self {
        Self(Mutex::new(FIRST_GUESS))
    }
}

impl Throughput {
    /// Counts a job that is done. Each must be counted once.
    pub fn record(&self, job: &Job) {
        let (Some(claimed), Some(ended)) = (job.times.claimed, job.times.ended) else { return };
        let seconds = ended.saturating_sub(claimed) as f64 / 1000.0;
        if job.state == State::Completed && seconds > 0.0 {
            let speed = (job.order.size_bytes as f64 / seconds).max(1.0);
            let mut mean = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *mean += WEIGHT * (speed - *mean);
        }
    }

    /// How long to wait before asking for this job again; none when it has ended.
    pub fn pause(&self, job: &Job, now: Millis) -> Option<Duration> {
        let speed = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let total = (job.order.size_bytes as f64 / speed).max(LEAST_SECONDS);
        let left = match job.state {
            State::Processing => left(job, total, now),
            // It is not uploaded yet, or waits for a worker: all is to be done.
            State::Pending => total,
            _ => return None,
        };
        // A third: who asks so often learns of the end at most half as late again.
        let pause = Duration::try_from_secs_f64(left / 3.0).unwrap_or(MAX_PAUSE);
        Some(pause.clamp(MIN_PAUSE, MAX_PAUSE))
    }
}

/// Seconds that a job in work still takes: by its progress where it has some, else by
/// its size. The clocks of two machines meet here; a wrong one makes a wrong guess.
fn left(job: &Job, total: f64, now: Millis) -> f64 {
    let elapsed = now.saturating_sub(job.times.claimed.unwrap_or(now)) as f64 / 1000.0;
    let done = done(job);
    let by_size = (total - elapsed).max(0.0);
    if done < 0.05 { by_size } else { elapsed * (1.0 - done) / done }
}

/// How much of the whole is done, from 0 to 1, if stages took their usual shares.
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
        };
        created(JobId::from_random_bytes([1; 16]), order, &Policy::default(), 0)
    }

    #[test]
    fn large_files_are_asked_for_less_often() {
        let seen = Throughput::default();
        assert_eq!(seen.pause(&job(1), 0), Some(MIN_PAUSE));
        assert_eq!(seen.pause(&job(60_000_000), 0), Some(Duration::from_secs(2)));
        assert_eq!(seen.pause(&job(8 << 30), 0), Some(MAX_PAUSE));
        assert_eq!(seen.pause(&job(u64::MAX), 0), Some(MAX_PAUSE));
    }

    #[test]
    fn progress_tells_more_than_size() {
        let mut job = job(8 << 30);
        (job.state, job.stage, job.progress) = (State::Processing, Some(Stage::Convert), 500);
        job.times.claimed = Some(0);
        // 60 % in 9 s: 6 s are left.
        let pause = Throughput::default().pause(&job, 9_000).unwrap();
        assert_eq!(pause.as_millis(), 2_000);
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
        // A clock that stood still says nothing.
        done.times.ended = Some(0);
        seen.record(&done);
        assert!(seen.pause(&job(60_000_000), 0).unwrap() >= MIN_PAUSE);
    }
}
