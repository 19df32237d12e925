//! How many requests a caller may make.
//!
//! A caller is an owner, or the client's address while the owner is not known; see
//! [`crate::client`] for the address of a client behind a proxy.

use crate::problem::Problem;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::Owner;
use cadmill_stores::connections::networks;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

/// Callers in memory above which idle ones are evicted.
const MAX_CALLERS: usize = 50_000;

/// Counts the requests of each caller.
pub struct RateLimits(DefaultKeyedRateLimiter<Caller>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Caller {
    Owner(Owner),
    Peer(IpAddr),
    /// No address: the router was called without a socket.
    Nobody,
}

impl RateLimits {
    /// Average requests per second, and the burst after a pause. Zero counts as one.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let at_least_one = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst));
        Self(DefaultKeyedRateLimiter::keyed(quota))
    }

    /// Counts a request of this owner.
    ///
    /// # Errors
    /// `request.rate_limited`, with the seconds to wait.
    pub fn owner(&self, owner: &Owner) -> Result<(), Problem> {
        self.check(Caller::Owner(owner.clone()))
    }

    /// Counts a request of this address. Addresses of one IPv6 /64 network count together: a host
    /// usually controls its whole /64.
    ///
    /// # Errors
    /// As for [`RateLimits::owner`].
    pub fn peer(&self, address: Option<IpAddr>) -> Result<(), Problem> {
        self.check(address.map_or(Caller::Nobody, |address| Caller::Peer(networks::client(address))))
    }

    fn check(&self, caller: Caller) -> Result<(), Problem> {
        if self.0.len() > MAX_CALLERS {
            self.forget();
        }
        self.0.check_key(&caller).map(drop).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            let message = "there were more requests than allowed in this time";
            Problem::new(FailureCode::RequestRateLimited, message).retry_after(whole_seconds(wait))
        })
    }

    /// Evicts the callers whose burst has fully recovered.
    pub fn forget(&self) {
        self.0.retain_recent();
        self.0.shrink_to_fit();
    }
}

/// Seconds for `Retry-After`, rounded up; at least one.
pub fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0 || time.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_counted_apart() {
        let rates = RateLimits::new(1, 2);
        let (ann, bob): (Owner, Owner) = ("ann".parse().unwrap(), "bob".parse().unwrap());
        assert!(rates.owner(&ann).is_ok() && rates.owner(&ann).is_ok());
        assert_eq!(rates.owner(&ann).unwrap_err().code(), "request.rate_limited");
        assert!(rates.owner(&bob).is_ok());
        let address = |text: &str| Some(text.parse().unwrap());
        assert!(rates.peer(address("2001:db8::1")).is_ok() && rates.peer(address("2001:db8::2")).is_ok());
        assert!(rates.peer(address("2001:db8::3")).is_err());
        assert!(rates.peer(address("2001:db8:0:1::3")).is_ok());
    }

    #[test]
    fn callers_at_rest_are_forgotten() {
        let rates = RateLimits::new(u32::MAX, 1);
        for number in 0..=(MAX_CALLERS as u32) {
            assert!(rates.peer(Some(IpAddr::V4(number.into()))).is_ok());
        }
        std::thread::sleep(Duration::from_millis(2));
        assert!(rates.peer(None).is_ok());
        assert!(rates.0.len() < MAX_CALLERS);
    }

    #[test]
    fn waits_are_rounded_up() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
    }
}
