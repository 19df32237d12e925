//! What a worker is told, and what its tasks share.

use super::admission::Budget;
use super::lease::JobLease;
use super::ledger::LedgerFactory;
use super::message::Delivery;
use crate::conversion::context::ConversionContext;
use crate::intake::DownloadConfig;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::limits::{ArchiveLimits, Caps};
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::{EventQueue, ObjectStore};
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What a worker is told.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Its name in leases and logs; no two workers may share one.
    pub name: String,
    /// The bucket whose events are ours.
    pub bucket: String,
    /// Jobs at once, at least 1.
    pub concurrency: u32,
    /// Memory that the jobs may use together, in bytes.
    pub memory_bytes: u64,
    /// From the signal to stop to the end of the process.
    pub stop_within: Duration,
    /// Caps on an engine process.
    pub caps: Caps,
    /// Limits on an archive.
    pub archive: ArchiveLimits,
    /// How an upload is read.
    pub flow: DownloadConfig,
}

pub(super) struct Active {
    /// The message that is kept for it.
    pub(super) delivery: Delivery,
    /// Once it is claimed.
    pub(super) hold: Option<Arc<JobLease>>,
}

/// What the tasks of a worker share.
pub(super) struct Shared {
    pub(super) settings: WorkerSettings,
    pub(super) setting: ConversionContext,
    pub(super) recording: LedgerFactory,
    pub(super) jobs: Jobs,
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) queue: Arc<dyn EventQueue>,
    pub(super) budget: Budget,
    pub(super) slots: Arc<Semaphore>,
    /// A slot is free, and the next message is waited for.
    pub(super) receiving: AtomicBool,
    pub(super) stop: CancellationToken,
    /// Jobs that this worker has in hand or waits for, and the message that is kept for each.
    pub(super) active: Mutex<HashMap<JobId, Active>>,
}
