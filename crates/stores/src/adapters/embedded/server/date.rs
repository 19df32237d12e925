//! The time in the head of every answer.
//!
//! hyper would write `Date` by itself, but from a copy that it renews only when the clock
//! goes forward: after a step back it would stand still for as long as the step. The AWS
//! SDK signs by this header, and what it signs would be refused for as long.

use cadmill_core::ports::Clock;
use cadmill_core::ports::clock::SteadyClock;
use hyper::Response;
use hyper::header::{DATE, HeaderName, HeaderValue};
use std::time::SystemTime;

/// The time of this process that does not step, in milliseconds since 1970: what is due
/// is compared by it, in this process and in those of the workers.
pub(crate) const TIME: HeaderName = HeaderName::from_static("x-cadmill-time");

/// The answer with the time in it: by the machine's clock, which signatures are judged
/// by, and by the steady one.
pub(super) fn dated<B>(mut answer: Response<B>) -> Response<B> {
    let headers = answer.headers_mut();
    if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now())) {
        headers.insert(DATE, date);
    }
    headers.insert(TIME, HeaderValue::from(SteadyClock.now()));
    answer
}
