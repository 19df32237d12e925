//! What shows only inside the process: the description asked twice, growth, threads, handlers, progress,
//! and how it stops.

use super::blame::check_of;
use super::rehearsal::{Content, Output, Performance, Play, Rehearsal, Sample};
use super::report::{Findings, Grade};
use super::samples::Intact;
use crate::engine::examination::{Examination, Nature, Run};
use crate::engine::protocol::{Answer, Task};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::format::OutputFormat;
use cadmill_core::domain::limits::{Caps, display_size};
use std::path::PathBuf;
use std::time::Duration;

/// Longest time for `describe()`, as the header says, and the time from which it is a failure whatever
/// the machine does beside it.
const DESCRIBE: Duration = Duration::from_millis(100);
const DESCRIBE_AT_MOST: Duration = Duration::from_secs(1);

/// Longest time from the request to stop until the return, as the header says.
const STOP: Duration = Duration::from_secs(2);

/// How long the conversions in one process may take, estimated from the first.
const BUDGET: Duration = Duration::from_secs(60);

/// Growth for each conversion that is taken for a leak, in bytes.
const LEAK: u64 = 64 << 10;

/// A library that needs less is not tried with less memory: the process itself needs as much.
const LITTLE_MEMORY: u64 = 64 << 20;

/// Output below which the cap on it is not tried.
const LITTLE_OUTPUT: u64 = 16 << 10;

/// Asks the description again.
pub(super) fn description(
    rehearsal: &Rehearsal<'_>,
    found: &mut Findings,
) -> Result<Option<Examination>, Failure> {
    // Nothing is converted, but a conversion names an input.
    let nothing = Sample { name: "none".to_owned(), path: PathBuf::from("/dev/null"), bytes: 0 };
    let format = OutputFormat { id: "none".to_owned(), extension: String::new() };
    let performance = examine(rehearsal, &nothing, &format, rehearsal.play(), 0, None)?;
    let Some(examination) = examined(&performance, "describe", found) else { return Ok(None) };
    if let Some(nature) = &examination.nature {
        of_nature(nature, found);
        let when = [
            ("while it is loaded and describes itself", &examination.signals_of_loading),
            ("after prepare()", &examination.signals_of_prepare),
        ];
        for text in &examination.misused_in_prepare {
            found.add("values", Grade::Warning, format!("prepare() gives the host {text}"));
        }
        for (when, signals) in when.into_iter().filter(|(_, signals)| !signals.is_empty()) {
            let names = signal_names(signals);
            found.failed(
                "handlers",
                format!("{when} the handlers for {names} are others, so that a crash has no name"),
            );
        }
    }
    Ok(Some(examination))
}

fn of_nature(nature: &Nature, found: &mut Findings) {
    let took = Duration::from_micros(nature.describe_micros);
    if !nature.same {
        found
            .failed("describe", "the second call of the entry function or of describe() gave another answer");
    } else if took > DESCRIBE_AT_MOST {
        found.failed("describe", format!("describe() takes {took:?}, and must be done within {DESCRIBE:?}"));
    } else if took > DESCRIBE {
        let text = format!("describe() takes {took:?}, and should be done within {DESCRIBE:?}");
        found.add("describe", Grade::Warning, text);
    } else {
        found.passed("describe", format!("describe() gives the same twice, in {} ms", took.as_millis()));
    }
    for text in &nature.wrong {
        found.failed("description", text);
    }
    if !nature.unknown.is_empty() {
        let text = format!("not known to this version of cadmill: {}", nature.unknown.join(", "));
        found.add("description", Grade::Warning, text);
    }
    if !nature.larger.is_empty() {
        let text = format!(
            "larger than this version of cadmill knows: {}; made with a later header, of which the new members are not used",
            nature.larger.join(", ")
        );
        found.add("struct-size", Grade::Note, text);
    }
    if !nature.data.is_empty() {
        let text = format!(
            "says that it reads {}; only `data` of the engines file allows it",
            nature.data.join(", ")
        );
        found.add("data", Grade::Note, text);
    }
}

