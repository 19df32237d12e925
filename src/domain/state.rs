//! What may happen to a job. Pure: one function, [`apply`].
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
//! Events come twice, late, out of order, and from workers that were thought
//! dead. So the answer is one of three: accept it, and this is the job then;
//! ignore it, the job is where the event wants it or beyond; deny it, whoever
//! sent it must stop. A store writes what was accepted over the very version
//! that was judged, so that of two that judge at once one loses and judges again.

use super::failure::FailureCode;
use super::job::{Job, JobFailure, Lease, Millis, Object, Stage, State};

/// Something that happened to a job, or that somebody wants to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The store tells of the uploaded object.
    Uploaded {
        /// The object.
        object: Object,
        /// Orders the events of one key; compared by [`is_newer`].
        sequencer: String,
    },
    /// A worker wants the job.
    Claimed {
        /// The worker's name.
        worker: String,
        /// Revision of the new lease; drawn at random, so that the worker
        /// recognises its own claim when the reply to it was lost.
        revision: u64,
        /// The revision of another's lease that the worker has seen unchanged for
        /// a whole lease on its own clock.
        dead: Option<u64>,
    },
    /// The worker still works on it.
    Renewed {
        /// Its attempt.
        attempt: u32,
        /// Revision from now on.
        revision: u64,
    },
    /// The worker got so far.
    Progressed {
        /// Its attempt.
        attempt: u32,
        /// What it does now.
        stage: Stage,
        /// How much of it is done, in thousandths.
        progress: u16,
    },
    /// The worker gives it back unfinished: it is told to stop, or the failure is
    /// one that a retry can mend. With the last attempt the job ends instead.
    Released {
        /// Its attempt.
        attempt: u32,
    },
    /// The output is there.
    Completed {
        /// The worker's attempt.
        attempt: u32,
        /// The output.
        output: Object,
    },
    /// It cannot be done.
    Failed {
        /// The worker's attempt.
        attempt: u32,
        /// Why.
        failure: JobFailure,
    },
    /// The owner does not want it any more.
    Cancelled,
    /// The time for the upload is over.
    Expired,
    /// The reaper saw the lease unchanged for too long. Ends a job whose attempts
    /// are spent; one that has some left waits for a worker to claim it.
    Abandoned {
        /// The revision that it saw.
        dead: u64,
    },
}

/// The answer to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It happens; this is the job then.
    Accept(Box<Job>),
    /// Nothing changes, and nothing is wrong.
    Ignore(Ignored),
    /// Nothing changes, and the sender must not go on.
    Deny(Denied),
}

/// Why an event changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// It was accepted before.
    Duplicate,
    /// A newer one of its kind was accepted before.
    Outdated,
    /// The job has ended.
    Ended,
    /// It is for a job in another situation.
    NotNow,
}

/// Why a sender must not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The attempt is not the current one, or the job is no longer being worked on.
    Superseded,
    /// Another worker has the job.
    Held,
    /// The job was tried as often as it may be.
    AttemptsSpent,
    /// The job has ended.
    Ended,
    /// There is nothing to work on yet.
    NotUploaded,
    /// The object is not the job's.
    ForeignObject,
}

/// Judges an event. `max_attempts` is how often a job may be tried.
pub fn apply(job: &Job, event: &Event, max_attempts: u32, now: Millis) -> Decision {
    match event {
        Event::Uploaded { object, sequencer } => uploaded(job, object, sequencer, now),
        Event::Claimed { worker, revision, dead } => {
            claimed(job, worker, *revision, *dead, max_attempts, now)
        }
        Event::Renewed { attempt, revision } => renewed(job, *attempt, *revision),
        Event::Progressed { attempt, stage, progress } => progressed(job, *attempt, *stage, *progress),
        Event::Released { attempt } => released(job, *attempt, max_attempts, now),
        Event::Completed { attempt, output } => completed(job, *attempt, output, now),
        Event::Failed { attempt, failure } => failed(job, *attempt, failure, now),
        Event::Cancelled => cancelled(job, now),
        Event::Expired => expired(job, now),
        Event::Abandoned { dead } => abandoned(job, *dead, max_attempts, now),
    }
}

/// Whether one sequencer is newer than another: hexadecimal texts that are padded
/// with zeros on the right to the same length and compared as texts (Amazon S3
/// User Guide, "Event ordering and duplicate events").
pub fn is_newer(sequencer: &str, than: &str) -> bool {
    let length = sequencer.len().max(than.len());
    let padded = |text: &str| format!("{text:0<length$}").to_ascii_uppercase();
    padded(sequencer) > padded(than)
}

