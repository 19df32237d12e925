//! One conversion of a sample, as a job would run it: its own workspace, its own process.

use super::blame::is_of_the_library;
use super::report::CheckRequest;
use crate::conversion::context::ConversionContext;
use crate::digest;
use crate::engine::failure::failure_of;
use crate::engine::protocol::{Answer, EngineRequest, Task};
use crate::engine::registry::Engine;
use crate::engine::sandbox::syscalls;
use crate::engine::supervisor::{Outcome, ProcessReport, clean};
use crate::workspace::Workspace;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::format::OutputFormat;
use cadmill_core::domain::limits::Caps;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// What all conversions of a check have in common.
pub(super) struct Rehearsal<'a> {
    pub(super) engine: &'a Engine,
    pub(super) request: &'a CheckRequest,
    pub(super) setting: &'a ConversionContext,
    pub(super) cancel: &'a AtomicBool,
}

/// A file to convert.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// Its name, in the workspace as well.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

/// The content of an input.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    /// That of the sample.
    Intact,
    /// Other bytes under the sample's name.
    Other(&'a [u8]),
}

/// How a conversion is run.
#[derive(Clone, Copy)]
pub(super) struct Play<'a> {
    pub(super) content: Content<'a>,
    pub(super) caps: Caps,
    /// Whether what is denied is reported.
    pub(super) observed: bool,
}

/// An output file: name, size and SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    /// The first bytes.
    pub(super) head: Vec<u8>,
}

/// One conversion.
pub(super) struct Performance {
    pub(super) report: ProcessReport,
    /// Why it failed.
    pub(super) failure: Option<Failure>,
    /// The output files, by name.
    pub(super) files: Vec<Output>,
    /// Name of the main file.
    pub(super) main: String,
    /// Files left in the scratch directory.
    pub(super) temporary: usize,
    pub(super) facts: BTreeMap<String, String>,
    /// The answer of an examination.
    pub(super) answer: Option<Answer>,
}

impl Performance {
    /// Size of all output files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

impl<'a> Rehearsal<'a> {
    /// As an intact sample is converted.
    pub(super) fn play(&self) -> Play<'a> {
        Play { content: Content::Intact, caps: self.request.caps, observed: false }
    }

    /// Converts once.
    ///
    /// # Errors
    /// Failures of the system, and cancellation. Those of the library are in the result.
    pub(super) fn convert(
        &self,
        sample: &Sample,
        format: &OutputFormat,
        play: Play<'_>,
    ) -> Result<Performance, Failure> {
        self.run(sample, format, play, |conversion| conversion)
    }

    /// The forbidden calls of a conversion that one ended, of which the process could not say which.
    pub(super) fn forbidden_calls(
        &self,
        sample: &Sample,
        format: &OutputFormat,
    ) -> Result<Vec<String>, Failure> {
        let performance = self.convert(sample, format, Play { observed: true, ..self.play() })?;
        Ok(performance.report.denied.syscalls.iter().map(|&number| syscalls::name(number)).collect())
    }

    /// Runs a task that is made of the conversion.
    pub(super) fn run(
        &self,
        sample: &Sample,
        format: &OutputFormat,
        play: Play<'_>,
        made: impl FnOnce(Task) -> Task,
    ) -> Result<Performance, Failure> {
        let workspace = self.setting.place.create()?;
        let (input_dir, output_dir) = (workspace.input(), workspace.output());
        let input = input_dir.join(&sample.name);
        place(&input, &sample.path, play.content)?;
        let stem = Path::new(&sample.name).file_stem().unwrap_or_default();
        let main = match format.extension.as_str() {
            "" => stem.to_string_lossy().into_owned(),
            extension => format!("{}.{extension}", stem.to_string_lossy()),
        };
        let conversion = Task::Convert {
            input,
            input_dir,
            output: output_dir.join(&main),
            output_dir,
            format_id: format.id.clone(),
            layer: None,
            options: self.request.options.clone(),
            strict: false,
        };
        let mut request = EngineRequest::new(self.engine.library().clone(), made(conversion), &play.caps);
        request.confinement.observed = play.observed;
        workspace.bound(play.caps.output_bytes);
        let report = self
            .setting
            .supervisor
            .run(&request, &play.caps, &workspace.scratch(), &workspace.output(), self.cancel, &mut |_| {})
            .map_err(|e| Failure::new(FailureCode::EngineHost, format!("starting the engine host: {e}")))?;
        let performance = performance(&self.engine.name, report, main, &workspace);
        workspace.remove()?;
        let performance = performance?;
        match &performance.failure {
            Some(failure) => is_of_the_library(failure).map(|()| performance),
            None => Ok(performance),
        }
    }
}

