//! The lease of a cleanup program.
//!
//! Clocks differ between machines, and step. The time of an entry says until when it lasts; but an entry that a
//! program has not seen change for longer than any lease, by its own clock that never steps, is that of a dead
//! program too. Otherwise one that died before a clock was set back would keep its share for as long.

use crate::domain::crew::Crew;
use crate::domain::due::Part;
use crate::domain::job::Millis;
use crate::jobs::Jobs;
use crate::ports::{PortError, PortResult};
use crate::retry::pause;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Intervals without a renewal after which a program counts as dead.
const INTERVALS: u32 = 3;

/// Attempts to write the record, which other programs write too.
const ROUNDS: u32 = 10;

/// Leases for which an entry of another program is believed that does not change.
const BELIEVED: u32 = 2;

/// The entry of one program.
#[derive(Clone)]
pub struct Membership {
    jobs: Jobs,
    name: String,
    every: Duration,
    seen: Arc<Mutex<Seen>>,
}

/// What was seen of the others: until when each lasts, and since when that is known.
type Seen = HashMap<String, (Millis, Instant)>;

impl Membership {
    /// For a program that works every `every`.
    pub fn new(jobs: Jobs, name: String, every: Duration) -> Self {
        Self { jobs, name, every, seen: Arc::default() }
    }

    /// The interval of its work.
    pub fn every(&self) -> Duration {
        self.every
    }

    /// Renews the lease, and returns the parts of the work that are this program's.
    ///
    /// # Errors
    /// If the store fails, or other programs write all the time.
    pub async fn renew(&self) -> PortResult<Vec<Part>> {
        let lease = Millis::try_from((self.every * INTERVALS).as_millis()).unwrap_or(Millis::MAX);
        let now = self.jobs.clock().now();
        let renewed = |crew: &Crew| self.alive(crew, lease).with(&self.name, now, now.saturating_add(lease));
        let crew = self.change(renewed).await?;
        Ok(crew.parts_of(&self.name, now))
    }

    /// Ends the lease, so that others take the work over at once.
    ///
    /// # Errors
    /// As for [`Self::renew`]; the lease then ends by itself.
    pub async fn leave(&self) -> PortResult<()> {
        self.change(|crew| crew.without(&self.name)).await.map(drop)
    }

    /// Without the programs whose entries have not changed for long.
    fn alive(&self, crew: &Crew, lease: Millis) -> Crew {
        let (now, longest) = (Instant::now(), Duration::from_millis(lease.max(crew.lease)) * BELIEVED);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|name, _| crew.members.contains_key(name));
        let mut alive = crew.clone();
        alive.members.retain(|name, until| {
            let entry = seen.entry(name.clone()).or_insert((*until, now));
            if entry.0 != *until {
                *entry = (*until, now);
            }
            now.duration_since(entry.1) <= longest
        });
        alive
    }

    /// Renews the lease every interval, forever.
    pub async fn keep(&self) -> Infallible {
        loop {
            tokio::time::sleep(self.every).await;
            if let Err(error) = self.renew().await {
                tracing::warn!(error = %error, "could not renew the lease of the cleanup");
            }
        }
    }

    async fn change(&self, change: impl Fn(&Crew) -> Crew) -> PortResult<Crew> {
        let mut last = None;
        for round in 0..ROUNDS {
            let store = self.jobs.store();
            let replaced = match store.crew().await {
                Ok(crew) => {
                    let next = change(&crew.unwrap_or_default());
                    store.replace_crew(&next).await.map(|done| done.then_some(next))
                }
                Err(error) => Err(error),
            };
            match replaced {
                Ok(Some(next)) => return Ok(next),
                Ok(None) => {}
                // A write whose reply was lost is made again, which changes nothing.
                Err(error) if error.is_transient() => last = Some(error),
                Err(error) => return Err(error),
            }
            pause(round).await;
        }
        Err(last.unwrap_or(PortError::Unavailable {
            operation: "renewing the lease of the cleanup",
            reason: "it was changed concurrently too often".to_owned(),
        }))
    }
}
