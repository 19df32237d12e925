//! The state machine of a job. Pure: one function, [`apply`].
//!
//! ```text
//!              Uploaded                 Renewed, Progressed
//!               +---+                         +---+
//!               |   v         Claimed         |   v
//!   created -> PENDING ------------------> PROCESSING ---- Completed --> COMPLETED
//!               |   |  <------------------    |   |  |
//!               |   |         Released        |   |  +---- Failed -----> FAILED
//!               |   |                         |   |                         ^
//!               |   |                         |   +-- Abandoned, Released, --+
//!               |   |                         |       attempts spent        |
//!               |   |                         |   ^
//!               |   |                         +---+  Claimed by another, the
//!               |   |                         |      lease being dead: attempt + 1
//!               |   +-------- Cancelled ------+------------------------> CANCELLED
//!               +------------ Expired, nothing uploaded ---------------> EXPIRED
//! ```
//!
//! Events may arrive twice, late, out of order, and from workers that were presumed dead. The
//! decision on an event is therefore one of three. Accept: the event changes the job; the decision
//! contains the new job. Ignore: the job is already in the state that the event asks for, or past
//! it. Deny: the sender must stop. A store writes an accepted change only over the version that the
//! decision was based on. If two writers decide at once, one of them loses and decides again.
//!
//! No event leaves a final state, but seven are recorded in it: that the owner no longer needs the
//! result (Dismissed), that the objects are deleted (Purged) or some of them are (PurgedInPart), that a ledger
//! has a deletion (Evidenced),
//! that the job no longer counts in the usage of its owner (Uncounted), the number of status requests
//! (Polled), and how a ledger ends (Audited), because a superseded worker also destroys its files.

mod change;
mod deletion;
mod event;

pub use event::{Decision, Denied, Event, Ignored};

use super::counts::Counts;
use super::failure::FailureCode;
use super::ids::JobId;
use super::job::{
    EngineFacts, Job, JobFailure, JobSpec, Lease, Millis, Multipart, Object, Stage, State, Warnings,
};
use crate::domain::ledger::SignedHead;
use change::{accept, note_head};
use deletion::{evidence_failed, evidenced, postponed, purged, purged_in_part};
use std::collections::BTreeMap;

/// Limits on the life of a job. All times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Maximum number of attempts per job.
    pub max_attempts: u32,
    /// How long a job waits for its upload after its creation.
    pub upload_window: Millis,
    /// How long a lease is valid without renewal.
    pub lease: Millis,
    /// How long until an uploaded job that no worker has claimed is announced again; twice as long
    /// after each announcement, up to twelve times this.
    pub redeliver: Millis,
    /// How long a result is kept if it is not downloaded.
    pub retention: Millis,
    /// How long until the objects of an ended job are deleted a second time: a URL that was still
    /// valid, or a worker presumed dead, may have created one since.
    pub linger: Millis,
    /// How long the record of an ended job is kept.
    pub record: Millis,
}

impl Policy {
    /// How long the result of this order is kept if it is not downloaded: as long as the client asked
    /// for, and never longer than [`Self::retention`].
    pub fn retention_of(&self, order: &JobSpec) -> Millis {
        let asked = order.result_ttl_seconds.map(|seconds| seconds.saturating_mul(1000));
        asked.map_or(self.retention, |asked| asked.min(self.retention))
    }
}

impl Default for Policy {
    fn default() -> Self {
        const MINUTE: Millis = 60_000;
        Self {
            max_attempts: 3,
            upload_window: 120 * MINUTE,
            lease: 30_000,
            redeliver: 5 * MINUTE,
            retention: 30 * MINUTE,
            linger: 20 * MINUTE,
            record: 7 * 24 * 60 * MINUTE,
        }
    }
}

/// When the job needs attention again if no event changes it first: to expire the upload, to
/// announce the job again, to check whether its worker is alive, to delete its objects, to delete its
/// record, or to write evidence that it owes.
fn due(job: &Job, policy: &Policy, now: Millis) -> Millis {
    let served = served_at(job, policy, now);
    job.owed.map_or(served, |owed| served.min(owed.at))
}

/// Whether a job that is due is due for more than evidence that it owes. Its due time was set under the
/// policy of the program that wrote it.
pub fn serves(job: &Job, policy: &Policy, now: Millis) -> bool {
    let Some(owed) = job.owed else { return true };
    job.due < Some(owed.at) || served_at(job, policy, now) <= now
}

