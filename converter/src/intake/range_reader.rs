//! Reads one range of an object, despite failing or slow requests.
//!
//! A request that fails for a transient reason is retried after a pause. A request that takes much
//! longer than others is hedged by a second one, and the first answer counts: a connection that
//! hangs would hold up everything behind it.

use super::DownloadConfig;
use bytes::Bytes;
use cadmill_core::domain::job::Object;
use cadmill_core::ports::{ObjectStore, PortError, PortResult};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a request in flight is compared with the others.
const LOOK: Duration = Duration::from_millis(50);

/// Number of response times that are kept.
const REMEMBERED: usize = 16;

/// A part is late when it takes this many times as long as others.
const TIMES_AS_LONG: u32 = 3;

/// Reads ranges of one object. Clones share the measured response times.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) object: Object,
    pub(super) flow: DownloadConfig,
    pub(super) pace: Arc<LatencyTracker>,
}

/// The response times of the latest parts, and the numbers of retried and hedged requests.
#[derive(Debug, Default)]
pub(super) struct LatencyTracker {
    times: Mutex<Vec<Duration>>,
    again: AtomicU64,
    beside: AtomicU64,
}

impl LatencyTracker {
    fn took(&self, time: Duration) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if times.len() == REMEMBERED {
            times.remove(0);
        }
        times.push(time);
    }

    /// How long a part may take before it is late.
    fn patience(&self, flow: &DownloadConfig) -> Duration {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner).clone();
        times.sort_unstable();
        times
            .get(times.len() / 2)
            .map_or(flow.hedge_first_after, |median| flow.hedge_after.max(*median * TIMES_AS_LONG))
    }

    /// Requests that were retried after a failure, and those that hedged a late one.
    pub(super) fn extra_requests(&self) -> (u64, u64) {
        (self.again.load(Ordering::Relaxed), self.beside.load(Ordering::Relaxed))
    }
}

impl Reader {
    /// Returns all bytes of the range, if the object is still the same.
    pub(super) async fn read(&self, range: Range<u64>) -> PortResult<Bytes> {
        let mut pause = self.flow.pause;
        for _ in 1..self.flow.tries {
            match self.hedged(range.clone()).await {
                Err(error) if error.is_transient() => {
                    tracing::debug!(error = %error, "retrying a part");
                    self.pace.again.fetch_add(1, Ordering::Relaxed);
                }
                other => return other,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.hedged(range).await
    }

    async fn hedged(&self, range: Range<u64>) -> PortResult<Bytes> {
        let started = Instant::now();
        let first = self.once(range.clone());
        tokio::pin!(first);
        while started.elapsed() < self.pace.patience(&self.flow) {
            tokio::select! {
                answer = &mut first => {
                    self.pace.took(started.elapsed());
                    return answer;
                }
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        tracing::debug!("a part is late; sending a second request for it");
        self.pace.beside.fetch_add(1, Ordering::Relaxed);
        let second = self.once(range);
        tokio::pin!(second);
        // If one request fails, the other continues.
        tokio::select! {
            answer = &mut first => match answer {
                Err(error) if error.is_transient() => second.await,
                other => other,
            },
            answer = &mut second => match answer {
                Err(error) if error.is_transient() => first.await,
                other => other,
            },
        }
    }

    async fn once(&self, range: Range<u64>) -> PortResult<Bytes> {
        let wanted = range.end - range.start;
        let bytes = self.store.read(&self.object, range).await?;
        // A short read would shift everything that follows.
        if bytes.len() as u64 == wanted {
            return Ok(bytes);
        }
        let reason = "the number of bytes differs from what was requested".to_owned();
        Err(PortError::Unavailable { operation: "reading the upload", reason })
    }
}
