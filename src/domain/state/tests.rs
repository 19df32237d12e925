//! Random sequences of events, as several workers, a reaper, a client and a store
//! that repeats itself would send them.

use super::super::ids::{JobId, ObjectKey, Role};
use super::super::job::Order;
use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

const MAX_ATTEMPTS: u32 = 3;

fn object(role: Role, tag: &str) -> Object {
    let key = ObjectKey::new(role, JobId::from_random_bytes([1; 16]), "a.zip".parse().unwrap());
    Object { key, size_bytes: 7, etag: tag.to_owned(), version: None, sha256: None }
}

fn new_job() -> Job {
    let order = Order {
        owner: "someone".parse().unwrap(),
        file_name: "a.zip".parse().unwrap(),
        size_bytes: 7,
        sha256: None,
        format: "dxf".to_owned(),
        root: None,
        options: Default::default(),
    };
    Job::new(JobId::from_random_bytes([1; 16]), order, 0)
}

fn failure() -> JobFailure {
    JobFailure { code: FailureCode::EngineRejected, message: "no".to_owned(), at: Some(Stage::Convert) }
}

fn event() -> impl Strategy<Value = Event> {
    let attempt = 0u32..5;
    let revision = 0u64..6;
    let stage =
        prop::sample::select(vec![Stage::Fetch, Stage::Unpack, Stage::Convert, Stage::Publish, Stage::Wipe]);
    prop_oneof![
        "[0-9A-F]{1,3}"
            .prop_map(|sequencer| Event::Uploaded { object: object(Role::Upload, &sequencer), sequencer }),
        ("w[1-3]", revision.clone(), prop::option::of(revision.clone()))
            .prop_map(|(worker, revision, dead)| Event::Claimed { worker, revision, dead }),
        (attempt.clone(), revision.clone())
            .prop_map(|(attempt, revision)| Event::Renewed { attempt, revision }),
        (attempt.clone(), stage, 0u16..1200).prop_map(|(attempt, stage, progress)| Event::Progressed {
            attempt,
            stage,
            progress
        }),
        attempt.clone().prop_map(|attempt| Event::Released { attempt }),
        (attempt.clone(), "[ab]")
            .prop_map(|(attempt, tag)| Event::Completed { attempt, output: object(Role::Processed, &tag) }),
        attempt.prop_map(|attempt| Event::Failed { attempt, failure: failure() }),
        Just(Event::Cancelled),
        Just(Event::Expired),
        revision.prop_map(|dead| Event::Abandoned { dead }),
    ]
}

/// The job after the event, and whether anything changed.
fn step(job: &Job, event: &Event) -> (Job, bool) {
    match apply(job, event, MAX_ATTEMPTS, 1) {
        Decision::Accept(next) => (*next, true),
        Decision::Ignore(_) | Decision::Deny(_) => (job.clone(), false),
    }
}

/// What the record's documentation promises.
fn assert_whole(job: &Job) {
    assert_eq!(job.lease.is_some(), job.state == State::Processing, "{job:?}");
    assert_eq!(job.output.is_some(), job.state == State::Completed, "{job:?}");
    assert_eq!(job.failure.is_some(), job.state == State::Failed, "{job:?}");
    assert_eq!(job.times.ended.is_some(), job.state.is_terminal(), "{job:?}");
    assert!(job.attempt <= MAX_ATTEMPTS && job.progress <= 1000, "{job:?}");
    assert!(job.attempt == 0 || job.input.is_some(), "claimed without an upload: {job:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn sequences_keep_every_promise(events in prop::collection::vec(event(), 0..60)) {
        let mut job = new_job();
        let mut winners: HashMap<u32, String> = HashMap::new();
        for event in events {
            let (next, changed) = step(&job, &event);
            assert_whole(&next);
            // A change is one version; no change is none.
            prop_assert_eq!(next.version, job.version + u64::from(changed));
            if job.state.is_terminal() {
                prop_assert!(!changed, "out of {:?} by {:?}", job.state, event);
            }
            // Attempts are raised by claims only, one at a time, one winner each.
            if next.attempt != job.attempt {
                prop_assert_eq!(next.attempt, job.attempt + 1);
                let Event::Claimed { worker, .. } = &event else { panic!("attempt raised by {event:?}") };
                prop_assert!(winners.insert(next.attempt, worker.clone()).is_none());
            }
            // The same event once more changes nothing.
            prop_assert!(!step(&next, &event).1 || !changed, "twice: {event:?}");
            job = next;
        }
    }

    /// Nobody but the holder of the latest attempt moves a job that is being worked on,
    /// but for its owner and those who saw the lease dead.
    #[test]
    fn stale_attempts_change_nothing(events in prop::collection::vec(event(), 0..40), last in event()) {
        let job = events.iter().fold(new_job(), |job, event| step(&job, event).0);
        let stale = match &last {
            Event::Renewed { attempt, .. }
            | Event::Progressed { attempt, .. }
            | Event::Released { attempt }
            | Event::Completed { attempt, .. }
            | Event::Failed { attempt, .. } => *attempt != job.attempt,
            _ => false,
        };
        if stale {
            prop_assert_eq!(apply(&job, &last, MAX_ATTEMPTS, 1), Decision::Deny(Denied::Superseded));
        }
    }
}

