//! The contract of [`JobStore`] on records of another version of cadmill: what this version does not know is
//! kept through every kind of change, and a record that it cannot read is left as it is.

use super::audit_sink::head_of;
use super::job_store::{new_job, new_owner};
use async_trait::async_trait;
use cadmill_core::cleanup::upload_key;
use cadmill_core::domain::counts::{CountedUnit, Counts};
use cadmill_core::domain::due::Part;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::job::{
    Deletion, EngineFacts, Evidence, Job, JobFailure, Millis, Multipart, Object, Purged, Stage, State,
    Unconfirmed, Warnings,
};
use cadmill_core::domain::ledger::LedgerId;
use cadmill_core::domain::quota::{Place, Quota, Usage};
use cadmill_core::domain::state::{Event, Policy};
use cadmill_core::jobs::{Change, Jobs};
use cadmill_core::ports::{Clock, JobStore, PortError};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The records of a store as they are stored.
#[async_trait]
pub trait Raw: Send + Sync {
    /// The text of a job's record.
    async fn read(&self, id: JobId) -> String;

    /// Replaces it, and nothing else of the job.
    async fn write(&self, id: JobId, record: String);
}

/// A field that no version has.
const FIELD: &str = "of_another_version";

/// Maps, closed things, and values with several shapes: what is in them is all that there is.
const CLOSED: &[&str] = &["options", "stage_millis", "counts", "facts", "audit", "evidence"];

/// A clock that a test sets.
#[derive(Default)]
pub struct SetClock(AtomicU64);

impl SetClock {
    /// Sets it.
    pub fn set(&self, now: Millis) {
        self.0.store(now, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }
}

/// Adds a field to every thing of a record.
pub fn plant(thing: &mut Value) {
    match thing {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if !CLOSED.contains(&name.as_str()) && name != FIELD {
                    plant(member);
                }
            }
            members.insert(FIELD.to_owned(), json!({ "kept": [1, "가", null] }));
        }
        Value::Array(list) => list.iter_mut().for_each(plant),
        _ => {}
    }
}

/// The places of the things of `after` that were in `before`, with the field, and do not have it.
fn lost(place: &str, before: &Value, after: &Value) -> Vec<String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let own = (before.get(FIELD) != after.get(FIELD)).then(|| place.to_owned());
            let members = after.iter().filter(|(name, _)| *name != FIELD);
            let members = members.filter_map(|(name, after)| Some((name, before.get(name)?, after)));
            own.into_iter()
                .chain(
                    members.flat_map(|(name, before, after)| lost(&format!("{place}/{name}"), before, after)),
                )
                .collect()
        }
        (Value::Array(before), Value::Array(after)) => {
            let pairs = before.iter().zip(after).enumerate();
            pairs.flat_map(|(at, (before, after))| lost(&format!("{place}/{at}"), before, after)).collect()
        }
        _ => Vec::new(),
    }
}

/// A job whose record has a field of another version in each of its things.
struct Planted<'a> {
    jobs: Jobs,
    clock: Arc<SetClock>,
    raw: &'a dyn Raw,
    id: JobId,
}

