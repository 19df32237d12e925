//! The rules of the core on real adapters: jobs, deletion and ledgers.

mod attendance;
mod cleanup;
mod compat;
mod dead_letters;
mod evidence;
mod jobs;
mod ledger;
mod quota;
mod stored;