fn claim(worker: &str, revision: u64, dead: Option<u64>) -> Event {
    Event::Claimed { worker: worker.to_owned(), revision, dead }
}

fn upload() -> Event {
    Event::Uploaded { object: object(Role::Upload, "e"), sequencer: "1".to_owned() }
}

fn after(events: &[Event]) -> Job {
    events.iter().fold(new_job(), |job, event| step(&job, event).0)
}

#[test]
fn the_straight_way() {
    let output = object(Role::Processed, "o");
    let job = after(&[
        upload(),
        claim("w1", 10, None),
        Event::Progressed { attempt: 1, stage: Stage::Convert, progress: 500 },
        Event::Renewed { attempt: 1, revision: 11 },
        Event::Completed { attempt: 1, output: output.clone() },
    ]);
    assert_eq!((job.state, job.attempt, job.output), (State::Completed, 1, Some(output)));
}

#[test]
fn a_claim_whose_reply_was_lost_is_recognised() {
    let job = after(&[upload(), claim("w1", 10, None)]);
    assert_eq!(apply(&job, &claim("w1", 10, None), 3, 1), Decision::Ignore(Ignored::Duplicate));
    assert_eq!(apply(&job, &claim("w2", 20, None), 3, 1), Decision::Deny(Denied::Held));
    // Another claim of the same worker is another claim.
    assert_eq!(apply(&job, &claim("w1", 12, None), 3, 1), Decision::Deny(Denied::Held));
}

#[test]
fn a_dead_lease_is_taken_over_and_a_renewed_one_is_not() {
    let job = after(&[upload(), claim("w1", 10, None)]);
    let (taken, changed) = step(&job, &claim("w2", 20, Some(10)));
    assert!(changed && taken.attempt == 2);
    assert_eq!(
        apply(&taken, &Event::Completed { attempt: 1, output: object(Role::Processed, "o") }, 3, 1),
        Decision::Deny(Denied::Superseded)
    );
    let renewed = step(&job, &Event::Renewed { attempt: 1, revision: 11 }).0;
    assert_eq!(apply(&renewed, &claim("w2", 20, Some(10)), 3, 1), Decision::Deny(Denied::Held));
}

#[test]
fn a_crash_loop_ends() {
    let mut job = after(&[upload()]);
    for attempt in 1..=3u64 {
        job = step(&job, &claim("w", attempt, Some(attempt - 1))).0;
    }
    assert_eq!(job.attempt, 3);
    assert_eq!(apply(&job, &claim("w", 9, Some(3)), 3, 1), Decision::Deny(Denied::AttemptsSpent));
    let ended = step(&job, &Event::Abandoned { dead: 3 }).0;
    assert_eq!(ended.failure.unwrap().code, FailureCode::WorkerLost);
}

#[test]
fn a_job_that_is_given_back_waits_or_ends() {
    let given_back = after(&[upload(), claim("w", 1, None), Event::Released { attempt: 1 }]);
    assert_eq!((given_back.state, given_back.lease.is_none()), (State::Pending, true));
    assert_eq!(
        apply(&given_back, &Event::Released { attempt: 1 }, 3, 1),
        Decision::Ignore(Ignored::Duplicate)
    );
    let mut job = given_back;
    for attempt in 2..=3 {
        job = step(&step(&job, &claim("w", 5 + u64::from(attempt), None)).0, &Event::Released { attempt }).0;
    }
    assert_eq!(job.state, State::Failed, "nobody could claim it any more");
}

#[test]
fn an_upload_in_time_keeps_a_job_from_expiring() {
    assert_eq!(after(&[Event::Expired]).state, State::Expired);
    assert_eq!(after(&[upload(), Event::Expired]).state, State::Pending);
    assert_eq!(apply(&new_job(), &claim("w", 1, None), 3, 1), Decision::Deny(Denied::NotUploaded));
}

#[test]
fn an_object_of_another_job_is_not_taken() {
    let key = ObjectKey::new(Role::Upload, JobId::from_random_bytes([2; 16]), "a.zip".parse().unwrap());
    let foreign = Object { key, ..object(Role::Upload, "e") };
    let event = Event::Uploaded { object: foreign, sequencer: "1".to_owned() };
    assert_eq!(apply(&new_job(), &event, 3, 1), Decision::Deny(Denied::ForeignObject));
}

#[test]
fn sequencers_are_padded_on_the_right() {
    assert!(is_newer("0061BF", "0061"));
    assert!(!is_newer("0061", "0061BF"));
    assert!(!is_newer("0061", "006100"));
    assert!(is_newer("1", "0FFFFF"));
    assert!(is_newer("00a1", "00A0"));
}
