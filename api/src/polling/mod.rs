//! Polling clients: which jobs they poll and when they stop ([`tracker`]), and when they should
//! poll again ([`pacing`]).

pub mod pacing;
pub mod tracker;