fn accept(job: &Job, change: impl FnOnce(&mut Job)) -> Decision {
    let mut next = job.clone();
    change(&mut next);
    next.version += 1;
    Decision::Accept(Box::new(next))
}

/// The end of a job, whichever it is.
fn end(job: &Job, state: State, now: Millis, change: impl FnOnce(&mut Job)) -> Decision {
    accept(job, |next| {
        next.state = state;
        next.lease = None;
        next.times.ended = Some(now);
        change(next);
    })
}

fn uploaded(job: &Job, object: &Object, sequencer: &str, now: Millis) -> Decision {
    if object.key.job() != job.id {
        return Decision::Deny(Denied::ForeignObject);
    }
    match &job.sequencer {
        _ if job.state.is_terminal() => Decision::Ignore(Ignored::Ended),
        Some(known) if known == sequencer => Decision::Ignore(Ignored::Duplicate),
        Some(known) if !is_newer(sequencer, known) => Decision::Ignore(Ignored::Outdated),
        // The upload can be made once only; another object under the key while a
        // worker reads the first is not the job's.
        _ if job.state == State::Processing => Decision::Ignore(Ignored::NotNow),
        _ => accept(job, |next| {
            next.input = Some(object.clone());
            next.sequencer = Some(sequencer.to_owned());
            next.times.uploaded = Some(now);
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
        // The claim was written and the reply lost: the job is the sender's.
        if lease.worker == worker && lease.revision == revision {
            return Decision::Ignore(Ignored::Duplicate);
        }
        if dead != Some(lease.revision) {
            return Decision::Deny(Denied::Held);
        }
    }
    if job.attempt >= max_attempts {
        return Decision::Deny(Denied::AttemptsSpent);
    }
    accept(job, |next| {
        next.state = State::Processing;
        next.attempt += 1;
        next.lease = Some(Lease { worker: worker.to_owned(), revision });
        next.stage = Some(Stage::Fetch);
        next.progress = 0;
        next.stage_millis.clear();
        next.times.claimed = Some(now);
    })
}

/// Whether the sender still holds the job.
fn holds(job: &Job, attempt: u32) -> bool {
    job.state == State::Processing && job.attempt == attempt
}

fn renewed(job: &Job, attempt: u32, revision: u64) -> Decision {
    match &job.lease {
        Some(lease) if holds(job, attempt) => {
            if lease.revision == revision {
                return Decision::Ignore(Ignored::Duplicate);
            }
            let renewed = Lease { revision, ..lease.clone() };
            accept(job, |next| next.lease = Some(renewed))
        }
        _ => Decision::Deny(Denied::Superseded),
    }
}

fn progressed(job: &Job, attempt: u32, stage: Stage, progress: u16) -> Decision {
    if !holds(job, attempt) {
        return Decision::Deny(Denied::Superseded);
    }
    let progress = progress.min(1000);
    match (Some(stage), progress).cmp(&(job.stage, job.progress)) {
        std::cmp::Ordering::Equal => Decision::Ignore(Ignored::Duplicate),
        std::cmp::Ordering::Less => Decision::Ignore(Ignored::Outdated),
        std::cmp::Ordering::Greater => accept(job, |next| {
            next.stage = Some(stage);
            next.progress = progress;
        }),
    }
}

fn released(job: &Job, attempt: u32, max_attempts: u32, now: Millis) -> Decision {
    match job.state {
        // Nobody could claim it any more.
        State::Processing if job.attempt == attempt && attempt >= max_attempts => {
            let failure = lost(job, max_attempts);
            end(job, State::Failed, now, |next| next.failure = Some(failure))
        }
        State::Processing if job.attempt == attempt => accept(job, |next| {
            next.state = State::Pending;
            next.lease = None;
            next.stage = None;
            next.progress = 0;
        }),
        State::Pending if job.attempt == attempt => Decision::Ignore(Ignored::Duplicate),
        _ => Decision::Deny(Denied::Superseded),
    }
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

fn abandoned(job: &Job, dead: u64, max_attempts: u32, now: Millis) -> Decision {
    match &job.lease {
        _ if job.state.is_terminal() => Decision::Ignore(Ignored::Ended),
        Some(lease) if lease.revision == dead && job.attempt >= max_attempts => {
            let failure = lost(job, max_attempts);
            end(job, State::Failed, now, |next| next.failure = Some(failure))
        }
        _ => Decision::Ignore(Ignored::NotNow),
    }
}

/// The failure of a job whose last worker did not finish it.
fn lost(job: &Job, max_attempts: u32) -> JobFailure {
    JobFailure {
        code: FailureCode::WorkerLost,
        message: format!("the worker was lost in attempt {} of {max_attempts}", job.attempt),
        at: job.stage,
    }
}

#[cfg(test)]
mod tests;
