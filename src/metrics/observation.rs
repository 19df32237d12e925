//! What one change of a job's record says to operators.
//!
//! Whoever changes a record counts the change, once: [`crate::jobs`] records it when the write is
//! known to have happened. So the sum over all programs counts each job once.

use super::record;
use crate::domain::job::{Job, State};
use crate::domain::state::Event;

/// A change of a record, until it is known whether it was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observation {
    /// The job ended.
    ended: bool,
    /// A worker took it for the first time.
    first_claim: bool,
    /// The lease of another worker had lapsed.
    lapsed: bool,
}

impl Observation {
    /// The change from `before` to `after` by this event.
    pub fn of(before: &Job, event: &Event, after: &Job) -> Self {
        let lapsed =
            matches!(event, Event::Claimed { dead: Some(_), .. } | Event::Abandoned { dead: Some(_) });
        Self {
            ended: !before.state.is_terminal() && after.state.is_terminal(),
            first_claim: before.attempt == 0 && after.attempt == 1,
            lapsed: lapsed && before.lease.is_some(),
        }
    }

    /// Records the change, which was written as `after`.
    pub fn record(self, after: &Job) {
        if self.lapsed {
            record::lease_lapsed();
        }
        if self.first_claim {
            record::job_waited(after.times.claimed.unwrap_or_default().saturating_sub(uploaded(after)));
            record::input_read(after.input.as_ref().map_or(0, |input| input.size_bytes));
        }
        if self.ended {
            ended(after);
        }
    }
}

fn uploaded(job: &Job) -> u64 {
    job.times.uploaded.unwrap_or(job.times.created)
}

fn ended(job: &Job) {
    record::job_ended(job.state, job.failure.as_ref().map(|failure| failure.code));
    for (&stage, &millis) in &job.stage_millis {
        record::stage_took(stage, millis);
    }
    if job.state == State::Completed {
        record::job_took(job.times.ended.unwrap_or_default().saturating_sub(uploaded(job)));
        record::output_stored(job.output.as_ref().map_or(0, |output| output.size_bytes));
    }
}
