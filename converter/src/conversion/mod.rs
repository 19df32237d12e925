//! One conversion from file to file: unpack, convert, publish, remove.
//!
//! Failures are detected in this order: what can be refused without work is refused first
//! (destination, input, archive directory, route, space), then the work is done. The workspace is
//! removed on every exit path. The input is a local file or an object of a store; its body is not
//! read until all these checks have passed.

mod all;
pub mod context;
mod describe;
mod description;
pub mod description_cache;
mod execute;
pub mod inspect;
mod nested;
mod options;
mod output;
pub mod report;
pub mod request;
mod root;
mod unpack;

use crate::engine::failure::{cancelled, cap_failure};
use crate::engine::supervisor::{Cap, WarmHost};
use crate::intake::{Local, Source};
use crate::publish::{Sink, needs_archive};
use crate::workspace::Workspace;
use cadmill_archive::{Plan, fit};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::format::{EngineFormats, EngineKind, extension_of, stem_of};
use cadmill_core::domain::job::Warnings;
use cadmill_core::domain::limits::{MIN_MEMORY_BYTES, display_size};
use cadmill_core::domain::option_spec;
use cadmill_core::domain::route::{self, Target};
use cadmill_core::ledger::Ledger;
use context::ConversionContext;
use output::output_files;
use report::{ConversionReport, Observer, Stage};
use request::ConversionRequest;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub use describe::describe;
pub(crate) use describe::{MAX_DESCRIBE, describe_within};
pub use description::Description;
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
        if let Some(line) = input.plan().and_then(Plan::guessed_names) {
            self.note(line);
        }
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

    /// Tells the owner about what was done before the engine started.
    fn note(&mut self, line: String) {
        self.observer.warning(&line, false);
        self.noticed.push(Notice { line, is_loss: false });
    }

    /// As [`Self::note`], for what the result will lack.
    fn note_loss(&mut self, line: String) {
        self.observer.warning(&line, true);
        self.noticed.push(Notice { line, is_loss: true });
    }

    /// Begins the warnings of a report with what was noticed before the engine started.
    fn noticed(noticed: &[Notice]) -> Warnings {
        let mut warnings = Warnings::default();
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
            .map(|engine| match describe::known(engine, self.setting, self.cancel) {
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

    /// Refuses invalid options before a process has the input. The engine host checks them again.
    fn check_options(&self, target: &Target) -> Result<(), Failure> {
        let Some(engine) = self.setting.engines.get(&target.engine) else { return Ok(()) };
        let options = &self.order.options;
        let checked = check_options(engine.kind, options).and_then(|()| match engine.kind {
            // A plugin that cannot be asked fails with its reason when it is used.
            EngineKind::Plugin if !options.is_empty() => describe::known(engine, self.setting, self.cancel)
                .map_or(Ok(()), |description| option_spec::check_all(&description.options, options)),
            _ => Ok(()),
        });
        checked.map_err(|text| {
            Failure::new(FailureCode::UsageOption, format!("{}: {text}", target.engine))
                .with("engine", target.engine.as_str())
        })
    }

    /// If warm hosts are configured, the library is loaded while the input is fetched.
    fn start_ahead(&mut self, target: &Target, workspace: &Workspace) -> Result<(), Failure> {
        if let (Some(hosts), Some(engine)) = (&self.setting.hosts, self.setting.engines.get(&target.engine)) {
            self.ahead = hosts.hand_out(engine, &self.order.caps, workspace)?;
        }
        Ok(())
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
