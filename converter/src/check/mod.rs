//! The conformance kit: whether a library keeps to what cadmill expects of an engine.
//!
//! Samples are converted as jobs are, each in a process of its own with the same confinement, and
//! beside that several times in one process that observes the library ([`crate::engine::examination`])
//! and in one that reports what it is denied. What is found are [`Finding`]s, each with a stable name;
//! the verdict follows from them. Nothing is changed and nothing is allowed because of what is found:
//! additions to the engines file are suggestions for the operator.
//!
//! A library may behave otherwise when it is checked: the kit finds mistakes, and no malice.

mod blame;
mod damage;
mod examined;
mod observed;
mod rehearsal;
mod report;
mod samples;
mod signature;

use crate::conversion::context::ConversionContext;
use crate::conversion::{MAX_DESCRIBE, describe_within};
use crate::engine::registry::Engine;
use blame::{check_of, is_of_the_library};
use cadmill_core::domain::failure::{Failure, FailureCode};
use rehearsal::Rehearsal;
use report::Findings;
use std::sync::atomic::{AtomicBool, Ordering};

pub use report::{CheckReport, CheckRequest, Finding, Grade, SampleReport, Suggestion, Verdict};

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
    // In two processes: what depends on the process would differ from the stanza, and from job to job.
    let time = request.caps.time.min(MAX_DESCRIBE);
    let mut descriptions = Vec::new();
    for _ in 0..2 {
        match describe_within(engine, setting, cancel, time) {
            Ok(description) => descriptions.push(description),
            Err(failure) => {
                is_of_the_library(&failure)?;
                found.failed(check_of(&failure, "describe"), failure.message);
                report.findings = found.0;
                return Ok(report);
            }
        }
    }
    if descriptions.first() != descriptions.last() {
        found.failed("describe", "another process was given another description");
    }
    let Some(description) = descriptions.pop() else { return Ok(report) };
    report.description = Some(description.clone());
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
        damage::check(&first, &mut found)?;
        // The rest is the same for each sample.
        if number == 0 {
            step("looking at what it is denied");
            report.suggestion = observed::check(&first, &mut found)?;
            step(&format!("converting {} again and again in one process", sample.name));
            examined::runs(&first, &mut found)?;
            step("asking it to stop, and limiting what it may use");
            examined::stop(&first, &mut found)?;
            examined::refusal(&first, &mut found)?;
            examined::caps(&first, &mut found)?;
        }
    }
    if cancel.load(Ordering::Relaxed) {
        return Err(Failure::new(FailureCode::Cancelled, "cancelled while checking the library"));
    }
    report.findings = found.0;
    Ok(report)
}
