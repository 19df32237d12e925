//! The rules of the core on real adapters: jobs, deletion and ledgers.

mod cleanup;
mod jobs;
mod ledger;
mod quota;
mod stored;
