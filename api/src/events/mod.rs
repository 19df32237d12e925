//! Event streams: what is read of the jobs that clients follow ([`hub`]), what is sent of it
//! ([`snapshot`]), and how many streams may be open ([`seats`]).
//!
//! A status is a snapshot, so there is no log of events: a stream that is taken up again begins with the
//! record as it is, if that is newer than what the client has. Therefore any process can serve any stream.

pub mod hub;
pub mod seats;
pub mod snapshot;
