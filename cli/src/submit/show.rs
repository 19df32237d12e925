//! How a submission shows that it goes on: each state with its time on standard
//! error, and a bar on a terminal, lines elsewhere.

use crate::output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Elsewhere than on a terminal, a line is written this often at most.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

const STEPS: u64 = 1000;

/// Shared by the threads of an upload.
pub(super) struct Show {
    start: Instant,
    bar: Option<ProgressBar>,
    now: Mutex<Now>,
}

struct Now {
    /// What is being done.
    what: String,
    last_line: Instant,
}

impl Show {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg:8} [{bar:40}] {percent:>3} %  {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ");
            ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr()).with_style(style)
        });
        let start = Instant::now();
        Self { start, bar, now: Mutex::new(Now { what: String::new(), last_line: start }) }
    }

    /// Milliseconds since the start.
    pub(super) fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A line with its time since the start.
    pub(super) fn event(&self, text: &str) {
        let millis = self.millis();
        self.note(&format!("{:>3}.{:03} s  {text}", millis / 1000, millis % 1000));
    }

    pub(super) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }

    /// So much of something is done.
    pub(super) fn progress(&self, what: &str, fraction: f64) {
        let Ok(mut now) = self.now.lock() else { return };
        if now.what != what {
            now.what = what.to_owned();
            now.last_line = Instant::now();
        }
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
            bar.set_position((fraction.clamp(0.0, 1.0) * STEPS as f64) as u64);
        } else if now.last_line.elapsed() >= LINE_INTERVAL {
            now.last_line = Instant::now();
            output::note(&format!("{what} {:.0} %", fraction * 100.0));
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
