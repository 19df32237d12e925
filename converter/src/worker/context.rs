//! The settings of a worker, and what its tasks share.

use super::admission::Budget;
use super::attempt::Attempts;
use super::lease::JobLease;
use super::ledger::LedgerFactory;
use super::message::Delivery;
use crate::conversion::context::ConversionContext;
use crate::intake::DownloadConfig;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::limits::{ArchiveLimits, Caps};
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::{EventQueue, ObjectStore};
use cadmill_stores::adapters::aws::TaskProtection;
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

/// The settings of a worker.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Name in leases and logs; it must be unique among workers.
    pub name: String,
    /// The bucket whose events are accepted.
    pub bucket: String,
    /// Concurrent jobs, at least 1.
    pub concurrency: u32,
    /// Memory shared by the jobs, in bytes.
    pub memory_bytes: u64,
    /// Time from the stop signal to the exit of the process.
    pub stop_within: Duration,
    /// Caps on an engine process.
    pub caps: Caps,
    /// Limits on an archive.
    pub archive: ArchiveLimits,
    /// How an upload is read.
    pub flow: DownloadConfig,
    /// Protects the ECS task from scale-in while it holds jobs.
    pub protection: Option<TaskProtection>,
}

pub(super) struct Active {
    /// The message whose settlement waits for the job.
    pub(super) delivery: Delivery,
    /// Set once the job is claimed.
    pub(super) hold: Option<Arc<JobLease>>,
}

/// What the tasks of a worker share.
pub(super) struct Shared {
    pub(super) settings: WorkerSettings,
    pub(super) setting: ConversionContext,
    pub(super) recording: LedgerFactory,
    pub(super) attempts: Arc<dyn Attempts>,
    pub(super) jobs: Jobs,
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) queue: Arc<dyn EventQueue>,
    pub(super) budget: Budget,
    pub(super) slots: Arc<Semaphore>,
    /// A slot is free, and the worker is waiting for the next message.
    pub(super) receiving: AtomicBool,
    pub(super) stop: CancellationToken,
    /// A job was claimed.
    pub(super) claimed: Notify,
    /// Jobs that this worker processes or waits for, each with the message that is kept for it.
    pub(super) active: Mutex<HashMap<JobId, Active>>,
}