/// When the job needs attention for itself, whatever evidence it owes.
pub fn served_at(job: &Job, policy: &Policy, now: Millis) -> Millis {
    if let Some(retry) = job.retry {
        return retry.at;
    }
    let ended = job.times.ended.unwrap_or(now);
    // A job may wait for hours until a worker is free. Each announcement adds a message to the
    // queue, so the pause between two of them doubles.
    let backoff = |pause: Millis| {
        let most = pause.max(policy.redeliver.saturating_mul(MAX_REDELIVER));
        now.saturating_add(pause.saturating_mul(1 << job.announced.min(16)).min(most))
    };
    match job.state {
        // The event of an upload may be lost, so it is looked for now and then.
        State::Pending if job.input.is_none() => {
            let end = job.times.created + policy.upload_window;
            if now < end { end.min(backoff(policy.redeliver)) } else { backoff(policy.redeliver) }
        }
        State::Pending => backoff(policy.redeliver),
        State::Processing => backoff(3 * policy.lease),
        State::Completed if job.purges == 0 && job.times.dismissed.is_none() => {
            ended + policy.retention_of(&job.order)
        }
        _ => match (job.purges, job.times.purged) {
            (0, _) | (_, None) => now,
            (1, Some(purged)) => purged + policy.linger,
            // Another program may still be making the last deletion. The id cannot be used for another
            // job, whose upload it would delete, for as long as the record is there: no program stops
            // for half of that time between what it reads of a job and what it does then.
            (_, Some(purged)) => (ended + policy.record).max(purged + policy.linger),
        },
    }
}

/// Maximum pause between two announcements of a job, in multiples of [`Policy::redeliver`].
const MAX_REDELIVER: u64 = 12;

/// Creates a job.
pub fn created(id: JobId, order: JobSpec, policy: &Policy, now: Millis) -> Job {
    let mut job = Job::new(id, order, now);
    job.due = Some(due(&job, policy, now));
    job
}

/// Decides on an event.
pub fn apply(job: &Job, event: &Event, policy: &Policy, now: Millis) -> Decision {
    let mut decision = decide(job, event, policy, now);
    if let Decision::Accept(next) = &mut decision
        && moves_due(job, event, policy, now)
    {
        // Whatever else happens to the job begins anew. Evidence does not happen to the job, nor does a look.
        if !matches!(event, Event::Postponed { .. } | Event::Polled { .. }) && !event.is_of_evidence() {
            next.retry = None;
        }
        next.due = Some(due(next, policy, now));
    }
    decision
}

/// Whether an event changes when the job is due.
///
/// A store indexes jobs by this time, and moving a job within an index costs as much as writing it.
/// A worker's signs of life therefore leave it as it is for as long as it is at least one lease
/// away.
fn moves_due(job: &Job, event: &Event, policy: &Policy, now: Millis) -> bool {
    match event {
        // Watching is not a sign of life, and counting does not concern the job itself.
        Event::Watched { .. } | Event::Uncounted { .. } | Event::PurgedInPart { .. } => false,
        // An upload that begins is looked for when it was to be.
        Event::UploadBegun { .. } | Event::UploadAborted { .. } => false,
        Event::Renewed { .. } | Event::Progressed { .. } | Event::Reported { .. } => {
            let far = now + policy.lease..=now + 3 * policy.lease;
            !job.due.is_some_and(|due| far.contains(&due))
        }
        _ => true,
    }
}

fn decide(job: &Job, event: &Event, policy: &Policy, now: Millis) -> Decision {
    let max_attempts = policy.max_attempts;
    match event {
        Event::UploadBegun { multipart } => upload_begun(job, multipart),
        Event::UploadAborted { upload_id } => upload_aborted(job, upload_id),
        Event::Uploaded { object, sequencer, at } => {
            // It was not there before the job, and is there now, whatever a clock says.
            let at = at.unwrap_or(now).min(now).max(job.times.created);
            uploaded(job, object, sequencer, at)
        }
        Event::Claimed { worker, revision, dead } => {
            claimed(job, worker, *revision, *dead, max_attempts, now)
        }
        Event::Renewed { attempt, revision, progress } => renewed(job, *attempt, *revision, *progress),
        Event::Progressed { attempt, stage, progress } => progressed(job, *attempt, *stage, *progress),
        Event::Released { attempt, failure } => released(job, *attempt, failure.as_ref(), max_attempts, now),
        Event::Reported { attempt, millis, warnings, counts, facts } => {
            reported(job, *attempt, millis, (warnings, *counts, facts))
        }
        Event::Completed { attempt, output } => completed(job, *attempt, output, now),
        Event::Failed { attempt, failure } => failed(job, *attempt, failure, now),
        Event::Audited { head, end } => audited(job, head, end.as_deref(), policy, now),
        Event::Cancelled => cancelled(job, now),
        Event::Expired => expired(job, now),
        Event::Abandoned { dead } => abandoned(job, *dead, max_attempts, now),
        Event::Dismissed => dismissed(job, now),
        Event::Purged { before, deletion, tries, head } => {
            purged(job, *before, (deletion, tries), head.as_deref(), now)
        }
        Event::PurgedInPart { part, unless } => purged_in_part(job, *part, unless.as_deref()),
        Event::Evidenced { deletion, head } => evidenced(job, deletion, head.as_deref()),
        Event::EvidenceFailed { before } => evidence_failed(job, *before, now),
        // Another program may have done it meanwhile. What the job is due for next must not come earlier.
        Event::Postponed { .. } if job.due.is_none_or(|due| due > now) || !serves(job, policy, now) => {
            Decision::Ignore(Ignored::NotNow)
        }
        Event::Postponed { before, is_nearer } => postponed(job, *before, *is_nearer, now),
        Event::Watched { revision, unchanged } => watched(job, *revision, *unchanged),
        Event::Announced => announced(job),
        Event::Uncounted { reservation } => uncounted(job, *reservation),
        Event::Polled { times } => accept(job, |next| next.polls += times),
    }
}

