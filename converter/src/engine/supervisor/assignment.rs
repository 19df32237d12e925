//! What a host that waits does not know at its start: when its work begins, and where the
//! directories are by then. The thread that watches it asks at each look.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Shared by the one who watches the host and the one who has work for it.
#[derive(Debug)]
pub(super) struct Assignment(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The current directory of the host, and the one for its output.
    written: [PathBuf; 2],
    /// When its work began, if it has.
    since: Option<Instant>,
    /// Whether it waits for its work first, and says when it has got it.
    waits: bool,
    /// What its work may write, in bytes, where that is less than its cap.
    output_bytes: u64,
    /// Whether the process has opened what its rules name, so that a directory may move.
    confined: bool,
}

impl Assignment {
    /// Of a host that works from its start.
    pub(super) fn at_once(work: &Path, output: &Path) -> Self {
        Self::new(work, output, Some(Instant::now()), false)
    }

    /// Of a host that waits first.
    pub(super) fn later(work: &Path, output: &Path) -> Self {
        Self::new(work, output, None, true)
    }

    fn new(work: &Path, output: &Path, since: Option<Instant>, waits: bool) -> Self {
        let written = [work.to_owned(), output.to_owned()];
        Self(Mutex::new(State { written, since, waits, output_bytes: u64::MAX, confined: false }))
    }

    /// Where the process writes.
    pub(super) fn written(&self) -> [PathBuf; 2] {
        self.state().written.clone()
    }

    /// Since when it works.
    pub(super) fn since(&self) -> Option<Instant> {
        self.state().since
    }

    /// Since when a host that waited has had its work before it, being loaded since `loaded`.
    pub(super) fn handed_over(&self, loaded: Option<Instant>) -> Option<Instant> {
        let state = self.state();
        state.since.filter(|_| state.waits).zip(loaded).map(|(since, loaded)| since.max(loaded))
    }

    /// The directories were moved here.
    pub(super) fn moved(&self, work: &Path, output: &Path) {
        self.state().written = [work.to_owned(), output.to_owned()];
    }

    /// Its work may write so much, in bytes.
    pub(super) fn limit_output(&self, bytes: u64) {
        self.state().output_bytes = bytes;
    }

    /// What its work may write, in bytes, where that is less than its cap.
    pub(super) fn output_bytes(&self) -> u64 {
        self.state().output_bytes
    }

    /// The process is confined.
    pub(super) fn confined(&self) {
        self.state().confined = true;
    }

    /// Whether the process is confined.
    pub(super) fn is_confined(&self) -> bool {
        self.state().confined
    }

    /// Its work begins.
    pub(super) fn go(&self) {
        self.state().since.get_or_insert_with(Instant::now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
