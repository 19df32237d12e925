//! The pipeline as deployed: stores, events, and workers as separate processes that are killed,
//! paused and stopped.

mod afterwards;
mod ahead;
mod aws;
mod budget;
mod canary;
mod cleaners;
mod client;
mod clock;
mod credentials;
mod deaths;
mod duplicates;
mod evidence;
mod fairness;
mod hung;
mod ledgers;
mod observer;
mod once;
mod outsider;
mod pipe;
pub(crate) mod policies;
pub(crate) mod private;
pub(crate) mod processes;
mod protection;
mod rolling;
pub(crate) mod stores;
mod task;
mod unattended;
mod whole;
pub(crate) mod worker;
pub(crate) mod world;
