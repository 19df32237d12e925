//! The record of a job: everything that is stored about it.
//!
//! Job stores keep this record. It is changed only by [`super::state::apply`].

use super::coding::Encoded;
use super::counts::Counts;
use super::failure::FailureCode;
use super::ids::{FileName, JobId, ObjectKey, Owner};
use super::stored::{Record, Unknown, next};
use super::trace::TraceParent;
use crate::domain::ledger::SignedHead;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use super::deletion::{Deletion, Evidence, Purged, Retry, Unconfirmed};
pub use super::time::Millis;

/// States of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Waiting for the upload, or for a worker.
    Pending,
    /// A worker is processing the job.
    Processing,
    /// The result is available.
    Completed,
    /// Ended without a result.
    Failed,
    /// Cancelled by its owner.
    Cancelled,
    /// The upload did not complete in time.
    Expired,
}

impl State {
    /// Whether the job has ended. No event leaves such a state.
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

/// Stages of a job, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Reading the file; an archive is unpacked while it arrives.
    Fetch,
    /// Conversion by the engine.
    Convert,
    /// Storing the result.
    Publish,
    /// Destroying temporary files.
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

/// Whether a single output file is compressed to a zip archive. Several files always become one
/// archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compress {
    /// Publish the file as it is.
    #[default]
    Never,
    /// Compress large text files.
    Auto,
    /// Always compress.
    Always,
}

impl Compress {
    /// The name of every value.
    pub const NAMES: &'static [&'static str] = &["never", "auto", "always"];

    /// Whether an output with this extension and size is to be compressed.
    pub fn wants(self, extension: &str, bytes: u64) -> bool {
        match self {
            Self::Never => false,
            Self::Auto => is_large_text(extension, bytes),
            Self::Always => true,
        }
    }
}

/// Whether an output with this extension and size, in bytes, is text that is worth compressing.
pub fn is_large_text(extension: &str, bytes: u64) -> bool {
    bytes >= LARGE_BYTES && TEXT_OUTPUTS.contains(&extension)
}

/// Below this size, in bytes, compressing saves the client less time than extracting costs.
const LARGE_BYTES: u64 = 1 << 20;

/// Extensions of text formats, which compress to a third or a fifth.
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

/// What the client requested. Never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The owner of the job.
    pub owner: Owner,
    /// The client's name for the file.
    pub file_name: FileName,
    /// Size that the client declared, in bytes. The upload must have this size.
    pub size_bytes: u64,
    /// SHA-256 that the client declared, in hexadecimal.
    pub sha256: Option<String>,
    /// FORMAT: an extension or an engine's own format id.
    pub format: String,
    /// Path of the file to convert within the archive.
    pub root: Option<String>,
    /// Engine options.
    pub options: BTreeMap<String, String>,
    /// Whether the result is compressed. Absent in records that predate this option.
    #[serde(default)]
    pub compress: Compress,
    /// Whether a difference that no option asked for is a failure. Absent in records that predate
    /// this option.
    #[serde(default)]
    pub strict: bool,
    /// Whether the client decodes a result with the content coding gzip. Absent in records that
    /// predate this option.
    #[serde(default)]
    pub accept_gzip: bool,
    /// How long the result is kept if it is not downloaded, in seconds, where that is shorter than
    /// [`super::state::Policy::retention`]. Absent in records that predate it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_ttl_seconds: Option<u64>,
}

/// An object in the object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Its key.
    pub key: ObjectKey,
    /// Its size in the store, in bytes.
    pub size_bytes: u64,
    /// Its ETag, as returned by the store. Not a digest of the content if the upload was multipart.
    pub etag: String,
    /// Its version, in a versioned bucket.
    pub version: Option<String>,
    /// SHA-256 of its bytes in the store, in hexadecimal, if known.
    pub sha256: Option<String>,
    /// How it is encoded; `None` if its bytes are the content. Absent in records that predate it.
    #[serde(default)]
    pub encoded: Option<Encoded>,
}

