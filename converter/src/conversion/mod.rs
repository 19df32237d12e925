//! One conversion from file to file: unpack, convert, publish, remove.
//!
//! Failures are detected in this order: what can be refused without work is refused first
//! (destination, input, archive directory, route, space), then the work is done. The workspace is
//! removed on every exit path. The input is a local file or an object of a store; its body is not
//! read until all these checks have passed.

mod all;
pub mod context;
mod describe;
pub mod inspect;
mod nested;
mod options;
mod output;
pub mod report;
pub mod request;
mod root;

use crate::engine::failure::{cancelled, cap_failure, failure_of};
use crate::engine::protocol::{Answer, EngineRequest, Task};
use crate::engine::supervisor::{Cap, Event, Outcome, ProcessReport, WarmHost};
use crate::intake::sidecars::on_disk;
use crate::intake::{Local, Source};
use crate::publish::{Sink, needs_archive};
use crate::workspace::{Folder, Workspace};
use cadmill_archive::{Plan, fit};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::format::{EngineFormats, extension_of, stem_of};
use cadmill_core::domain::job::Warnings;
use cadmill_core::domain::limits::{Caps, MIN_MEMORY_BYTES, display_size};
use cadmill_core::domain::route::{self, Target};
use cadmill_core::ledger::Ledger;
use context::ConversionContext;
use nested::Nested;
use output::output_files;
use report::{ConversionReport, Observer, Stage};
use request::ConversionRequest;
use root::{ALL, named_root};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use describe::{Description, describe};
pub use options::check_options;

/// Converts a local file, archive or not, and publishes the result. The facts are reported on
/// success and on failure.
///
/// # Errors
/// [`Failure`], in the result. The workspace is removed on failure too; if it could not be removed,
/// the failure says so.
pub fn run<S: Sink>(
    order: &ConversionRequest,
    input: &Path,
    sink: &S,
    setting: &ConversionContext,
    cancel: &AtomicBool,
    observer: &mut dyn Observer,
) -> (Result<S::Output, Failure>, ConversionReport) {
    Job::new(order, sink, setting, cancel, observer).report_of(|job| job.run(input, None))
}

/// As [`run`], on record: all operations in the workspace are recorded in the ledger, which the
/// caller opened and closes.
///
/// # Errors
/// Those of [`run`], and `infra.audit`.
pub fn run_recorded<S: Sink>(
    order: &ConversionRequest,
    input: &Path,
    sink: &S,
    setting: &ConversionContext,
    cancel: &AtomicBool,
    observer: &mut dyn Observer,
    ledger: &Arc<Ledger>,
) -> (Result<S::Output, Failure>, ConversionReport) {
    Job::new(order, sink, setting, cancel, observer).report_of(|job| job.run(input, Some(ledger)))
}

/// Converts any input, in a workspace that the caller made and will remove.
///
/// # Errors
/// [`Failure`], in the result.
pub fn run_in<S: Sink>(
    order: &ConversionRequest,
    input: &dyn Source,
    sink: &S,
    setting: &ConversionContext,
    workspace: &Workspace,
    cancel: &AtomicBool,
    observer: &mut dyn Observer,
) -> (Result<S::Output, Failure>, ConversionReport) {
    Job::new(order, sink, setting, cancel, observer).report_of(|job| job.run_in(input, workspace))
}

struct Job<'a, S> {
    order: &'a ConversionRequest,
    sink: &'a S,
    setting: &'a ConversionContext,
    cancel: &'a AtomicBool,
    observer: &'a mut dyn Observer,
    facts: ConversionReport,
    /// Warnings about what was done before the engine started.
    noticed: Vec<Notice>,
    /// A host that was started ahead for this job, until it is used.
    ahead: Option<WarmHost>,
}

/// A warning, and whether it says that the result differs from what was asked for.
struct Notice {
    line: String,
    is_loss: bool,
}

/// The file to convert and its location.
struct Root {
    path: PathBuf,
    directory: PathBuf,
    name: String,
}

