//! The time in the headers of every answer.
//!
//! hyper would write `Date` by itself, but from a copy that it renews only when the clock goes
//! forward: after a step back it would stand still for the length of the step. The AWS SDK signs
//! by this header, and its requests would be refused for that time.

use cadmill_core::ports::Clock;
use cadmill_core::ports::clock::SteadyClock;
use hyper::Response;
use hyper::header::{DATE, HeaderName, HeaderValue};
use std::time::SystemTime;

/// The time of this process that does not step, in milliseconds since 1970. This process and the
/// workers compare due times with it.
pub(crate) const TIME: HeaderName = HeaderName::from_static("x-cadmill-time");

/// Adds the time to the answer: by the system clock, which signatures are checked against, and by
/// the steady clock.
pub(super) fn dated<B>(mut answer: Response<B>) -> Response<B> {
    let headers = answer.headers_mut();
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now())) {
        headers.insert(DATE, date);
    }
    headers.insert(TIME, HeaderValue::from(SteadyClock.now()));
    answer
}
