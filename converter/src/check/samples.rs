//! Conversions of intact samples: to each format, twice, and two at once.

use super::blame::check_of;
use super::rehearsal::{Output, Performance, Play, Rehearsal, Sample};
use super::report::{Findings, Grade, SampleReport};
use super::signature;
use crate::conversion::Description;
use crate::engine::examination::Nature;
use crate::engine::supervisor::clean;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::format::OutputFormat;
use cadmill_core::domain::limits::{display_size, millis};
use std::path::Path;

/// Extensions that a finding shows.
const SHOWN: usize = 12;

/// The conversion of an intact sample, that others are compared with.
pub(super) struct Intact<'a> {
    pub(super) rehearsal: &'a Rehearsal<'a>,
    pub(super) sample: &'a Sample,
    /// What the library says of itself; none for another kind than a plugin.
    pub(super) nature: Option<&'a Nature>,
    pub(super) format: OutputFormat,
    pub(super) performance: Performance,
    /// Another process wrote the same bytes.
    pub(super) is_repeatable: bool,
}

impl Intact<'_> {
    /// The same conversion, with `play` in place of how it was run.
    pub(super) fn convert(&self, play: Play<'_>) -> Result<Performance, Failure> {
        self.rehearsal.convert(self.sample, &self.format, play)
    }
}

/// The samples, if the library says that it reads them.
pub(super) fn of(
    rehearsal: &Rehearsal<'_>,
    description: &Description,
    found: &mut Findings,
) -> Result<Vec<Sample>, Failure> {
    let mut samples = Vec::new();
    let mut without: Vec<&str> = description.inputs.iter().map(String::as_str).collect();
    for path in &rehearsal.request.samples {
        let sample = sample(path)?;
        let name = sample.name.to_lowercase();
        let reads = |input: &str| name.ends_with(&format!(".{input}"));
        if !description.inputs.iter().any(|input| reads(input)) {
            let text = format!(
                "the library does not say that it reads {}: it lists {}",
                clean(&sample.name),
                description.inputs.join(", ")
            );
            return Err(Failure::new(FailureCode::UsageInvalid, text));
        }
        without.retain(|input| !reads(input));
        samples.push(sample);
    }
    if !without.is_empty() && !samples.is_empty() {
        let more = without.len().saturating_sub(SHOWN);
        without.truncate(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        found.add("inputs", Grade::Unchecked, format!("no sample for {}{more}", without.join(", ")));
    }
    Ok(samples)
}

fn sample(path: &Path) -> Result<Sample, Failure> {
    let failed = |e: std::io::Error| {
        Failure::new(FailureCode::InputUnreadable, format!("cannot read the sample {}: {e}", path.display()))
    };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    // A missing permission is noticed here, and not in the middle.
    let file = std::fs::File::open(path).map_err(failed)?;
    drop(file);
    match path.file_name().and_then(|name| name.to_str()) {
        Some(name) if metadata.is_file() => {
            Ok(Sample { name: name.to_owned(), path: path.to_owned(), bytes: metadata.len() })
        }
        _ => Err(failed(std::io::Error::other("not a file with a name in UTF-8"))),
    }
}

/// The formats to convert to: each id once, with its first extension.
fn formats(rehearsal: &Rehearsal<'_>, description: &Description) -> Result<Vec<OutputFormat>, Failure> {
    let mut formats: Vec<OutputFormat> = Vec::new();
    for (id, extension) in &description.outputs {
        if !formats.iter().any(|format| format.id == *id) {
            formats.push(OutputFormat { id: id.clone(), extension: extension.clone() });
        }
    }
    let wanted = &rehearsal.request.formats;
    if let Some(unknown) = wanted.iter().find(|id| !formats.iter().any(|format| format.id == **id)) {
        let known: Vec<&str> = formats.iter().map(|format| format.id.as_str()).collect();
        let text = format!("the library does not write '{unknown}': it lists {}", known.join(", "));
        return Err(Failure::new(FailureCode::FormatUnknown, text));
    }
    if !wanted.is_empty() {
        formats.retain(|format| wanted.contains(&format.id));
    }
    Ok(formats)
}

/// Converts a sample to each format, and to the first that it fits again. Returns that conversion and
/// what is reported of all; none if the sample converts to no format.
pub(super) fn convert<'a>(
    rehearsal: &'a Rehearsal<'a>,
    sample: &'a Sample,
    description: &Description,
    nature: Option<&'a Nature>,
    found: &mut Findings,
) -> Result<Option<(Intact<'a>, Vec<SampleReport>)>, Failure> {
    let mut intact: Option<Intact<'_>> = None;
    let mut reports = Vec::new();
    let mut written: Vec<(String, String)> = Vec::new();
    for format in formats(rehearsal, description)? {
        let what = format!("{} to {}", sample.name, format.id);
        let performance = rehearsal.convert(sample, &format, rehearsal.play())?;
        if let Some(failure) = &performance.failure {
            let (check, grade) = match failure.code {
                FailureCode::EngineUnfit => ("formats", Grade::Note),
                _ => (check_of(failure, "sample"), Grade::Failed),
            };
            let mut text = format!("{what}: {} [{}]", failure.message, failure.code);
            if failure.code == FailureCode::EngineViolation {
                let calls = rehearsal.forbidden_calls(sample, &format)?;
                let calls = if calls.is_empty() { "none".to_owned() } else { calls.join(", ") };
                text.push_str(&format!("; forbidden calls when it is observed: {calls}"));
            }
            found.add(check, grade, text);
            continue;
        }
        files(&performance, &format, nature, &what, found);
        if performance.report.noise_bytes > 0 {
            let bytes = performance.report.noise_bytes;
            found.add(
                "stdout",
                Grade::Warning,
                format!("{what}: it prints {bytes} bytes to its standard streams"),
            );
        }
        if let Some(main) = performance.files.iter().find(|file| file.name == performance.main) {
            if let Some((other, _)) = written.iter().find(|(_, sha256)| *sha256 == main.sha256) {
                found.add("formats", Grade::Warning, format!("{what} gives the same bytes as to {other}"));
            }
            written.push((format.id.clone(), main.sha256.clone()));
        }
        reports.push(sample_report(sample, &format, &performance));
        if intact.is_none() {
            intact = Some(Intact { rehearsal, sample, nature, format, performance, is_repeatable: false });
        }
    }
    let Some(mut intact) = intact else {
        found.failed("sample", format!("{} converts to no format", sample.name));
        return Ok(None);
    };
    let shown: Vec<&str> = reports.iter().map(|report| report.format.as_str()).collect();
    found.passed("sample", format!("{} converts to {}", sample.name, shown.join(", ")));
    intact.is_repeatable = again(&intact, found)?;
    Ok(Some((intact, reports)))
}

