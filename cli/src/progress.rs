//! How a conversion shows that it goes on: a bar on a terminal, lines elsewhere,
//! both on standard error.

use crate::output;
use cadmill_converter::conversion::report::{ConversionReport, Observer, Stage};
use cadmill_converter::engine::supervisor::Identity;
use cadmill_core::domain::limits::display_size;
use cadmill_core::domain::limits::millis;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Warnings that are shown; the JSON has a few more.
const MAX_WARNINGS: u32 = 5;

/// Elsewhere than on a terminal, a line is written this often at most.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

const STEPS: u64 = 1000;

pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    stage: &'static str,
    last_line: Instant,
    warnings: u32,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg:8} [{bar:40}] {percent:>3} %  {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ");
            ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr()).with_style(style)
        });
        Self { bar, stage: "", last_line: Instant::now(), warnings: 0 }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }

    /// The last line: what it took.
    pub(crate) fn finish(&self, converted: bool, facts: &ConversionReport) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.warnings > MAX_WARNINGS {
            let more = self.warnings - MAX_WARNINGS;
            output::note(&format!("warning: and {more} more, see --json for the first of them"));
        }
        if converted {
            let times = &facts.times;
            output::note(&format!(
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
        };
        match &self.bar {
            Some(bar) => {
                bar.set_message(self.stage);
                bar.set_position(0);
            }
            None => output::note(self.stage),
        }
        self.last_line = Instant::now();
    }

    fn progress(&mut self, fraction: f64) {
        if let Some(bar) = &self.bar {
            bar.set_position((fraction * STEPS as f64) as u64);
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            output::note(&format!("{} {:.0} %", self.stage, fraction * 100.0));
        }
    }

    fn engine(&mut self, name: &str, identity: &Identity) {
        self.line(&format!("engine {name}: {} {}", identity.library, identity.version));
    }

    fn warning(&mut self, line: &str) {
        self.warnings += 1;
        if self.warnings <= MAX_WARNINGS {
            self.line(&format!("warning: {line}"));
        }
    }
}
