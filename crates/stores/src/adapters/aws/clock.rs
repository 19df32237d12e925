//! The clock of the object store, as reported in its answers.
//!
//! Every process of a pipeline talks to the same object store, so its clock is the one that all
//! of them can agree on, however their own clocks are set. It determines when something is due,
//! which one process writes and another compares, and when a presigned request becomes valid.
//! Between two answers the process's steady clock is used. So a clock that steps changes nothing,
//! and a clock that is wrong from the start is corrected by the first answer.

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_async::time::TimeSource;
use cadmill_core::domain::job::Millis;
use cadmill_core::ports::Clock;
use cadmill_core::ports::clock::SteadyClock;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The header in which cadmill's own server reports a time that does not step.
const TIME: &str = "x-cadmill-time";

/// Differences up to this many milliseconds are ignored: `Date` has whole seconds, and an answer
/// takes some time to arrive.
const TOLERANCE: u64 = 5000;

/// The last time that `Date` can express. A later value is not a time.
const LAST: Millis = 253_402_300_799_000;

/// The store's time. Clones share one clock.
#[derive(Debug, Clone, Default)]
pub struct StoreClock {
    /// How far the store's times are ahead of the steady clock: `time` for due times, `date` for
    /// signatures.
    time: Arc<Skew>,
    date: Arc<Skew>,
}

/// A difference in milliseconds.
#[derive(Debug, Default)]
struct Skew(AtomicI64);

impl Skew {
    fn now(&self) -> Millis {
        SteadyClock.now().saturating_add_signed(self.0.load(Ordering::Relaxed))
    }

    fn heard(&self, told: Millis) {
        if told.abs_diff(self.now()) > TOLERANCE {
            let ahead = i128::from(told) - i128::from(SteadyClock.now());
            self.0.store(i64::try_from(ahead).unwrap_or(0), Ordering::Relaxed);
        }
    }
}

impl StoreClock {
    /// The time by which the store checks signatures, in milliseconds since 1970.
    pub fn date(&self) -> Millis {
        self.date.now()
    }

    fn heard(&self, date: Option<&str>, time: Option<&str>) {
        let date = date.and_then(|text| httpdate::parse_http_date(text).ok());
        let date = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
        let date = date.and_then(|since| Millis::try_from(since.as_millis()).ok());
        if let Some(date) = date {
            self.date.heard(date);
        }
        let time = time.and_then(|text| text.parse().ok()).filter(|&time| time <= LAST);
        if let Some(time) = time.or(date) {
            self.time.heard(time);
        }
    }
}

impl Clock for StoreClock {
    fn now(&self) -> Millis {
        self.time.now()
    }
}

impl Intercept for StoreClock {
    fn name(&self) -> &'static str {
        "StoreClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        // An answer from a cache reports the time at which it was made.
        if headers.get("age").is_none() {
            self.heard(headers.get("date"), headers.get(TIME));
        }
        Ok(())
    }
}

/// The time by which the SDK checks its credentials and makes its signatures. It does not step;
/// the SDK itself corrects it to the services' clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct SteadyTime;

impl TimeSource for SteadyTime {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(SteadyClock.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;

    fn date(millis: Millis) -> String {
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(millis))
    }

    fn near(one: Millis, other: Millis) -> bool {
        one.abs_diff(other) < TOLERANCE + 5000
    }

    #[test]
    fn the_store_s_time_is_followed_and_small_differences_are_not() {
        let (clock, own) = (StoreClock::default(), SteadyClock.now());
        assert!(near(clock.now(), own) && near(clock.date(), own));
        clock.heard(Some(&date(own + 2000)), None);
        assert_eq!(clock.time.0.load(Ordering::Relaxed), 0);
        for told in [own + 24 * HOUR, own - HOUR, own - 2 * HOUR, own] {
            clock.heard(Some(&date(told)), None);
            assert!(near(clock.now(), told) && near(clock.date(), told));
        }
    }

    #[test]
    fn a_steady_time_counts_for_what_is_due_and_the_date_for_signatures() {
        let (clock, own) = (StoreClock::default(), SteadyClock.now());
        clock.heard(Some(&date(own - HOUR)), Some(&own.to_string()));
        assert!(near(clock.now(), own) && near(clock.date(), own - HOUR));
    }

    #[test]
    fn rubbish_moves_nothing() {
        let clock = StoreClock::default();
        for (date, time) in [(None, None), (Some("yesterday"), Some("-1")), (Some(""), Some("1e9"))] {
            clock.heard(date, time);
        }
        assert!(near(clock.now(), SteadyClock.now()) && near(clock.date(), SteadyClock.now()));
        // A date beyond any clock must not end the process.
        clock.heard(Some("Fri, 31 Dec 9999 23:59:59 GMT"), Some("18446744073709551615"));
        clock.now();
        clock.date();
    }
}