impl<'a, S: Sink> Job<'a, S> {
    fn new(
        order: &'a ConversionRequest,
        sink: &'a S,
        setting: &'a ConversionContext,
        cancel: &'a AtomicBool,
        observer: &'a mut dyn Observer,
    ) -> Self {
        let (facts, noticed) = (ConversionReport::default(), Vec::new());
        Self { order, sink, setting, cancel, observer, facts, noticed, ahead: None }
    }

    /// Runs the job, and returns its report beside the result.
    fn report_of<T>(mut self, run: impl FnOnce(&mut Self) -> T) -> (T, ConversionReport) {
        let started = Instant::now();
        let result = run(&mut self);
        self.facts.times.total = started.elapsed();
        (result, self.facts)
    }

    fn run(&mut self, input: &Path, ledger: Option<&Arc<Ledger>>) -> Result<S::Output, Failure> {
        if self.order.caps.memory_bytes < MIN_MEMORY_BYTES {
            return Err(memory_too_small(self.order.caps.memory_bytes));
        }
        let opening = Instant::now();
        let input = Local::open(input, &self.order.archive)?;
        self.facts.times.unpack = opening.elapsed();
        let place = &self.setting.place;
        let workspace = match ledger {
            Some(ledger) => place.create_recorded_by_command(Arc::clone(ledger))?,
            None => place.create()?,
        };
        let result = self.run_in(&input, &workspace);
        self.observer.stage(Stage::Remove);
        let removing = Instant::now();
        let removed = workspace.remove();
        self.facts.times.remove = removing.elapsed();
        // If plaintext could not be removed, the conversion does not succeed, even with a result.
        match (result, removed) {
            (Ok(published), Ok(())) => Ok(published),
            (Err(failure), Ok(())) | (Ok(_), Err(failure)) => Err(failure),
            (Err(mut failure), Err(left)) => {
                failure.message = format!("{}; and {}", failure.message, left.message);
                Err(failure)
            }
        }
    }

    fn run_in(&mut self, input: &dyn Source, workspace: &Workspace) -> Result<S::Output, Failure> {
        self.facts.input_bytes = input.size_bytes();
        if let Some(published) = self.run_all(input, workspace)? {
            return Ok(published);
        }
        let (root, target) = match input.plan() {
            Some(plan) => self.unpack(input, plan, workspace)?,
            None => self.stage_plain_file(input, workspace)?,
        };
        self.facts.root = Some(root.name.clone());
        self.facts.target = Some(target.clone());
        // The user may choose any file name, and the engine's files are named after it.
        let stem = fit(&self.sink.stem(stem_of(&root.name), &target.extension));
        let main_name =
            if target.extension.is_empty() { stem } else { format!("{stem}.{}", target.extension) };
        self.convert_with_retry(workspace, &mut |job| {
            job.convert(&root, &target, (&main_name, None), workspace)
        })?;
        self.publish(&main_name, &target.extension, false, workspace)
    }

