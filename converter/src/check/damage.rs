//! Damaged copies of a sample: whatever an engine does with one, it must not give less and call it
//! success.

use super::rehearsal::{Content, Performance, Play, Sample};
use super::report::{Findings, Grade};
use super::samples::Intact;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::Caps;
use std::time::Duration;

/// Largest sample that is damaged, in bytes: it is held in memory.
pub(super) const MAX_BYTES: u64 = 256 << 20;

/// Bytes whose lack a text without an end mark does not show: those of a number.
const UNNOTICED_BYTES: usize = 64;

/// How long the copies of one kind may take, estimated from the intact sample.
const BUDGET: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Truncated,
    Flipped,
}

/// How the conversions of one kind ended.
#[derive(Default)]
struct Tally {
    refused: u32,
    whole: u32,
    reported: u32,
    /// Cut by so little that a format without an end mark cannot show it.
    other: u32,
    less: Vec<String>,
    crashed: Vec<String>,
    hung: u32,
}

pub(super) fn check(intact: &Intact<'_>, found: &mut Findings) -> Result<(), Failure> {
    let sample = intact.sample;
    if sample.bytes > MAX_BYTES {
        let text = format!("{} is too large for damaged copies", sample.name);
        found.add("damaged", Grade::Unchecked, text);
        return Ok(());
    }
    if intact.rehearsal.request.damaged == 0 {
        found.add("truncated", Grade::Unchecked, "without damaged copies, lost data are not checked");
        return Ok(());
    }
    let content = content(sample)?;
    for (check, kind) in [("truncated", Kind::Truncated), ("flipped", Kind::Flipped)] {
        let tally = tally(intact, &content, kind)?;
        judge(intact, check, &tally, found);
    }
    Ok(())
}

/// The bytes of a sample.
pub(super) fn content(sample: &Sample) -> Result<Vec<u8>, Failure> {
    std::fs::read(&sample.path)
        .map_err(|e| Failure::new(FailureCode::InputUnreadable, format!("cannot read a sample: {e}")))
}

fn tally(intact: &Intact<'_>, content: &[u8], kind: Kind) -> Result<Tally, Failure> {
    let request = intact.rehearsal.request;
    let wall = intact.performance.report.wall_time.max(Duration::from_millis(10));
    let affordable = (BUDGET.as_millis() / wall.as_millis()).clamp(2, 1000);
    let count = request.damaged.min(u32::try_from(affordable).unwrap_or(u32::MAX));
    // A damaged file may take longer, and must not take for ever.
    let time = request.caps.time.min(wall * 10 + Duration::from_secs(10));
    let caps = Caps { time, ..request.caps };
    let mut tally = Tally::default();
    for number in 0..count {
        let damaged = match kind {
            Kind::Truncated => content[..cut(content.len(), number, count)].to_vec(),
            Kind::Flipped => flipped(content, number),
        };
        if damaged == content {
            continue;
        }
        let play = Play { content: Content::Other(&damaged), caps, observed: false };
        let performance = intact.convert(play)?;
        let lost = content.len() - damaged.len();
        let is_hidden = lost <= UNNOTICED_BYTES.max(content.len() / 100);
        tally.count(&intact.performance, &performance, (kind, is_hidden), number);
    }
    Ok(tally)
}

impl Tally {
    fn count(
        &mut self,
        intact: &Performance,
        damaged: &Performance,
        (kind, is_hidden): (Kind, bool),
        number: u32,
    ) {
        match &damaged.failure {
            Some(failure) if matches!(failure.code, FailureCode::LimitTime) => self.hung += 1,
            Some(failure) => match failure.code {
                FailureCode::EngineCrashed
                | FailureCode::EngineNoAnswer
                | FailureCode::EngineViolation
                | FailureCode::EngineMisbehaved => self.crashed.push(failure.code.as_str().to_owned()),
                _ => self.refused += 1,
            },
            None => match fewer(intact, damaged) {
                Some(_) if damaged.report.warnings.losses > 0 => self.reported += 1,
                Some(text) => {
                    let kind = if kind == Kind::Truncated { "cut" } else { "copy" };
                    self.less.push(format!("{kind} {}: {text}", number + 1));
                }
                // A turned bit may be one of a coordinate, which no format shows. But where data are
                // missing, a result with others in their place is made up.
                None if kind == Kind::Truncated
                    && damaged.files != intact.files
                    && damaged.report.warnings.losses == 0 =>
                {
                    if is_hidden {
                        self.other += 1;
                    } else {
                        self.less
                            .push(format!("cut {}: other content in place of what is missing", number + 1));
                    }
                }
                None => self.whole += 1,
            },
        }
    }
}

