//! What the record of a job has of deletions: what was deleted, where that is proved, and when what
//! failed is tried again. Data only; [`super::state`] changes it.

use super::time::Millis;
use serde::{Deserialize, Serialize};

/// Why a job is not served although it is due: an earlier attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Number of attempts that failed, one after the other.
    pub tries: u32,
    /// When it is tried again.
    pub at: Millis,
    /// When it was due at first. Absent in records that predate it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Millis>,
}

impl Retry {
    /// The pause after the first failure, and the longest one, in milliseconds.
    const FIRST: Millis = 10_000;
    const LONGEST: Millis = 10 * 60_000;
    /// The longest pause between two tries to write evidence. Nothing confidential waits for it, and a
    /// ledger that is not available for a day must not keep the cleanup from deleting: within a week
    /// a job is tried some 40 times.
    const LONGEST_OF_EVIDENCE: Millis = 6 * 60 * 60_000;

    /// After another failure: each pause is twice the one before, so that a job that cannot be served
    /// is not always the most overdue.
    #[must_use]
    pub fn after(before: Option<Self>, now: Millis) -> Self {
        Self::within(before, now, Self::LONGEST)
    }

    /// After a failure that brought the work nearer to its end: the first pause again, so that a job with
    /// more to delete than a try has time for is not kept waiting for what it has already done.
    #[must_use]
    pub fn soon(before: Option<Self>, now: Millis) -> Self {
        let tries = before.map_or(1, |retry| retry.tries.max(1));
        Self { tries, at: now.saturating_add(Self::FIRST), first: before.and_then(|retry| retry.first) }
    }

    /// The same; it was due at this time at first, unless that is known already.
    #[must_use]
    pub fn due_first(self, due: Option<Millis>) -> Self {
        Self { first: self.first.or(due), ..self }
    }

    /// The same for evidence that could not be written: the pauses go on growing to six hours.
    #[must_use]
    pub fn of_evidence(before: Option<Self>, now: Millis) -> Self {
        Self::within(before, now, Self::LONGEST_OF_EVIDENCE)
    }

    fn within(before: Option<Self>, now: Millis, longest: Millis) -> Self {
        let tries = before.map_or(0, |retry| retry.tries).saturating_add(1);
        let pause = Self::FIRST.saturating_mul(1 << (tries - 1).min(16)).min(longest);
        Self { tries, at: now.saturating_add(pause), first: before.and_then(|retry| retry.first) }
    }

    /// When it was due at first. Of a record that predates [`Self::first`]: if each attempt came at its
    /// time.
    pub fn since(self) -> Millis {
        if let Some(first) = self.first {
            return first;
        }
        let pauses = (0..self.tries.min(100)).map(|before| {
            Self::after((before > 0).then_some(Self { tries: before, at: 0, first: None }), 0).at
        });
        self.at.saturating_sub(pauses.sum())
    }
}

/// What was deleted from the object store.
///
/// A deletion counts when the store has confirmed it. So what was deleted by a request whose reply was lost
/// is not counted, and what two programs delete at once may be counted by both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Purged {
    /// Deleted objects, counting each version.
    pub objects: u64,
    /// Deleted markers of objects that had been deleted before.
    pub marks: u64,
    /// Aborted multipart uploads.
    pub uploads: u64,
    /// When the oldest of them was made, by the store's clock, where the store says so.
    pub oldest: Option<Millis>,
}

impl Purged {
    /// Adds what was deleted elsewhere.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            objects: self.objects.saturating_add(other.objects),
            marks: self.marks.saturating_add(other.marks),
            uploads: self.uploads.saturating_add(other.uploads),
            oldest: self.oldest.into_iter().chain(other.oldest).min(),
        }
    }

    /// Whether nothing was deleted.
    pub fn is_nothing(self) -> bool {
        (self.objects, self.marks, self.uploads) == (0, 0, 0)
    }
}

/// What a try deleted that did not come to the point where nothing is left. It is part of the deletion
/// that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unconfirmed {
    /// A number that no other try has.
    pub id: u64,
    /// What it deleted.
    #[serde(flatten)]
    pub purged: Purged,
}

/// Everything of a job was deleted from the object store, and a listing after that found nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// Deleted objects, counting each version.
    pub objects: u64,
    /// Deleted markers of objects that had been deleted before.
    pub marks: u64,
    /// Aborted multipart uploads.
    pub uploads: u64,
    /// When the listing was empty.
    pub confirmed_at: Millis,
    /// Age of the oldest of them, in milliseconds by the store's clock; `None` if there was nothing.
    pub oldest_age_ms: Option<Millis>,
    /// Name of the program that did it.
    pub by: String,
    /// Whether a ledger has it. Absent in records that predate it.
    #[serde(default, skip_serializing_if = "Evidence::is_none")]
    pub evidence: Evidence,
}

impl Deletion {
    /// Whether this is the same deletion, wherever it is on record.
    pub fn is_same(&self, other: &Self) -> bool {
        Self { evidence: other.evidence, ..self.clone() } == *other
    }

    /// This deletion and a later one as one: all that both deleted, when the later one was confirmed.
    #[must_use]
    pub fn and(&self, later: &Self) -> Self {
        let oldest = |one: &Self| one.oldest_age_ms.map(|age| one.confirmed_at.saturating_sub(age));
        let confirmed_at = self.confirmed_at.max(later.confirmed_at);
        let oldest = oldest(self).into_iter().chain(oldest(later)).min();
        Self {
            objects: self.objects.saturating_add(later.objects),
            marks: self.marks.saturating_add(later.marks),
            uploads: self.uploads.saturating_add(later.uploads),
            confirmed_at,
            oldest_age_ms: oldest.map(|oldest| confirmed_at.saturating_sub(oldest)),
            by: later.by.clone(),
            evidence: later.evidence,
        }
    }
}

/// Whether a deletion is in a ledger of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// No ledger was configured.
    #[default]
    None,
    /// The ledger could not be written; that is tried again.
    Owed,
    /// It is in this part of the ledgers of the job's deletions.
    Part(u32),
}

impl Evidence {
    /// Whether there is none, and none is owed.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_minutes() {
        let mut retry = None;
        let pauses: Vec<Millis> = (0..9)
            .map(|_| {
                let next = Retry::after(retry, 5);
                retry = Some(next);
                (next.at - 5) / 1000
            })
            .collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert_eq!(Retry { tries: 3, at: 100_000, first: None }.since(), 30_000);
        assert_eq!(Retry { tries: 3, at: 100_000, first: Some(7) }.since(), 7);
        // Progress begins the pauses anew, and is not a failure more.
        let first = Retry::after(None, 0).due_first(Some(7));
        let slow = (0..5).fold(first, |retry, _| Retry::soon(Some(retry), retry.at).due_first(Some(9)));
        assert_eq!(slow, Retry { tries: 1, at: 60_000, first: Some(7) });
        assert_eq!(Retry::after(Some(slow), 60_000), Retry { tries: 2, at: 80_000, first: Some(7) });
        assert_eq!(Retry::after(Some(Retry { tries: u32::MAX, at: 0, first: None }), 0).tries, u32::MAX);
        // Those of evidence go on to six hours: some 40 in the week of a record.
        let (mut retry, mut tries) = (Retry::of_evidence(None, 0), 1);
        while retry.at < 7 * 24 * 3_600_000 {
            let next = Retry::of_evidence(Some(retry), retry.at);
            assert!(next.at - retry.at <= 6 * 3_600_000);
            (retry, tries) = (next, tries + 1);
        }
        assert!((35..45).contains(&tries), "{tries}");
    }
}
