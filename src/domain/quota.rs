//! How much of an owner's work is in flight, and how much may be. Pure.
//!
//! A store changes one record at a time, so a job and the usage of its owner cannot change in one
//! write. Each job is counted exactly once all the same, because each step leaves a mark:
//!
//! ```text
//! usage: reserve R    ->  job record: created with R  ->  usage: the mark Reserved is dropped
//! usage: release R    ->  job record: R is cleared    ->  usage: the mark Released is dropped
//! ```
//!
//! R is a random number that one attempt to create a job draws. The job record has it for as long as
//! the job is counted. A process may die between any two steps; what is done next depends on the
//! record of the job:
//!
//! - A mark Reserved whose record does not have R belongs to a creation that failed. After
//!   [`DOUBTFUL`] it is undone, and the mark Undone stays for [`FORGOTTEN`]: a creation that arrives
//!   late would otherwise be released without being counted.
//! - A mark Released whose record does not have R any more has served its purpose.
//! - R without a mark is counted if, and only if, the record has it.

use super::ids::{JobId, Owner};
use super::job::{Job, Millis};
use super::stored::{Record, Unknown};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Age of a mark Reserved, in milliseconds, after which the process that made it may have died.
pub const DOUBTFUL: Millis = 60_000;

/// Age of a mark Released, in milliseconds, after which the record most likely shows it. Reading the
/// record costs less than writing many marks again and again.
const SHOWN: Millis = 2_000;

/// How long a mark Undone is kept, in milliseconds: no creation takes as long.
pub const FORGOTTEN: Millis = 24 * 60 * 60 * 1000;

/// Maximum number of marks that are compared with job records in one change of a usage.
const COMPARED: usize = 8;

/// What one owner may have in flight. A job is in flight from its creation to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Jobs.
    pub jobs: u64,
    /// Sum of the declared sizes of their uploads, in bytes.
    pub bytes: u64,
}

/// The limit that another job would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// [`Quota::jobs`].
    #[error("{jobs} jobs are in flight, which is the limit of {limit}")]
    Jobs {
        /// Jobs in flight.
        jobs: u64,
        /// The limit.
        limit: u64,
    },
    /// [`Quota::bytes`].
    #[error("{bytes} bytes are in flight, and {size} more exceed the limit of {limit}")]
    Bytes {
        /// Bytes in flight.
        bytes: u64,
        /// Bytes of the refused job.
        size: u64,
        /// The limit.
        limit: u64,
    },
}

/// The place of a job in the usage of its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number that the creation of the job drew.
    pub reservation: u64,
    /// The job.
    pub job: JobId,
    /// Its declared size, in bytes.
    pub bytes: u64,
}

impl Place {
    /// The place of a job that is counted.
    pub fn of(job: &Job) -> Option<Self> {
        job.counted.map(|reservation| Self { reservation, job: job.id, bytes: job.order.size_bytes })
    }
}

/// What was done last with a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// It was added; the job may not be created yet.
    Reserved,
    /// It was subtracted because its job ended; the record may still have it.
    Released,
    /// It was subtracted because no job was created with it.
    Undone,
}

/// A reservation that the record of its job may not show yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// What was done.
    pub step: Step,
    /// The job.
    pub job: JobId,
    /// Its declared size, in bytes.
    pub bytes: u64,
    /// When it was done.
    pub at: Millis,
}

/// What an owner has in flight, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The owner.
    pub owner: Owner,
    /// Jobs in flight, with those that are being created.
    pub jobs: u64,
    /// Sum of their declared sizes, in bytes.
    pub bytes: u64,
    /// Reservations that the record of their job may not show yet.
    #[serde(deserialize_with = "known_marks")]
    pub marks: BTreeMap<u64, Mark>,
    /// Number of changes: a store writes version n + 1 only over version n. 0 is never stored.
    pub version: u64,
    /// Reservations with a step of another version, which alone knows whether they are counted. They
    /// are left to it.
    #[serde(skip)]
    pub others: BTreeSet<u64>,
    /// What the record has of another version.
    #[serde(skip)]
    pub unknown: Unknown,
}

