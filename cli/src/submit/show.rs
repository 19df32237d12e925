//! Progress display of a submission: each state with its time, and the progress of transfers.

use crate::bar::Bar;
use std::time::Instant;

/// Shared by the threads of an upload.
pub(super) struct Show {
    start: Instant,
    bar: Bar,
}

impl Show {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), bar: Bar::new() }
    }

    /// Milliseconds since the start.
    pub(super) fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Prints a line with the time since the start.
    pub(super) fn event(&self, text: &str) {
        let millis = self.millis();
        self.note(&format!("{:>3}.{:03} s  {text}", millis / 1000, millis % 1000));
    }

    pub(super) fn note(&self, text: &str) {
        self.bar.note(text);
    }

    /// Completed fraction of an activity, from 0 to 1.
    pub(super) fn progress(&self, what: &str, fraction: f64) {
        self.bar.progress(what, fraction);
    }

    pub(super) fn finish(&self) {
        self.bar.finish();
    }
}
