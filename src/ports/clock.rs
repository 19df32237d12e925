//! Port: the time of day, for records and due times. No decision compares the clocks of two
//! machines.
//!
//! A wall clock can step: an administrator sets it, NTP corrects it, a machine resumes with a wrong
//! one. Due times are therefore compared by a clock that does not step: [`SteadyClock`] in the
//! process that owns the stores, and the store's own time (`StoreClock` of the AWS adapters)
//! everywhere else.

use crate::domain::job::Millis;
use rustix::time::{ClockId, clock_gettime};
use std::sync::OnceLock;

/// A source of time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now(&self) -> Millis;
}

/// The machine's wall clock, which can step. For display, and for times that other processes
/// compare with the same clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
    }
}

/// The wall clock at its first use plus the time elapsed since, including suspend. It is unaffected
/// by steps of the wall clock.
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

/// Milliseconds since boot, including suspend; the same in all processes of the machine.
pub fn uptime() -> Millis {
    let time = clock_gettime(ClockId::Boottime);
    let whole = Millis::try_from(time.tv_sec).unwrap_or_default().saturating_mul(1000);
    whole.saturating_add(Millis::try_from(time.tv_nsec / 1_000_000).unwrap_or_default())
}
