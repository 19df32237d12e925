//! Whether the stores respond and accept writes.

use cadmill_core::ports::{EventQueue, JobStore, ObjectStore, PortResult};
use std::future::Future;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Time limit for each store to respond.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a result is cached, so that probes cost the stores little.
pub(crate) const FRESH: Duration = Duration::from_secs(2);
/// The same for write checks, which cost more. A failure is checked again after [`FRESH`].
const FRESH_WRITES: Duration = Duration::from_secs(10);

/// Prefix of the name of a store that does not accept writes.
const WRITES: &str = "writes to the ";

/// The latest results of the stores.
#[derive(Default)]
pub struct Readiness(Mutex<Latest>);

#[derive(Default)]
struct Latest {
    answers: Option<(Instant, Vec<&'static str>)>,
    writes: Option<(Instant, Vec<&'static str>)>,
}

impl Readiness {
    /// Names of the stores that do not respond or do not accept writes. Concurrent callers share
    /// one check.
    pub(crate) async fn missing(
        &self,
        objects: &dyn ObjectStore,
        jobs: &dyn JobStore,
        queue: &dyn EventQueue,
    ) -> Vec<&'static str> {
        let mut latest = self.0.lock().await;
        let is_fresh = |latest: &Option<(Instant, Vec<_>)>, whole: Duration| {
            let fresh = |missing: &Vec<_>| if missing.is_empty() { whole } else { FRESH };
            latest.as_ref().is_some_and(|(at, missing)| at.elapsed() < fresh(missing))
        };
        if !is_fresh(&latest.answers, FRESH) {
            let missing = tokio::join!(
                answers("object store", objects.check()),
                answers("job store", jobs.check()),
                answers("event queue", queue.check()),
            );
            let missing = <[_; 3]>::from(missing).into_iter().flatten().collect();
            latest.answers = Some((Instant::now(), missing));
        }
        if !is_fresh(&latest.writes, FRESH_WRITES) {
            let missing = tokio::join!(
                answers("writes to the object store", objects.can_write()),
                answers("writes to the job store", jobs.can_write()),
            );
            let missing = <[_; 2]>::from(missing).into_iter().flatten().collect();
            latest.writes = Some((Instant::now(), missing));
        }
        let known = [&latest.answers, &latest.writes].into_iter().flatten();
        let mut missing: Vec<_> = known.flat_map(|(_, missing)| missing.iter().copied()).collect();
        // A store that does not respond is listed once.
        let silent = missing.clone();
        missing.retain(|name| !name.strip_prefix(WRITES).is_some_and(|store| silent.contains(&store)));
        missing
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