impl Object {
    /// Size in bytes, and SHA-256 in hexadecimal if known, of what a client has that decodes the
    /// object.
    pub fn decoded(&self) -> (u64, Option<&str>) {
        match self.encoded.as_ref().and_then(|encoded| encoded.content.as_ref()) {
            Some(content) => (content.size_bytes, Some(&content.sha256)),
            None => (self.size_bytes, self.sha256.as_deref()),
        }
    }
}

/// The right to work on a job, until another worker has seen it unchanged for a whole lease.
///
/// A lease contains no timestamps: another worker that wants the job watches the revision for a
/// whole lease on its own clock, so the clocks of workers need not agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The worker that holds it.
    pub worker: String,
    /// Changes with each renewal.
    pub revision: u64,
    /// How long watchers have seen this revision unchanged, in milliseconds: a lower bound,
    /// measured on their own clocks. It is stored so that another watcher can continue an
    /// interrupted watch.
    #[serde(default)]
    pub unchanged: Millis,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFailure {
    /// The stable code.
    pub code: FailureCode,
    /// The message for the owner.
    pub message: String,
    /// The stage that failed.
    pub at: Option<Stage>,
}

/// Maximum number of warnings that are kept; all are counted.
pub const MAX_WARNINGS: usize = 20;

/// Maximum length of a warning, in characters.
pub const MAX_WARNING_CHARS: usize = 400;

/// What the owner should know about a conversion that did not fail by it: text that was guessed,
/// fields that the output format cannot carry, features that were skipped. It may quote names and
/// content, so it is for the owner only and is not logged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Warnings {
    /// How many there were.
    pub total: u64,
    /// How many of them say that the result differs from the input in what no option asked for.
    /// Absent in records that predate it.
    #[serde(default)]
    pub losses: u64,
    /// The first losses and, after them, the first others: at most [`MAX_WARNINGS`] of at most
    /// [`MAX_WARNING_CHARS`] characters.
    pub lines: Vec<String>,
    /// How many of [`Self::lines`] are losses. Absent in records that predate it.
    #[serde(default)]
    pub loss_lines: usize,
}

impl Warnings {
    /// Counts a warning, and keeps it if there is room.
    pub fn push(&mut self, line: &str) {
        self.total += 1;
        if self.lines.len() < MAX_WARNINGS {
            self.lines.push(line.chars().take(MAX_WARNING_CHARS).collect());
        }
    }

    /// As [`Self::push`], for a warning that says that the result differs from the input. It takes the
    /// place of one that does not.
    pub fn push_loss(&mut self, line: &str) {
        self.total += 1;
        self.losses += 1;
        if self.loss_lines < MAX_WARNINGS {
            self.lines.truncate(MAX_WARNINGS - 1);
            self.lines.insert(self.loss_lines, line.chars().take(MAX_WARNING_CHARS).collect());
            self.loss_lines += 1;
        }
    }

    /// Adds those of a part, each line as `said` has it.
    pub fn absorb(&mut self, part: &Self, said: impl Fn(&str) -> String) {
        let (losses, others) = part.lines.split_at(part.loss_lines.min(part.lines.len()));
        losses.iter().for_each(|line| self.push_loss(&said(line)));
        others.iter().for_each(|line| self.push(&said(line)));
        self.total += part.total.saturating_sub(part.lines.len() as u64);
        self.losses += part.losses.saturating_sub(losses.len() as u64);
    }

    /// The first loss, if its text is known.
    pub fn first_loss(&self) -> Option<&str> {
        self.lines.first().filter(|_| self.loss_lines > 0).map(String::as_str)
    }
}

/// Maximum size of the facts that are kept, in bytes of names and values: a record costs by its size.
pub const MAX_FACT_BYTES: usize = 4096;

/// Facts that an engine reports about its result, such as `solids`: names and values. They may quote
/// content of the file, so they are for the owner only and are not logged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EngineFacts(BTreeMap<String, String>);

impl EngineFacts {
    /// The facts that fit, in the order of their names, and the number of those that do not.
    pub fn fitting(facts: &BTreeMap<String, String>) -> (Self, usize) {
        let mut room = MAX_FACT_BYTES;
        let mut kept = BTreeMap::new();
        for (name, value) in facts {
            let bytes = name.len() + value.len();
            if bytes <= room {
                room -= bytes;
                kept.insert(name.clone(), value.clone());
            }
        }
        let left_out = facts.len() - kept.len();
        (Self(kept), left_out)
    }

