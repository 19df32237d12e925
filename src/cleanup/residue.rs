//! What lies in the object store without a reason: the rules by which a store is compared with the
//! records of the jobs.
//!
//! The cleanup acts on the records. These rules begin at the other end, with what is in the store, so
//! that a reviewer need not believe the cleanup. They decide only: nothing is deleted.

use crate::domain::ids::{JobId, ObjectKey, Role};
use crate::domain::job::{Job, Millis};

/// What is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An object, or a version of one.
    Object,
    /// The marker of an object that was deleted without its versions.
    Marker,
    /// A multipart upload that was not completed.
    Upload,
    /// A file with content that the index of the embedded store does not name.
    File,
}

impl Kind {
    /// Its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Marker => "marker",
            Self::Upload => "upload",
            Self::File => "file",
        }
    }
}

/// One of them. Its key is not kept, because it has the name of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Below which prefix it lies; `None` if that is not one of a job's.
    pub place: Option<(Role, JobId)>,
    /// Its size in bytes, if the store says it.
    pub size_bytes: Option<u64>,
    /// When it was made, by the store's clock, if the store says it.
    pub made: Option<Millis>,
}

/// The place of a key, or of the beginning of one. Everything below the prefix of a job belongs to it,
/// whatever the rest is: that is what a deletion lists.
pub fn place_of(key: &str) -> Option<(Role, JobId)> {
    [Role::Upload, Role::Processed].into_iter().find_map(|role| {
        let (id, _) = key.strip_prefix(&ObjectKey::root(role))?.split_once('/')?;
        let job: JobId = id.parse().ok()?;
        key.starts_with(&ObjectKey::prefix(role, job)).then_some((role, job))
    })
}

/// Why something has no reason to be in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is below no prefix of a job.
    UnknownPlace,
    /// The index does not name it.
    Unnamed,
    /// Its job has no record.
    NoRecord,
    /// Its deletion was due at this time, and is not confirmed.
    Due(Millis),
    /// Its deletion was confirmed at this time.
    Confirmed(Millis),
}

impl Reason {
    /// Its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownPlace => "unknown_place",
            Self::Unnamed => "not_in_the_index",
            Self::NoRecord => "no_record",
            Self::Due(_) => "deletion_due",
            Self::Confirmed(_) => "deletion_confirmed",
        }
    }

    /// Since when it has no reason, if that is known.
    pub fn since(self) -> Option<Millis> {
        match self {
            Self::Due(since) | Self::Confirmed(since) => Some(since),
            Self::UnknownPlace | Self::Unnamed | Self::NoRecord => None,
        }
    }
}

/// Why what is below a prefix of this job should not be there; `None` if it may be. A deletion that has
/// been due for no longer than `grace` is on its way.
pub fn reason(job: Option<&Job>, now: Millis, grace: Millis) -> Option<Reason> {
    let Some(job) = job else { return Some(Reason::NoRecord) };
    if !job.state.is_terminal() {
        return None;
    }
    if job.purges > 0 {
        return Some(Reason::Confirmed(job.times.purged.unwrap_or_default()));
    }
    // A deletion that failed is due again later, and was due before that.
    let since = job.retry.map_or(job.due, |retry| Some(retry.since())).unwrap_or_default();
    (since.saturating_add(grace) < now).then_some(Reason::Due(since))
}

/// How far times of the store and of the records may be apart, in milliseconds: S3 has whole seconds.
const ROUGHLY: Millis = 2000;

