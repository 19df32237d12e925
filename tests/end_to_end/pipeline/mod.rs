//! The pipeline as deployed: stores, events, and workers as separate processes that are killed,
//! paused and stopped.

mod afterwards;
mod ahead;
mod canary;
mod client;
mod clock;
mod credentials;
mod deaths;
mod duplicates;
mod ledgers;
mod observer;
mod outsider;
mod policies;
pub(crate) mod private;
mod processes;
mod protection;
mod task;
mod whole;
pub(crate) mod world;