    /// The names and values.
    pub fn values(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

/// Timestamps, for display.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Times {
    /// The job was created.
    pub created: Millis,
    /// The upload arrived, as the store says; or else it was first seen.
    pub uploaded: Option<Millis>,
    /// The latest attempt began.
    pub claimed: Option<Millis>,
    /// The job ended.
    pub ended: Option<Millis>,
    /// The owner no longer needs the result: it was downloaded or is not wanted.
    pub dismissed: Option<Millis>,
    /// The objects were last deleted.
    pub purged: Option<Millis>,
}

/// A multipart upload begun for the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Multipart {
    /// The store's upload id.
    pub upload_id: String,
    /// Size of every part except the last, in bytes.
    pub part_bytes: u64,
}

/// Maximum number of ledger heads in a record. The attempt limit does not bound them, because
/// excused attempts do not count towards it. A head takes about 600 bytes, and a record must stay
/// within the store's size limit.
pub const MAX_HEADS: usize = 64;

/// A job.
///
/// - `lease` is set in PROCESSING only.
/// - `output` is set in COMPLETED only, `failure` in FAILED only.
/// - `attempt` counts claims: it is the fencing token of the lease holder.
/// - `excused` counts attempts that a stopping worker gave back; they do not count towards the
///   limit.
/// - `due` is when the job needs attention again; see [`super::state::Policy`].
/// - `version` counts changes: a store writes version n + 1 only over version n.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The job's id.
    pub id: JobId,
    /// What the client requested.
    pub order: JobSpec,
    /// The current state.
    pub state: State,
    /// The current stage.
    pub stage: Option<Stage>,
    /// Progress of the stage, in thousandths.
    pub progress: u16,
    /// Number of claims.
    pub attempt: u32,
    /// Number of attempts that do not count towards the limit.
    pub excused: u32,
    /// The current lease.
    pub lease: Option<Lease>,
    /// Why the job failed.
    pub failure: Option<JobFailure>,
    /// The multipart upload, if the client uploads in parts.
    pub multipart: Option<Multipart>,
    /// The uploaded object.
    pub input: Option<Object>,
    /// The `sequencer` of the upload's event.
    pub sequencer: Option<String>,
    /// The result object.
    pub output: Option<Object>,
    /// Timestamps.
    pub times: Times,
    /// Duration of each finished stage of the latest attempt, in milliseconds of wall time.
    pub stage_millis: BTreeMap<Stage, u64>,
    /// Warnings of the latest attempt. Absent in records that predate them.
    #[serde(default)]
    pub warnings: Warnings,
    /// What the latest attempt read and wrote. Absent in records that predate it.
    #[serde(default)]
    pub counts: Option<Counts>,
    /// What its engine reported beyond that. Absent in records that predate it.
    #[serde(default)]
    pub facts: EngineFacts,
    /// Number of status requests, as far as they were counted.
    pub polls: u64,
    /// Number of announcements since the upload, or since a worker last had the job. Absent in
    /// records that predate it.
    #[serde(default)]
    pub announced: u32,
    /// Number of times its objects were deleted after its end.
    pub purges: u8,
    /// What was deleted each time, and when nothing was left. Absent in records that predate it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deletions: Vec<Deletion>,
    /// What tries have deleted since the last of these, and is not in one yet. Absent if there is nothing,
    /// and in records that predate it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unconfirmed: Vec<Unconfirmed>,
    /// Ledger heads of its attempts, in order of arrival; at most [`MAX_HEADS`].
    #[serde(default)]
    pub audit: Vec<SignedHead>,
    /// Number of oldest heads that were dropped for newer ones. Their ledgers still exist.
    #[serde(default)]
    pub audit_dropped: u32,
    /// When the job needs attention again.
    pub due: Option<Millis>,
    /// What the cleanup could not do when it was due. Absent in records that predate it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// When the evidence of deletions is written that no ledger has yet. Absent if nothing is owed, and
    /// in records that predate it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed: Option<Retry>,
    /// The reservation by which the job is counted in the usage of its owner, see [`super::quota`];
    /// `None` once that has ended, and in records that predate quotas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<u64>,
    /// The trace of the request that created it. Absent in records that predate it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
    /// Number of changes.
    pub version: u64,
    /// What its record has of another version. Stores read and write records with [`super::stored`],
    /// which keeps it.
    #[serde(skip)]
    pub unknown: Unknown,
}

