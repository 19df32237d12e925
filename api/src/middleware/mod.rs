//! What stands around the routes: the rates of callers, the access log and the headers of
//! every answer.

pub mod access_log;
pub mod rate_limit;
