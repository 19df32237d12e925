//! What is observed of a simulation, and the rules that must hold.

use crate::bill::Program;
use crate::table::Throttled;
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::domain::job::{Job, Millis, State};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// A rule of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// Each job ends, once, and its result does not change after that.
    EndsOnce,
    /// No object of a job that goes on is deleted, nor a result that may still be fetched.
    LiveObjects,
    /// Deletions come soon after they are due.
    Deletion,
    /// A job whose deletion is not confirmed keeps its record.
    Unconfirmed,
    /// In the end nothing of any job is left: no record, no object, no version, no part, no message.
    NothingLeft,
    /// A job makes no more requests and writes than docs/PIPELINE.md says.
    Budget,
    /// Partitions do not throttle.
    BackPressure,
}

/// A rule that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)
    }
}

/// Violations of one rule that are kept as text.
const KEPT: usize = 5;

/// What happened in one minute.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Minute {
    pub(crate) created: u32,
    pub(crate) ended: u32,
    /// Deletions by the cleanup, and the longest delay of one, in milliseconds.
    pub(crate) deleted: u32,
    pub(crate) delay: Millis,
    /// Writes that were throttled, by the table and by the index.
    pub(crate) throttled: [u32; 2],
    /// Messages that wait for a worker.
    pub(crate) waiting: u32,
}

/// What a change of a record is compared with.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    state: State,
    purges: u8,
    output: Option<ObjectKey>,
}

impl Before {
    pub(crate) fn of(job: &Job) -> Self {
        let output = job.output.as_ref().map(|output| output.key.clone());
        Self { state: job.state, purges: job.purges, output }
    }
}

#[derive(Debug, Default)]
struct Track {
    ends: u8,
    /// When the next deletion is due.
    due: Option<Millis>,
    is_gone: bool,
}

/// What was observed.
#[derive(Default)]
pub(crate) struct Witness {
    jobs: HashMap<JobId, Track>,
    /// Jobs whose objects refuse their deletion: theirs is not measured.
    pub(crate) excluded: HashSet<JobId>,
    pub(crate) violations: Vec<Violation>,
    counts: BTreeMap<Rule, usize>,
    pub(crate) ended: BTreeMap<&'static str, u64>,
    /// Delays of the deletions by the cleanup, in milliseconds, unsorted.
    pub(crate) delays: Vec<u32>,
    /// Deletions by the API, on the word of a client.
    pub(crate) deleted_by_api: u64,
    pub(crate) minutes: Vec<Minute>,
    /// Writes that failed because they were throttled again and again.
    pub(crate) refused: u64,
    pub(crate) attempts: u64,
}

impl Witness {
    pub(crate) fn violate(&mut self, rule: Rule, text: impl FnOnce() -> String) {
        let count = self.counts.entry(rule).or_default();
        *count += 1;
        if *count <= KEPT {
            self.violations.push(Violation { rule, text: text() });
        }
    }

    fn minute(&mut self, elapsed: Millis) -> &mut Minute {
        let number = (elapsed / 60_000) as usize;
        if self.minutes.len() <= number {
            self.minutes.resize(number + 1, Minute::default());
        }
        &mut self.minutes[number]
    }

    /// A record was created.
    pub(crate) fn created(&mut self, job: &Job, elapsed: Millis) {
        self.minute(elapsed).created += 1;
        if self.jobs.insert(job.id, Track::default()).is_some() {
            self.violate(Rule::EndsOnce, || format!("{} is created twice", job.id));
        }
    }