/// Converts the sample several times in one process.
pub(super) fn runs(intact: &Intact<'_>, found: &mut Findings) -> Result<(), Failure> {
    let Intact { rehearsal, sample, nature, .. } = intact;
    let wall = intact.performance.report.wall_time.max(Duration::from_millis(1));
    let affordable = u32::try_from(BUDGET.as_millis() / wall.as_millis().max(1)).unwrap_or(u32::MAX);
    let room = rehearsal.request.caps.output_bytes / intact.performance.bytes().max(1);
    let room = u32::try_from(room).unwrap_or(u32::MAX).saturating_sub(1);
    let count = rehearsal.request.runs.min(affordable.max(3)).min(room.max(1));
    let caps = Caps { time: wall * count * 4 + Duration::from_secs(30), ..rehearsal.request.caps };
    let play = Play { caps, ..rehearsal.play() };
    let performance = examine(rehearsal, sample, &intact.format, play, count, None)?;
    let Some(examination) = examined(&performance, "repeat", found) else { return Ok(()) };
    let runs = &examination.runs;
    if let Some((number, run)) = runs.iter().enumerate().find(|(_, run)| run.failure.is_some()) {
        let text = format!(
            "conversion {} of {count} in one process failed: {}; a library that converts once says so (CADMILL_ONE_CONVERSION)",
            number + 1,
            run.failure.as_deref().unwrap_or_default()
        );
        found.failed("repeat", text);
    } else if nature.is_some_and(|nature| nature.one_conversion) {
        found.add(
            "repeat",
            Grade::Note,
            "it says that it converts once in a process, so growth was not checked",
        );
    } else {
        match other_result(intact, &performance, runs) {
            Some(text) => found.failed("repeat", text),
            None => found.passed("repeat", format!("{} conversions in one process", runs.len())),
        }
        growth(runs, found);
        descriptors(runs, found);
    }
    misused(runs, found);
    if nature.is_some() {
        threads_and_handlers(runs, found);
    }
    if examination.changes {
        found.failed("describe", "after a conversion describe() gives another answer");
    }
    progress(runs, found);
    Ok(())
}

/// Converts half of the sample, which is refused most likely: what a library leaves behind then.
pub(super) fn refusal(intact: &Intact<'_>, found: &mut Findings) -> Result<(), Failure> {
    let Intact { rehearsal, sample, nature, .. } = intact;
    if nature.is_none() || sample.bytes > super::damage::MAX_BYTES {
        return Ok(());
    }
    let half = super::damage::content(sample)?;
    let half = &half[..half.len() / 2];
    let caps = Caps { time: intact.performance.report.wall_time * 10 + STOP * 5, ..rehearsal.request.caps };
    let play = Play { content: Content::Other(half), caps, ..rehearsal.play() };
    let performance = examine(rehearsal, sample, &intact.format, play, 1, None)?;
    // How it ends with a damaged file is checked elsewhere.
    if let Some(Answer::Examined(examination)) = &performance.answer {
        left_behind(&examination.runs, "a file is refused", found);
    }
    Ok(())
}

/// Threads and handlers that are left where convert() did not succeed.
fn left_behind(runs: &[Run], when: &str, found: &mut Findings) {
    let threads = runs.iter().map(|run| run.threads).max().unwrap_or(0);
    if threads > 1 {
        let text = format!("when {when}, {} threads run on after convert() has returned", threads - 1);
        found.failed("threads", text);
    }
    if runs.iter().any(|run| run.invalid > 0) {
        found.failed("progress", format!("when {when}, it reports progress that is not from 0 to 1"));
    }
    let signals: Vec<i32> = runs.iter().flat_map(|run| run.signals.iter().copied()).collect();
    if !signals.is_empty() {
        let text = format!("when {when}, the handlers for {} are left changed", signal_names(&signals));
        found.failed("handlers", text);
    }
}