impl<'a> Planted<'a> {
    async fn new(store: &Arc<dyn JobStore>, raw: &'a dyn Raw) -> Planted<'a> {
        let clock = Arc::new(SetClock::default());
        clock.set(1_000);
        let jobs = Jobs::new(Arc::clone(store), Arc::clone(&clock) as Arc<dyn Clock>, Policy::default());
        let mut job = new_job(&new_owner(), 1_000);
        job.counted = Some(7);
        store.create(&job).await.expect("created");
        Self { jobs, clock, raw, id: job.id }
    }

    fn key(&self) -> ObjectKey {
        upload_key(self.id, &"plan.zip".parse().expect("a name"))
    }

    /// Sends an event, which must change the job. The things at `replaced` are others after it.
    async fn send(&self, event: Event, replaced: &[&str]) -> Job {
        let mut before: Value = serde_json::from_str(&self.raw.read(self.id).await).expect("JSON");
        plant(&mut before);
        self.raw.write(self.id, before.to_string()).await;
        let job = match self.jobs.send(self.id, &event).await.expect("sent") {
            Change::Done(job) => *job,
            other => panic!("{event:?}: {other:?}"),
        };
        let after: Value = serde_json::from_str(&self.raw.read(self.id).await).expect("JSON");
        assert_eq!(lost("", &before, &after), replaced, "after {event:?}: {after}");
        assert!(after["version"].as_u64() > before["version"].as_u64(), "{event:?}");
        job
    }

    async fn uploaded(&self) {
        let object = object(self.key());
        self.send(Event::Uploaded { object, sequencer: "1".to_owned(), at: None }, &[]).await;
    }

    async fn claimed(&self) {
        let event = Event::Claimed { worker: "one".to_owned(), revision: 1, dead: None };
        // The warnings are those of the new attempt.
        self.send(event, &["/warnings"]).await;
    }

    fn audited(&self, attempt: u32, end: Event) -> Event {
        let head = head_of(LedgerId::of_attempt(self.id, attempt), &["{\"a\":1}\n"]);
        Event::Audited { head: Box::new(head), end: Some(Box::new(end)) }
    }
}

fn object(key: ObjectKey) -> Object {
    let etag = "\"e\"".to_owned();
    Object { key, size_bytes: 9, etag, version: Some("v".to_owned()), sha256: None, encoded: None }
}

fn failure() -> JobFailure {
    JobFailure { code: FailureCode::Io, message: "it failed".to_owned(), at: Some(Stage::Fetch) }
}

fn deletion(evidence: Evidence, at: Millis) -> Deletion {
    let by = "cleaner".to_owned();
    Deletion { objects: 2, marks: 0, uploads: 0, confirmed_at: at, oldest_age_ms: Some(5), by, evidence }
}

/// Every change of a job, from its creation to its last deletion, keeps what another version has in it.
///
/// # Panics
/// If the store loses something.
pub async fn keeps_what_it_does_not_know(store: Arc<dyn JobStore>, raw: &dyn Raw) {
    let it = Planted::new(&store, raw).await;
    let multipart = Multipart { upload_id: "u".to_owned(), part_bytes: 8 << 20 };
    it.send(Event::UploadBegun { multipart }, &[]).await;
    it.uploaded().await;
    it.send(Event::Announced, &[]).await;
    it.send(Event::Polled { times: 3 }, &[]).await;
    it.claimed().await;
    it.send(Event::Watched { revision: 1, unchanged: 50 }, &[]).await;
    it.send(Event::Renewed { attempt: 1, revision: 2, progress: None }, &[]).await;
    it.send(Event::Progressed { attempt: 1, stage: Stage::Convert, progress: 500 }, &[]).await;
    let mut warnings = Warnings::default();
    warnings.push("a warning");
    let reported = |attempt| Event::Reported {
        attempt,
        millis: [(Stage::Fetch, 5)].into(),
        warnings: warnings.clone(),
        counts: Some(Counts { unit: CountedUnit::Parts, read: 1, written: 1, skipped: 0 }),
        facts: EngineFacts::fitting(&[("solids".to_owned(), "1".to_owned())].into()).0,
    };
    it.send(reported(1), &[]).await;
    it.send(it.audited(1, Event::Released { attempt: 1, failure: Some(failure()) }), &[]).await;
    it.claimed().await;
    it.send(reported(2), &[]).await;
    let output = object(ObjectKey::processed(it.id, 2, "plan.dxf".parse().expect("a name")));
    // The job ends, and is then not counted any more.
    let job = it.send(it.audited(2, Event::Completed { attempt: 2, output }), &[]).await;
    assert_eq!((job.state, job.counted), (State::Completed, None));
    it.send(Event::Dismissed, &[]).await;
    it.clock.set(10_000);
    it.send(Event::Postponed { before: 0, is_nearer: false }, &[]).await;
    it.clock.set(40_000);
    it.send(Event::Postponed { before: 1, is_nearer: true }, &[]).await;
    let purged = Purged { objects: 1, ..Purged::default() };
    let part = Unconfirmed { id: 5, purged };
    it.send(Event::PurgedInPart { part, unless: None }, &[]).await;
    let owed = deletion(Evidence::Owed, 40_000);
    let first = Event::Purged { before: 0, deletion: owed.clone(), tries: vec![5], head: None };
    it.send(first, &[]).await;
    it.send(Event::EvidenceFailed { before: 0 }, &[]).await;
    let head = Box::new(head_of(LedgerId::of_deletions(it.id, 1), &["{\"a\":1}\n"]));
    let deletion_on_record = Deletion { evidence: Evidence::Part(1), ..owed };
    it.send(Event::Evidenced { deletion: deletion_on_record, head: Some(head) }, &[]).await;
    let second = deletion(Evidence::None, 90_000);
    let job =
        it.send(Event::Purged { before: 1, deletion: second, tries: Vec::new(), head: None }, &[]).await;
    assert_eq!((job.purges, job.deletions.len()), (2, 2));
    store.delete(&job).await.expect("deleted");

    let failed = Planted::new(&store, raw).await;
    failed.uploaded().await;
    failed.claimed().await;
    failed.send(Event::Failed { attempt: 1, failure: failure() }, &[]).await;
    failed.send(Event::Dismissed, &[]).await;
    for event in [Event::Cancelled, Event::Expired] {
        let ended = Planted::new(&store, raw).await;
        ended.send(event, &[]).await;
        let job = ended.send(Event::Polled { times: 1 }, &[]).await;
        store.delete(&job).await.expect("deleted");
    }
}

/// A record that has a state of another version hides no other, is answered as such, and stays as it is.
///
/// # Panics
/// If the store violates the contract.
pub async fn leaves_what_it_cannot_read(store: Arc<dyn JobStore>, raw: &dyn Raw) {
    let owner = new_owner();
    let jobs: Vec<Job> = (1..=2).map(|number| Job { due: Some(number), ..new_job(&owner, number) }).collect();
    for job in &jobs {
        store.create(job).await.expect("created");
    }
    let [newer, other] = &jobs[..] else { unreachable!() };
    let mut record: Value = serde_json::from_str(&raw.read(newer.id).await).expect("JSON");
    record["state"] = json!("SEALING");
    plant(&mut record);
    let record = record.to_string();
    raw.write(newer.id, record.clone()).await;

    let is_newer = |error: Option<PortError>| matches!(error, Some(PortError::Newer(_)));
    assert!(is_newer(store.get(newer.id).await.err()));
    assert!(is_newer(store.create(newer).await.err()));
    let hasty = Job { version: newer.version + 5, ..newer.clone() };
    assert!(is_newer(store.replace(&hasty).await.err()));
    let page = store.list(&owner, None, 10).await.expect("a page");
    assert_eq!((page.jobs.len(), page.unreadable), (1, 1));
    let mut found = Vec::new();
    for part in Part::all() {
        let due = store.due(part, 0..=10, 50).await.expect("what is due");
        found.extend(due.unreadable.into_iter().filter(|record| record.id == newer.id.to_string()));
    }
    let [unreadable] = &found[..] else { panic!("{found:?}") };
    assert!(unreadable.is_newer);
    store.set_aside(unreadable, 20).await.expect("set aside");
    assert_eq!(raw.read(newer.id).await, record, "nothing has changed in it");
    assert_eq!(store.get(other.id).await, Ok(Some(other.clone())));
}

/// What another version has in the records of an owner and of the cleanup programs is kept.
///
/// # Panics
/// If the store loses something.
pub async fn keeps_other_records(store: &dyn JobStore, raw: &dyn Others) {
    let mut usage = Usage::new(new_owner());
    let place = |reservation| Place { reservation, job: JobId::random(), bytes: 1 };
    for reservation in [1, 2] {
        usage.reserve(&place(reservation), &Quota { jobs: 9, bytes: 9 }, 0).expect("a place");
    }
    usage.version = 1;
    store.replace_usage(&usage).await.expect("stored");
    let owner = usage.owner.as_str().to_owned();
    let mut record: Value = serde_json::from_str(&raw.usage(&owner).await).expect("JSON");
    plant(&mut record);
    // Each member of this map is a mark, and of the next one a program.
    record["marks"].as_object_mut().expect("a map").remove(FIELD);
    record["marks"]["2"]["step"] = json!("Lent");
    raw.set_usage(&owner, record.to_string()).await;
    let mut next = store.usage(&usage.owner).await.expect("read").expect("there");
    next.release(&place(1), 5);
    next.release(&place(2), 5);
    next.version += 1;
    store.replace_usage(&next).await.expect("stored");
    let after: Value = serde_json::from_str(&raw.usage(&owner).await).expect("JSON");
    assert_eq!(lost("", &record, &after), [""; 0], "{after}");
    assert_eq!((&after["jobs"], &after["marks"]["2"]["step"]), (&json!(1), &json!("Lent")));

    let crew = store.crew().await.expect("read").unwrap_or_default().with("one", 1, 100);
    assert!(store.replace_crew(&crew).await.expect("stored"));
    let mut record: Value = serde_json::from_str(&raw.crew().await).expect("JSON");
    plant(&mut record);
    for map in ["members", "generations"] {
        record[map].as_object_mut().expect("a map").remove(FIELD);
    }
    raw.set_crew(record.to_string()).await;
    let next = store.crew().await.expect("read").expect("there").with("two", 2, 102).without("one");
    let next = cadmill_core::domain::crew::Crew { version: crew.version + 1, ..next };
    assert!(store.replace_crew(&next).await.expect("stored"));
    let after: Value = serde_json::from_str(&raw.crew().await).expect("JSON");
    assert_eq!(lost("", &record, &after), [""; 0], "{after}");
}

/// The records of owners and of the cleanup programs as they are stored.
#[async_trait]
pub trait Others: Send + Sync {
    /// That of an owner.
    async fn usage(&self, owner: &str) -> String;

    /// Replaces it.
    async fn set_usage(&self, owner: &str, record: String);

    /// That of the cleanup programs.
    async fn crew(&self) -> String;

    /// Replaces it.
    async fn set_crew(&self, record: String);
}
