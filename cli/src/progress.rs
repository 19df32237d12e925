//! Progress and warnings of a conversion.

use crate::bar::Bar;
use cadmill_converter::conversion::report::{ConversionReport, Observer, Stage};
use cadmill_converter::engine::supervisor::Identity;
use cadmill_converter::engine::supervisor::clean;
use cadmill_core::domain::limits::display_size;
use cadmill_core::domain::limits::millis;

/// Maximum number of warnings shown; the JSON contains a few more.
const MAX_WARNINGS: u64 = 5;

/// Maximum number of losses shown after them, while the conversion runs.
const MAX_LOSSES: u64 = 15;

/// The lines that show the warnings of a job: the first, and how many more there are. Losses come first
/// in the record.
pub(crate) fn warnings(lines: &[String], total: u64) -> Vec<String> {
    let shown = lines.iter().take(MAX_WARNINGS as usize);
    // A server is not trusted with the terminal.
    let mut shown: Vec<String> = shown.map(|line| format!("warning: {}", clean(line))).collect();
    shown.extend(more(total.max(lines.len() as u64).saturating_sub(MAX_WARNINGS)));
    shown
}

fn more(more: u64) -> Option<String> {
    (more > 0).then(|| format!("warning: and {more} more, see --json for the first of them"))
}

pub(crate) struct Progress {
    bar: Bar,
    stage: &'static str,
    /// Warnings so far, and how many of them were not shown.
    warnings: u64,
    withheld: u64,
    /// Losses that were shown after the first warnings.
    losses: u64,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { bar: Bar::new(), stage: "", warnings: 0, withheld: 0, losses: 0 }
    }

    /// The last line: times and peak memory.
    pub(crate) fn finish(&self, converted: bool, facts: &ConversionReport) {
        self.bar.finish();
        if let Some(line) = more(self.withheld) {
            self.bar.note(&line);
        }
        if converted {
            let times = &facts.times;
            self.bar.note(&format!(
                "done: {} ms (unpack {}, load {}, convert {}, publish {}, remove {}), engine peak {}",
                millis(times.total),
                millis(times.unpack),
                millis(times.load),
                millis(times.convert),
                millis(times.publish),
                millis(times.remove),
                display_size(facts.peak_memory_bytes),
            ));
        }
    }
}

impl Observer for Progress {
    fn stage(&mut self, stage: Stage) {
        self.stage = match stage {
            Stage::Unpack => "unpack",
            Stage::Convert => "convert",
            Stage::Publish => "publish",
            // The last line has its time.
            Stage::Remove => return,
        };
        self.bar.begin(self.stage);
    }

    fn progress(&mut self, fraction: f64) {
        self.bar.progress(self.stage, fraction);
    }

    fn engine(&mut self, name: &str, identity: &Identity) {
        self.bar.note(&format!("engine {name}: {} {}", identity.library, identity.version));
    }

    fn warning(&mut self, line: &str, is_loss: bool) {
        self.warnings += 1;
        let is_late = self.warnings > MAX_WARNINGS;
        if is_late && is_loss {
            self.losses += 1;
        }
        if is_late && !(is_loss && self.losses <= MAX_LOSSES) {
            self.withheld += 1;
        } else {
            self.bar.note(&format!("warning: {line}"));
        }
    }
}