    /// A record was replaced.
    pub(crate) fn changed(&mut self, before: &Before, next: &Job, elapsed: Millis) {
        if before.state.is_terminal() && before.state != next.state {
            self.violate(Rule::EndsOnce, || format!("{} leaves its end", next.id));
        }
        let output = next.output.as_ref().map(|output| &output.key);
        if before.state.is_terminal() && before.output.as_ref() != output {
            self.violate(Rule::EndsOnce, || format!("the result of {} changes", next.id));
        }
        if before.state != State::Processing && next.state == State::Processing {
            self.attempts += 1;
        }
        if !next.state.is_terminal() {
            return;
        }
        let now = crate::world::BEGIN + elapsed;
        let track = self.jobs.entry(next.id).or_default();
        let has_ended = !before.state.is_terminal();
        if has_ended {
            track.ends += 1;
        }
        let (was_due, ends) = (track.due, track.ends);
        let is_deleted = next.purges > before.purges;
        if is_deleted {
            track.due = None;
        }
        // What was put off is measured from when it was due at first.
        if next.purges < 2 && next.retry.is_none() {
            track.due = [track.due, next.due].into_iter().flatten().min();
        }
        if has_ended {
            *self.ended.entry(next.state.as_str()).or_default() += 1;
            self.minute(elapsed).ended += 1;
            if ends > 1 {
                self.violate(Rule::EndsOnce, || format!("{} ends {ends} times", next.id));
            }
        }
        if is_deleted {
            let by_api = next.deletions.last().is_some_and(|deletion| deletion.by.starts_with("api"));
            if by_api {
                self.deleted_by_api += 1;
            } else if !self.excluded.contains(&next.id) {
                let delay = now.saturating_sub(was_due.unwrap_or(now));
                self.delays.push(u32::try_from(delay).unwrap_or(u32::MAX));
                let minute = self.minute(elapsed);
                minute.deleted += 1;
                minute.delay = minute.delay.max(delay);
            }
        }
    }

    /// A record is deleted.
    pub(crate) fn record_deleted(&mut self, job: &Job) {
        if !job.state.is_terminal() || job.purges < 2 {
            let purges = job.purges;
            self.violate(Rule::Unconfirmed, || {
                format!("the record of {} goes after {purges} confirmed deletions", job.id)
            });
        }
        self.jobs.entry(job.id).or_default().is_gone = true;
    }

    /// The latest version of an object is deleted, while this is the record of its job.
    pub(crate) fn object_deleted(
        &mut self,
        program: Program,
        key: &ObjectKey,
        job: Option<&Job>,
        now: Millis,
    ) {
        let Some(job) = job else { return };
        let role = key.role();
        // Every clock may be half a second off.
        let may_be_fetched = role == Role::Processed
            && job.state == State::Completed
            && job.output.as_ref().is_some_and(|output| output.key == *key)
            && job.times.dismissed.is_none()
            && job.purges == 0
            && job.due.is_some_and(|due| now + 1000 < due);
        // A worker that lost its job may still store a result, which no record names.
        let is_named = role == Role::Upload || job.output.as_ref().is_some_and(|output| output.key == *key);
        if may_be_fetched || (!job.state.is_terminal() && is_named) {
            self.violate(Rule::LiveObjects, || {
                let (state, program) = (job.state.as_str(), program.as_str());
                format!("{program} deletes the {role:?} of {}, which is {state}", job.id)
            });
        }
    }

    pub(crate) fn throttled(&mut self, throttled: Throttled, elapsed: Millis) {
        self.minute(elapsed).throttled[usize::from(throttled == Throttled::Index)] += 1;
    }

    /// Notes how many messages wait.
    pub(crate) fn backlog(&mut self, waiting: u32, elapsed: Millis) {
        self.minute(elapsed).waiting = waiting;
    }

    pub(crate) fn refused_by_throttling(&mut self) {
        self.refused += 1;
    }

    /// Jobs that were created, and those whose record is gone.
    pub(crate) fn numbers(&self) -> (u64, u64) {
        (self.jobs.len() as u64, self.jobs.values().filter(|track| track.is_gone).count() as u64)
    }

    /// Checks what must hold when everything is over.
    pub(crate) fn conclude(&mut self) {
        let wrong: Vec<(JobId, u8, bool)> = self
            .jobs
            .iter()
            .filter(|(_, track)| track.ends != 1 || !track.is_gone)
            .map(|(id, track)| (*id, track.ends, track.is_gone))
            .collect();
        for (id, ends, is_gone) in wrong {
            if ends != 1 {
                self.violate(Rule::EndsOnce, || format!("{id} has ended {ends} times"));
            }
            if !is_gone {
                self.violate(Rule::NothingLeft, || format!("the record of {id} is left"));
            }
        }
        self.delays.sort_unstable();
    }

    /// The delay that this fraction of the deletions does not exceed, in milliseconds. Sorted by
    /// [`Self::conclude`].
    pub(crate) fn delay(&self, fraction: f64) -> u32 {
        let last = self.delays.len().saturating_sub(1);
        self.delays.get((last as f64 * fraction) as usize).copied().unwrap_or_default()
    }