impl Record for Job {
    fn unknown(&self) -> &Unknown {
        &self.unknown
    }

    fn unknown_mut(&mut self) -> &mut Unknown {
        &mut self.unknown
    }

    fn state_name(&self) -> Option<&'static str> {
        let is_delivered = self.times.dismissed.is_some() && self.purges == 0;
        Some(next::state_name(self.state.as_str(), is_delivered))
    }
}

impl Job {
    /// A new job without any events. [`super::state::created`] also sets `due`.
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
            warnings: Warnings::default(),
            counts: None,
            facts: EngineFacts::default(),
            polls: 0,
            announced: 0,
            purges: 0,
            audit: Vec::new(),
            audit_dropped: 0,
            due: None,
            retry: None,
            owed: None,
            deletions: Vec::new(),
            unconfirmed: Vec::new(),
            counted: None,
            trace: None,
            version: 0,
            unknown: Unknown::default(),
        }
    }

    /// The highest known part of the ledgers of its deletions; 0 if none is known.
    pub fn deletion_ledgers(&self) -> u32 {
        let ours = self.audit.iter().map(|head| head.head.ledger);
        ours.filter(|ledger| ledger.is_of_deletions()).map(|ledger| ledger.part).max().unwrap_or(0)
    }

    /// The id of its trace, for log lines.
    pub fn trace_id(&self) -> Option<&str> {
        self.trace.as_ref().map(TraceParent::trace_id)
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
    fn the_facts_of_a_record_are_bounded_and_those_left_out_are_counted() {
        let facts = |value: usize| -> BTreeMap<String, String> {
            (0..60).map(|number| (format!("fact-{number:02}"), "x".repeat(value))).collect()
        };
        let (kept, left_out) = EngineFacts::fitting(&facts(10));
        assert_eq!((kept.values(), left_out), (&facts(10), 0));
        let (kept, left_out) = EngineFacts::fitting(&facts(1000));
        assert_eq!((kept.values().len(), left_out), (4, 56));
    }

    #[test]
    fn all_warnings_count_and_the_first_are_kept() {
        let mut warnings = Warnings::default();
        (0..30).for_each(|number| warnings.push(&format!("{number}{}", "가".repeat(500))));
        assert_eq!((warnings.total, warnings.lines.len()), (30, MAX_WARNINGS));
        assert!(warnings.lines.iter().all(|line| line.chars().count() == MAX_WARNING_CHARS));
    }

    #[test]
    fn losses_are_kept_before_other_warnings() {
        let mut part = Warnings::default();
        (0..30).for_each(|number| part.push(&format!("warning {number}")));
        assert_eq!(part.first_loss(), None);
        (0..3).for_each(|number| part.push_loss(&format!("loss {number}")));
        assert_eq!((part.total, part.losses, part.lines.len()), (33, 3, MAX_WARNINGS));
        assert_eq!((part.lines[2].as_str(), part.lines[3].as_str()), ("loss 2", "warning 0"));
        let mut whole = Warnings::default();
        whole.push("before");
        whole.absorb(&part, |line| format!("a.dxf: {line}"));
        assert_eq!((whole.total, whole.losses, whole.lines.len()), (34, 3, MAX_WARNINGS));
        assert_eq!((whole.first_loss(), whole.lines[3].as_str()), (Some("a.dxf: loss 0"), "before"));
        (0..30).for_each(|number| whole.push_loss(&format!("later {number}")));
        assert_eq!((whole.total, whole.losses, whole.lines.len()), (64, 33, MAX_WARNINGS));
        assert!(whole.lines.iter().all(|line| line.contains("l")), "{whole:?}");
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
