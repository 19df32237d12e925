//! What an engine is denied: files outside the job, and system calls.

use super::rehearsal::Play;
use super::report::{Findings, Grade, Suggestion};
use super::samples::Intact;
use crate::engine::sandbox::syscalls;
use cadmill_core::domain::failure::Failure;
use cadmill_core::domain::format::EngineKind;

/// Read by the engine host itself, which counts the processors that it may use.
const OF_THE_HOST: &str = "/proc/self/cgroup";

/// Where a JVM itself looks for facts on the machine, and sets what its core dump would contain.
const OF_A_JVM: [&str; 2] = ["/proc/", "/sys/"];

/// Paths that a finding shows.
const SHOWN: usize = 5;

pub(super) fn check(intact: &Intact<'_>, found: &mut Findings) -> Result<Suggestion, Failure> {
    let Intact { rehearsal, sample, .. } = intact;
    let play = Play { observed: true, ..rehearsal.play() };
    let performance = intact.convert(play)?;
    let denied = &performance.report.denied;
    let is_jvm = rehearsal.engine.kind == EngineKind::Jvm;
    let paths = |writes: bool| -> Vec<String> {
        let is_own = |path: &str| is_jvm && OF_A_JVM.iter().any(|directory| path.starts_with(directory));
        let counts = |path: &str| path != OF_THE_HOST && !is_own(path);
        let those = denied.files.iter().filter(|file| file.writes == writes && counts(&file.path));
        those.map(|file| file.path.clone()).collect()
    };
    let (written, read) = (paths(true), paths(false));
    let calls: Vec<String> = denied.syscalls.iter().map(|&number| syscalls::name(number)).collect();
    match &performance.failure {
        _ if !written.is_empty() => {
            let text =
                format!("{}: it tried to write outside its directories: {}", sample.name, shown(&written));
            found.failed("outside", text);
        }
        Some(failure) => {
            let text = format!(
                "{}: while it was observed, it failed, so that the files outside its directories are not known: {}",
                sample.name, failure.message
            );
            found.add("outside", Grade::Unchecked, text);
        }
        None => {
            found.passed("outside", format!("{}: it writes nowhere but in its own directories", sample.name));
        }
    }
    if !read.is_empty() {
        let text = format!(
            "{}: it was not allowed to read {}; add their directories to `data` if it needs them",
            sample.name,
            shown(&read)
        );
        found.add("files", Grade::Note, text);
    }
    if !calls.is_empty() {
        // The intact sample was converted, in a process that most of these calls end.
        let text = format!(
            "{}: observed, it makes system calls that a job does not have: {}",
            sample.name,
            calls.join(", ")
        );
        found.add("syscalls", Grade::Warning, text);
    } else if performance.failure.is_none() {
        found.passed("syscalls", format!("{}: it makes no system call that is forbidden", sample.name));
    }
    Ok(Suggestion { data: read, syscalls: calls })
}

fn shown(paths: &[String]) -> String {
    let more = paths.len().saturating_sub(SHOWN);
    let mut text = paths[..paths.len().min(SHOWN)].join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
