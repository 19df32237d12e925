//! Progress display: a bar on a terminal, lines elsewhere, both on standard error.

use crate::output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Without a terminal, lines are at least this far apart.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

const STEPS: u64 = 1000;

/// Shared by the threads of an upload.
pub(crate) struct Bar {
    bar: Option<ProgressBar>,
    now: Mutex<Now>,
}

struct Now {
    /// The current activity.
    what: String,
    last_line: Instant,
}

impl Bar {
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg:8} [{bar:40}] {percent:>3} %  {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ");
            ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr()).with_style(style)
        });
        Self { bar, now: Mutex::new(Now { what: String::new(), last_line: Instant::now() }) }
    }

    /// Prints a permanent line.
    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }

    /// Starts a new activity: without a bar, a line announces it.
    pub(crate) fn begin(&self, what: &str) {
        if self.bar.is_none() {
            output::note(what);
        }
        *self.now() = Now { what: what.to_owned(), last_line: Instant::now() };
        self.show(what, 0.0);
    }

    /// Completed fraction of an activity, from 0 to 1.
    pub(crate) fn progress(&self, what: &str, fraction: f64) {
        let mut now = self.now();
        if now.what != what {
            *now = Now { what: what.to_owned(), last_line: Instant::now() };
        }
        if self.bar.is_none() && now.last_line.elapsed() >= LINE_INTERVAL {
            now.last_line = Instant::now();
            output::note(&format!("{what} {:.0} %", fraction * 100.0));
        }
        self.show(what, fraction);
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn show(&self, what: &str, fraction: f64) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
            bar.set_position((fraction.clamp(0.0, 1.0) * STEPS as f64) as u64);
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
