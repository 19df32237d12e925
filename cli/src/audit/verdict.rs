//! Verdicts on verified ledgers.

use super::deletion;
use super::proof::Checked;
use super::text::plain;
use crate::output;
use cadmill_core::domain::ledger::verify::{Audit, Verdict};
use serde_json::{Value, json};
use std::process::ExitCode;

/// The worst of the verdicts.
pub(super) fn worst(checked: &[Checked]) -> Verdict {
    // The variants are declared worst first.
    let rank = |verdict: &Verdict| *verdict as u8;
    checked.iter().map(|checked| checked.audit.verdict).min_by_key(rank).unwrap_or(Verdict::Valid)
}

/// The exit code of a verdict.
pub(super) fn exit(verdict: Verdict) -> ExitCode {
    match verdict.failure() {
        None => ExitCode::SUCCESS,
        Some(code) => {
            output::note(&format!("hint: {}", code.hint()));
            ExitCode::from(code.exit_code())
        }
    }
}

/// The verdict in HTML.
pub(super) fn badge(verdict: Verdict) -> String {
    format!("<span class=\"v {0}\">{0}</span>", verdict.as_str())
}

/// One line on a ledger: `VALID, ledger …, 21 records, completed, 3 created, 3 destroyed, signed by
/// …`.
pub(super) fn sentence(audit: &Audit) -> String {
    let counts = audit.story.counts();
    let mut parts = vec![audit.verdict.as_str().to_owned()];
    if let Some(ledger) = audit.ledger {
        parts.push(format!("ledger {ledger}"));
    }
    parts.push(format!("{} records", audit.records));
    if let Some(outcome) = &audit.story.outcome {
        parts.push(plain(outcome));
    }
    if audit.ledger.is_some_and(|ledger| ledger.is_of_deletions()) {
        parts.extend(audit.story.purges.iter().map(deletion::counts));
    } else {
        parts.push(format!("{} created, {} destroyed", counts.created, counts.destroyed));
    }
    if let Some(key) = &audit.signed_by {
        parts.push(format!("signed by {key}"));
    }
    parts.join(", ")
}

pub(super) fn object(Checked { file, audit }: &Checked) -> Value {
    let counts = audit.story.counts();
    let findings = audit.findings.iter();
    let format = audit.story.format.map(|format| format.as_str().to_owned());
    json!({
        "file": file.display().to_string(),
        "verdict": audit.verdict.as_str(),
        "ledger": audit.ledger.map(|ledger| ledger.to_string()),
        "format": format.as_ref().or(audit.unknown_format.as_ref()),
        "records": audit.records,
        "outcome": audit.story.outcome,
        "created": counts.created,
        "destroyed": counts.destroyed,
        "residual": counts.residual,
        "deletions": audit.story.purges.iter().map(deletion::object).collect::<Vec<_>>(),
        "signed_by": audit.signed_by,
        "findings": findings.map(|f| json!({"code": f.code(), "text": f.to_string()})).collect::<Vec<_>>(),
        "remarks": audit.remarks,
    })
}