/// Whether one sequencer is newer than another. Sequencers are hexadecimal texts, padded with zeros
/// on the right to the same length and compared as text (Amazon S3 User Guide, "Event ordering and
/// duplicate events").
pub fn is_newer(sequencer: &str, than: &str) -> bool {
    let length = sequencer.len().max(than.len());
    let padded = |text: &str| format!("{text:0<length$}").to_ascii_uppercase();
    padded(sequencer) > padded(than)
}

/// Ends a job, in any final state.
fn end(job: &Job, state: State, now: Millis, change: impl FnOnce(&mut Job)) -> Decision {
    accept(job, |next| {
        next.state = state;
        next.lease = None;
        next.times.ended = Some(now);
        change(next);
    })
}

fn upload_begun(job: &Job, multipart: &Multipart) -> Decision {
    match &job.multipart {
        _ if job.state.is_terminal() => Decision::Deny(Denied::Ended),
        Some(known) if known == multipart => Decision::Ignore(Ignored::Duplicate),
        Some(_) => Decision::Deny(Denied::Held),
        None if job.input.is_some() => Decision::Ignore(Ignored::NotNow),
        None => accept(job, |next| next.multipart = Some(multipart.clone())),
    }
}

fn upload_aborted(job: &Job, upload_id: &str) -> Decision {
    match &job.multipart {
        _ if job.state.is_terminal() => Decision::Ignore(Ignored::Ended),
        Some(known) if known.upload_id == upload_id && job.input.is_none() => {
            accept(job, |next| next.multipart = None)
        }
        _ => Decision::Ignore(Ignored::NotNow),
    }
}

fn uploaded(job: &Job, object: &Object, sequencer: &str, at: Millis) -> Decision {
    if object.key.job() != job.id {
        return Decision::Deny(Denied::ForeignObject);
    }
    match &job.sequencer {
        _ if job.state.is_terminal() => Decision::Ignore(Ignored::Ended),
        Some(known) if known == sequencer => Decision::Ignore(Ignored::Duplicate),
        Some(known) if !is_newer(sequencer, known) => Decision::Ignore(Ignored::Outdated),
        // An upload can succeed only once; another object that appears under the key while a worker
        // reads the first one does not belong to the job.
        _ if job.state == State::Processing => Decision::Ignore(Ignored::NotNow),
        _ => accept(job, |next| {
            next.input = Some(object.clone());
            next.sequencer = Some(sequencer.to_owned());
            next.times.uploaded = Some(at);
            next.announced = 0;
        }),
    }
}

fn claimed(
    job: &Job,
    worker: &str,
    revision: u64,
    dead: Option<u64>,
    max_attempts: u32,
    now: Millis,
) -> Decision {
    if job.state.is_terminal() {
        return Decision::Ignore(Ignored::Ended);
    }
    if job.input.is_none() {
        return Decision::Deny(Denied::NotUploaded);
    }
    if let Some(lease) = &job.lease {
        // The claim was written but the reply was lost: the sender holds the job.
        if lease.worker == worker && lease.revision == revision {
            return Decision::Ignore(Ignored::Duplicate);
        }
        if dead != Some(lease.revision) {
            return Decision::Deny(Denied::Held);
        }
    }
    if spent(job, max_attempts) {
        return Decision::Deny(Denied::AttemptsSpent);
    }
    accept(job, |next| {
        next.state = State::Processing;
        next.attempt += 1;
        next.lease = Some(Lease { worker: worker.to_owned(), revision, unchanged: 0 });
        next.stage = Some(Stage::Fetch);
        next.progress = 0;
        next.stage_millis.clear();
        next.warnings = Warnings::default();
        next.counts = None;
        next.facts = EngineFacts::default();
        next.times.claimed = Some(now);
        next.announced = 0;
    })
}