    /// Writes that were throttled, by the table and by the index.
    pub(crate) fn all_throttled(&self) -> [u64; 2] {
        self.minutes.iter().fold([0, 0], |[table, index], minute| {
            [table + u64::from(minute.throttled[0]), index + u64::from(minute.throttled[1])]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cadmill_core::domain::job::{Compress, Deletion, Evidence, JobSpec, Object};
    use cadmill_core::domain::state::{Policy, created};

    fn job() -> Job {
        let spec = JobSpec {
            owner: "ann".parse().unwrap(),
            file_name: "plan.dxf".parse().unwrap(),
            size_bytes: 1,
            sha256: None,
            format: "glb".to_owned(),
            root: None,
            options: [].into(),
            compress: Compress::Never,
            strict: false,
            accept_gzip: false,
            result_ttl_seconds: None,
        };
        created(JobId::from_random_bytes([7; 16]), spec, &Policy::default(), crate::world::BEGIN)
    }

    /// The same job, completed, with its result.
    fn completed(attempt: u32) -> Job {
        let mut job = job();
        let key = ObjectKey::processed(job.id, attempt, "plan.glb".parse().unwrap());
        let etag = "1".to_owned();
        job.output = Some(Object { key, size_bytes: 1, etag, version: None, sha256: None, encoded: None });
        (job.state, job.due) = (State::Completed, Some(crate::world::BEGIN + 60_000));
        job
    }

    fn rules(witness: &Witness) -> Vec<Rule> {
        witness.violations.iter().map(|violation| violation.rule).collect()
    }

    #[test]
    fn a_job_that_ends_twice_or_changes_its_result_is_seen() {
        let (mut witness, before) = (Witness::default(), Before::of(&job()));
        witness.created(&job(), 0);
        witness.changed(&before, &completed(1), 1);
        assert_eq!(rules(&witness), []);
        witness.changed(&Before::of(&completed(1)), &completed(2), 2);
        assert_eq!(rules(&witness), [Rule::EndsOnce]);
        witness.changed(&before, &completed(1), 3);
        assert_eq!(rules(&witness), [Rule::EndsOnce; 2]);
        witness.changed(&Before::of(&completed(1)), &job(), 4);
        assert!(rules(&witness).len() > 2);
    }

    #[test]
    fn a_job_that_never_ends_and_a_record_that_stays_are_seen() {
        let mut witness = Witness::default();
        witness.created(&job(), 0);
        witness.conclude();
        assert_eq!(rules(&witness), [Rule::EndsOnce, Rule::NothingLeft]);
    }

    #[test]
    fn the_deletion_of_what_is_still_wanted_is_seen() {
        let mut witness = Witness::default();
        let upload = ObjectKey::upload(job().id, "plan.dxf".parse().unwrap());
        let (job, done) = (job(), completed(1));
        let result = done.output.as_ref().unwrap().key.clone();
        let other = ObjectKey::processed(job.id, 9, "plan.glb".parse().unwrap());
        let (early, late) = (crate::world::BEGIN, crate::world::BEGIN + 60_000);
        witness.object_deleted(Program::Cleanup, &upload, Some(&done), early);
        witness.object_deleted(Program::Cleanup, &result, Some(&done), late);
        witness.object_deleted(Program::Cleanup, &other, Some(&job), early);
        assert_eq!(rules(&witness), []);
        witness.object_deleted(Program::Cleanup, &upload, Some(&job), early);
        witness.object_deleted(Program::Cleanup, &result, Some(&done), early);
        assert_eq!(rules(&witness), [Rule::LiveObjects; 2]);
    }

    #[test]
    fn the_delay_of_a_deletion_is_measured_from_when_it_was_due() {
        let mut witness = Witness::default();
        let (before, done) = (Before::of(&job()), completed(1));
        witness.created(&job(), 0);
        witness.changed(&before, &done, 1000);
        let mut deleted = done.clone();
        deleted.purges = 1;
        deleted.deletions.push(Deletion {
            objects: 2,
            marks: 0,
            uploads: 0,
            confirmed_at: 0,
            oldest_age_ms: None,
            by: "cleanup-0".to_owned(),
            evidence: Evidence::None,
        });
        witness.changed(&Before::of(&done), &deleted, 75_000);
        assert_eq!(witness.delays, [15_000]);
        witness.record_deleted(&deleted);
        assert_eq!(rules(&witness), [Rule::Unconfirmed]);
    }
}
