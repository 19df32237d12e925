//! What happens to a job, and how it is decided: data only.

use super::super::counts::Counts;
use super::super::job::{
    Deletion, EngineFacts, Job, JobFailure, Millis, Multipart, Object, Stage, Unconfirmed, Warnings,
};
use crate::domain::ledger::SignedHead;
use std::collections::BTreeMap;

/// Something that happened to a job, or that is requested of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A multipart upload was begun for the client.
    UploadBegun {
        /// The upload.
        multipart: Multipart,
    },
    /// The client aborted its multipart upload; it may begin another one.
    UploadAborted {
        /// The store's upload id.
        upload_id: String,
    },
    /// The store reports the uploaded object.
    Uploaded {
        /// The object.
        object: Object,
        /// Orders the events of one key; compared by [`is_newer`].
        sequencer: String,
        /// When it arrived, as the store says.
        at: Option<Millis>,
    },
    /// A worker claims the job.
    Claimed {
        /// The worker's name.
        worker: String,
        /// Revision of the new lease. It is drawn at random, so that the worker recognises its own
        /// claim if the reply was lost.
        revision: u64,
        /// Revision of another worker's lease, if the sender has seen it unchanged for a whole
        /// lease on its own clock.
        dead: Option<u64>,
    },
    /// The worker renews its lease.
    Renewed {
        /// Its attempt.
        attempt: u32,
        /// The new revision.
        revision: u64,
        /// The current stage and its progress in thousandths, so that reporting them needs no
        /// further write.
        progress: Option<(Stage, u16)>,
    },
    /// The worker reports progress.
    Progressed {
        /// Its attempt.
        attempt: u32,
        /// The current stage.
        stage: Stage,
        /// Progress of the stage, in thousandths.
        progress: u16,
    },
    /// The worker gives the job back unfinished. If this was the last attempt, the job fails
    /// instead.
    Released {
        /// Its attempt.
        attempt: u32,
        /// A failure that a retry may fix; `None` if the worker was asked to stop, in which case
        /// the attempt does not count.
        failure: Option<JobFailure>,
    },
    /// The worker reports on its attempt: the stages that it finished, and its warnings.
    Reported {
        /// Its attempt.
        attempt: u32,
        /// The duration of each stage in milliseconds; stages that were already reported may be
        /// included.
        millis: BTreeMap<Stage, u64>,
        /// All warnings so far.
        warnings: Warnings,
        /// What was read and written, once that is known.
        counts: Option<Counts>,
        /// What the engine reported beyond that.
        facts: EngineFacts,
    },
    /// The output exists.
    Completed {
        /// The worker's attempt.
        attempt: u32,
        /// The output.
        output: Object,
    },
    /// The conversion failed.
    Failed {
        /// The worker's attempt.
        attempt: u32,
        /// Why.
        failure: JobFailure,
    },
    /// A ledger of one of the job's attempts is closed. With `end`, the attempt ends in the same
    /// write: no attempt ends without its ledger's head, and no such head is recorded for an
    /// attempt that did not end.
    Audited {
        /// The ledger's head.
        head: Box<SignedHead>,
        /// How the attempt ends: Completed, Failed or Released. `None` for a ledger closed
        /// afterwards: that of a worker that lost the job, or of a sweep.
        end: Option<Box<Event>>,
    },
    /// The owner cancels the job.
    Cancelled,
    /// The time for the upload is over.
    Expired,
    /// A worker that wants the job has seen another worker's lease unchanged.
    Watched {
        /// The lease's revision.
        revision: u64,
        /// For how long, in milliseconds: measured on the sender's own clock, and added to the time
        /// that an earlier watcher had recorded when this one began.
        unchanged: Millis,
    },
    /// No worker has the job any more. The job ends if its attempts are used up; otherwise it waits
    /// to be claimed.
    Abandoned {
        /// Revision of the lease that was seen unchanged for a whole lease; `None` if the job has
        /// no lease.
        dead: Option<u64>,
    },
    /// The owner no longer needs the result.
    Dismissed,
    /// The objects of the ended job were deleted.
    Purged {
        /// The number of earlier deletions; of two concurrent deletions only one is counted.
        before: u8,
        /// What was deleted.
        deletion: Deletion,
        /// The tries whose counts are among its own.
        tries: Vec<u64>,
        /// The head of the ledger that has it, if one was written.
        head: Option<Box<SignedHead>>,
    },
    /// Something of the ended job was deleted, and not all of it, or without looking whether more is there.
    PurgedInPart {
        /// What was deleted.
        part: Unconfirmed,
        /// The deletion that has it, if that is on record: the reply to the write may have been lost.
        unless: Option<Box<Deletion>>,
    },
    /// A deletion whose evidence was owed is on record in a ledger.
    Evidenced {
        /// The deletion, as the record has it.
        deletion: Deletion,
        /// The head of the ledger; `None` if no ledger is kept any more.
        head: Option<Box<SignedHead>>,
    },
    /// The evidence of a deletion could not be written, and is tried again later.
    EvidenceFailed {
        /// The number of earlier failures in a row; of two concurrent ones only one is counted.
        before: u32,
    },
    /// What was due could not be done, and is tried again later.
    Postponed {
        /// The number of earlier failures in a row; of two concurrent ones only one is counted.
        before: u32,
        /// Whether there is less to do than before.
        is_nearer: bool,
    },
    /// The upload was announced to the workers again, or cleanup has looked for it in vain.
    Announced,
    /// The job that has ended is no longer counted in the usage of its owner.
    Uncounted {
        /// The reservation by which it was counted.
        reservation: u64,
    },
    /// Status requests since the last count.
    Polled {
        /// Their number.
        times: u64,
    },
}

impl Event {
    /// Whether it is about the evidence of a deletion, not about the job.
    pub(super) fn is_of_evidence(&self) -> bool {
        matches!(self, Self::Evidenced { .. } | Self::EvidenceFailed { .. })
    }
}

/// The decision on an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The event is applied; this is the new job.
    Accept(Box<Job>),
    /// Nothing changes; the sender may go on.
    Ignore(Ignored),
    /// Nothing changes, and the sender must stop.
    Deny(Denied),
}

/// Why an event is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// It was accepted earlier.
    Duplicate,
    /// A newer event of its kind was accepted earlier.
    Outdated,
    /// The job has ended.
    Ended,
    /// It does not apply to the job's current state.
    NotNow,
}

/// Why an event is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The attempt is not the current one, or no worker has the job any more.
    Superseded,
    /// Another worker has the job.
    Held,
    /// The attempts of the job are used up.
    AttemptsSpent,
    /// The job has ended.
    Ended,
    /// Nothing was uploaded yet.
    NotUploaded,
    /// The object belongs to another job.
    ForeignObject,
    /// The ledger does not belong to an attempt of this job or to the attempt that is to end, or
    /// another head was already recorded for it.
    ForeignLedger,
}