/// Whether the attempts of the job are used up, not counting excused ones.
fn spent(job: &Job, max_attempts: u32) -> bool {
    job.attempt.saturating_sub(job.excused) >= max_attempts
}

/// Whether the sender still holds the job.
fn holds(job: &Job, attempt: u32) -> bool {
    job.state == State::Processing && job.attempt == attempt
}

fn renewed(job: &Job, attempt: u32, revision: u64, progress: Option<(Stage, u16)>) -> Decision {
    match &job.lease {
        Some(lease) if holds(job, attempt) => {
            if lease.revision == revision {
                return Decision::Ignore(Ignored::Duplicate);
            }
            let renewed = Lease { revision, unchanged: 0, ..lease.clone() };
            accept(job, |next| {
                next.lease = Some(renewed);
                next.announced = 0;
                if let Some((stage, progress)) = progress {
                    advance(next, stage, progress);
                }
            })
        }
        _ => Decision::Deny(Denied::Superseded),
    }
}

/// Sets the stage and its progress, unless the job is past them; returns how they compare.
fn advance(job: &mut Job, stage: Stage, progress: u16) -> std::cmp::Ordering {
    let (stage, progress) = (Some(stage), progress.min(1000));
    let order = (stage, progress).cmp(&(job.stage, job.progress));
    if order.is_gt() {
        (job.stage, job.progress) = (stage, progress);
    }
    order
}

fn progressed(job: &Job, attempt: u32, stage: Stage, progress: u16) -> Decision {
    if !holds(job, attempt) {
        return Decision::Deny(Denied::Superseded);
    }
    match advance(&mut job.clone(), stage, progress) {
        std::cmp::Ordering::Equal => Decision::Ignore(Ignored::Duplicate),
        std::cmp::Ordering::Less => Decision::Ignore(Ignored::Outdated),
        std::cmp::Ordering::Greater => accept(job, |next| {
            advance(next, stage, progress);
        }),
    }
}

fn released(
    job: &Job,
    attempt: u32,
    failure: Option<&JobFailure>,
    max_attempts: u32,
    now: Millis,
) -> Decision {
    match job.state {
        // No further claim would be accepted.
        State::Processing if job.attempt == attempt && failure.is_some() && spent(job, max_attempts) => {
            end(job, State::Failed, now, |next| next.failure = failure.cloned())
        }
        State::Processing if job.attempt == attempt => accept(job, |next| {
            next.state = State::Pending;
            next.lease = None;
            next.stage = None;
            next.progress = 0;
            next.excused += u32::from(failure.is_none());
            next.announced = 0;
        }),
        State::Pending if job.attempt == attempt => Decision::Ignore(Ignored::Duplicate),
        _ => Decision::Deny(Denied::Superseded),
    }
}

fn reported(
    job: &Job,
    attempt: u32,
    millis: &BTreeMap<Stage, u64>,
    (warnings, counts, facts): (&Warnings, Option<Counts>, &EngineFacts),
) -> Decision {
    if !holds(job, attempt) {
        return Decision::Deny(Denied::Superseded);
    }
    let known = |(stage, time)| job.stage_millis.get(stage) == Some(time);
    let is_known = job.warnings == *warnings && job.counts == counts && job.facts == *facts;
    if millis.iter().all(known) && is_known {
        return Decision::Ignore(Ignored::Duplicate);
    }
    accept(job, |next| {
        next.stage_millis.extend(millis);
        next.warnings.clone_from(warnings);
        next.counts = counts;
        next.facts.clone_from(facts);
    })
}

fn completed(job: &Job, attempt: u32, output: &Object, now: Millis) -> Decision {
    if holds(job, attempt) {
        if output.key.job() != job.id {
            return Decision::Deny(Denied::ForeignObject);
        }
        return end(job, State::Completed, now, |next| next.output = Some(output.clone()));
    }
    let same = job.state == State::Completed && job.attempt == attempt && job.output.as_ref() == Some(output);
    if same { Decision::Ignore(Ignored::Duplicate) } else { Decision::Deny(Denied::Superseded) }
}

fn failed(job: &Job, attempt: u32, failure: &JobFailure, now: Millis) -> Decision {
    if holds(job, attempt) {
        return end(job, State::Failed, now, |next| next.failure = Some(failure.clone()));
    }
    let same = job.state == State::Failed && job.attempt == attempt && job.failure.as_ref() == Some(failure);
    if same { Decision::Ignore(Ignored::Duplicate) } else { Decision::Deny(Denied::Superseded) }
}

