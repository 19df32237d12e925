//! One attempt at a job, on a thread of its own: fetch, convert, publish, wipe. An
//! archive is expanded while it is fetched, so that both are one stage.
//!
//! The thread lives as long as the engine process that it starts: the kernel ends
//! that process with the thread. It touches the job's record not at all.

use super::deliver::Store;
use super::failpoint;
use super::hold::Hold;
use crate::intake::{Remote, Source};
use crate::job::{self, Facts, Observer, Setting};
use crate::supervisor::Identity;
use crate::workspace::Workspace;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::job::{Job, Object, Stage};
use cadmill_core::domain::limits::{ArchiveLimits, Caps};
use cadmill_core::ports::ObjectStore;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;

/// What an attempt works with.
pub(super) struct Attempt {
    pub(super) job: Job,
    pub(super) input: Remote,
    pub(super) hold: Arc<Hold>,
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) runtime: Handle,
    pub(super) setting: Setting,
    pub(super) caps: Caps,
    pub(super) archive: ArchiveLimits,
}

impl Attempt {
    /// Runs to the end. Nothing of the job is left in the workspace when it returns.
    ///
    /// # Errors
    /// [`Failure`] of the job and the stage that it happened in.
    pub(super) fn run(&self) -> Result<Object, (Failure, Stage)> {
        let workspace = self.setting.place.create().map_err(|failure| (failure, Stage::Fetch))?;
        let result = self.work(&workspace).map_err(|failure| (failure, self.hold.current().0));
        self.hold.stage(Stage::Wipe);
        let wiping = Instant::now();
        let removed = workspace.remove();
        self.hold.took(Stage::Wipe, wiping.elapsed());
        // A result beside plaintext that could not be removed is no success.
        match (result, removed) {
            (result, Ok(())) => result,
            (Ok(_), Err(failure)) => Err((failure, Stage::Wipe)),
            (Err(failure), Err(left)) => {
                tracing::error!(job.id = %self.job.id, code = %left.code, "a workspace could not be removed");
                Err(failure)
            }
        }
    }

    fn work(&self, workspace: &Workspace) -> Result<Object, Failure> {
        // As much again for the output as the input takes up: as admission reckons.
        workspace.admit(self.input.needs_bytes().saturating_mul(2))?;
        let order = job::Order {
            format: self.job.order.format.clone(),
            engine: None,
            root: self.job.order.root.clone(),
            options: self.job.order.options.clone().into_iter().collect(),
            compress: self.job.order.compress,
            caps: self.caps,
            archive: self.archive,
            crash_retries: 1,
        };
        let store = Store {
            objects: &self.objects,
            runtime: &self.runtime,
            job: self.job.id,
            attempt: self.hold.attempt,
            cancel: &self.hold.cancel,
            progress: &|fraction| self.hold.progress(fraction),
        };
        let mut watcher = Watcher { hold: &self.hold };
        let (result, facts) = job::run_in(
            &order,
            &self.input,
            &store,
            &self.setting,
            workspace,
            &self.hold.cancel,
            &mut watcher,
        );
        self.note(&facts);
        result.map_err(|failure| within(failure, workspace))
    }

    fn note(&self, facts: &Facts) {
        let times = &facts.times;
        let stages = [
            (Stage::Fetch, times.unpack),
            (Stage::Convert, times.load + times.convert),
            (Stage::Publish, times.publish),
        ];
        for (stage, time) in stages.into_iter().filter(|(_, time)| !time.is_zero()) {
            self.hold.took(stage, time);
        }
        tracing::info!(
            job.id = %self.job.id,
            attempt = self.hold.attempt,
            input_bytes = facts.input_bytes,
            unpacked_bytes = facts.unpacked_bytes,
            engine = facts.target.as_ref().map_or("", |t| t.engine.as_str()),
            peak_memory_bytes = facts.peak_memory_bytes,
            engine_cpu_ms = job::millis(facts.engine_processor_time),
            "the engine's work is over"
        );
    }
}

/// The owner is told of files by their names in the archive; paths of this machine
/// say nothing to anyone.
fn within(mut failure: Failure, workspace: &Workspace) -> Failure {
    failure.message = workspace.hide(&failure.message);
    failure
}

struct Watcher<'a> {
    hold: &'a Hold,
}

impl Observer for Watcher<'_> {
    fn stage(&mut self, stage: job::Stage) {
        let stage = match stage {
            job::Stage::Unpack => Stage::Fetch,
            job::Stage::Convert => {
                failpoint::reached("unpacked");
                Stage::Convert
            }
            job::Stage::Publish => Stage::Publish,
        };
        self.hold.stage(stage);
    }

    fn progress(&mut self, fraction: f64) {
        if fraction >= 0.5 && self.hold.current().0 == Stage::Fetch {
            failpoint::reached("half-downloaded");
        }
        self.hold.progress(fraction);
    }

    fn engine(&mut self, _name: &str, _identity: &Identity) {
        failpoint::reached("converting");
    }

    /// A library's words may hold names and content: they go to no log.
    fn warning(&mut self, _line: &str) {}
}

/// The failure of a thread that has panicked; the text of the panic goes to no one.
pub(super) fn panicked() -> Failure {
    Failure::new(FailureCode::Io, "the worker met a defect of its own while it worked on the job")
}