/// How a conversion in one process differs from that of a process of its own. Of a library that gives
/// other bytes each time, names of files and facts are compared.
fn other_result(intact: &Intact<'_>, performance: &Performance, runs: &[Run]) -> Option<String> {
    let said = |number: usize, what: &str| {
        Some(format!("conversion {} of {} in one process {what}", number + 1, runs.len()))
    };
    for (number, run) in runs.iter().enumerate() {
        if !run.same_facts {
            return said(number, "reports other facts than the first");
        }
        let directory = format!("run-{number}/");
        let of_run = |file: &Output| file.name.strip_prefix(&directory).map(str::to_owned);
        let files: Vec<(String, &Output)> =
            performance.files.iter().filter_map(|file| Some((of_run(file)?, file))).collect();
        let expected = &intact.performance.files;
        if !files.iter().map(|(name, _)| name).eq(expected.iter().map(|file| &file.name)) {
            return said(number, "writes other files than a process of its own");
        }
        let other = files.iter().zip(expected).find(|((_, file), expected)| file.sha256 != expected.sha256);
        if let Some(((name, file), expected)) = other.filter(|_| intact.is_repeatable) {
            let (bytes, other) = (display_size(expected.bytes), display_size(file.bytes));
            return said(number, &format!("writes other bytes to {name} ({other}, alone {bytes})"));
        }
    }
    None
}

/// Descriptors that each conversion leaves open. What the first one opens may serve them all.
fn descriptors(runs: &[Run], found: &mut Findings) {
    let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return };
    let (later, left) = (runs.len() as u64 - 1, last.descriptors.saturating_sub(first.descriptors));
    if later > 0 && left >= later {
        let text = format!("each conversion in one process leaves about {} open descriptors", left / later);
        found.failed("descriptors", text);
    } else if later > 0 {
        found.passed("descriptors", format!("no descriptor is left by {} conversions", runs.len()));
    }
}

/// Values that the interface does not know.
fn misused(runs: &[Run], found: &mut Findings) {
    let mut texts: Vec<&str> = runs.iter().flat_map(|run| &run.misused).map(String::as_str).collect();
    texts.sort_unstable();
    texts.dedup();
    for text in texts {
        found.add("values", Grade::Warning, format!("it gives the host {text}"));
    }
}

/// Compares the memory after the middle conversions with that after the last ones: at first, buffers and
/// caches grow.
fn growth(runs: &[Run], found: &mut Findings) {
    if runs.len() < 6 {
        let text = format!("{} conversions are too few to see growth", runs.len());
        return found.add("growth", Grade::Unchecked, text);
    }
    let half = runs.len() / 2;
    let quarter = (runs.len() / 4).max(1);
    let median = |part: &[Run]| {
        let mut bytes: Vec<u64> = part.iter().map(|run| run.data_bytes).collect();
        bytes.sort_unstable();
        bytes.get(bytes.len() / 2).copied().unwrap_or(0)
    };
    let (before, after) = (median(&runs[half - quarter..half]), median(&runs[runs.len() - quarter..]));
    let apart = (runs.len() - half) as u64;
    let each = after.saturating_sub(before) / apart.max(1);
    if each > LEAK {
        let text = format!("it leaks: each conversion in one process leaves about {}", display_size(each));
        found.failed("growth", text);
    } else {
        found.passed(
            "growth",
            format!("no growth over {} conversions ({} each)", runs.len(), display_size(each)),
        );
    }
}

fn threads_and_handlers(runs: &[Run], found: &mut Findings) {
    let threads = runs.iter().map(|run| run.threads).max().unwrap_or(0);
    if threads > 1 {
        found.failed("threads", format!("{} threads run on after convert() has returned", threads - 1));
    } else {
        found.passed("threads", "no thread is left after convert()");
    }
    let mut signals: Vec<i32> = runs.iter().flat_map(|run| run.signals.iter().copied()).collect();
    signals.sort_unstable();
    signals.dedup();
    if signals.is_empty() {
        found.passed("handlers", "the handlers of crashes are as they were");
    } else {
        found.failed("handlers", format!("convert() leaves handlers for {} behind", signal_names(&signals)));
    }
}

