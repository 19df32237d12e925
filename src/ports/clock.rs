//! Port: the time of day. For records and for what is due; no decision compares
//! the clocks of two machines.
//!
//! A wall clock steps: an administrator sets it, NTP corrects it, a machine wakes with a
//! wrong one. What is due later is compared by a clock that does not: [`SteadyClock`] in
//! the process of the stores, and the store's own time
//! (`StoreClock` of the AWS adapters) everywhere else.

use crate::domain::job::Millis;
use rustix::time::{ClockId, clock_gettime};
use std::sync::OnceLock;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now(&self) -> Millis;
}

/// The machine's clock, which may step. For people, and for what other processes compare
/// with the same clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
    }
}

/// What the machine's clock showed when it was first asked, and the time that has passed
/// since, sleep of the machine included: steps do not move it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SteadyClock;

impl Clock for SteadyClock {
    fn now(&self) -> Millis {
        static START: OnceLock<(Millis, Millis)> = OnceLock::new();
        let up = uptime();
        let (wall, then) = START.get_or_init(|| (SystemClock.now(), up));
        wall.saturating_add(up.saturating_sub(*then))
    }
}

/// Milliseconds since the machine started: the same in all of its processes.
pub fn uptime() -> Millis {
    let time = clock_gettime(ClockId::Boottime);
    let whole = Millis::try_from(time.tv_sec).unwrap_or_default().saturating_mul(1000);
    whole.saturating_add(Millis::try_from(time.tv_nsec / 1_000_000).unwrap_or_default())
}