/// The marks whose step is known.
fn known_marks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u64, Mark>, D::Error> {
    let all = BTreeMap::<u64, Value>::deserialize(deserializer)?;
    let known = |(reservation, mark)| Some((reservation, Mark::deserialize(mark).ok()?));
    Ok(all.into_iter().filter_map(known).collect())
}

impl Record for Usage {
    fn unknown(&self) -> &Unknown {
        &self.unknown
    }

    fn unknown_mut(&mut self) -> &mut Unknown {
        &mut self.unknown
    }

    fn has_been_read(&mut self, stored: &Value) {
        let all = stored.get("marks").and_then(Value::as_object).into_iter().flat_map(|marks| marks.keys());
        let reservations = all.filter_map(|reservation| reservation.parse().ok());
        self.others = reservations.filter(|reservation| !self.marks.contains_key(reservation)).collect();
    }
}

impl Usage {
    /// The usage of an owner who never had a job.
    pub fn new(owner: Owner) -> Self {
        let (marks, others, unknown) = (BTreeMap::new(), BTreeSet::new(), Unknown::default());
        Self { owner, jobs: 0, bytes: 0, marks, version: 0, others, unknown }
    }

    /// Counts a job that is about to be created. Has no effect if this reservation was made before.
    ///
    /// # Errors
    /// The limit that the job would exceed.
    pub fn reserve(&mut self, place: &Place, quota: &Quota, now: Millis) -> Result<(), Exceeded> {
        if self.marks.contains_key(&place.reservation) || self.others.contains(&place.reservation) {
            return Ok(());
        }
        if self.jobs >= quota.jobs {
            return Err(Exceeded::Jobs { jobs: self.jobs, limit: quota.jobs });
        }
        if place.bytes > quota.bytes.saturating_sub(self.bytes) {
            return Err(Exceeded::Bytes { bytes: self.bytes, size: place.bytes, limit: quota.bytes });
        }
        self.jobs += 1;
        self.bytes += place.bytes;
        self.mark(place, Step::Reserved, now);
        Ok(())
    }

    /// Takes a reservation back with which no job was or will be created. Has no effect if it was
    /// taken back before.
    pub fn withdraw(&mut self, place: &Place) {
        if self.step(place.reservation) == Some(Step::Reserved) {
            self.subtract(place.bytes);
            self.marks.remove(&place.reservation);
        }
    }

    /// Whether only the record of the job shows whether this reservation is still counted.
    pub fn needs_record(&self, place: &Place) -> bool {
        !self.marks.contains_key(&place.reservation) && !self.others.contains(&place.reservation)
    }

    /// Subtracts a job that has ended. Has no effect if it was subtracted before. Where
    /// [`Self::needs_record`], the record, read after this usage, must have the reservation.
    pub fn release(&mut self, place: &Place, now: Millis) {
        let is_known = !self.others.contains(&place.reservation);
        if is_known && !matches!(self.step(place.reservation), Some(Step::Released | Step::Undone)) {
            self.subtract(place.bytes);
            self.mark(place, Step::Released, now);
        }
    }

    /// Drops the mark of a step that the record of the job is known to show.
    pub fn confirm(&mut self, reservation: u64, step: Step) {
        if self.step(reservation) == Some(step) {
            self.marks.remove(&reservation);
        }
    }

    /// Marks that are to be compared with the records of their jobs, the oldest first.
    pub fn doubtful(&self, now: Millis) -> Vec<u64> {
        let old = |(_, mark): &(&u64, &Mark)| {
            let kept = match mark.step {
                Step::Reserved => DOUBTFUL,
                Step::Released => SHOWN,
                Step::Undone => FORGOTTEN,
            };
            now.saturating_sub(mark.at) >= kept
        };
        let mut found: Vec<(Millis, u64)> =
            self.marks.iter().filter(old).map(|(&reservation, mark)| (mark.at, reservation)).collect();
        found.sort_unstable();
        found.into_iter().take(COMPARED).map(|(_, reservation)| reservation).collect()
    }

