//! The conformance kit: whether a library keeps to what cadmill expects of an engine.
//!
//! Samples are converted as jobs are, each in a process of its own with the same confinement, and
//! beside that several times in one process that observes the library ([`crate::engine::examination`])
//! and in one that reports what it is denied. What is found are [`Finding`]s, each with a stable name;
//! the verdict follows from them. Nothing is changed and nothing is allowed because of what is found:
//! additions to the engines file are suggestions for the operator.
//!
//! A library may behave otherwise when it is checked: the kit finds mistakes, and no malice.

mod damage;
mod examined;
mod observed;
mod rehearsal;
mod samples;
mod signature;

use crate::conversion::context::ConversionContext;
use crate::conversion::{Description, describe};
use crate::engine::examination::Examination;
use crate::engine::registry::Engine;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::Caps;
use rehearsal::Rehearsal;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is checked, and how thoroughly.
#[derive(Debug, Clone)]
pub struct CheckRequest {
    /// Files to convert. Without one, only the description is checked.
    pub samples: Vec<PathBuf>,
    /// Ids of the formats to convert to; all if empty.
    pub formats: Vec<String>,
    /// Options for each conversion.
    pub options: Vec<(String, String)>,
    /// Caps of one conversion.
    pub caps: Caps,
    /// Conversions in one process, to see whether it grows.
    pub runs: u32,
    /// Truncated and as many altered copies of each sample.
    pub damaged: u32,
    /// The input format has neither counts nor an end mark, so that a damaged file may be a valid one
    /// with less in it.
    pub without_counts: bool,
}

/// The grade of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// As it should be.
    Passed,
    /// Worth knowing.
    Note,
    /// Was not checked; the text says why.
    Unchecked,
    /// Works, with a disadvantage.
    Warning,
    /// Must be mended.
    Failed,
}

impl Grade {
    /// The word for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Note => "note",
            Self::Unchecked => "unchecked",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable name of what was checked.
    pub check: &'static str,
    /// The grade.
    pub grade: Grade,
    /// A sentence.
    pub text: String,
}

/// Additions to the engine's stanza that would let it do what it was denied. The operator decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// Files that it wanted to read; their directories could be added to `data`.
    pub data: Vec<String>,
    /// System calls that the filter forbids, by name. There is no key that allows them.
    pub syscalls: Vec<String>,
}

/// What one sample gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SampleReport {
    /// File name.
    pub sample: String,
    /// Id of the output format.
    pub format: String,
    /// Size of the sample, in bytes.
    pub input_bytes: u64,
    /// Size of all output files, in bytes.
    pub output_bytes: u64,
    /// Wall time of the process, in milliseconds.
    pub milliseconds: u64,
    /// Largest resident set, in bytes.
    pub peak_memory_bytes: u64,
    /// What the engine reports about the result.
    pub facts: std::collections::BTreeMap<String, String>,
}

/// The result of a check.
#[derive(Debug, Clone)]
pub struct CheckReport {
    /// What the library says of itself, if it could be asked.
    pub description: Option<Description>,
    /// What was observed in a process of it, if there was one.
    pub examination: Option<Examination>,
    /// The findings, in the order of the checks.
    pub findings: Vec<Finding>,
    /// The samples that were converted.
    pub samples: Vec<SampleReport>,
    /// What it was denied.
    pub suggestion: Suggestion,
}

/// The verdict on a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All was checked, and nothing must be mended.
    Passed,
    /// Something essential could not be checked.
    Incomplete,
    /// Something must be mended.
    Failed,
}

impl CheckReport {
    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        if self.findings.iter().any(|finding| finding.grade == Grade::Failed) {
            Verdict::Failed
        } else if self.samples.is_empty() {
            Verdict::Incomplete
        } else {
            Verdict::Passed
        }
    }

    /// The failure that stands for the verdict.
    ///
    /// # Errors
    /// `engine.check_failed` or `engine.unchecked`.
    pub fn judged(&self) -> Result<(), Failure> {
        let failed: Vec<String> = self
            .findings
            .iter()
            .filter(|finding| finding.grade == Grade::Failed)
            .map(|finding| finding.check.to_owned())
            .collect();
        match self.verdict() {
            Verdict::Passed => Ok(()),
            Verdict::Failed => {
                let text = format!("the library did not pass: {}", failed.join(", "));
                Err(Failure::new(FailureCode::EngineCheckFailed, text).with("failed", failed))
            }
            Verdict::Incomplete => {
                let text = "no sample was converted, so only the description was checked";
                Err(Failure::new(FailureCode::EngineUnchecked, text))
            }
        }
    }
}

