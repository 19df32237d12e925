use super::super::crew::Crew;
use super::super::deletion::{Deletion, Evidence, Retry};
use super::super::ids::JobId;
use super::super::job::{Compress, Job, JobSpec, Lease, State};
use super::super::quota::{Place, Quota, Step, Usage};
use super::super::state::{Policy, created};
use super::*;
use serde_json::json;

fn job() -> Job {
    let order = JobSpec {
        owner: "ann".parse().unwrap(),
        file_name: "plan.zip".parse().unwrap(),
        size_bytes: 7,
        sha256: None,
        format: "dxf".to_owned(),
        root: None,
        options: [("scale".to_owned(), "2".to_owned())].into(),
        compress: Compress::Never,
        strict: false,
        accept_gzip: false,
        result_ttl_seconds: None,
    };
    created(JobId::random(), order, &Policy::default(), 1)
}

fn deletion(at: u64) -> Deletion {
    Deletion {
        objects: 1,
        marks: 0,
        uploads: 0,
        confirmed_at: at,
        oldest_age_ms: None,
        by: "one".to_owned(),
        evidence: Evidence::Owed,
    }
}

/// The record after a change of its text.
fn with(record: &impl Record, change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(&write(record).unwrap()).unwrap();
    change(&mut value);
    value.to_string()
}

/// The record as it is stored after this change of what was read.
fn stored<T: Record>(text: &str, change: impl FnOnce(&mut T)) -> Value {
    let mut record: T = read(text).unwrap();
    change(&mut record);
    serde_json::from_str(&write(&record).unwrap()).unwrap()
}

#[test]
fn a_record_of_this_version_has_nothing_unknown() {
    let job = job();
    let text = write(&job).unwrap();
    assert_eq!(text, serde_json::to_string(&job).unwrap());
    let read: Job = read(&text).unwrap();
    assert!(read == job && read.unknown.texts.is_none());
    // Nor one of an earlier version, which lacks fields, or has them as null.
    let earlier = with(&job, |record| {
        record.as_object_mut().unwrap().remove("facts");
        record["trace"] = Value::Null;
    });
    let read: Job = super::read(&earlier).unwrap();
    assert!(read == job && read.unknown.texts.is_none());
}

#[test]
fn unknown_fields_stay_with_what_they_belong_to() {
    let mut job = job();
    job.lease = Some(Lease { worker: "one".to_owned(), revision: 1, unchanged: 0 });
    job.deletions = vec![deletion(5), deletion(9)];
    job.retry = Some(Retry::after(None, 0));
    let text = with(&job, |record| {
        for place in ["", "/order", "/lease", "/deletions/0", "/deletions/1", "/retry"] {
            record.pointer_mut(place).unwrap()["more"] = json!({ "of": place });
        }
    });
    let has =
        |record: &Value, place: &str| record.pointer(place).and_then(|thing| thing.get("more")).is_some();

    let renewed = stored(&text, |job: &mut Job| {
        job.lease = Some(Lease { worker: "one".to_owned(), revision: 2, unchanged: 0 });
        job.retry = None;
        job.deletions.remove(0);
        job.deletions[0].evidence = Evidence::Part(3);
        job.deletions.push(deletion(12));
        job.state = State::Processing;
        job.version += 1;
    });
    assert!(["", "/order", "/lease", "/deletions/0"].iter().all(|place| has(&renewed, place)), "{renewed}");
    assert_eq!(renewed["deletions"][0]["more"]["of"], "/deletions/1");
    assert_eq!(
        (renewed["deletions"][0]["evidence"]["part"].as_u64(), has(&renewed, "/deletions/1")),
        (Some(3), false)
    );
    assert_eq!(
        (renewed.get("retry"), &renewed["state"], &renewed["lease"]["revision"]),
        (None, &json!("PROCESSING"), &json!(2))
    );

    let other = stored(&text, |job: &mut Job| {
        job.attempt += 1;
        job.lease = Some(Lease { worker: "one".to_owned(), revision: 2, unchanged: 0 });
    });
    assert!(!has(&other, "/lease") && has(&other, "/order"), "the lease of another attempt");
}

#[test]
fn a_whole_record_with_an_unknown_value_is_newer_and_others_are_damaged() {
    let job = job();
    for (name, value) in [
        ("state", json!("SEALING")),
        ("stage", json!("seal")),
        ("failure", json!({ "code": "input.newer", "message": "", "at": null })),
        ("counts", json!({ "unit": "bytes", "read": 1, "written": 1, "skipped": 0 })),
        ("progress", json!("half")),
        ("due", json!({ "at": 1 })),
    ] {
        let text = with(&job, |record| record[name] = value);
        assert_eq!(read::<Job>(&text), Err(Unreadable::Newer), "{name}");
    }
    let text = write(&job).unwrap();
    for damaged in ["", "{", "null", "[]", "{\"id\":\"a\"}", &text[..text.len() - 1], &text[1..]] {
        assert!(matches!(read::<Job>(damaged), Err(Unreadable::Damaged { .. })), "{damaged}");
    }
    for name in ["id", "order", "state", "times", "version"] {
        let text = with(&job, |record| {
            record["stage"] = json!("seal");
            record.as_object_mut().unwrap().remove(name);
        });
        assert!(matches!(read::<Job>(&text), Err(Unreadable::Damaged { .. })), "{name}");
    }
}

#[test]
fn a_step_of_another_version_is_left_to_it() {
    let mut usage = Usage::new("ann".parse().unwrap());
    let quota = Quota { jobs: 5, bytes: 100 };
    let place = |reservation| Place { reservation, job: JobId::random(), bytes: 10 };
    let (one, two) = (place(1), place(2));
    for place in [&one, &two] {
        usage.reserve(place, &quota, 0).unwrap();
    }
    usage.version = 1;
    let text = with(&usage, |record| {
        record["marks"]["2"]["step"] = json!("Lent");
        record["marks"]["1"]["more"] = json!(true);
        record["limit"] = json!(3);
    });
    let after = stored(&text, |usage: &mut Usage| {
        assert_eq!(
            (usage.marks.len(), usage.others.contains(&2), usage.needs_record(&two)),
            (1, true, false)
        );
        usage.reserve(&two, &quota, 5).unwrap();
        usage.withdraw(&two);
        usage.release(&two, 5);
        usage.confirm(2, Step::Reserved);
        assert_eq!((usage.jobs, usage.bytes), (2, 20), "only the other version knows whether it is counted");
        usage.release(&one, 5);
        usage.version += 1;
    });
    assert_eq!((&after["marks"]["2"]["step"], &after["limit"]), (&json!("Lent"), &json!(3)));
    assert_eq!(
        (&after["marks"]["1"]["step"], &after["marks"]["1"]["more"]),
        (&json!("Released"), &json!(true))
    );
    assert_eq!(after["jobs"], 1);
}

#[test]
fn the_crew_keeps_what_another_version_has_of_it() {
    let crew = Crew::default().with("a", 1, 100);
    let text = with(&crew, |record| record["leader"] = json!("a"));
    let after = stored(&text, |crew: &mut Crew| *crew = crew.with("b", 2, 102).without("a"));
    assert_eq!((&after["leader"], after["members"].as_object().unwrap().len()), (&json!("a"), 1));
}
