//! One engine run on the root file: the request, its outcome, and what is reported to the owner.

use super::report::Stage;
use super::{Job, Root};
use crate::engine::failure::failure_of;
use crate::engine::protocol::{Answer, EngineRequest, Task};
use crate::engine::supervisor::{Event, Outcome, ProcessReport, clean};
use crate::publish::Sink;
use crate::workspace::Workspace;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::{Caps, display_size};
use cadmill_core::domain::route::Target;
use cadmill_core::metrics;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// What operators learn of an engine process.
fn measure(engine: &str, report: &ProcessReport) {
    metrics::engine_ended(engine, report.peak_memory_bytes);
    match report.outcome {
        Outcome::Crashed { signal } => metrics::engine_crashed(engine, signal),
        Outcome::Violation { .. } => metrics::engine_crashed(engine, SIGSYS),
        Outcome::OutOfMemory { .. } => metrics::engine_crashed(engine, SIGKILL),
        _ => {}
    }
}

/// The signals by which the kernel ends a process that made a forbidden system call, and one for which
/// the machine has no memory.
const SIGSYS: i32 = 31;
const SIGKILL: i32 = 9;

impl<S: Sink> Job<'_, S> {
    pub(super) fn convert(
        &mut self,
        root: &Root,
        target: &Target,
        (main_name, layer): (&str, Option<&str>),
        workspace: &Workspace,
    ) -> Result<(), Failure> {
        self.observer.stage(Stage::Convert);
        let engine = self.setting.engines.get(&target.engine).ok_or_else(|| {
            Failure::new(FailureCode::EngineUnknown, format!("unknown engine '{}'", target.engine))
        })?;
        let output_dir = workspace.output();
        let task = Task::Convert {
            input: root.path.clone(),
            input_dir: root.directory.clone(),
            output: output_dir.join(main_name),
            output_dir: output_dir.clone(),
            format_id: target.format_id.clone(),
            layer: layer.map(str::to_owned),
            options: self.order.options.clone(),
            strict: self.order.strict,
        };
        let request = EngineRequest::new(engine.library().clone(), task, &self.order.caps);
        // Only the options can make a request exceed a frame: all its other fields are short.
        if crate::engine::frame::encode(&crate::engine::protocol::Command::Run(Box::new(request.clone())))
            .is_err()
        {
            return Err(Failure::new(FailureCode::UsageInvalid, "the options are too long"));
        }
        // The engine creates files without announcing them, so its start must be on record.
        workspace.check()?;
        workspace.bound(self.order.caps.output_bytes);
        let mut report = self.report(&request, &engine.name, workspace)?;
        if matches!(report.outcome, Outcome::Answered(Answer::BadOption(_))) && report.identity.is_some() {
            report.outcome = self.judge_options(&request, report.outcome)?;
        }
        self.record(&report, workspace);
        measure(&engine.name, &report);
        workspace.scan()?;
        failure_of(&engine.name, report.outcome).map_err(|mut failure| {
            failure.message = workspace.hide(&failure.message);
            map_workspace_full(failure, workspace)
        })?;
        self.check_strict(&engine.name)
    }

    /// A strict order has no result that differs from its input.
    pub(super) fn check_strict(&self, engine: &str) -> Result<(), Failure> {
        let losses = self.facts.warnings.losses;
        if !self.order.strict || losses == 0 {
            return Ok(());
        }
        let first = self.facts.warnings.first_loss().unwrap_or("the engine did not say how");
        let more = if losses > 1 { format!("; and {} more", losses - 1) } else { String::new() };
        let text = format!("{}{more}", first.trim_end_matches('.'));
        let message = format!("the result would differ from the input: {text}");
        Err(Failure::new(FailureCode::EngineIncomplete, message)
            .with("engine", engine)
            .with("losses", losses))
    }

    /// Runs the request on the warm host if there is one, otherwise on a new host.
    fn report(
        &mut self,
        request: &EngineRequest,
        engine: &str,
        workspace: &Workspace,
    ) -> Result<ProcessReport, Failure> {
        let observer = &mut *self.observer;
        let hear = &mut |event| match event {
            Event::Confined(_) => {}
            Event::Loaded(identity) => observer.engine(engine, &identity),
            Event::Progress(fraction) => observer.progress(fraction),
            Event::Log { line, is_loss } => observer.warning(&workspace.hide(&line), is_loss),
        };
        if let Some(ahead) = self.ahead.take() {
            match ahead.convert(&request.task, self.cancel, hear) {
                Ok(report) => return Ok(report),
                Err(unused) => tracing::warn!(engine, "{unused}; starting another"),
            }
            workspace.scan()?;
            workspace.clear_output()?;
        }
        let (caps, scratch, output) = (&self.order.caps, workspace.scratch(), workspace.output());
        self.setting
            .supervisor
            .run(request, caps, &scratch, &output, self.cancel, hear)
            .map_err(|e| Failure::new(FailureCode::EngineHost, format!("starting the engine host: {e}")))
    }

    /// Verifies a bad-option report. After reading the input, an engine is not trusted to blame the
    /// owner's options: its report counts only if an engine without the input reports the same. Otherwise
    /// the options do not fit this input, or so it says.
    fn judge_options(&self, request: &EngineRequest, blamed: Outcome) -> Result<Outcome, Failure> {
        let Task::Convert { input, output, format_id, options, .. } = &request.task else {
            return Ok(blamed);
        };
        if options.is_empty() {
            return Ok(Outcome::Misbehaved("it reported an invalid option, but was given none".to_owned()));
        }
        let workspace = self.setting.place.create()?;
        let (input_dir, output_dir) = (workspace.input(), workspace.output());
        let in_place = |path: &Path, directory: &Path| directory.join(path.file_name().unwrap_or_default());
        let task = Task::Convert {
            // The directory is empty: only the options are checked.
            input: in_place(input, &input_dir),
            output: in_place(output, &output_dir),
            input_dir,
            output_dir,
            format_id: format_id.clone(),
            layer: None,
            options: options.clone(),
            strict: false,
        };
        let caps = Caps { time: self.order.caps.time.min(MAX_OPTIONS_TIME), ..self.order.caps };
        let request = EngineRequest { task, ..request.clone() };
        let report = self
            .setting
            .supervisor
            .run(&request, &caps, &workspace.scratch(), &workspace.output(), self.cancel, &mut |_| {})
            .map_err(|e| Failure::new(FailureCode::EngineHost, format!("starting the engine host: {e}")))?;
        workspace.remove()?;
        Ok(match report.outcome {
            same @ Outcome::Answered(Answer::BadOption(_)) => same,
            Outcome::Cancelled => Outcome::Cancelled,
            _ => match blamed {
                Outcome::Answered(Answer::BadOption(reason)) => {
                    Outcome::Answered(Answer::Unfit(format!("an option does not fit this input: {reason}")))
                }
                blamed => blamed,
            },
        })
    }

    fn record(&mut self, report: &ProcessReport, workspace: &Workspace) {
        let load = report.load_time.unwrap_or(report.wall_time);
        self.facts.times.load = load;
        self.facts.times.convert = report.wall_time.saturating_sub(load);
        self.facts.identity.clone_from(&report.identity);
        self.facts.peak_memory_bytes = report.peak_memory_bytes;
        self.facts.engine_processor_time = report.processor_time;
        self.facts.warnings = Self::noticed(&self.noticed);
        self.facts.warnings.absorb(&report.warnings, |line| workspace.hide(line));
        (self.facts.counts, self.facts.engine_facts) = match &report.outcome {
            Outcome::Answered(Answer::Converted { counts, facts, .. }) => (*counts, cleaned(facts)),
            _ => (None, BTreeMap::new()),
        };
    }
}

/// Facts of an engine, which become keys and values of a report.
fn cleaned(facts: &[(String, String)]) -> BTreeMap<String, String> {
    facts.iter().take(MAX_FACTS).map(|(name, value)| (clean(name), clean(value))).collect()
}

/// Maximum number of facts that an engine reports.
const MAX_FACTS: usize = 64;

/// An engine that cannot write reports a rejected input or crashes (SIGBUS on a mapped file). If
/// the workspace is full, that is the actual cause.
fn map_workspace_full(failure: Failure, workspace: &Workspace) -> Failure {
    let blamed = matches!(failure.code, FailureCode::EngineRejected | FailureCode::EngineCrashed);
    match workspace.free_bytes() {
        Ok(free) if blamed && free < FULL_BYTES => {
            let message =
                format!("the workspace has {} left, too little for the engine's output", display_size(free));
            Failure::new(FailureCode::WorkspaceFull, message).with("free_bytes", free)
        }
        _ => failure,
    }
}

/// Time limit for an engine that checks options without the input.
const MAX_OPTIONS_TIME: Duration = Duration::from_secs(60);

/// A workspace with less free space than this counts as full.
const FULL_BYTES: u64 = 1 << 20;
