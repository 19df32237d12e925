//! The rules of the core on real adapters: jobs, deletion and ledgers.

mod audit;
mod jobs;
mod reaper;
