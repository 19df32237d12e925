//! What all programs of a simulation share: the time, the stores, and what is observed of them.
//!
//! The time is the clock of tokio, which stands still while anything runs and jumps to the next moment
//! at which something happens.

use crate::bill::Bill;
use crate::bucket::Bucket;
use crate::limits::PARTITION_UNITS;
use crate::queue::Queue;
use crate::random::Random;
use crate::table::Table;
use crate::witness::Witness;
use cadmill_core::domain::job::Millis;
use cadmill_core::domain::ledger::LedgerId;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// When every simulation begins: 2026-06-01T00:00:00Z.
pub(crate) const BEGIN: Millis = 1_780_272_000_000;

/// What a simulation of the services can be changed in.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    /// Whether the bucket keeps versions.
    pub(crate) versioned: bool,
    /// Partitions of the table.
    pub(crate) table_partitions: usize,
    /// Partitions of the index of what is due. Each part of the due work is in one.
    pub(crate) index_partitions: usize,
    /// Write units that a partition takes in a second.
    pub(crate) partition_units: f64,
    /// Of the calls, those that fail: half without an effect, half with a lost reply.
    pub(crate) faults: f64,
}

impl Default for Services {
    fn default() -> Self {
        Self {
            versioned: false,
            table_partitions: 16,
            index_partitions: 128,
            partition_units: PARTITION_UNITS,
            faults: 0.0005,
        }
    }
}

/// The world of a simulation.
pub(crate) struct World {
    start: Instant,
    pub(crate) services: Services,
    pub(crate) bill: Bill,
    random: Mutex<Random>,
    table: Mutex<Table>,
    bucket: Mutex<Bucket>,
    pub(crate) queue: Queue,
    ledgers: Mutex<HashSet<LedgerId>>,
    witness: Mutex<Witness>,
}

impl World {
    /// An empty world whose time begins now.
    pub(crate) fn new(seed: u64, services: Services) -> Arc<Self> {
        let table =
            Table::new(services.table_partitions, services.index_partitions, services.partition_units);
        Arc::new(Self {
            start: Instant::now(),
            bill: Bill::default(),
            random: Mutex::new(Random::of(seed, u64::MAX)),
            table: Mutex::new(table),
            bucket: Mutex::new(Bucket::new(services.versioned)),
            queue: Queue::default(),
            ledgers: Mutex::default(),
            witness: Mutex::default(),
            services,
        })
    }

    /// The time, as the services have it.
    pub(crate) fn now(&self) -> Millis {
        BEGIN + self.elapsed()
    }

    /// Milliseconds since the begin.
    pub(crate) fn elapsed(&self) -> Millis {
        Millis::try_from(self.start.elapsed().as_millis()).expect("a short time")
    }

    pub(crate) fn random(&self) -> MutexGuard<'_, Random> {
        locked(&self.random)
    }

    /// Locked after the bucket, never before it.
    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        locked(&self.table)
    }

    pub(crate) fn bucket(&self) -> MutexGuard<'_, Bucket> {
        locked(&self.bucket)
    }

    pub(crate) fn ledgers(&self) -> MutexGuard<'_, HashSet<LedgerId>> {
        locked(&self.ledgers)
    }

    /// Locked last.
    pub(crate) fn witness(&self) -> MutexGuard<'_, Witness> {
        locked(&self.witness)
    }
}

/// A panic in one task ends the simulation anyway.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