/// Whether something has come after the confirmed deletion of its job, within `grace`: an upload may end late,
/// and is deleted by the worker that receives its event.
pub fn is_arriving(item: &Item, reason: Reason, now: Millis, grace: Millis) -> bool {
    let Reason::Confirmed(confirmed) = reason else { return false };
    item.made.is_some_and(|made| {
        let is_later = made.saturating_add(ROUGHLY) >= confirmed;
        is_later && made <= now.saturating_add(ROUGHLY) && made.saturating_add(grace) >= now
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::{Deletion, JobSpec, Multipart, Object};
    use crate::domain::state::{Decision, Event, Policy, apply, created};

    const POLICY: Policy = Policy {
        max_attempts: 3,
        upload_window: 1_000_000,
        lease: 10_000,
        redeliver: 100_000,
        retention: 500_000,
        linger: 300_000,
        record: 9_000_000,
    };
    const GRACE: Millis = 60_000;

    fn id() -> JobId {
        JobId::from_random_bytes([0xab; 16])
    }

    fn new() -> Job {
        let order = JobSpec {
            owner: "ann".parse().unwrap(),
            file_name: "a.zip".parse().unwrap(),
            size_bytes: 7,
            sha256: None,
            format: "dxf".to_owned(),
            root: None,
            options: Default::default(),
            compress: Default::default(),
            strict: false,
            accept_gzip: false,
            result_ttl_seconds: None,
        };
        created(id(), order, &POLICY, 1000)
    }

    fn then(job: Job, event: Event, now: Millis) -> Job {
        match apply(&job, &event, &POLICY, now) {
            Decision::Accept(next) => *next,
            other => panic!("{event:?}: {other:?}"),
        }
    }

    fn object(key: ObjectKey) -> Object {
        Object { key, size_bytes: 7, etag: "e".to_owned(), version: None, sha256: None, encoded: None }
    }

    fn completed(at: Millis) -> Job {
        let input = object(ObjectKey::upload(id(), "a.zip".parse().unwrap()));
        let output = object(ObjectKey::processed(id(), 1, "a.dxf".parse().unwrap()));
        let job = then(new(), Event::Uploaded { object: input, sequencer: "1".to_owned(), at: None }, at);
        let job = then(job, Event::Claimed { worker: "w".to_owned(), revision: 1, dead: None }, at);
        then(job, Event::Completed { attempt: 1, output }, at)
    }

    fn purged(job: Job, at: Millis) -> Job {
        let deletion = Deletion {
            objects: 2,
            marks: 0,
            uploads: 0,
            confirmed_at: at,
            oldest_age_ms: None,
            by: "c".to_owned(),
            evidence: Default::default(),
        };
        then(job.clone(), Event::Purged { before: job.purges, deletion, tries: Vec::new(), head: None }, at)
    }

    #[test]
    fn what_a_live_job_has_is_no_residue_however_late_it_is() {
        let late = Millis::MAX / 2;
        assert_eq!(reason(Some(&new()), late, GRACE), None);
        let multipart = Multipart { upload_id: "u".to_owned(), part_bytes: 5 };
        assert_eq!(reason(Some(&then(new(), Event::UploadBegun { multipart }, 2000)), late, GRACE), None);
    }

    #[test]
    fn a_result_may_be_there_until_it_is_due() {
        let job = completed(10_000);
        let due = 10_000 + POLICY.retention;
        assert_eq!(reason(Some(&job), due + GRACE, GRACE), None);
        assert_eq!(reason(Some(&job), due + GRACE + 1, GRACE), Some(Reason::Due(due)));
        // The client has it.
        let fetched = then(job.clone(), Event::Dismissed, 20_000);
        assert_eq!(reason(Some(&fetched), 20_000 + GRACE + 1, GRACE), Some(Reason::Due(20_000)));
        // A deletion that fails was due when it was first.
        let failed = then(job, Event::Postponed { before: 0, is_nearer: false }, due + 5);
        let later = due + GRACE + 100_000;
        assert_eq!(reason(Some(&failed), later, GRACE), Some(Reason::Due(due)));
    }

    #[test]
    fn after_a_deletion_nothing_may_be_there_at_all() {
        let once = purged(then(new(), Event::Cancelled, 5000), 6000);
        assert_eq!(reason(Some(&once), 6001, GRACE), Some(Reason::Confirmed(6000)));
        let twice = purged(once, 400_000);
        assert_eq!(reason(Some(&twice), 500_000, GRACE), Some(Reason::Confirmed(400_000)));
        assert_eq!(reason(None, 0, GRACE), Some(Reason::NoRecord));
    }

    #[test]
    fn what_comes_late_is_on_its_way_for_as_long_as_a_deletion() {
        let item =
            |made| Item { kind: Kind::Object, place: Some((Role::Upload, id())), size_bytes: None, made };
        let confirmed = Reason::Confirmed(6000);
        for (made, now, is_arriving_then) in [
            (Some(6000), 6000 + GRACE, true),
            (Some(6000), 6001 + GRACE, false),
            (Some(4000), 6000, true),
            (Some(3999), 6000, false),
            (Some(8000), 6000, true),
            (Some(8001), 6000, false),
            (None, 6000, false),
        ] {
            assert_eq!(is_arriving(&item(made), confirmed, now, GRACE), is_arriving_then, "{made:?} {now}");
        }
        assert!(!is_arriving(&item(Some(6000)), Reason::Due(6000), 6000, GRACE));
    }

    #[test]
    fn a_place_is_below_the_prefix_of_a_job() {
        let id = id();
        for (key, role) in [
            (format!("uploads/{id}/a.zip"), Role::Upload),
            (format!("uploads/{id}/"), Role::Upload),
            (format!("processed/{id}/1/a.dxf"), Role::Processed),
            (format!("processed/{id}/x/y/z"), Role::Processed),
        ] {
            assert_eq!(place_of(&key), Some((role, id)), "{key}");
        }
        let loud = id.to_string().to_uppercase();
        for key in [
            "",
            "x",
            "uploads/",
            &format!("uploads/{id}"),
            &format!("other/{id}/a"),
            &format!("uploads/{loud}/a"),
        ] {
            assert_eq!(place_of(key), None, "{key}");
        }
    }
}