fn performance(
    engine: &str,
    report: ProcessReport,
    main: String,
    workspace: &Workspace,
) -> Result<Performance, Failure> {
    let failed = |e: std::io::Error| Failure::in_workspace("reading the output of a sample", &e);
    let mut failure = failure_of(engine, report.outcome.clone()).err();
    if let Some(failure) = &mut failure {
        failure.message = workspace.hide(&failure.message);
    }
    let mut files = Vec::new();
    // What a failed conversion left is not delivered.
    if failure.is_none() {
        read_all(&workspace.output(), "", &mut files).map_err(failed)?;
        let is_empty = files.iter().all(|file: &Output| file.bytes == 0);
        if is_empty && matches!(report.outcome, Outcome::Answered(Answer::Converted { .. })) {
            let text = format!("{engine} reported success and wrote nothing");
            failure = Some(Failure::new(FailureCode::EngineNoAnswer, text));
        }
    }
    let mut left = Vec::new();
    read_all(&workspace.scratch(), "", &mut left).map_err(failed)?;
    let (facts, answer) = match &report.outcome {
        Outcome::Answered(Answer::Converted { facts, .. }) => {
            (facts.iter().map(|(name, value)| (clean(name), clean(value))).collect(), None)
        }
        Outcome::Answered(answer @ Answer::Examined(_)) => (BTreeMap::new(), Some(answer.clone())),
        _ => (BTreeMap::new(), None),
    };
    Ok(Performance { report, failure, files, main, temporary: left.len(), facts, answer })
}

/// Makes the input. It is readable for its owner alone, as an expanded input is.
fn place(input: &Path, sample: &Path, content: Content<'_>) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::in_workspace("copying a sample to the workspace", &e);
    let mut file = File::options().write(true).create_new(true).mode(0o400).open(input).map_err(failed)?;
    match content {
        Content::Intact => {
            let mut from = File::open(sample).map_err(failed)?;
            std::io::copy(&mut from, &mut file).map(drop).map_err(failed)
        }
        Content::Other(bytes) => std::io::Write::write_all(&mut file, bytes).map_err(failed),
    }
}

/// Bytes at the beginning of a file that show its format.
const HEAD: u64 = 512;

/// Every file of a directory, by name; files that the engine removed are left out.
fn read_all(directory: &Path, prefix: &str, files: &mut Vec<Output>) -> std::io::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(directory)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        if cadmill_core::domain::removed::is_removed(std::os::unix::ffi::OsStrExt::as_bytes(name.as_os_str()))
        {
            continue;
        }
        let name = format!("{prefix}{}", clean(&name.to_string_lossy()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let before = files.len();
            read_all(&entry.path(), &format!("{name}/"), files)?;
            // An empty directory is left behind as well.
            if files.len() == before {
                files.push(Output {
                    name: format!("{name}/"),
                    bytes: 0,
                    sha256: String::new(),
                    head: Vec::new(),
                });
            }
        } else if kind.is_file() {
            let file = File::open(entry.path())?;
            let bytes = file.metadata()?.len();
            let mut head = Vec::new();
            (&file).take(HEAD).read_to_end(&mut head)?;
            let sha256 = digest::sha256(File::open(entry.path())?)?;
            files.push(Output { name, bytes, sha256, head });
        }
    }
    Ok(())
}
