//! What is checked, what is found, and the verdict: data only.

use crate::conversion::Description;
use crate::engine::examination::Examination;
use crate::engine::supervisor::plain;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::Caps;
use serde::Serialize;
use std::path::PathBuf;

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
    /// System calls that the filter forbids, by name. The engines file cannot allow them.
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
        } else if self.samples.is_empty() || self.is_hidden() {
            Verdict::Incomplete
        } else {
            Verdict::Passed
        }
    }

    /// Whether what it does outside its directories, or with damaged files, was not checked.
    fn is_hidden(&self) -> bool {
        let is_essential = |finding: &Finding| ["outside", "truncated"].contains(&finding.check);
        self.findings.iter().any(|finding| finding.grade == Grade::Unchecked && is_essential(finding))
    }

    /// Why a verdict is incomplete.
    pub fn incomplete(&self) -> &'static str {
        if self.samples.is_empty() {
            "no sample was converted, so only the description was checked"
        } else {
            "what the library does outside its directories, or with damaged files, was not checked"
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
            Verdict::Incomplete => Err(Failure::new(FailureCode::EngineUnchecked, self.incomplete())),
        }
    }
}

/// Collects findings.
#[derive(Debug, Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    /// The text may have words of the library, which neither act on a terminal nor forge a line.
    pub(super) fn add(&mut self, check: &'static str, grade: Grade, text: impl Into<String>) {
        self.0.push(Finding { check, grade, text: plain(&text.into()) });
    }

    pub(super) fn passed(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(check, Grade::Passed, text);
    }

    pub(super) fn failed(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(check, Grade::Failed, text);
    }
}
