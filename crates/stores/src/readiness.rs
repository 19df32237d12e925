//! Whether the stores respond and accept writes.
//!
//! The check of the stores runs beside the answers: a probe is answered with the latest result while
//! the next check runs. Only a probe without a recent result waits.

use cadmill_core::cleanup::attendance::Attendance;
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::{EventQueue, ObjectStore, PortResult};
use std::future::Future;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

/// Time limit for each store to respond. A stale result is used for at most this long, while the
/// next check runs.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a result is fresh, so that probes cost the stores little.
pub const FRESH: Duration = Duration::from_secs(2);
/// The same for write checks, which cost more. A failure is checked again after [`FRESH`].
const FRESH_WRITES: Duration = Duration::from_secs(10);

/// Prefix of the name of a store that does not accept writes.
const WRITES: &str = "writes to the ";

/// The stores and the latest results of their checks. Cheap to clone.
#[derive(Clone)]
pub struct Readiness(Arc<Stores>, Option<Arc<Attendance>>);

struct Stores {
    objects: Arc<dyn ObjectStore>,
    jobs: Jobs,
    queue: Arc<dyn EventQueue>,
    answers: Latest,
    writes: Latest,
    /// Whether writes are checked: not every caller has the permissions for it.
    checks_writes: bool,
}

/// The latest result of one check.
#[derive(Default)]
struct Latest {
    /// When it was known, and the names of the stores that failed.
    result: StdMutex<Option<(Instant, Vec<&'static str>)>>,
    /// Held by the check that runs: concurrent callers share one.
    turn: Arc<Mutex<()>>,
}

#[derive(Clone, Copy)]
enum Check {
    Answers,
    Writes,
}

impl Readiness {
    /// Asks whether these stores respond and accept writes.
    pub fn new(objects: Arc<dyn ObjectStore>, jobs: Jobs, queue: Arc<dyn EventQueue>) -> Self {
        Self::with(objects, jobs, queue, true)
    }

    /// Asks whether these stores respond.
    pub fn of_answers(objects: Arc<dyn ObjectStore>, jobs: Jobs, queue: Arc<dyn EventQueue>) -> Self {
        Self::with(objects, jobs, queue, false)
    }

    fn with(
        objects: Arc<dyn ObjectStore>,
        jobs: Jobs,
        queue: Arc<dyn EventQueue>,
        checks_writes: bool,
    ) -> Self {
        let [answers, writes] = [Latest::default(), Latest::default()];
        Self(Arc::new(Stores { objects, jobs, queue, answers, writes, checks_writes }), None)
    }

    /// Also knows whether a cleanup program is alive.
    #[must_use]
    pub fn with_attendance(self, attendance: Arc<Attendance>) -> Self {
        Self(self.0, Some(attendance))
    }

    /// Names of what is missing and does not keep this program from its work.
    pub fn absent(&self) -> Vec<&'static str> {
        let missing = self.1.as_ref().is_some_and(|attendance| attendance.is_missing());
        missing.then_some("cleanup program").into_iter().collect()
    }

    /// Names of the stores that do not respond or do not accept writes.
    pub async fn missing(&self) -> Vec<&'static str> {
        let mut missing = self.recent(Check::Answers).await;
        if !self.0.checks_writes {
            return missing;
        }
        let writes = self.recent(Check::Writes).await;
        // A store that does not respond is listed once.
        let silent = missing.clone();
        let is_silent = |name: &str| name.strip_prefix(WRITES).is_some_and(|store| silent.contains(&store));
        missing.extend(writes.into_iter().filter(|name| !is_silent(name)));
        missing
    }

    /// The latest result, or a new one if the latest is too old.
    async fn recent(&self, check: Check) -> Vec<&'static str> {
        let latest = self.latest(check);
        let Some((age, missing)) = latest.get() else {
            return self.renewed(check).await;
        };
        let fresh = match check {
            Check::Writes if missing.is_empty() => FRESH_WRITES,
            Check::Answers | Check::Writes => FRESH,
        };
        if age >= fresh + PATIENCE {
            return self.renewed(check).await;
        }
        if age >= fresh
            && let Ok(turn) = latest.turn.clone().try_lock_owned()
        {
            let readiness = self.clone();
            tokio::spawn(async move { readiness.run(check, turn).await });
        }
        missing
    }

    /// The result of a check that ends after this call.
    async fn renewed(&self, check: Check) -> Vec<&'static str> {
        let asked = Instant::now();
        let turn = self.latest(check).turn.clone().lock_owned().await;
        match self.latest(check).get() {
            // The check of another caller ended meanwhile.
            Some((age, missing)) if age <= asked.elapsed() => missing,
            _ => self.run(check, turn).await,
        }
    }

    async fn run(&self, check: Check, turn: OwnedMutexGuard<()>) -> Vec<&'static str> {
        let (objects, jobs, queue) = (&self.0.objects, self.0.jobs.store(), &self.0.queue);
        let missing: Vec<_> = match check {
            Check::Answers => {
                let all = tokio::join!(
                    answers("object store", objects.check()),
                    answers("job store", jobs.check()),
                    answers("event queue", queue.check()),
                );
                <[_; 3]>::from(all).into_iter().flatten().collect()
            }
            Check::Writes => {
                let all = tokio::join!(
                    answers("writes to the object store", objects.can_write()),
                    answers("writes to the job store", jobs.can_write()),
                );
                <[_; 2]>::from(all).into_iter().flatten().collect()
            }
        };
        self.latest(check).set(missing.clone());
        drop(turn);
        missing
    }

    fn latest(&self, check: Check) -> &Latest {
        match check {
            Check::Answers => &self.0.answers,
            Check::Writes => &self.0.writes,
        }
    }
}

impl Latest {
    /// The age of the result and the stores that failed.
    fn get(&self) -> Option<(Duration, Vec<&'static str>)> {
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        result.as_ref().map(|(at, missing)| (at.elapsed(), missing.clone()))
    }

    fn set(&self, missing: Vec<&'static str>) {
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        *result = Some((Instant::now(), missing));
    }
}

/// The name, unless the store responds successfully and in time.
async fn answers(name: &'static str, check: impl Future<Output = PortResult<()>>) -> Option<&'static str> {
    match tokio::time::timeout(PATIENCE, check).await {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => tracing::warn!(store = name, error = %error, "not ready"),
        Err(_) => tracing::warn!(store = name, "not ready: no response within 2 s"),
    }
    Some(name)
}
