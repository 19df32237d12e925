//! A ledger as a table: each file with its times, and a line for its lifetime.

use super::deletion;
use super::proof::{Checked, Proof};
use super::text::plain;
use super::verdict::{exit, sentence};
use crate::args::ShowArgs;
use crate::output;
use cadmill_core::domain::failure::Failure;
use cadmill_core::domain::ledger::record::FileId;
use cadmill_core::domain::ledger::timeline::{FileHistory, Timeline};
use std::process::ExitCode;

/// Width of a lifetime line, in characters.
const WIDTH: u64 = 32;

pub(super) fn run(args: &ShowArgs) -> Result<ExitCode, Failure> {
    let Checked { audit, .. } = Proof::read(&args.proof)?.check(&args.file)?;
    let story = &audit.story;
    output::result(&sentence(&audit));
    let is_of_deletions = audit.ledger.is_some_and(|ledger| ledger.is_of_deletions());
    let writer = if is_of_deletions { "recorded by" } else { "worker" };
    output::result(&format!("{writer} {}, cadmill {}", plain(&story.worker), plain(&story.build)));
    for (name, value) in &story.posture {
        output::result(&format!("posture {}: {}", plain(name), plain(value)));
    }
    for sweep in &story.sweeps {
        output::result(&format!(
            "destroys what ledger {} left, which ends with record {}",
            sweep.ledger, sweep.last_seq
        ));
    }
    for purge in &story.purges {
        output::result(&deletion::sentence(purge));
    }
    output::result("");
    if !is_of_deletions {
        output::result(
            "file  kind       role            bytes   created     wiped      gone  lifetime ms  timeline",
        );
        for (file, life) in story.made() {
            output::result(&row(file, life, story));
        }
        output::result("");
    }
    for (stage, from, to) in &story.stages {
        let line = line(*from, None, *to, story.length);
        output::result(&format!("{:<9} {from:>8} to {:>8} ms  {line}", stage.as_str(), time(*to)));
    }
    for finding in &audit.findings {
        output::result(&format!("finding: {finding} [{}]", finding.code()));
    }
    for remark in &audit.remarks {
        output::result(&format!("remark: {}", plain(remark)));
    }
    Ok(exit(audit.verdict))
}

fn row(file: FileId, life: &FileHistory, story: &Timeline) -> String {
    format!(
        "{file:>4}  {:<9}  {:<9}  {:>10}  {:>8}  {:>8}  {:>8}  {:>11}  {}",
        life.birth.kind.as_str(),
        life.birth.role.as_str(),
        life.bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string()),
        life.created,
        time(life.wiped),
        time(life.gone),
        time(life.lifetime()),
        line(life.created, life.wiped, life.gone, story.length)
    )
}

fn time(millis: Option<u64>) -> String {
    millis.map_or_else(|| "-".to_owned(), |millis| millis.to_string())
}

/// `..=====-----..`: the time with plaintext, then from the overwrite to the removal; `>` when the
/// file was not removed.
fn line(from: u64, wiped: Option<u64>, to: Option<u64>, length: u64) -> String {
    let place = |at: u64| at.min(length) * (WIDTH - 1) / length.max(1);
    let (begin, wipe, end) = (place(from), place(wiped.unwrap_or(length)), place(to.unwrap_or(length)));
    let mut line: String = (0..WIDTH)
        .map(|at| match at {
            _ if at < begin || at > end => '.',
            _ if at > wipe => '-',
            _ => '=',
        })
        .collect();
    if to.is_none() {
        line.push('>');
    }
    line
}
