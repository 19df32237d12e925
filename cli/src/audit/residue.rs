//! `cadmill audit residue`: what is in the object store without a reason. It only reads.
//!
//! Neither keys nor names of files are shown: they belong to the owners of the jobs.

use crate::args::ResidueArgs;
use crate::output;
use cadmill_core::cleanup::residue::{Item, Reason};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ids::Role;
use cadmill_core::domain::job::Millis;
use cadmill_core::domain::limits::display_size;
use cadmill_stores::adapters::embedded::Medium;
use cadmill_stores::bootstrap::stores::Stores;
use cadmill_stores::config::{self, Backend, Program};
use cadmill_stores::residue::{Looked, Residue};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Maximum number of findings in an object of JSON; all are counted.
const MAX_OBJECTS: usize = 100_000;

/// A directory in memory: the copy of an index has names of files.
const MEMORY: &str = "/dev/shm";

pub(super) fn run(args: &ResidueArgs) -> Result<ExitCode, Failure> {
    let loaded = config::load_without_server(&args.matches, Program::Cleanup);
    let (config, settings) =
        loaded.map_err(|problems| Failure::new(FailureCode::UsageInvalid, problems.to_string()))?;
    if config::wants_print(&args.matches) {
        output::result(settings.to_toml().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::io("starting the runtime", &e))?;
    let memory = Some(Path::new(MEMORY)).filter(|path| path.is_dir());
    let scratch = tempfile::Builder::new()
        .prefix("cadmill-audit-")
        .tempdir_in(memory.unwrap_or(&config.data_dir))
        .map_err(|e| Failure::io("making a directory for a copy of the index", &e))?;
    let mut objects = Vec::new();
    let looked = runtime.block_on(async {
        let audit = Stores::residue(&config, scratch.path()).await?;
        let mut found = |residue: Residue| match args.json {
            true if objects.len() < MAX_OBJECTS => objects.push(object(&residue)),
            true => {}
            false => output::result(&line(&residue)),
        };
        Ok::<_, Failure>(audit.run(&mut found).await)
    })?;
    let verdict = Verdict::of(&looked);
    let medium = (config.backend == Backend::Embedded).then(|| Medium::of(&config.data_dir).ok()).flatten();
    if args.json {
        output::result(&format!("{:#}", report(&looked, verdict, &objects, medium)));
    } else {
        if medium == Some(Medium::Disk) {
            output::result("the data directory is on a disk: what was deleted is unlinked, not overwritten");
        }
        for failure in &looked.failures {
            output::result(&format!("not looked at: {failure}"));
        }
        output::result(&sentence(&looked, verdict));
    }
    let Some(code) = verdict.failure() else { return Ok(ExitCode::SUCCESS) };
    output::note(&format!("hint: {}", code.hint()));
    Ok(ExitCode::from(code.exit_code()))
}

/// The verdict on a store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Everything that is there has a reason.
    Clean,
    /// Something has none.
    Residue,
    /// Nothing without a reason was found, and not everything could be looked at.
    Unseen,
}

impl Verdict {
    fn of(looked: &Looked) -> Self {
        match (looked.residue, looked.is_whole()) {
            (0, true) => Self::Clean,
            (0, false) => Self::Unseen,
            _ => Self::Residue,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "CLEAN",
            Self::Residue => "RESIDUE",
            Self::Unseen => "UNSEEN",
        }
    }

    fn failure(self) -> Option<FailureCode> {
        match self {
            Self::Clean => None,
            Self::Residue => Some(FailureCode::AuditResidue),
            Self::Unseen => Some(FailureCode::AuditUnseen),
        }
    }
}

/// `RESIDUE, 3 of 1200 without a reason, 1 record cannot be read`
fn sentence(looked: &Looked, verdict: Verdict) -> String {
    let mut text = format!("{}, {} of {} without a reason", verdict.as_str(), looked.residue, looked.items);
    if !looked.unreadable.is_empty() {
        text += &format!(", {} records cannot be read", looked.unreadable.len());
    }
    if !looked.failures.is_empty() {
        text += ", not everything could be looked at";
    }
    text
}

/// One line on one finding: kind, place, job, age, size, reason.
fn line(residue: &Residue) -> String {
    let Residue { item, reason, seen } = residue;
    let age = item.made.map_or_else(|| "unknown".to_owned(), |made| lasted(seen.saturating_sub(made)));
    let size = item.size_bytes.map_or_else(|| "-".to_owned(), display_size);
    let job = item.place.map_or_else(|| "-".to_owned(), |(_, job)| job.to_string());
    let why = match reason {
        Reason::UnknownPlace => "it is in no place of cadmill".to_owned(),
        Reason::Unnamed => "the index does not name it".to_owned(),
        Reason::NoRecord => "its job has no record".to_owned(),
        Reason::Due(since) => {
            format!("its deletion has been due for {}", lasted(seen.saturating_sub(*since)))
        }
        Reason::Confirmed(at) => {
            format!("its deletion was confirmed {} ago", lasted(seen.saturating_sub(*at)))
        }
    };
    format!(
        "{:<6}  {:<9}  {job:<36}  age {age}, {size}: {why}",
        item.kind.as_str(),
        role(item).unwrap_or("-")
    )
}

fn object(residue: &Residue) -> Value {
    let Residue { item, reason, seen } = residue;
    let seconds = |since: Millis| seen.saturating_sub(since) / 1000;
    json!({
        "kind": item.kind.as_str(),
        "role": role(item),
        "job_id": item.place.map(|(_, job)| job),
        "age_seconds": item.made.map(seconds),
        "size_bytes": item.size_bytes,
        "reason": reason.as_str(),
        "reason_seconds": reason.since().map(seconds),
    })
}

fn report(looked: &Looked, verdict: Verdict, objects: &[Value], medium: Option<Medium>) -> Value {
    let deleted_files = medium.map(|medium| match medium {
        Medium::Memory => "overwritten",
        Medium::Disk => "unlinked",
    });
    json!({
        "verdict": verdict.as_str(),
        "items": looked.items,
        "residue_total": looked.residue,
        "residue": objects,
        "unreadable_records": looked.unreadable.len(),
        "not_looked_at": looked.failures,
        "deleted_files": deleted_files,
    })
}

fn role(item: &Item) -> Option<&'static str> {
    item.place.map(|(role, _)| match role {
        Role::Upload => "upload",
        Role::Processed => "processed",
    })
}

/// In whole seconds.
fn lasted(millis: Millis) -> String {
    humantime::format_duration(Duration::from_secs(millis / 1000)).to_string()
}
