//! A library that was checked, and its report as text and JSON.

use super::stanza::Stanza;
use crate::args::LibraryArgs;
use crate::{context, error, output, sweep};
use cadmill_converter::check::{self, CheckReport, CheckRequest, Grade, Verdict};
use cadmill_converter::engine::registry::Engines;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::{Caps, display_size};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::process::ExitCode;

/// A library that was checked.
pub(super) struct Checked {
    pub(super) stanza: Stanza,
    pub(super) report: CheckReport,
}

impl Checked {
    /// Checks a library under a name.
    pub(super) fn of(args: &LibraryArgs, name: Option<&str>) -> Result<Self, Failure> {
        let stanza = Stanza::new(args, name)?;
        let mut setting = context::build(None)?;
        setting.engines = Engines::from_text(&stanza.text(None))?;
        let cancel = context::cancel_on_signals(&context::Second::Same)?;
        let (_private, _) = context::private(&mut setting, false)?;
        sweep::killed(&setting, None);
        let request = CheckRequest {
            samples: args.samples.clone(),
            formats: args.formats.clone(),
            options: args.options.clone(),
            caps: Caps { memory_bytes: args.memory, time: args.timeout, ..Caps::default() },
            runs: args.runs.clamp(1, 1000),
            damaged: args.damaged.min(10_000),
            without_counts: args.without_counts,
        };
        let engine = setting.engines.get(stanza.name()).cloned().ok_or_else(|| {
            Failure::new(FailureCode::EngineUnknown, format!("unknown engine '{}'", stanza.name()))
        })?;
        let mut step = |what: &str| output::note(&format!("{what} ..."));
        let report = check::check(&engine, &request, &setting, &cancel, &mut step)?;
        Ok(Self { stanza, report })
    }

    /// Writes the report, and returns the exit code of the verdict.
    pub(super) fn show(&self, as_json: bool) -> ExitCode {
        let judged = self.report.judged();
        if as_json {
            let mut object = self.json();
            if let Err(failure) = &judged {
                object.insert("error".to_owned(), error::error_object(failure));
            }
            output::result(&format!("{:#}", Value::Object(object)));
        } else {
            output::result(self.text().trim_end());
            if let Err(failure) = &judged {
                output::note(&format!("error: {} [{}]", failure.message, failure.code));
                output::note(&format!("hint: {}", failure.code.hint()));
            }
        }
        judged.map_or_else(|failure| ExitCode::from(failure.code.exit_code()), |()| ExitCode::SUCCESS)
    }

    pub(super) fn json(&self) -> Map<String, Value> {
        let report = &self.report;
        let identity = report.description.as_ref().map(|description| &description.identity);
        let object = json!({
            "verdict": report.verdict(),
            "library": identity.map(|identity| json!({
                "name": identity.library, "version": identity.version,
            })),
            "findings": report.findings,
            "samples": report.samples,
            "suggestion": report.suggestion,
            "stanza": self.stanza.text(report.description.as_ref()),
            "cadmill": cadmill_core::BUILD,
        });
        match object {
            Value::Object(object) => object,
            _ => Map::new(),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.report.findings {
            let _ = writeln!(text, "{:<9}  {:<13}  {}", finding.grade.as_str(), finding.check, finding.text);
        }
        for sample in &self.report.samples {
            let facts: Vec<String> =
                sample.facts.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let _ = writeln!(
                text,
                "\n{} to {}: {} to {} in {} ms, {} of memory at most{}{}",
                sample.sample,
                sample.format,
                display_size(sample.input_bytes),
                display_size(sample.output_bytes),
                sample.milliseconds,
                display_size(sample.peak_memory_bytes),
                if facts.is_empty() { "" } else { "; " },
                facts.join(" ")
            );
        }
        let _ = writeln!(text, "\n{}", self.verdict());
        text
    }

    /// The verdict in a sentence.
    pub(super) fn verdict(&self) -> String {
        let count = |grade| self.report.findings.iter().filter(|finding| finding.grade == grade).count();
        let (failed, warnings) = (count(Grade::Failed), count(Grade::Warning));
        match self.report.verdict() {
            Verdict::Passed => format!("passed, with {}", counted(warnings, "warning")),
            Verdict::Incomplete => format!("incomplete: {}", self.report.incomplete()),
            Verdict::Failed => {
                format!(
                    "failed: {} to be mended, {}",
                    counted(failed, "finding"),
                    counted(warnings, "warning")
                )
            }
        }
    }
}

/// `1 warning`, `2 warnings`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