fn sample_report(sample: &Sample, format: &OutputFormat, performance: &Performance) -> SampleReport {
    SampleReport {
        sample: sample.name.clone(),
        format: format.id.clone(),
        input_bytes: sample.bytes,
        output_bytes: performance.bytes(),
        milliseconds: millis(performance.report.wall_time),
        peak_memory_bytes: performance.report.peak_memory_bytes,
        facts: performance.facts.clone(),
    }
}

/// The files that a conversion left.
fn files(
    performance: &Performance,
    format: &OutputFormat,
    nature: Option<&Nature>,
    what: &str,
    found: &mut Findings,
) {
    let Some(main) = performance.files.iter().find(|file| file.name == performance.main) else {
        let names: Vec<&str> = performance.files.iter().map(|file| file.name.as_str()).collect();
        let text = format!("{what}: it wrote {} and not {}", names.join(", "), performance.main);
        return found.failed("output", text);
    };
    if let Some(expected) = signature::mismatch(&format.extension, &main.head, main.bytes) {
        found.failed(
            "formats",
            format!("{what}: the output is another format: it should begin with {expected}"),
        );
    }
    let others: Vec<&Output> =
        performance.files.iter().filter(|file| file.name != performance.main).collect();
    let is_one_file = nature.is_some_and(|nature| !nature.several_files.contains(&format.id));
    if is_one_file && !others.is_empty() {
        let names: Vec<&str> = others.iter().map(|file| file.name.as_str()).collect();
        let text = format!(
            "{what}: {} {} left beside the output, which the format does not say (CADMILL_FORMAT_SEVERAL_FILES); temporary files belong in the scratch directory",
            names.join(", "),
            if names.len() == 1 { "is" } else { "are" }
        );
        found.failed("leftovers", text);
    }
    if performance.temporary > 0 {
        let text = format!("{what}: {} temporary files were left, and destroyed", performance.temporary);
        found.add("temporary", Grade::Note, text);
    }
}

/// The same conversion once more, and two at once. Returns whether each gave the same.
fn again(intact: &Intact<'_>, found: &mut Findings) -> Result<bool, Failure> {
    let Intact { rehearsal, sample, nature, .. } = intact;
    let once = || intact.convert(rehearsal.play());
    let second = once()?;
    let difference = difference(&intact.performance, &second);
    let is_promised = nature.is_some_and(|nature| nature.deterministic);
    match (&difference, is_promised) {
        (None, _) => found.passed("same-bytes", format!("{}: twice the same bytes", sample.name)),
        (Some(text), true) => found.failed(
            "same-bytes",
            format!("{}: not deterministic, against its CADMILL_DETERMINISTIC: {text}", sample.name),
        ),
        (Some(text), false) => {
            found.add("same-bytes", Grade::Warning, format!("{}: not deterministic: {text}", sample.name));
        }
    }
    let (left, right) = std::thread::scope(|scope| {
        let other = scope.spawn(once);
        let left = once();
        (left, other.join())
    });
    let right = right.map_err(|_| Failure::new(FailureCode::EngineHost, "a thread of the check panicked"))?;
    for performance in [left?, right?] {
        let differs = match (&performance.failure, &difference) {
            (Some(failure), _) => Some(format!("{} [{}]", failure.message, failure.code)),
            (None, None) => self::difference(&intact.performance, &performance),
            // Of what differs from run to run, only what is reported can be compared.
            (None, Some(_)) => {
                (performance.facts != intact.performance.facts).then(|| "other facts".to_owned())
            }
        };
        if let Some(text) = differs {
            let text = format!("{}: two processes at once do not give what one gives: {text}", sample.name);
            found.failed("two-processes", text);
            return Ok(false);
        }
    }
    found.passed("two-processes", format!("{}: two processes at once give the same", sample.name));
    Ok(difference.is_none())
}

/// How the second conversion differs.
fn difference(first: &Performance, second: &Performance) -> Option<String> {
    if let Some(failure) = &second.failure {
        return Some(format!("the second conversion failed: {} [{}]", failure.message, failure.code));
    }
    let other = first.files.iter().find(|file| {
        !second.files.iter().any(|other| (&other.name, &other.sha256) == (&file.name, &file.sha256))
    });
    if let Some(file) = other {
        let bytes = second.files.iter().find(|other| other.name == file.name).map(|other| other.bytes);
        let second = bytes.map_or_else(|| "nothing".to_owned(), display_size);
        return Some(format!("{} has other bytes ({} and {second})", file.name, display_size(file.bytes)));
    }
    (first.facts != second.facts).then(|| "it reports other facts".to_owned())
}
