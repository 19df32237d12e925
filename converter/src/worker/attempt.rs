//! One attempt at a job, on its own thread: fetch, convert, publish, wipe. An archive is expanded
//! while it is downloaded, so fetching and expanding are one stage.
//!
//! The thread outlives the engine process that it starts: the kernel kills the engine when the
//! thread ends. The attempt does not touch the job's record.
//!
//! The attempt's ledger is opened before any plaintext exists and closed after all plaintext is
//! destroyed. If either fails, the attempt fails.

use super::failpoint;
use crate::conversion::context::ConversionContext;
use crate::conversion::report::{ConversionReport, Observer};
use crate::conversion::{self};
use crate::engine::supervisor::Identity;
use crate::intake::{Remote, Source};
use crate::stack;
use crate::worker::lease::JobLease;
use crate::worker::ledger::{LedgerFactory, StageRecorder};
use crate::worker::upload::ObjectStoreSink;
use crate::workspace::Workspace;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::job::{EngineFacts, Job, Object, Stage};
use cadmill_core::domain::ledger::SignedHead;
use cadmill_core::domain::limits::{ArchiveLimits, Caps};
use cadmill_core::ledger::Ledger;
use cadmill_core::metrics::{self, Wipe};
use cadmill_core::ports::ObjectStore;
use futures_util::future::BoxFuture;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::runtime::Handle;

/// Makes the attempts of a worker.
pub trait Attempts: Send + Sync {
    /// Makes an attempt, until it has ended and no data of the job is left on this machine. It must
    /// end soon after [`Attempt::is_cancelled`].
    fn run(&self, attempt: Attempt) -> BoxFuture<'_, Ended>;
}

/// Converts, each attempt on a thread of its own.
pub(super) struct OnThreads;

impl Attempts for OnThreads {
    fn run(&self, attempt: Attempt) -> BoxFuture<'_, Ended> {
        Box::pin(async move {
            let hold = Arc::clone(&attempt.hold);
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let started = std::thread::Builder::new().name("attempt".to_owned()).spawn(move || {
                // There is no receiver once the runtime is gone.
                let _ = sender.send(stack::cleared(|| attempt.run()));
            });
            if let Err(error) = started {
                return Ended::unrecorded(Failure::io("starting a thread", &error), Stage::Fetch);
            }
            // If the thread panics, the sender is dropped without a result.
            receiver.await.unwrap_or_else(|_| Ended::unrecorded(panicked(), hold.current().0))
        })
    }
}

/// What an attempt needs to run.
pub struct Attempt {
    pub(super) job: Job,
    /// The input, or the reason why the job is refused.
    pub(super) input: Result<Remote, Failure>,
    pub(super) hold: Arc<JobLease>,
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) runtime: Handle,
    pub(super) setting: ConversionContext,
    pub(super) recording: LedgerFactory,
    pub(super) caps: Caps,
    pub(super) archive: ArchiveLimits,
}

/// How an attempt ended.
pub struct Ended {
    /// The output, or the failure and the stage in which it occurred.
    pub(super) result: Result<Object, (Failure, Stage)>,
    /// The head of the attempt's ledger; `None` if the ledger could not be written.
    pub(super) head: Option<SignedHead>,
}

impl Ended {
    /// An internal failure of the worker, without a ledger.
    pub fn unrecorded(failure: Failure, stage: Stage) -> Self {
        Self { result: Err((failure, stage)), head: None }
    }
}

impl Attempt {
    /// The job, as it was claimed.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Why the job is refused without being processed, if it is.
    pub fn refused(&self) -> Option<&Failure> {
        self.input.as_ref().err()
    }

    /// The object store.
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// Reports that a stage begins.
    pub fn enter(&self, stage: Stage) {
        self.hold.stage(stage);
    }

    /// Reports the fraction of the stage that is done, from 0 to 1.
    pub fn progress(&self, fraction: f64) {
        self.hold.progress(fraction);
    }

    /// Whether the job does not belong to this worker any more, or the worker is stopping.
    pub fn is_cancelled(&self) -> bool {
        self.hold.cancel.load(Ordering::Relaxed)
    }

    /// Opens the ledger of the attempt.
    ///
    /// # Errors
    /// `infra.audit`: no plaintext may be made.
    pub fn open_ledger(&self) -> Result<Ledger, Failure> {
        self.recording.attempt(self.job.id, self.hold.attempt)
    }

    /// Ends the attempt: closes its ledger with the result, which is the output, or the failure and
    /// the stage in which it occurred.
    pub fn close(&self, ledger: &Ledger, result: Result<Object, (Failure, Stage)>) -> Ended {
        let outcome = match &result {
            Ok(_) => "completed",
            Err((failure, _)) if failure.code == FailureCode::Cancelled => self.hold.why_cancelled(),
            Err((failure, _)) => failure.code.as_str(),
        };
        match (ledger.close(outcome), result) {
            (Ok(head), result) => Ended { result, head: Some(head) },
            // Without proof of destruction the job neither succeeds nor ends: the attempt is
            // retried.
            (Err(_), Err((failure, stage))) if failure.code == FailureCode::Audit => {
                Ended::unrecorded(failure, stage)
            }
            (Err(failure), _) => Ended::unrecorded(failure, Stage::Wipe),
        }
    }

