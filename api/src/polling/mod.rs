//! Clients that ask for the state of a job: who they are and when they stop ([`tracker`]),
//! and when they should ask again ([`pacing`]).

pub mod pacing;
pub mod tracker;