fn audited(job: &Job, head: &SignedHead, end: Option<&Event>, policy: &Policy, now: Millis) -> Decision {
    let ledger = head.head.ledger;
    let ours = ledger.job == job.id && (1..=job.attempt).contains(&ledger.attempt);
    let fits = end.is_none_or(|end| ended_attempt(end) == Some(ledger.attempt));
    let known = job.audit.iter().find(|known| known.head.ledger == ledger);
    if !ours || !fits || known.is_some_and(|known| known != head) {
        return Decision::Deny(Denied::ForeignLedger);
    }
    let new = known.is_none();
    match end.map(|end| decide(job, end, policy, now)) {
        Some(Decision::Accept(mut next)) => {
            if new {
                note_head(&mut next, head);
            }
            Decision::Accept(next)
        }
        None | Some(Decision::Ignore(Ignored::Duplicate)) if new => accept(job, |next| note_head(next, head)),
        None => Decision::Ignore(Ignored::Duplicate),
        Some(other) => other,
    }
}

/// The attempt that an event ends; `None` for other events.
fn ended_attempt(event: &Event) -> Option<u32> {
    match event {
        Event::Completed { attempt, .. }
        | Event::Failed { attempt, .. }
        | Event::Released { attempt, .. } => Some(*attempt),
        _ => None,
    }
}

fn cancelled(job: &Job, now: Millis) -> Decision {
    match job.state {
        State::Pending | State::Processing => end(job, State::Cancelled, now, |_| {}),
        State::Cancelled => Decision::Ignore(Ignored::Duplicate),
        State::Completed | State::Failed | State::Expired => Decision::Deny(Denied::Ended),
    }
}

fn expired(job: &Job, now: Millis) -> Decision {
    match job.state {
        State::Pending if job.input.is_none() => end(job, State::Expired, now, |_| {}),
        State::Pending | State::Processing => Decision::Ignore(Ignored::NotNow),
        State::Expired => Decision::Ignore(Ignored::Duplicate),
        State::Completed | State::Failed | State::Cancelled => Decision::Ignore(Ignored::Ended),
    }
}

fn abandoned(job: &Job, dead: Option<u64>, max_attempts: u32, now: Millis) -> Decision {
    let held = job.lease.as_ref().map(|lease| lease.revision);
    if job.state.is_terminal() {
        return Decision::Ignore(Ignored::Ended);
    }
    if held != dead || !spent(job, max_attempts) {
        return Decision::Ignore(Ignored::NotNow);
    }
    let failure = lost(job, max_attempts);
    end(job, State::Failed, now, |next| next.failure = Some(failure))
}

fn dismissed(job: &Job, now: Millis) -> Decision {
    match job.state {
        _ if job.times.dismissed.is_some() => Decision::Ignore(Ignored::Duplicate),
        State::Pending | State::Processing => Decision::Ignore(Ignored::NotNow),
        _ => accept(job, |next| next.times.dismissed = Some(now)),
    }
}

/// The longest time wins: the time of each watcher is a lower bound.
fn watched(job: &Job, revision: u64, unchanged: Millis) -> Decision {
    match &job.lease {
        Some(lease) if lease.revision == revision && lease.unchanged < unchanged => {
            let seen = Lease { unchanged, ..lease.clone() };
            accept(job, |next| next.lease = Some(seen))
        }
        Some(lease) if lease.revision == revision => Decision::Ignore(Ignored::Outdated),
        _ => Decision::Ignore(Ignored::NotNow),
    }
}

fn announced(job: &Job) -> Decision {
    if job.state.is_terminal() {
        return Decision::Ignore(Ignored::Ended);
    }
    accept(job, |next| next.announced = next.announced.saturating_add(1))
}

fn uncounted(job: &Job, reservation: u64) -> Decision {
    match job.counted {
        _ if !job.state.is_terminal() => Decision::Ignore(Ignored::NotNow),
        Some(counted) if counted == reservation => accept(job, |next| next.counted = None),
        _ => Decision::Ignore(Ignored::Duplicate),
    }
}

/// The failure of a job whose last worker did not finish.
fn lost(job: &Job, max_attempts: u32) -> JobFailure {
    JobFailure {
        code: FailureCode::WorkerLost,
        message: format!(
            "the worker was lost in attempt {} of {max_attempts}",
            job.attempt.saturating_sub(job.excused)
        ),
        at: job.stage,
    }
}

#[cfg(test)]
mod tests;
