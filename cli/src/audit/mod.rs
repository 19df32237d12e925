//! `cadmill audit`: what a reviewer does with ledgers. It needs no server and no
//! worker, only files: the ledgers, their heads, and the workers' public key.

mod proof;
mod report;
mod show;

use crate::args::{AuditArgs, AuditCommand, VerifyArgs};
use crate::{error, output};
use cadmill_core::domain::failure::Failure;
use cadmill_core::domain::ledger::verify::{Audit, Verdict};
use proof::{Checked, Proof};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

/// Runs the command.
pub(crate) fn run(args: &AuditArgs) -> ExitCode {
    let (done, as_json) = match &args.command {
        AuditCommand::Verify(args) => (verify(args), args.json),
        AuditCommand::Show(args) => (show::run(args), false),
        AuditCommand::Report(args) => (report::run(args), false),
    };
    done.unwrap_or_else(|failure| error::report(&failure, None, as_json))
}

fn verify(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let checked = Proof::read(&args.proof)?.check_all(&args.files)?;
    if args.json {
        let ledgers: Vec<Value> = checked.iter().map(object).collect();
        output::result(&format!("{:#}", json!({"ledgers": ledgers, "verdict": worst(&checked).as_str()})));
        return Ok(exit(worst(&checked)));
    }
    for Checked { file, audit } in &checked {
        output::result(&format!("{}: {}", shown(file), sentence(audit)));
        for finding in &audit.findings {
            output::result(&format!("  {finding} [{}]", finding.code()));
        }
        for remark in &audit.remarks {
            output::result(&format!("  {}", plain(remark)));
        }
    }
    Ok(exit(worst(&checked)))
}

/// The worst of the verdicts.
fn worst(checked: &[Checked]) -> Verdict {
    // In the order of the declaration the worst comes first.
    let rank = |verdict: &Verdict| *verdict as u8;
    checked.iter().map(|checked| checked.audit.verdict).min_by_key(rank).unwrap_or(Verdict::Valid)
}

/// The exit code of a verdict.
fn exit(verdict: Verdict) -> ExitCode {
    match verdict.failure() {
        None => ExitCode::SUCCESS,
        Some(code) => {
            output::note(&format!("hint: {}", code.hint()));
            ExitCode::from(code.exit_code())
        }
    }
}

/// One line on a ledger: `VALID, ledger …, 21 records, completed, 3 created, 3 destroyed, signed by …`.
fn sentence(audit: &Audit) -> String {
    let counts = audit.story.counts();
    let mut parts = vec![audit.verdict.as_str().to_owned()];
    if let Some(ledger) = audit.ledger {
        parts.push(format!("ledger {ledger}"));
    }
    parts.push(format!("{} records", audit.records));
    if let Some(outcome) = &audit.story.outcome {
        parts.push(plain(outcome));
    }
    parts.push(format!("{} created, {} destroyed", counts.created, counts.destroyed));
    if let Some(key) = &audit.signed_by {
        parts.push(format!("signed by {key}"));
    }
    parts.join(", ")
}

fn object(Checked { file, audit }: &Checked) -> Value {
    let counts = audit.story.counts();
    let findings = audit.findings.iter();
    json!({
        "file": file.display().to_string(),
        "verdict": audit.verdict.as_str(),
        "ledger": audit.ledger.map(|ledger| ledger.to_string()),
        "records": audit.records,
        "outcome": audit.story.outcome,
        "created": counts.created,
        "destroyed": counts.destroyed,
        "residual": counts.residual,
        "signed_by": audit.signed_by,
        "findings": findings.map(|f| json!({"code": f.code(), "text": f.to_string()})).collect::<Vec<_>>(),
        "remarks": audit.remarks,
    })
}

/// A text of a ledger on a terminal: whoever wrote it may not be who he should be.
fn plain(text: &str) -> String {
    // Controls, and what turns the direction of the text around it.
    let acts = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if acts(c) { '\u{fffd}' } else { c }).collect()
}

/// The name of a file on a terminal, which may come from the same hand.
fn shown(path: &Path) -> String {
    plain(&path.to_string_lossy())
}
