//! What the cleanup has not done yet, as its metrics show it: how long jobs have been due, and how many of
//! those that have ended could not be deleted. Kept in memory by each program, for its own parts.

use crate::domain::due::{Part, Work};
use crate::domain::ids::JobId;
use crate::domain::job::Millis;
use crate::metrics::{self, DueKind};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Maximum number of jobs that fail and are known by name: with so many, their number says enough.
const MAX_FAILING: usize = 100_000;

/// How long after its time a job is listed as due at the latest: an index may lag.
const LISTED_WITHIN: Millis = 60_000;

/// The backlog of one program.
#[derive(Clone, Default)]
pub(super) struct Backlog(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Jobs whose files could not be deleted, until they are, with the time at which they are due again.
    failing: HashMap<JobId, Millis>,
    /// The parts that are worked on, each with the jobs that were listed in it and are not served yet, and
    /// the times at which they were due.
    working: HashMap<Part, HashMap<JobId, Millis>>,
    /// How long the most overdue job of each kind was due in the last pass.
    last: [Millis; 2],
}

impl Backlog {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pass over these parts begins. What fails in others is counted by the programs that have them.
    pub(super) fn begins(&self, parts: &[Part]) {
        let own: HashSet<&Part> = parts.iter().collect();
        self.state().failing.retain(|id, _| own.contains(&Part::with(Work::Delete, *id)));
    }

    /// These jobs of a part were due at these times, and are served now.
    pub(super) fn lists(&self, part: Part, jobs: impl Iterator<Item = (JobId, Millis)>) {
        self.state().working.insert(part, jobs.collect());
    }

    /// A try of one of them is over.
    pub(super) fn has_served(&self, part: Part, id: JobId) {
        if let Some(jobs) = self.state().working.get_mut(&part) {
            jobs.remove(&id);
        }
    }

    /// The files of a job could not be deleted. It is due again at this time.
    pub(super) fn fails(&self, id: JobId, again: Millis) {
        let failing = &mut self.state().failing;
        if failing.len() < MAX_FAILING || failing.contains_key(&id) {
            failing.insert(id, again);
        }
    }

    /// The files of a job are deleted.
    pub(super) fn succeeds(&self, id: JobId) {
        self.state().failing.remove(&id);
    }

    /// A part is done. `began` is when, if all that is due in it was listed. What fails and was not listed
    /// although it was due, has been deleted by the API or another program, or has no record any more.
    pub(super) fn is_done(&self, part: Part, began: Option<Millis>) {
        let state = &mut *self.state();
        state.working.remove(&part);
        if let Some(began) = began.filter(|_| part.work == Work::Delete) {
            let is_listed = |again: Millis| again.saturating_add(LISTED_WITHIN) >= began;
            state.failing.retain(|id, again| Part::with(Work::Delete, *id) != part || is_listed(*again));
        }
    }

    /// A pass ended, in which the most overdue job of each kind was due for so long. Parts may still be
    /// worked on, by the same program: a store may hang.
    pub(super) fn ends(&self, overdue: [Millis; 2], now: Millis) {
        self.state().last = overdue;
        self.show(now);
    }

    fn show(&self, now: Millis) {
        let state = self.state();
        for (kind, work) in [(DueKind::Delete, Work::Delete), (DueKind::Wake, Work::Wake)] {
            let working = state.working.iter().filter(|(part, _)| part.work == work);
            let first = working.flat_map(|(_, jobs)| jobs.values()).min();
            let oldest = first.map_or(0, |due| now.saturating_sub(*due));
            metrics::oldest_due(kind, oldest.max(state.last[usize::from(work == Work::Wake)]));
        }
        metrics::unconfirmed_purges(state.failing.len() as u64);
    }
}
