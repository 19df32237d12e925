//! `cadmill audit`: offline verification of ledgers by a reviewer. It needs no server and no
//! worker, only files: the ledgers, their heads, and the workers' public key. `residue` compares the
//! object store with the records instead.

mod deletion;
mod directory;
mod proof;
mod report;
mod residue;
mod show;
mod text;
mod verdict;

use crate::args::{AuditArgs, AuditCommand, VerifyArgs};
use crate::{error, output};
use cadmill_core::domain::failure::Failure;
use proof::{Checked, Proof};
use serde_json::{Value, json};
use std::process::ExitCode;
use text::{plain, shown};
use verdict::{exit, object, sentence, worst};

/// Runs the command.
pub(crate) fn run(args: &AuditArgs) -> ExitCode {
    let (done, as_json) = match &args.command {
        AuditCommand::Verify(args) => (verify(args), args.json),
        AuditCommand::Show(args) => (show::run(args), false),
        AuditCommand::Report(args) => (report::run(args), false),
        AuditCommand::Residue(args) => (residue::run(args), args.json),
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