    /// Completes or undoes a doubtful step, by the record of the job as it was read after this usage.
    pub fn compare(&mut self, reservation: u64, record: Option<&Job>, now: Millis) {
        let Some(mark) = self.marks.get_mut(&reservation) else { return };
        let shown = record.is_some_and(|job| job.counted == Some(reservation));
        match (mark.step, shown) {
            (Step::Reserved, true) | (Step::Released | Step::Undone, false) => {
                self.marks.remove(&reservation);
            }
            (Step::Reserved, false) => {
                (mark.step, mark.at) = (Step::Undone, now);
                let bytes = mark.bytes;
                self.subtract(bytes);
            }
            // The cleanup clears the reservation in the record.
            (Step::Released | Step::Undone, true) => {}
        }
    }

    fn step(&self, reservation: u64) -> Option<Step> {
        self.marks.get(&reservation).map(|mark| mark.step)
    }

    fn mark(&mut self, place: &Place, step: Step, at: Millis) {
        self.marks.insert(place.reservation, Mark { step, job: place.job, bytes: place.bytes, at });
    }

    fn subtract(&mut self, bytes: u64) {
        self.jobs = self.jobs.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota { jobs: 2, bytes: 100 };

    fn usage() -> Usage {
        Usage::new("ann".parse().unwrap())
    }

    fn place(reservation: u64, bytes: u64) -> Place {
        Place { reservation, job: JobId::random(), bytes }
    }

    #[test]
    fn a_job_beyond_a_limit_is_refused_and_says_which() {
        let mut usage = usage();
        usage.reserve(&place(1, 60), &QUOTA, 0).unwrap();
        let before = usage.clone();
        let refused = usage.reserve(&place(2, 41), &QUOTA, 0);
        assert_eq!(refused, Err(Exceeded::Bytes { bytes: 60, size: 41, limit: 100 }));
        assert_eq!(usage, before, "a refusal changes nothing");
        usage.reserve(&place(2, 40), &QUOTA, 0).unwrap();
        assert_eq!(usage.reserve(&place(3, 0), &QUOTA, 0), Err(Exceeded::Jobs { jobs: 2, limit: 2 }));
        assert_eq!((usage.jobs, usage.bytes), (2, 100));
    }

    #[test]
    fn each_step_counts_once_however_often_it_is_made() {
        let (mut usage, one) = (usage(), place(1, 60));
        for _ in 0..3 {
            usage.reserve(&one, &QUOTA, 0).unwrap();
        }
        assert_eq!((usage.jobs, usage.bytes), (1, 60));
        for _ in 0..3 {
            usage.release(&one, 0);
        }
        usage.confirm(1, Step::Reserved);
        assert_eq!((usage.jobs, usage.bytes, usage.marks.len()), (0, 0, 1), "only its own step is confirmed");
        usage.confirm(1, Step::Released);
        assert!(usage.marks.is_empty());

        usage.reserve(&place(2, 10), &QUOTA, 0).unwrap();
        let other = place(3, 20);
        usage.reserve(&other, &QUOTA, 0).unwrap();
        for _ in 0..2 {
            usage.withdraw(&other);
        }
        assert_eq!((usage.jobs, usage.bytes), (1, 10));
    }

    #[test]
    fn a_reservation_without_a_job_is_undone_once_and_a_late_job_is_not_subtracted() {
        let (mut usage, one) = (usage(), place(1, 60));
        usage.reserve(&one, &QUOTA, 1000).unwrap();
        assert!(usage.doubtful(1000 + DOUBTFUL - 1).is_empty(), "its creator may be at work");
        assert_eq!(usage.doubtful(1000 + DOUBTFUL), [1]);
        usage.compare(1, None, 1000 + DOUBTFUL);
        assert_eq!((usage.jobs, usage.bytes), (0, 0));
        assert!(usage.doubtful(1000 + 2 * DOUBTFUL).is_empty());
        usage.withdraw(&one);
        usage.reserve(&place(2, 7), &QUOTA, 1000 + DOUBTFUL).unwrap();
        assert!(!usage.needs_record(&one));
        usage.release(&one, 1000 + DOUBTFUL);
        assert_eq!((usage.jobs, usage.bytes), (1, 7));
        usage.confirm(2, Step::Reserved);
        assert_eq!(usage.doubtful(1000 + DOUBTFUL + FORGOTTEN), [1]);
        usage.compare(1, None, 1000 + DOUBTFUL + FORGOTTEN);
        assert!(!usage.marks.contains_key(&1), "marks do not stay for ever");
    }
}
