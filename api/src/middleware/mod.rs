//! Middleware around the routes: rate limits, the access log and the common response headers.

pub mod access_log;
pub mod rate_limit;