fn signal_names(signals: &[i32]) -> String {
    let names = [(11, "SIGSEGV"), (7, "SIGBUS"), (8, "SIGFPE"), (4, "SIGILL"), (6, "SIGABRT")];
    let name = |signal: &i32| {
        let known = names.iter().find(|(number, _)| number == signal);
        known.map_or_else(|| signal.to_string(), |(_, name)| (*name).to_owned())
    };
    signals.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn progress(runs: &[Run], found: &mut Findings) {
    let sum = |of: fn(&Run) -> u64| runs.iter().map(of).sum::<u64>();
    let (reports, backwards, invalid) =
        (sum(|run| run.progress), sum(|run| run.backwards), sum(|run| run.invalid));
    if invalid > 0 {
        found.failed("progress", format!("{invalid} of {reports} reports of progress are not from 0 to 1"));
    } else if backwards > 0 {
        let text = format!("{backwards} of {reports} reports of progress go back, and are passed over");
        found.add("progress", Grade::Warning, text);
    } else if reports == 0 {
        found.add("progress", Grade::Warning, "it reports no progress");
    } else {
        found.passed("progress", format!("{reports} reports of progress, none goes back"));
    }
}

/// Asks it to stop, at its beginning and in the middle.
pub(super) fn stop(intact: &Intact<'_>, found: &mut Findings) -> Result<(), Failure> {
    let Intact { rehearsal, sample, nature, .. } = intact;
    let wall = intact.performance.report.wall_time;
    let caps = Caps { time: wall * 2 + Duration::from_secs(20), ..rehearsal.request.caps };
    let middle = (wall > STOP / 10).then_some(wall / 3);
    let mut longest = Duration::ZERO;
    let mut stop_called = false;
    for after in [Some(Duration::ZERO), middle].into_iter().flatten() {
        let play = Play { caps, ..rehearsal.play() };
        let performance = examine(rehearsal, sample, &intact.format, play, 1, Some(after))?;
        if performance.failure.as_ref().is_some_and(|failure| failure.code == FailureCode::LimitTime) {
            found.failed(
                "cancel",
                format!("it does not return within {:?} when it is asked to stop", caps.time),
            );
            return Ok(());
        }
        let Some(examination) = examined(&performance, "cancel", found) else { return Ok(()) };
        let Some(run) = examination.runs.first() else { return Ok(()) };
        if nature.is_some() {
            left_behind(&examination.runs, "it is asked to stop", found);
            misused(&examination.runs, found);
        }
        let promises = nature.is_some_and(|nature| nature.asks_cancelled);
        let took = Duration::from_micros(run.stopped_micros.unwrap_or(0));
        if took > STOP {
            let text = format!("it ends {took:?} after it is asked to stop, and should within {STOP:?}");
            let grade = if promises || run.cancelled { Grade::Failed } else { Grade::Warning };
            found.add("cancel", grade, text);
            return Ok(());
        }
        if run.asked == 0 && nature.is_some_and(|nature| !nature.has_cancel) {
            let (grade, text) = match promises {
                true => {
                    (Grade::Failed, "it says that it asks cancelled() (CADMILL_ASKS_CANCELLED), and does not")
                }
                false => (Grade::Warning, "it never asks cancelled(): to stop it, the host ends the process"),
            };
            found.add("cancel", grade, text);
            return Ok(());
        }
        longest = longest.max(took);
        stop_called |= run.stop_called;
    }
    if nature.is_some_and(|nature| nature.has_cancel) && !stop_called {
        let text = "cancel() was not called: the conversion ends sooner; a larger sample shows it";
        found.add("cancel", Grade::Unchecked, text);
        return Ok(());
    }
    found.passed("cancel", format!("it ends within {longest:?} after it is asked to stop"));
    Ok(())
}

/// Converts with less memory and less room than the sample needs.
pub(super) fn caps(intact: &Intact<'_>, found: &mut Findings) -> Result<(), Failure> {
    let rehearsal = intact.rehearsal;
    let (peak, output) = (intact.performance.report.peak_memory_bytes, intact.performance.bytes());
    if peak > LITTLE_MEMORY {
        let caps = Caps { memory_bytes: peak / 2, ..rehearsal.request.caps };
        let short = intact.convert(Play { caps, ..rehearsal.play() })?;
        one_cap("memory", FailureCode::LimitMemory, &intact.performance, &short, found);
    } else {
        found.add("caps", Grade::Note, "the sample is too small to try a cap on memory");
    }
    if output > LITTLE_OUTPUT {
        let caps = Caps { output_bytes: output / 2, ..rehearsal.request.caps };
        let short = intact.convert(Play { caps, ..rehearsal.play() })?;
        one_cap("output", FailureCode::LimitOutput, &intact.performance, &short, found);
    } else {
        found.add("caps", Grade::Note, "the output is too small to try a cap on it");
    }
    Ok(())
}

fn one_cap(what: &str, code: FailureCode, intact: &Performance, short: &Performance, found: &mut Findings) {
    match &short.failure {
        Some(failure) if failure.code == code => {
            found.passed("caps", format!("with half the {what} it ends with {code}"));
        }
        Some(failure) => {
            let text = format!("with half the {what} it ends with {} and not {code}", failure.code);
            found.add("caps", Grade::Warning, text);
        }
        None if short.bytes() < intact.bytes() => {
            found.failed("caps", format!("with half the {what} it calls a smaller output a success"));
        }
        None => found.passed("caps", format!("it converts the sample with half the {what} as well")),
    }
}

fn examine(
    rehearsal: &Rehearsal<'_>,
    sample: &Sample,
    format: &OutputFormat,
    play: Play<'_>,
    runs: u32,
    stop_after: Option<Duration>,
) -> Result<Performance, Failure> {
    let stop_after = stop_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    rehearsal.run(sample, format, play, |conversion| Task::Examine {
        conversion: Box::new(conversion),
        runs,
        stop_after,
    })
}

/// The examination; without one, why is found.
fn examined(performance: &Performance, check: &'static str, found: &mut Findings) -> Option<Examination> {
    match (&performance.answer, &performance.failure) {
        (Some(Answer::Examined(examination)), _) => Some((**examination).clone()),
        (_, Some(failure)) => {
            found.failed(check_of(failure, check), format!("{} [{}]", failure.message, failure.code));
            None
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(data: impl Iterator<Item = u64>) -> Vec<Run> {
        data.map(|data_bytes| Run { data_bytes, threads: 1, ..Run::default() }).collect()
    }

    fn grade(runs: &[Run]) -> Grade {
        let mut found = Findings::default();
        growth(runs, &mut found);
        found.0[0].grade
    }

    #[test]
    fn a_leak_is_told_from_buffers_that_are_filled_once() {
        let mib = 1 << 20;
        assert_eq!(grade(&runs((0..20).map(|n| 10 * mib + n * 100_000))), Grade::Failed);
        assert_eq!(grade(&runs((0..20).map(|n| mib * 10 * (1 + n.min(4))))), Grade::Passed);
        assert_eq!(grade(&runs((0..20).map(|n| mib * 10 + n * 1000))), Grade::Passed);
        assert_eq!(grade(&runs((0..5).map(|n| n * mib))), Grade::Unchecked);
    }

    #[test]
    fn what_is_left_behind_is_named() {
        let mut found = Findings::default();
        let left = Run { threads: 3, signals: vec![11, 6], ..Run::default() };
        threads_and_handlers(&[left], &mut found);
        let texts: Vec<&str> = found.0.iter().map(|finding| finding.text.as_str()).collect();
        assert!(texts[0].starts_with("2 threads"), "{texts:?}");
        assert!(texts[1].contains("ABRT") && texts[1].contains("SEGV"), "{texts:?}");
    }
}
