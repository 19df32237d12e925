//! The record of a job: all that is known of it, and nothing that is not.
//!
//! It is what a job store keeps. It changes by [`super::state::apply`] only.

use super::failure::FailureCode;
use super::ids::{FileName, JobId, ObjectKey, Owner};
use crate::domain::ledger::SignedHead;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A moment: milliseconds since 1970-01-01T00:00:00Z, as the writer's clock had it.
/// For people and reports; no decision compares the clocks of two machines.
pub type Millis = u64;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The object is read, and an archive expanded while it comes.
    Fetch,
    /// The engine works.
    Convert,
    /// The output is stored.
    Publish,
    /// Temporary files are destroyed.
    Wipe,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: &'static [Stage] = &[Self::Fetch, Self::Convert, Self::Publish, Self::Wipe];

    /// The stage's name in the API and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Convert => "convert",
            Self::Publish => "publish",
            Self::Wipe => "wipe",
        }
    }
}

/// Whether one output file is zipped. Several files always become one archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compress {
    /// It is published as it is.
    #[default]
    Never,
    /// It is zipped if it is text and large.
    Auto,
    /// It is zipped.
    Always,
}

impl Compress {
    /// Every value, by its name.
    pub const NAMES: &'static [&'static str] = &["never", "auto", "always"];

    /// Whether a file of this extension and of so many bytes is to be zipped.
    pub fn wants(self, extension: &str, bytes: u64) -> bool {
        match self {
            Self::Never => false,
            Self::Auto => bytes >= LARGE_BYTES && TEXT_OUTPUTS.contains(&extension),
            Self::Always => true,
        }
    }
}

/// Below this, in bytes, zipping saves the client no time worth an unzipping.
const LARGE_BYTES: u64 = 1 << 20;

/// Extensions of formats that are text: they shrink to a fifth or a third.
const TEXT_OUTPUTS: &[&str] = &[
    "assxml", "csv", "dae", "dxf", "geojson", "gml", "gpx", "gltf", "iges", "igs", "itf", "json", "kml",
    "mif", "obj", "off", "step", "stp", "svg", "wkt", "x", "x3d", "xml",
];

impl std::str::FromStr for Compress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(Self::Never),
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            _ => Err(format!("'{text}' is not one of never, auto, always")),
        }
    }
}

/// What the client asked for. Never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
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
    /// Whether the result is zipped. Orders of before there was a choice say nothing.
    #[serde(default)]
    pub compress: Compress,
}

/// An object in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The worker that holds it.
    pub worker: String,
    /// Changes with each renewal.
    pub revision: u64,
    /// For how long those who want the job have seen this revision, in milliseconds: a time
    /// that has passed at least, measured on their own clocks. It outlives them, so that
    /// one who goes on watching begins where another was interrupted.
    #[serde(default)]
    pub unchanged: Millis,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFailure {
    /// The stable code.
    pub code: FailureCode,
    /// The sentence for the owner.
    pub message: String,
    /// The stage in which it failed.
    pub at: Option<Stage>,
}

/// When things happened, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Times {
    /// The job was created.
    pub created: Millis,
    /// The upload was seen.
    pub uploaded: Option<Millis>,
    /// The latest attempt began.
    pub claimed: Option<Millis>,
    /// The job ended.
    pub ended: Option<Millis>,
    /// The owner has no more use for the result: it has it, or does not want it.
    pub dismissed: Option<Millis>,
    /// The objects were deleted, the latest time.
    pub purged: Option<Millis>,
}

/// A multipart upload that was begun for the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Multipart {
    /// The store's name for it.
    pub upload_id: String,
    /// Size of each part but the last, in bytes.
    pub part_bytes: u64,
}

/// Most heads of ledgers in a record. Attempts that were given back do not count
/// towards their limit, so it is not the number of attempts that bounds them; a head
/// has some 600 bytes, and a record must not outgrow its store.
pub const MAX_HEADS: usize = 64;

/// A job.
///
/// - `lease` is there in PROCESSING and in no other state.
/// - `output` is there in COMPLETED only, `failure` in FAILED only.
/// - `attempt` counts claims: it is the fencing token of whoever holds the lease.
/// - `excused` of the attempts were given back because the worker was told to stop;
///   they do not count towards the limit.
/// - `due` is when somebody should look at the job again; see [`super::state::Policy`].
/// - `version` counts changes: a store writes version n + 1 over version n only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// What was asked for.
    pub order: JobSpec,
    /// Where it stands.
    pub state: State,
    /// What is being done.
    pub stage: Option<Stage>,
    /// How much of the stage is done, in thousandths.
    pub progress: u16,
    /// Times that it was claimed.
    pub attempt: u32,
    /// Attempts that do not count.
    pub excused: u32,
    /// Who works on it.
    pub lease: Option<Lease>,
    /// Why it failed.
    pub failure: Option<JobFailure>,
    /// How the upload comes, when it comes in parts.
    pub multipart: Option<Multipart>,
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
    /// Times that its state was asked for, as far as it was counted.
    pub polls: u64,
    /// Times that its objects were deleted after its end.
    pub purges: u8,
    /// Heads of the ledgers of its attempts, as they came; [`MAX_HEADS`] at most.
    #[serde(default)]
    pub audit: Vec<SignedHead>,
    /// Heads that had to make room: the oldest. Their ledgers are where they were.
    #[serde(default)]
    pub audit_dropped: u32,
    /// When to look at it again.
    pub due: Option<Millis>,
    /// Changes so far.
    pub version: u64,
}

impl Job {
    /// A job that nothing has happened to. [`super::state::created`] also says when it is due.
    pub(super) fn new(id: JobId, order: JobSpec, now: Millis) -> Self {
        Self {
            id,
            order,
            state: State::Pending,
            stage: None,
            progress: 0,
            attempt: 0,
            excused: 0,
            lease: None,
            failure: None,
            multipart: None,
            input: None,
            sequencer: None,
            output: None,
            times: Times { created: now, ..Times::default() },
            stage_millis: BTreeMap::new(),
            polls: 0,
            purges: 0,
            audit: Vec::new(),
            audit_dropped: 0,
            due: None,
            version: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_zipped_when_it_is_large_and_asked_for() {
        let wants = |compress: Compress| {
            [("dxf", LARGE_BYTES), ("dxf", LARGE_BYTES - 1), ("glb", LARGE_BYTES)]
                .map(|(e, b)| compress.wants(e, b))
        };
        assert_eq!(wants(Compress::Never), [false; 3]);
        assert_eq!(wants(Compress::Auto), [true, false, false]);
        assert_eq!(wants(Compress::Always), [true; 3]);
    }

    #[test]
    fn names_are_values() {
        for name in Compress::NAMES {
            let value: Compress = name.parse().unwrap();
            assert_eq!(serde_json::to_string(&value).unwrap(), format!("\"{name}\""));
        }
        assert!("zip".parse::<Compress>().is_err());
    }
}
