//! The record of a job: all that is known of it, and nothing that is not.
//!
//! It is what a job store keeps. It changes by [`super::state::apply`] only.

use super::failure::FailureCode;
use super::ids::{FileName, JobId, ObjectKey, Owner};
use std::collections::BTreeMap;

/// A moment: milliseconds since 1970-01-01T00:00:00Z, as the writer's clock had it.
/// For people and reports; no decision compares the clocks of two machines.
pub type Millis = u64;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Waiting: for the upload, or for a worker.
    Pending,
    /// A worker has it.
    Processing,
    /// The output is there.
    Completed,
    /// It ended without an output.
    Failed,
    /// Its owner ended it.
    Cancelled,
    /// The upload did not come in time.
    Expired,
}

impl State {
    /// Whether the job has ended. No event leads out of such a state.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::Processing)
    }

    /// The state's name in the API and in stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Processing => "PROCESSING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Expired => "EXPIRED",
        }
    }
}

/// Part of the work, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The object is read.
    Fetch,
    /// The archive is expanded.
    Unpack,
    /// The engine works.
    Convert,
    /// The output is stored.
    Publish,
    /// Temporary files are destroyed.
    Wipe,
}

/// What the client asked for. Never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Who asked.
    pub owner: Owner,
    /// The file's name at the client.
    pub file_name: FileName,
    /// Size that the client declared, in bytes. The upload must have it.
    pub size_bytes: u64,
    /// SHA-256 that the client declared, in hexadecimal.
    pub sha256: Option<String>,
    /// FORMAT: an extension or an engine's own format id.
    pub format: String,
    /// The file to convert, by its path in the archive.
    pub root: Option<String>,
    /// Options for the engine.
    pub options: BTreeMap<String, String>,
}

/// An object in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Where it lies.
    pub key: ObjectKey,
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// Its ETag, as the store gave it. No digest: a multipart upload has none.
    pub etag: String,
    /// Its version, in a bucket that has versions.
    pub version: Option<String>,
    /// SHA-256 of its content, where it is known, in hexadecimal.
    pub sha256: Option<String>,
}

/// The right to work on a job, until another sees it unchanged for too long.
///
/// It has no time in it: who wants the job watches the revision for a whole
/// lease on a clock of its own, so that clocks need not agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The worker that holds it.
    pub worker: String,
    /// Changes with each renewal.
    pub revision: u64,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFailure {
    /// The stable code.
    pub code: FailureCode,
    /// The sentence for the owner.
    pub message: String,
    /// The stage in which it failed.
    pub at: Option<Stage>,
}

/// When things happened, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Times {
    /// The job was created.
    pub created: Millis,
    /// The upload was seen.
    pub uploaded: Option<Millis>,
    /// The latest attempt began.
    pub claimed: Option<Millis>,
    /// The job ended.
    pub ended: Option<Millis>,
}

/// A job.
///
/// - `lease` is there in PROCESSING and in no other state.
/// - `output` is there in COMPLETED only, `failure` in FAILED only.
/// - `attempt` counts claims: it is the fencing token of whoever holds the lease.
/// - `version` counts changes: a store writes version n + 1 over version n only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// What was asked for.
    pub order: Order,
    /// Where it stands.
    pub state: State,
    /// What is being done.
    pub stage: Option<Stage>,
    /// How much of the stage is done, in thousandths.
    pub progress: u16,
    /// Times that it was claimed.
    pub attempt: u32,
    /// Who works on it.
    pub lease: Option<Lease>,
    /// Why it failed.
    pub failure: Option<JobFailure>,
    /// What was uploaded.
    pub input: Option<Object>,
    /// The `sequencer` of the event that told of it.
    pub sequencer: Option<String>,
    /// What was made.
    pub output: Option<Object>,
    /// When things happened.
    pub times: Times,
    /// Wall time of each finished stage of the latest attempt, in milliseconds.
    pub stage_millis: BTreeMap<Stage, u64>,
    /// Changes so far.
    pub version: u64,
}

impl Job {
    /// A job that nothing has happened to.
    pub fn new(id: JobId, order: Order, now: Millis) -> Self {
        Self {
            id,
            order,
            state: State::Pending,
            stage: None,
            progress: 0,
            attempt: 0,
            lease: None,
            failure: None,
            input: None,
            sequencer: None,
            output: None,
            times: Times { created: now, ..Times::default() },
            stage_millis: BTreeMap::new(),
            version: 0,
        }
    }
}