    /// A crash may be transient: a race, library state across threads, a bit flip.
    ///
    /// `convert` begins with an empty output directory.
    fn convert_with_retry(
        &mut self,
        workspace: &Workspace,
        convert: &mut dyn FnMut(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut left = self.order.crash_retries;
        loop {
            match convert(self) {
                Err(failure)
                    if left > 0
                        && matches!(
                            failure.code,
                            FailureCode::EngineCrashed | FailureCode::EngineNoAnswer
                        ) =>
                {
                    left -= 1;
                    workspace.clear_output()?;
                }
                other => return other,
            }
        }
    }

    /// Determines root and route before expanding the archive.
    fn unpack(
        &mut self,
        input: &dyn Source,
        plan: &Plan,
        workspace: &Workspace,
    ) -> Result<(Root, Target), Failure> {
        self.observer.stage(Stage::Unpack);
        let started = Instant::now();
        let names = plan.names();
        let (formats, targets) = self.targets()?;
        // An archive with one file that can be converted is converted as usual.
        let root = self.order.root.as_deref().filter(|root| *root != ALL);
        let name = match root {
            Some(root) => named_root(root, &names),
            None => route::choose_root(&names, &targets, &formats),
        };
        // A file that can be converted comes before an archive, unless that is named.
        let nested = Nested::of(&names, root).filter(|_| match &name {
            Ok(_) => root.is_some(),
            Err(failure) => [FailureCode::RootNotFound, FailureCode::RootMissing].contains(&failure.code),
        });
        if let Some(nested) = nested {
            return self.unpack_nested(input, plan, &nested, (&formats, &targets), workspace);
        }
        let name = name?;
        let target = self.target_for(&name, &formats, &targets)?;
        self.check_options(&target)?;
        workspace.admit("the expanded input", plan.expanded_bytes())?;
        self.facts.unpacked_bytes = plan.expanded_bytes();
        self.facts.unpacked_files = plan.files();
        self.start_ahead(&target, workspace)?;
        let folder = workspace.input_folder()?;
        input.expand(&folder, self.cancel, &mut |fraction| self.observer.progress(fraction))?;
        let unpacked = on_disk(&name).into_owned();
        self.complete(&folder, &unpacked)?;
        let directory = folder.path().to_owned();
        self.facts.times.unpack += started.elapsed();
        Ok((Root { path: directory.join(unpacked), directory, name }, target))
    }

    /// Unpacks an archive and the one in it: that into a new directory beside its own files, under
    /// the limits that the outer one leaves.
    fn unpack_nested(
        &mut self,
        input: &dyn Source,
        plan: &Plan,
        nested: &Nested,
        (formats, targets): (&[EngineFormats], &[Target]),
        workspace: &Workspace,
    ) -> Result<(Root, Target), Failure> {
        let started = Instant::now();
        let archive = &nested.archive;
        workspace.admit("the expanded input", plan.expanded_bytes())?;
        let folder = workspace.input_folder()?;
        input.expand(&folder, self.cancel, &mut |fraction| self.observer.progress(fraction))?;
        let inner = nested.open(&folder, plan, &self.order.archive)?;
        let inside = nested.plan_of(&inner)?;
        let found =
            nested.roots(inside, |names| route::choose_root(names, targets, formats).map(|name| vec![name]));
        let found = found.map_err(|mut failure| {
            if failure.code == FailureCode::RootAmbiguous && self.order.root.as_deref() == Some(ALL) {
                failure.message += "; --all does not convert the files of an archive in the archive";
            }
            failure
        })?;
        let name = found.into_iter().next().unwrap_or_default();
        let target = self.target_for(&name, formats, targets)?;
        self.check_options(&target)?;
        workspace.admit("the expanded archive in the input", inside.expanded_bytes())?;
        self.facts.unpacked_bytes = plan.expanded_bytes().saturating_add(inside.expanded_bytes());
        self.facts.unpacked_files = plan.files() + inside.files();
        // No warm host: it takes over a workspace without input only.
        let progress = &mut |fraction| self.observer.progress(fraction);
        let content = nested.expand(&inner, plan, &folder, self.cancel, progress)?;
        let unpacked = on_disk(&name).into_owned();
        self.complete(&content, &unpacked)?;
        folder.destroy(archive).map_err(|e| Failure::io("destroying the archive in the input", &e))?;
        self.facts.times.unpack += started.elapsed();
        let (path, directory) = (content.path().join(unpacked), folder.path().to_owned());
        Ok((Root { path, directory, name: format!("{archive}/{name}") }, target))
    }

    /// Brings in a file that is not an archive.
    fn stage_plain_file(
        &mut self,
        input: &dyn Source,
        workspace: &Workspace,
    ) -> Result<(Root, Target), Failure> {
        if self.order.root.as_deref().is_some_and(|root| root != ALL) {
            let message = "--root names a file in an archive, but the input is not an archive";
            return Err(Failure::new(FailureCode::RootMissing, message));
        }
        let started = Instant::now();
        let name = input.name().to_owned();
        let (formats, targets) = self.targets()?;
        let target = self.target_for(&name, &formats, &targets)?;
        self.check_options(&target)?;
        workspace.admit("the input", input.needs_bytes())?;
        self.start_ahead(&target, workspace)?;
        let progress = &mut |fraction| self.observer.progress(fraction);
        let folder = workspace.input_folder()?;
        let path = input.place(&folder, self.cancel, progress)?;
        if path.starts_with(folder.path()) {
            self.complete(&folder, &name)?;
        }
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        self.facts.times.unpack += started.elapsed();
        Ok((Root { path, directory, name }, target))
    }

    /// Makes what the input lacks and what follows from the rest of it.
    fn complete(&mut self, folder: &Folder, name: &str) -> Result<(), Failure> {
        if let Some(line) = root::complete(folder, name)? {
            self.note(line);
        }
        Ok(())
    }

    /// Tells the owner about what was done before the engine started.
    fn note(&mut self, line: String) {
        self.observer.warning(&line);
        self.noticed.push(Notice { line, is_loss: false });
    }

    /// As [`Self::note`], for what the result will lack.
    fn note_loss(&mut self, line: String) {
        self.observer.warning(&line);
        self.noticed.push(Notice { line, is_loss: true });
    }

    /// Begins the warnings of a report with what was noticed before the engine started.
    fn noticed(&mut self, noticed: &[Notice]) -> Warnings {
        let mut warnings = Warnings::default();
        self.facts.first_loss =
            noticed.iter().find(|notice| notice.is_loss).map(|notice| notice.line.clone());
        for Notice { line, is_loss } in noticed {
            match is_loss {
                true => warnings.push_loss(line),
                false => warnings.push(line),
            }
        }
        warnings
    }

    /// The targets that FORMAT can mean. If the format table has none, the engines themselves are
    /// queried. If the user named an engine and it cannot answer, its failure is returned.
    fn targets(&self) -> Result<(Vec<EngineFormats>, Vec<Target>), Failure> {
        let (format, engine) = (self.order.format.as_str(), self.order.engine.as_deref());
        let formats = self.setting.engines.formats();
        match route::targets(format, engine, &formats) {
            Ok(targets) => Ok((formats, targets)),
            Err(failure) if failure.code == FailureCode::FormatUnknown => {
                let (formats, silent) = self.formats_of_engines(engine);
                match route::targets(format, engine, &formats) {
                    Ok(targets) => Ok((formats, targets)),
                    Err(unknown) => Err(silent.filter(|_| engine.is_some()).unwrap_or(unknown)),
                }
            }
            Err(failure) => Err(failure),
        }
    }

    /// Queries the engines. For an engine that does not answer, returns the formats of the table
    /// and the failure.
    fn formats_of_engines(&self, only: Option<&str>) -> (Vec<EngineFormats>, Option<Failure>) {
        let asked = self.setting.engines.iter().filter(|e| only.is_none_or(|name| name == e.name));
        let mut silent = None;
        let formats = asked
            .map(|engine| match describe(engine, self.setting, self.cancel) {
                Ok(description) => description.merged(engine),
                Err(failure) => {
                    silent = Some(failure);
                    engine.formats()
                }
            })
            .collect();
        (formats, silent)
    }

    /// An engine that the user named may try a file whose extension it is not known to read.
    fn target_for(
        &self,
        name: &str,
        formats: &[EngineFormats],
        targets: &[Target],
    ) -> Result<Target, Failure> {
        match (route::choose(targets, &extension_of(name), formats), &self.order.engine, targets.first()) {
            (Err(_), Some(_), Some(target)) => Ok(target.clone()),
            (result, _, _) => result,
        }
    }

    /// Refuses invalid options before a process is started. The engine host checks them again.
    fn check_options(&self, target: &Target) -> Result<(), Failure> {
        let engine = self.setting.engines.get(&target.engine);
        engine.map_or(Ok(()), |engine| check_options(engine.kind, &self.order.options)).map_err(|text| {
            Failure::new(FailureCode::UsageOption, format!("{}: {text}", target.engine))
                .with("engine", target.engine.as_str())
        })
    }

    fn convert(
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
        workspace.scan()?;
        failure_of(&engine.name, report.outcome).map_err(|mut failure| {
            failure.message = workspace.hide(&failure.message);
            map_workspace_full(failure, workspace)
        })?;
        self.check_strict(&engine.name)
    }

    /// A strict order has no result that differs from its input.
    fn check_strict(&self, engine: &str) -> Result<(), Failure> {
        let losses = self.facts.warnings.losses;
        if !self.order.strict || losses == 0 {
            return Ok(());
        }
        let first = self.facts.first_loss.as_deref().unwrap_or("the engine did not say how");
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
            Event::Log { line } => observer.warning(&workspace.hide(&line)),
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
    /// owner's options: its report counts only if an engine without the input reports the same.
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
            // There is no input file.
            input: in_place(input, &input_dir),
            output: in_place(output, &output_dir),
            input_dir,
            output_dir,
            format_id: format_id.clone(),
            layer: None,
            options: options.clone(),
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
            _ => Outcome::Misbehaved(
                "it reported an invalid option, but accepts the options without the input".to_owned(),
            ),
        })
    }

    /// If warm hosts are configured, the library is loaded while the input is fetched.
    fn start_ahead(&mut self, target: &Target, workspace: &Workspace) -> Result<(), Failure> {
        if let (Some(hosts), Some(engine)) = (&self.setting.hosts, self.setting.engines.get(&target.engine)) {
            self.ahead = hosts.hand_out(engine, &self.order.caps, workspace)?;
        }
        Ok(())
    }

    fn record(&mut self, report: &ProcessReport, workspace: &Workspace) {
        let load = report.load_time.unwrap_or(report.wall_time);
        self.facts.times.load = load;
        self.facts.times.convert = report.wall_time.saturating_sub(load);
        self.facts.identity.clone_from(&report.identity);
        self.facts.peak_memory_bytes = report.peak_memory_bytes;
        self.facts.engine_processor_time = report.processor_time;
        let noticed = std::mem::take(&mut self.noticed);
        let mut warnings = self.noticed(&noticed);
        self.noticed = noticed;
        report.warnings.lines.iter().for_each(|line| warnings.push(&workspace.hide(line)));
        // All are counted, the first are kept.
        warnings.total += report.warnings.total.saturating_sub(report.warnings.lines.len() as u64);
        warnings.losses += report.warnings.losses;
        self.facts.warnings = warnings;
        if self.facts.first_loss.is_none() {
            self.facts.first_loss = report.first_loss.as_deref().map(|line| workspace.hide(line));
        }
        self.facts.counts = match report.outcome {
            Outcome::Answered(Answer::Converted { counts, .. }) => counts,
            _ => None,
        };
    }

    fn publish(
        &mut self,
        main_name: &str,
        extension: &str,
        are_several: bool,
        workspace: &Workspace,
    ) -> Result<S::Output, Failure> {
        let files = output_files(&workspace.output_folder()?)?;
        self.facts.output_files = files.len() as u64;
        if files.is_empty() {
            let message = "the engine reported success, but wrote no file";
            return Err(Failure::new(FailureCode::EngineNoAnswer, message));
        }
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        let limit = self.order.caps.output_bytes;
        if bytes > limit {
            return Err(cap_failure(Cap::Output { limit, observed: bytes }));
        }
        // After this point a cancelled job may leave an output.
        if self.cancel.load(Ordering::Relaxed) {
            return Err(cancelled());
        }
        workspace.check()?;
        self.observer.stage(Stage::Publish);
        let started = Instant::now();
        // The input is no longer needed, and an archive of the output needs the space.
        workspace.clear_input()?;
        let zipped =
            are_several || needs_archive(&files, main_name) || self.order.compress.wants(extension, bytes);
        let published = self.sink.publish(&files, main_name, zipped, workspace)?;
        self.facts.times.publish = started.elapsed();
        Ok(published)
    }
}

fn memory_too_small(bytes: u64) -> Failure {
    let text = format!(
        "a memory cap of {} is too small: loading an engine takes up to {}",
        display_size(bytes),
        display_size(MIN_MEMORY_BYTES)
    );
    Failure::new(FailureCode::UsageMemory, text).with("minimum_bytes", MIN_MEMORY_BYTES)
}

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