/// Collects findings.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, check: &'static str, grade: Grade, text: impl Into<String>) {
        self.0.push(Finding { check, grade, text: text.into() });
    }

    fn passed(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(check, Grade::Passed, text);
    }

    fn failed(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(check, Grade::Failed, text);
    }
}

/// Checks a library. `step` is called with what is done next.
///
/// # Errors
/// `job.cancelled`, and failures of the system, which say nothing of the library; `usage.*` and
/// `input.not_readable` for a sample that cannot be read.
pub fn check(
    engine: &Engine,
    request: &CheckRequest,
    setting: &ConversionContext,
    cancel: &AtomicBool,
    step: &mut dyn FnMut(&str),
) -> Result<CheckReport, Failure> {
    let mut found = Findings::default();
    let mut report = CheckReport {
        description: None,
        examination: None,
        findings: Vec::new(),
        samples: Vec::new(),
        suggestion: Suggestion::default(),
    };
    step("asking the library what it is");
    match describe(engine, setting, cancel) {
        Ok(description) => report.description = Some(description),
        Err(failure) => {
            is_of_the_library(&failure)?;
            found.failed(check_of(&failure, "describe"), failure.message);
            report.findings = found.0;
            return Ok(report);
        }
    }
    let Some(description) = report.description.clone() else { return Ok(report) };
    let (identity, outputs) = (&description.identity, description.outputs.len());
    found.passed(
        "library",
        format!("{} {}, {outputs} outputs, loaded and asked", identity.library, identity.version),
    );
    let rehearsal = Rehearsal { engine, request, setting, cancel };
    report.examination = examined::description(&rehearsal, &mut found)?;
    let samples = samples::of(&rehearsal, &description, &mut found)?;
    if samples.is_empty() {
        found.add("sample", Grade::Unchecked, "without a sample (--sample FILE), no conversion is checked");
    }
    let nature = report.examination.as_ref().and_then(|examination| examination.nature.clone());
    for (number, sample) in samples.iter().enumerate() {
        step(&format!("converting {}", sample.name));
        let done = samples::convert(&rehearsal, sample, &description, nature.as_ref(), &mut found)?;
        let Some((first, mut reports)) = done else { continue };
        report.samples.append(&mut reports);
        step(&format!("converting damaged copies of {}", sample.name));
        damage::check(&rehearsal, sample, &first, &mut found)?;
        // The rest is the same for each sample.
        if number == 0 {
            step("looking at what it is denied");
            report.suggestion = observed::check(&rehearsal, sample, &first, &mut found)?;
            step(&format!("converting {} again and again in one process", sample.name));
            examined::runs(&rehearsal, sample, &first, nature.as_ref(), &mut found)?;
            step("asking it to stop, and limiting what it may use");
            examined::stop(&rehearsal, sample, &first, nature.as_ref(), &mut found)?;
            examined::caps(&rehearsal, sample, &first, &mut found)?;
        }
    }
    if cancel.load(Ordering::Relaxed) {
        return Err(Failure::new(FailureCode::Cancelled, "cancelled while checking the library"));
    }
    report.findings = found.0;
    Ok(report)
}

/// Passes on a failure that says nothing of the library.
fn is_of_the_library(failure: &Failure) -> Result<(), Failure> {
    let code = failure.code;
    let name = code.as_str();
    let is_system =
        name.starts_with("infra.") || code == FailureCode::Cancelled || code == FailureCode::EngineNotBuilt;
    if is_system { Err(failure.clone()) } else { Ok(()) }
}

/// The check that a failure belongs to. What a library says that its file does not confirm is
/// `engine.misbehaved` (docs/ABI.md), so its text is looked at as well.
fn check_of(failure: &Failure, phase: &'static str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| failure.message.contains(word));
    match failure.code {
        FailureCode::EngineLibraryMissing => "load",
        FailureCode::EngineMisbehaved | FailureCode::EngineSymbolMissing | FailureCode::EngineVersion
            if phase == "describe" =>
        {
            if says(&["its description is wrong"]) {
                "description"
            } else if says(&["lacks"]) || failure.code == FailureCode::EngineSymbolMissing {
                "symbol"
            } else if says(&["of the interface", "the size of a"]) {
                "abi"
            } else {
                phase
            }
        }
        FailureCode::EngineViolation => "syscalls",
        FailureCode::EngineNoAnswer => "exit",
        FailureCode::LimitTime | FailureCode::LimitMemory | FailureCode::LimitOutput => "caps",
        _ => phase,
    }
}