    /// Runs the attempt to its end. On return, the workspace holds no data of the job.
    fn run(&self) -> Ended {
        let ledger = match self.open_ledger() {
            Ok(ledger) => Arc::new(ledger),
            Err(failure) => return Ended::unrecorded(failure, Stage::Fetch),
        };
        let result = match &self.input {
            Ok(input) => self.in_workspace(input, &ledger),
            Err(failure) => Err((failure.clone(), Stage::Fetch)),
        };
        self.close(&ledger, result)
    }

    fn in_workspace(&self, input: &Remote, ledger: &Arc<Ledger>) -> Result<Object, (Failure, Stage)> {
        let marks = StageRecorder::new(ledger);
        marks.enter(Some(Stage::Fetch));
        let workspace = self.setting.place.create_recorded(Arc::clone(ledger));
        let workspace = workspace.map_err(|failure| (failure, Stage::Fetch))?;
        // A panic must leave neither the files behind nor the ledger open.
        let work = catch_unwind(AssertUnwindSafe(|| self.work(input, &workspace, &marks)));
        let work = work.unwrap_or_else(|_| {
            ledger.incident("worker.panicked", 0, "the worker met a defect of its own");
            Err(panicked())
        });
        let result = work.map_err(|failure| (failure, self.hold.current().0));
        self.hold.stage(Stage::Wipe);
        marks.enter(Some(Stage::Wipe));
        failpoint::reached("wiping");
        let wiping = Instant::now();
        let removed = workspace.remove();
        metrics::wiped(if removed.is_ok() { Wipe::Done } else { Wipe::Failed }, 1);
        self.hold.took(Stage::Wipe, wiping.elapsed());
        marks.enter(None);
        // If plaintext could not be removed, the attempt does not succeed, even with a result.
        match (result, removed) {
            (result, Ok(())) => result,
            (Ok(_), Err(failure)) => Err((failure, Stage::Wipe)),
            (Err(failure), Err(left)) => {
                tracing::error!(job.id = %self.job.id, trace_id = self.job.trace_id(), code = %left.code, "a workspace could not be removed");
                Err(failure)
            }
        }
    }

    fn work(
        &self,
        input: &Remote,
        workspace: &Workspace,
        marks: &StageRecorder<'_>,
    ) -> Result<Object, Failure> {
        // Reserves as much space for the output as for the input, as admission does.
        let needed = input.needs_bytes().saturating_mul(2);
        workspace.admit("the input, and the same amount for its output,", needed)?;
        let order = conversion::request::ConversionRequest {
            format: self.job.order.format.clone(),
            engine: None,
            root: self.job.order.root.clone(),
            options: self.job.order.options.clone().into_iter().collect(),
            compress: self.job.order.compress,
            strict: self.job.order.strict,
            caps: self.caps,
            archive: self.archive,
            crash_retries: 1,
        };
        let store = ObjectStoreSink {
            objects: &self.objects,
            runtime: &self.runtime,
            job: self.job.id,
            attempt: self.hold.attempt,
            cancel: &self.hold.cancel,
            accept_gzip: self.job.order.accept_gzip,
            progress: &|fraction| self.hold.progress(fraction),
        };
        let mut watcher = Watcher { hold: &self.hold, marks };
        let (result, facts) = conversion::run_in(
            &order,
            input,
            &store,
            &self.setting,
            workspace,
            &self.hold.cancel,
            &mut watcher,
        );
        self.record(&facts);
        result.map_err(|failure| within(failure, workspace))
    }

    fn record(&self, facts: &ConversionReport) {
        let (kept, left_out) = EngineFacts::fitting(&facts.engine_facts);
        let mut warnings = facts.warnings.clone();
        if left_out > 0 {
            warnings.push(&format!("{left_out} facts of the engine are too long for the record of a job"));
        }
        self.hold.converted(&warnings, facts.counts, kept);
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
            trace_id = self.job.trace_id(),
            attempt = self.hold.attempt,
            input_bytes = facts.input_bytes,
            unpacked_bytes = facts.unpacked_bytes,
            engine = facts.target.as_ref().map_or("", |t| t.engine.as_str()),
            peak_memory_bytes = facts.peak_memory_bytes,
            engine_cpu_ms = cadmill_core::domain::limits::millis(facts.engine_processor_time),
            "the engine has finished"
        );
    }
}

/// Rewrites paths to names within the archive: paths of this host mean nothing to the owner of the
/// job.
fn within(mut failure: Failure, workspace: &Workspace) -> Failure {
    failure.message = workspace.hide(&failure.message);
    failure
}

struct Watcher<'a> {
    hold: &'a JobLease,
    marks: &'a StageRecorder<'a>,
}

impl Observer for Watcher<'_> {
    fn stage(&mut self, stage: conversion::report::Stage) {
        let stage = match stage {
            conversion::report::Stage::Unpack => Stage::Fetch,
            conversion::report::Stage::Convert => {
                failpoint::reached("unpacked");
                Stage::Convert
            }
            conversion::report::Stage::Publish => Stage::Publish,
            conversion::report::Stage::Remove => Stage::Wipe,
        };
        self.hold.stage(stage);
        self.marks.enter(Some(stage));
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

    /// Text from a library may contain names and content, so it must not be logged. The owner finds
    /// it in the job's record.
    fn warning(&mut self, _line: &str, _is_loss: bool) {}
}

/// The failure of a thread that panicked. The text of the panic is not reported.
fn panicked() -> Failure {
    Failure::new(FailureCode::Io, "internal error in the worker while it processed the job")
}
