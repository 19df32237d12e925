//! State of a warm host that is not known at its start: when its work begins, and where its
//! directories are by then. The watching thread reads it at each look.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Shared by the thread that watches the host and the job that has work for it.
#[derive(Debug)]
pub(super) struct Assignment(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The host's current directory, and its output directory.
    written: [PathBuf; 2],
    /// When the work began; `None` before.
    since: Option<Instant>,
    /// Whether the host waits for its work, and reports when it has received it.
    waits: bool,
    /// Limit on what the work may write, in bytes, where it is lower than the cap.
    output_bytes: u64,
    /// Whether the process is confined: it has opened the paths of its Landlock rules, so that its
    /// directories may be moved.
    confined: bool,
}

impl Assignment {
    /// For a host that works from its start.
    pub(super) fn at_once(work: &Path, output: &Path) -> Self {
        Self::new(work, output, Some(Instant::now()), false)
    }

    /// For a host that waits for its work.
    pub(super) fn later(work: &Path, output: &Path) -> Self {
        Self::new(work, output, None, true)
    }

    fn new(work: &Path, output: &Path, since: Option<Instant>, waits: bool) -> Self {
        let written = [work.to_owned(), output.to_owned()];
        Self(Mutex::new(State { written, since, waits, output_bytes: u64::MAX, confined: false }))
    }

    /// The directories that the process writes to.
    pub(super) fn written(&self) -> [PathBuf; 2] {
        self.state().written.clone()
    }

    /// When the work began.
    pub(super) fn since(&self) -> Option<Instant> {
        self.state().since
    }

    /// Since when a waiting host that was loaded at `loaded` has had its work to do.
    pub(super) fn handed_over(&self, loaded: Option<Instant>) -> Option<Instant> {
        let state = self.state();
        state.since.filter(|_| state.waits).zip(loaded).map(|(since, loaded)| since.max(loaded))
    }

    /// Records that the directories were moved here.
    pub(super) fn moved(&self, work: &Path, output: &Path) {
        self.state().written = [work.to_owned(), output.to_owned()];
    }

    /// Limits what the work may write, in bytes.
    pub(super) fn limit_output(&self, bytes: u64) {
        self.state().output_bytes = bytes;
    }

    /// Limit on what the work may write, in bytes, where it is lower than the cap.
    pub(super) fn output_bytes(&self) -> u64 {
        self.state().output_bytes
    }

    /// Records that the process is confined.
    pub(super) fn confined(&self) {
        self.state().confined = true;
    }

    /// Whether the process is confined.
    pub(super) fn is_confined(&self) -> bool {
        self.state().confined
    }

    /// Records that the work begins.
    pub(super) fn go(&self) {
        self.state().since.get_or_insert_with(Instant::now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