fn judge(intact: &Intact<'_>, check: &'static str, tally: &Tally, found: &mut Findings) {
    let name = &intact.sample.name;
    if !tally.crashed.is_empty() {
        let mut codes = tally.crashed.clone();
        codes.sort();
        codes.dedup();
        let text = format!(
            "{name}: {} of the {check} copies ended with {}; jobs are protected from that, and their owners learn less than from a rejection",
            tally.crashed.len(),
            codes.join(", ")
        );
        found.add(check, Grade::Warning, text);
    }
    if tally.hung > 0 {
        let text = format!("{name}: {} of the {check} copies did not end in ten times the time", tally.hung);
        found.add(check, Grade::Warning, text);
    }
    if let Some(first) = tally.less.first() {
        let (grade, why) = match intact.rehearsal.request.without_counts {
            true => (Grade::Warning, ", as a format without counts and end mark allows"),
            false => (Grade::Failed, ""),
        };
        let text = format!(
            "{name}: {} of the {check} copies gave less or something else, and neither a failure nor a loss was reported{why} ({first})",
            tally.less.len()
        );
        return found.add(check, grade, text);
    }
    if tally.other > 0 {
        let text = format!(
            "{name}: {} of the {check} copies, which lack a few bytes, gave something else, and neither a failure nor a loss was reported: the format has no end mark, or it is not looked at",
            tally.other
        );
        found.add(check, Grade::Warning, text);
    }
    let text = format!(
        "{name}: of the {check} copies {} were refused, {} converted whole, {} with a reported loss",
        tally.refused, tally.whole, tally.reported
    );
    found.passed(check, text);
}

/// What the conversion of a damaged file has less of: by the counts that the engine reports, or else by
/// the size of the output.
fn fewer(intact: &Performance, damaged: &Performance) -> Option<String> {
    let counts: Vec<(&String, u64)> =
        intact.facts.iter().filter_map(|(name, value)| Some((name, value.parse::<u64>().ok()?))).collect();
    for (name, before) in &counts {
        let after = damaged.facts.get(*name).and_then(|value| value.parse::<u64>().ok());
        if after.is_none_or(|after| after < *before) {
            let after = after.map_or_else(|| "none".to_owned(), |after| after.to_string());
            return Some(format!("{name}: {before} before, {after} now"));
        }
    }
    let (before, after) = (intact.bytes(), damaged.bytes());
    (counts.is_empty() && after < before / 10 * 9)
        .then(|| format!("{before} bytes before, {after} now; counts reported as facts would be more exact"))
}

/// Where a copy is cut: from a tenth of the file to its last byte.
fn cut(length: usize, number: u32, count: u32) -> usize {
    match count - number {
        1 => length.saturating_sub(1),
        _ => length / 10 + length * 9 / 10 * number as usize / count.max(1) as usize,
    }
}

/// A copy with 1 to 20 bits turned; the same each time.
fn flipped(content: &[u8], number: u32) -> Vec<u8> {
    let mut state = (u64::from(number) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 1).unwrap_or(0) % below.max(1)
    };
    let mut copy = content.to_vec();
    for _ in 0..1 + next(20) {
        let (place, bit) = (next(copy.len()), next(8));
        if let Some(byte) = copy.get_mut(place) {
            *byte ^= 1 << bit;
        }
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_damaged_in_different_places_and_the_same_each_time() {
        let content: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let cuts: Vec<usize> = (0..5).map(|number| cut(content.len(), number, 5)).collect();
        assert_eq!(cuts, [1000, 2800, 4600, 6400, 9999]);
        assert_eq!((cut(1, 0, 5), cut(0, 4, 5)), (0, 0));
        for number in 0..20 {
            let copy = flipped(&content, number);
            assert_eq!(copy, flipped(&content, number));
            let changed = copy.iter().zip(&content).filter(|(a, b)| a != b).count();
            assert!((1..=20).contains(&changed), "{number}: {changed}");
        }
        assert_eq!(flipped(b"", 1), b"");
    }
}
