//! How many event streams may be open, and their end when the server stops.

use crate::problem::Problem;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::Owner;
use cadmill_core::metrics;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// When to try again, in seconds: a client that is refused polls meanwhile.
const RETRY_S: u64 = 30;

/// The open streams of this process.
pub struct Seats {
    most: usize,
    per_owner: usize,
    open: Mutex<Open>,
    stop: watch::Sender<bool>,
}

#[derive(Default)]
struct Open {
    total: usize,
    by_owner: HashMap<Owner, usize>,
}

impl Seats {
    /// At most so many streams, and so many of one owner.
    pub fn new(most: usize, per_owner: usize) -> Arc<Self> {
        metrics::streams(0);
        Arc::new(Self { most, per_owner, open: Mutex::default(), stop: watch::Sender::new(false) })
    }

    /// A place for a stream, until it is dropped.
    ///
    /// # Errors
    /// `request.rate_limited` if none is free.
    pub fn take(self: &Arc<Self>, owner: &Owner) -> Result<Seat, Problem> {
        let mut open = self.lock();
        let own = open.by_owner.get(owner).copied().unwrap_or_default();
        let full = match () {
            () if own >= self.per_owner => Some((self.per_owner, "of one owner (api.streams_per_owner)")),
            () if open.total >= self.most => Some((self.most, "(api.streams)")),
            () => None,
        };
        if let Some((limit, of)) = full {
            let message =
                format!("{limit} event streams {of} are open, which is the limit; poll the status instead");
            return Err(Problem::new(FailureCode::RequestRateLimited, message).retry_after(RETRY_S));
        }
        open.total += 1;
        open.by_owner.insert(owner.clone(), own + 1);
        metrics::streams(open.total);
        Ok(Seat { seats: Arc::clone(self), owner: owner.clone() })
    }

    /// Number of open streams.
    pub fn open(&self) -> usize {
        self.lock().total
    }

    /// Ends all streams, also those that are opened later.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one stream.
pub struct Seat {
    seats: Arc<Seats>,
    owner: Owner,
}

impl Seat {
    /// Becomes true when the stream must end.
    pub fn stopped(&self) -> watch::Receiver<bool> {
        self.seats.stop.subscribe()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.seats.lock();
        open.total -= 1;
        match open.by_owner.get_mut(&self.owner) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(open.by_owner.remove(&self.owner)),
        }
        metrics::streams(open.total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_for_all_and_for_each_owner() {
        let seats = Seats::new(3, 2);
        let [ann, bob]: [Owner; 2] = ["ann", "bob"].map(|owner| owner.parse().unwrap());
        let first = seats.take(&ann).ok();
        let second = seats.take(&ann).ok();
        assert_eq!(seats.take(&ann).err().unwrap().code(), "request.rate_limited");
        let third = seats.take(&bob).ok();
        assert!(third.is_some() && seats.take(&bob).is_err(), "three are open");
        drop(first);
        assert_eq!(seats.open(), 2);
        assert!(seats.take(&ann).is_ok() && seats.take(&bob).is_ok());
        drop((second, third));
        assert_eq!(seats.open(), 0);
        assert!(seats.lock().by_owner.is_empty(), "owners are forgotten");
    }
}
