//! Random sequences of events from several workers, a cleanup, a client, and a store that sends
//! events twice.

mod deletion;

use super::super::ids::{JobId, ObjectKey};
use super::super::job::{Deletion, Evidence, MAX_HEADS};
use super::*;
use crate::domain::ledger::chain::ZERO_HASH;
use crate::domain::ledger::{Head, LedgerId};
use deletion::{in_part, purged};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

const MAX_ATTEMPTS: u32 = 3;

fn policy() -> Policy {
    Policy { max_attempts: MAX_ATTEMPTS, ..Policy::default() }
}

fn uploaded_object(tag: &str) -> Object {
    object(ObjectKey::upload(JobId::from_random_bytes([1; 16]), "a.zip".parse().unwrap()), tag)
}

fn processed_object(tag: &str) -> Object {
    object(ObjectKey::processed(JobId::from_random_bytes([1; 16]), 1, "a.dxf".parse().unwrap()), tag)
}

fn object(key: ObjectKey, tag: &str) -> Object {
    Object { key, size_bytes: 7, etag: tag.to_owned(), version: None, sha256: None, encoded: None }
}

fn new_job() -> Job {
    let order = JobSpec {
        owner: "someone".parse().unwrap(),
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
    created(JobId::from_random_bytes([1; 16]), order, &policy(), 0)
}

fn failure() -> JobFailure {
    JobFailure { code: FailureCode::EngineRejected, message: "no".to_owned(), at: Some(Stage::Convert) }
}

fn deletion() -> Deletion {
    deletion_at(1, Evidence::None)
}

fn deletion_at(confirmed_at: Millis, evidence: Evidence) -> Deletion {
    let by = "c".to_owned();
    Deletion { objects: 1, marks: 0, uploads: 0, confirmed_at, oldest_age_ms: Some(1), by, evidence }
}

/// A deletion with its evidence, and with the head of that.
fn evident() -> impl Strategy<Value = (Deletion, Option<Box<SignedHead>>)> {
    (1u64..4, 0u32..4).prop_map(|(confirmed_at, part)| match part {
        0 => (deletion_at(confirmed_at, Evidence::None), None),
        1 => (deletion_at(confirmed_at, Evidence::Owed), None),
        _ => (deletion_at(confirmed_at, Evidence::Part(part)), Some(head(0, part, 2))),
    })
}

fn head(attempt: u32, part: u32, last_seq: u64) -> Box<SignedHead> {
    let ledger = LedgerId { job: JobId::from_random_bytes([1; 16]), attempt, part };
    Box::new(SignedHead { head: Head::new(ledger, last_seq, ZERO_HASH), signature: None })
}

/// A ledger head, with or without the end of its attempt.
fn audited() -> impl Strategy<Value = Event> {
    let end = prop::sample::select(vec![0, 1, 2, 3]);
    (0u32..5, 0u32..2, 1u64..3, end).prop_map(|(attempt, part, last_seq, end)| {
        let end = match end {
            0 => None,
            1 => Some(Event::Completed { attempt, output: processed_object("a") }),
            2 => Some(Event::Failed { attempt, failure: failure() }),
            _ => Some(release(attempt, false)),
        };
        Event::Audited { head: head(attempt, part, last_seq), end: end.map(Box::new) }
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![4 => plain_event(), 1 => audited()]
}

fn plain_event() -> impl Strategy<Value = Event> {
    let attempt = 0u32..5;
    let revision = 0u64..6;
    let stage = prop::sample::select(vec![Stage::Fetch, Stage::Convert, Stage::Publish, Stage::Wipe]);
    prop_oneof![
        "[0-9A-F]{1,3}".prop_map(|sequencer| Event::Uploaded {
            object: uploaded_object(&sequencer),
            sequencer,
            at: None
        }),
        ("w[1-3]", revision.clone(), prop::option::of(revision.clone()))
            .prop_map(|(worker, revision, dead)| Event::Claimed { worker, revision, dead }),
        (attempt.clone(), revision.clone(), prop::option::of((stage.clone(), 0u16..1200)))
            .prop_map(|(attempt, revision, progress)| Event::Renewed { attempt, revision, progress }),
        (attempt.clone(), stage, 0u16..1200).prop_map(|(attempt, stage, progress)| Event::Progressed {
            attempt,
            stage,
            progress
        }),
        (attempt.clone(), any::<bool>())
            .prop_map(|(attempt, failed)| Event::Released { attempt, failure: failed.then(failure) }),
        (attempt.clone(), 0u64..9, 0u64..3).prop_map(|(attempt, millis, total)| Event::Reported {
            attempt,
            millis: BTreeMap::from([(Stage::Fetch, millis)]),
            warnings: Warnings { total, losses: total / 2, lines: Vec::new(), loss_lines: 0 },
            counts: None,
            facts: EngineFacts::fitting(&BTreeMap::from([("solids".to_owned(), total.to_string())])).0,
        }),
        "[uv]".prop_map(|upload_id| Event::UploadBegun { multipart: Multipart { upload_id, part_bytes: 5 } }),
        "[uv]".prop_map(|upload_id| Event::UploadAborted { upload_id }),
        Just(Event::Dismissed),
        (0u8..3, evident()).prop_map(|(before, (deletion, head))| purged(before, deletion, head)),
        (0u64..3).prop_map(|id| in_part(id, 1, None)),
        evident().prop_map(|(deletion, head)| Event::Evidenced { deletion, head }),
        (0u32..3).prop_map(|before| Event::EvidenceFailed { before }),
        (0u32..3, any::<bool>()).prop_map(|(before, is_nearer)| Event::Postponed { before, is_nearer }),
        Just(Event::Announced),
        (0u64..2).prop_map(|reservation| Event::Uncounted { reservation }),
        (revision.clone(), 0u64..9).prop_map(|(revision, unchanged)| Event::Watched { revision, unchanged }),
        (attempt.clone(), "[ab]")
            .prop_map(|(attempt, tag)| Event::Completed { attempt, output: processed_object(&tag) }),
        attempt.prop_map(|attempt| Event::Failed { attempt, failure: failure() }),
        Just(Event::Cancelled),
        Just(Event::Expired),
        prop::option::of(revision).prop_map(|dead| Event::Abandoned { dead }),
    ]
}

/// The job after the event, and whether the event changed it.
fn step(job: &Job, event: &Event) -> (Job, bool) {
    match apply(job, event, &policy(), 1) {
        Decision::Accept(next) => (*next, true),
        Decision::Ignore(_) | Decision::Deny(_) => (job.clone(), false),
    }
}

/// The invariants documented for the record.
fn assert_whole(job: &Job) {
    assert_eq!(job.lease.is_some(), job.state == State::Processing, "{job:?}");
    assert_eq!(job.output.is_some(), job.state == State::Completed, "{job:?}");
    assert_eq!(job.failure.is_some(), job.state == State::Failed, "{job:?}");
    assert_eq!(job.times.ended.is_some(), job.state.is_terminal(), "{job:?}");
    assert!(job.due.is_some(), "nobody will look again: {job:?}");
    let owes = job.deletions.iter().any(|deletion| deletion.evidence == Evidence::Owed);
    assert_eq!(job.owed.is_some(), owes, "evidence is owed for ever, or never: {job:?}");
    assert!(job.owed.is_none_or(|owed| job.due <= Some(owed.at)), "{job:?}");
    assert!(job.attempt - job.excused <= MAX_ATTEMPTS && job.progress <= 1000, "{job:?}");
    assert!(job.attempt == 0 || job.input.is_some(), "claimed without an upload: {job:?}");
}

proptest! {
    #[test]
    fn sequences_keep_every_promise(events in prop::collection::vec(event(), 0..60)) {
        let mut job = new_job();
        let mut winners: HashMap<u32, String> = HashMap::new();
        for event in events {
            let (next, changed) = step(&job, &event);
            assert_whole(&next);
            // Each change increments the version by one.
            prop_assert_eq!(next.version, job.version + u64::from(changed));
            if job.state.is_terminal() {
                prop_assert_eq!(next.state, job.state, "by {:?}", event);
                let noted = matches!(
                    event,
                    Event::Dismissed
                        | Event::Purged { .. }
                        | Event::PurgedInPart { .. }
                        | Event::Evidenced { .. }
                        | Event::EvidenceFailed { .. }
                        | Event::Postponed { .. }
                        | Event::Audited { .. }
                        | Event::Uncounted { .. }
                );
                prop_assert!(!changed || noted, "{event:?}");
                prop_assert!(next.output == job.output && next.failure == job.failure);
            }
            // Only a claim increments `attempt`, by one, and each attempt has one winner.
            if next.attempt != job.attempt {
                prop_assert_eq!(next.attempt, job.attempt + 1);
                let Event::Claimed { worker, .. } = &event else { panic!("attempt raised by {event:?}") };
                prop_assert!(winners.insert(next.attempt, worker.clone()).is_none());
            }
            // Only the end of a ledger adds heads, one at a time, and existing heads never change.
            prop_assert!(next.audit.starts_with(&job.audit));
            let added = next.audit.len() - job.audit.len();
            let has_ledger =
                matches!(event, Event::Audited { .. } | Event::Purged { .. } | Event::Evidenced { .. });
            prop_assert!(added == 0 || added == 1 && has_ledger, "{event:?}");
            let ledgers: HashSet<_> = next.audit.iter().map(|head| head.head.ledger).collect();
            prop_assert_eq!(ledgers.len(), next.audit.len());
            // Repeating an event changes nothing.
            let counts = matches!(event, Event::Announced);
            prop_assert!(counts || !step(&next, &event).1 || !changed, "twice: {event:?}");
            job = next;
        }
    }

    /// Only the holder of the latest attempt, the owner, and workers that saw the lease expire can
    /// change a job that is being processed.
    #[test]
    fn stale_attempts_change_nothing(events in prop::collection::vec(event(), 0..40), last in event()) {
        let job = events.iter().fold(new_job(), |job, event| step(&job, event).0);
        let stale = match &last {
            Event::Renewed { attempt, .. }
            | Event::Progressed { attempt, .. }
            | Event::Released { attempt, .. }
            | Event::Reported { attempt, .. }
            | Event::Completed { attempt, .. }
            | Event::Failed { attempt, .. } => *attempt != job.attempt,
            _ => false,
        };
        if stale {
            prop_assert_eq!(apply(&job, &last, &policy(), 1), Decision::Deny(Denied::Superseded));
        }
    }
}

fn claim(worker: &str, revision: u64, dead: Option<u64>) -> Event {
    Event::Claimed { worker: worker.to_owned(), revision, dead }
}

fn upload() -> Event {
    Event::Uploaded { object: uploaded_object("e"), sequencer: "1".to_owned(), at: None }
}

fn after(events: &[Event]) -> Job {
    events.iter().fold(new_job(), |job, event| step(&job, event).0)
}

#[test]
fn the_straight_way() {
    let output = processed_object("o");
    let job = after(&[
        upload(),
        claim("w1", 10, None),
        Event::Progressed { attempt: 1, stage: Stage::Convert, progress: 500 },
        Event::Renewed { attempt: 1, revision: 11, progress: None },
        Event::Completed { attempt: 1, output: output.clone() },
    ]);
    assert_eq!((job.state, job.attempt, job.output), (State::Completed, 1, Some(output)));
}

#[test]
fn an_attempt_ends_with_its_ledgers_head_in_one_write() {
    let job = after(&[upload(), claim("w1", 10, None)]);
    let completed = Event::Completed { attempt: 1, output: processed_object("o") };
    let event = |part, end: Option<&Event>| Event::Audited {
        head: head(1, part, 9),
        end: end.cloned().map(Box::new),
    };
    let (ended, _) = step(&job, &event(0, Some(&completed)));
    assert_eq!((ended.state, ended.version, ended.audit.len()), (State::Completed, job.version + 1, 1));
    // The reply was lost, and the event is sent again.
    let again = apply(&ended, &event(0, Some(&completed)), &policy(), 1);
    assert_eq!(again, Decision::Ignore(Ignored::Duplicate));
    // The head of a later sweep is recorded in the final state.
    let (swept, _) = step(&ended, &event(1, None));
    assert_eq!((swept.state, swept.audit.len()), (State::Completed, 2));

    // A worker that lost the job is denied, but may still record how its ledger ended.
    let taken = step(&job, &claim("w2", 20, Some(10))).0;
    let refused = apply(&taken, &event(0, Some(&completed)), &policy(), 1);
    assert_eq!(refused, Decision::Deny(Denied::Superseded));
    let noted = step(&taken, &event(0, None)).0;
    assert_eq!((noted.state, noted.attempt, noted.audit.len()), (State::Processing, 2, 1));
}

#[test]
fn a_head_of_another_ledger_is_refused() {
    let job = after(&[upload(), claim("w1", 10, None)]);
    let foreign = Decision::Deny(Denied::ForeignLedger);
    let audited = |head: Box<SignedHead>, end: Option<Event>| Event::Audited { head, end: end.map(Box::new) };
    let mut other = head(1, 0, 9);
    other.head.ledger.job = JobId::from_random_bytes([2; 16]);
    for event in [
        audited(other, None),
        audited(head(0, 0, 9), None),
        audited(head(2, 0, 9), None),
        audited(head(1, 0, 9), Some(Event::Failed { attempt: 2, failure: failure() })),
        audited(head(1, 0, 9), Some(Event::Cancelled)),
    ] {
        assert_eq!(apply(&job, &event, &policy(), 1), foreign, "{event:?}");
    }
    // A different head for the same ledger.
    let told = step(&job, &audited(head(1, 0, 9), None)).0;
    assert_eq!(apply(&told, &audited(head(1, 0, 10), None), &policy(), 1), foreign);
}

#[test]
fn heads_are_bounded_and_those_that_went_are_counted() {
    let mut job = after(&[upload(), claim("w1", 10, None)]);
    let most = u32::try_from(MAX_HEADS).unwrap();
    for part in 0..most + 3 {
        job = step(&job, &Event::Audited { head: head(1, part, 9), end: None }).0;
    }
    assert_eq!((job.audit.len(), job.audit_dropped), (MAX_HEADS, 3));
    assert_eq!(job.audit[0].head.ledger.part, 3);
    assert!(serde_json::to_string(&job).unwrap().len() < 60 << 10);
}

#[test]
fn a_claim_whose_reply_was_lost_is_recognised() {
    let job = after(&[upload(), claim("w1", 10, None)]);
    assert_eq!(apply(&job, &claim("w1", 10, None), &policy(), 1), Decision::Ignore(Ignored::Duplicate));
    assert_eq!(apply(&job, &claim("w2", 20, None), &policy(), 1), Decision::Deny(Denied::Held));
    // Another claim by the same worker is a different claim.
    assert_eq!(apply(&job, &claim("w1", 12, None), &policy(), 1), Decision::Deny(Denied::Held));
}

#[test]
fn a_dead_lease_is_taken_over_and_a_renewed_one_is_not() {
    let job = after(&[upload(), claim("w1", 10, None)]);
    let (taken, changed) = step(&job, &claim("w2", 20, Some(10)));
    assert!(changed && taken.attempt == 2);
    assert_eq!(
        apply(&taken, &Event::Completed { attempt: 1, output: processed_object("o") }, &policy(), 1),
        Decision::Deny(Denied::Superseded)
    );
    let renewed = step(&job, &Event::Renewed { attempt: 1, revision: 11, progress: None }).0;
    assert_eq!(apply(&renewed, &claim("w2", 20, Some(10)), &policy(), 1), Decision::Deny(Denied::Held));
}

#[test]
fn a_crash_loop_ends() {
    let mut job = after(&[upload()]);
    for attempt in 1..=3u64 {
        job = step(&job, &claim("w", attempt, Some(attempt - 1))).0;
    }
    assert_eq!(job.attempt, 3);
    assert_eq!(apply(&job, &claim("w", 9, Some(3)), &policy(), 1), Decision::Deny(Denied::AttemptsSpent));
    let ended = step(&job, &Event::Abandoned { dead: Some(3) }).0;
    assert_eq!(ended.failure.unwrap().code, FailureCode::WorkerLost);
}

fn release(attempt: u32, failed: bool) -> Event {
    Event::Released { attempt, failure: failed.then(failure) }
}

#[test]
fn a_job_that_is_given_back_waits_or_ends() {
    let given_back = after(&[upload(), claim("w", 1, None), release(1, true)]);
    assert_eq!((given_back.state, given_back.lease.is_none()), (State::Pending, true));
    assert_eq!(apply(&given_back, &release(1, true), &policy(), 1), Decision::Ignore(Ignored::Duplicate));
    let mut job = given_back;
    for attempt in 2..=3 {
        job = step(&step(&job, &claim("w", 5 + u64::from(attempt), None)).0, &release(attempt, true)).0;
    }
    assert_eq!(job.state, State::Failed, "nobody could claim it any more");
    assert_eq!(job.failure, Some(failure()), "the last cause is told");
}

/// A worker that is asked to stop gives the attempt back: ten deployments must not fail a job.
#[test]
fn attempts_that_were_excused_do_not_count() {
    let mut job = after(&[upload()]);
    for attempt in 1..=10 {
        job = step(&job, &claim("w", u64::from(attempt), None)).0;
        assert_eq!(job.attempt, attempt);
        job = step(&job, &release(attempt, false)).0;
        assert_eq!(job.state, State::Pending);
    }
}

#[test]
fn somebody_looks_again_at_the_right_time() {
    let policy = policy();
    let at = |job: &Job, event: &Event, now: Millis| match apply(job, event, &policy, now) {
        Decision::Accept(next) => *next,
        other => panic!("{event:?}: {other:?}"),
    };
    let job = new_job();
    assert_eq!(job.due, Some(policy.redeliver), "the event of its upload may be lost");
    let looked = at(&job, &Event::Announced, policy.redeliver);
    assert_eq!(looked.due, Some(3 * policy.redeliver));
    let late = at(&looked, &Event::Announced, policy.upload_window - 1);
    assert_eq!(late.due, Some(policy.upload_window));
    let job = at(&job, &upload(), 1000);
    assert_eq!(job.due, Some(1000 + policy.redeliver));
    let job = at(&job, &claim("w", 1, None), 2000);
    assert_eq!(job.due, Some(2000 + 3 * policy.lease));
    let cancelled = at(&job, &Event::Cancelled, 3000);
    assert_eq!(cancelled.due, Some(3000), "nobody will fetch anything");
    let job = at(&job, &Event::Completed { attempt: 1, output: processed_object("o") }, 4000);
    assert_eq!(job.due, Some(4000 + policy.retention));
    let job = at(&job, &Event::Dismissed, 5000);
    assert_eq!(job.due, Some(5000));
    let job = at(&job, &purged(0, deletion(), None), 6000);
    assert_eq!(job.due, Some(6000 + policy.linger), "an old URL may have been used since");
    let job = at(&job, &purged(1, deletion(), None), 7000);
    assert_eq!(job.due, Some(4000 + policy.record), "the record itself");
    let short = Policy { record: 10, ..policy };
    let Decision::Accept(job) = apply(&job, &Event::Polled { times: 1 }, &short, 8000) else { panic!() };
    assert_eq!(job.due, Some(7000 + policy.linger), "the last deletion may not be over everywhere");
}

proptest! {
    /// A result is kept for as long as its order says, and never longer than the policy.
    #[test]
    fn a_result_is_kept_no_longer_than_its_order_and_the_policy_say(
        asked in prop::option::of(prop_oneof![0u64..10_000, any::<u64>()]),
        retention in 0u64..10_000_000,
        before in prop::collection::vec(event(), 0..6),
    ) {
        let policy = Policy { retention, ..policy() };
        let mut job = new_job();
        job.order.result_ttl_seconds = asked;
        for event in before {
            if let Decision::Accept(next) = apply(&job, &event, &policy, 1) {
                job = *next;
            }
        }
        for event in [upload(), claim("w9", 99, job.lease.as_ref().map(|lease| lease.revision))] {
            if let Decision::Accept(next) = apply(&job, &event, &policy, 1) {
                job = *next;
            }
        }
        let completed = Event::Completed { attempt: job.attempt, output: processed_object("o") };
        if let Decision::Accept(next) = apply(&job, &completed, &policy, 5000) {
            let due = next.due.unwrap();
            prop_assert!(due <= 5000 + retention, "{due}");
            prop_assert!(due == 5000 + asked.map_or(retention, |asked| retention.min(asked.saturating_mul(1000))));
        }
    }
}

/// Moving a job within the index of due times costs as much as writing it.
#[test]
fn a_worker_s_signs_of_life_move_the_due_time_once_in_two_leases() {
    let policy = policy();
    let mut job = after(&[upload(), claim("w", 1, None)]);
    let start = job.due.unwrap() - 3 * policy.lease;
    let mut moves = 0;
    for tick in 1..=60u64 {
        let (now, attempt) = (start + tick * policy.lease / 3, 1);
        let event = match tick % 3 {
            0 => Event::Progressed { attempt, stage: Stage::Convert, progress: tick as u16 },
            _ => Event::Renewed {
                attempt,
                revision: 100 + tick,
                progress: Some((Stage::Convert, tick as u16)),
            },
        };
        let Decision::Accept(next) = apply(&job, &event, &policy, now) else { panic!("{event:?}") };
        moves += u64::from(next.due != job.due);
        job = *next;
        let due = job.due.unwrap();
        assert!((now + policy.lease..=now + 3 * policy.lease).contains(&due), "{due} at {now}");
        assert_eq!(job.progress, tick as u16);
    }
    assert!(moves <= 60 / 6 + 1, "{moves}");
    // A time that a clock which went back has left in the far future does not stay there.
    let far = Job { due: Some(start + 1000 * policy.lease), ..job.clone() };
    let event = Event::Renewed { attempt: 1, revision: 7, progress: None };
    let Decision::Accept(next) = apply(&far, &event, &policy, start) else { panic!("it is renewed") };
    assert_eq!(next.due, Some(start + 3 * policy.lease));
}

#[test]
fn a_renewal_never_takes_progress_back() {
    let renewed = |job: &Job, revision, progress| {
        let progress = Some((Stage::Convert, progress));
        step(job, &Event::Renewed { attempt: 1, revision, progress }).0
    };
    let job = renewed(&after(&[upload(), claim("w", 1, None)]), 2, 700);
    assert_eq!((job.stage, job.progress), (Some(Stage::Convert), 700));
    let job = renewed(&job, 3, 500);
    assert_eq!((job.progress, job.lease.as_ref().unwrap().revision), (700, 3));
    let next = step(&job, &Event::Renewed { attempt: 1, revision: 4, progress: Some((Stage::Publish, 0)) }).0;
    assert_eq!((next.stage, next.progress), (Some(Stage::Publish), 0));
}

#[test]
fn a_job_that_waits_is_announced_less_and_less_often() {
    let policy = policy();
    let mut job = after(&[upload()]);
    let mut pauses = Vec::new();
    for _ in 0..7 {
        let now = job.due.unwrap();
        let Decision::Accept(next) = apply(&job, &Event::Announced, &policy, now) else { panic!("{job:?}") };
        pauses.push((next.due.unwrap() - now) / policy.redeliver);
        job = *next;
    }
    assert_eq!(pauses, [2, 4, 8, 12, 12, 12, 12]);
    // Once a worker had it, it is announced as at first.
    let job = step(&step(&job, &claim("w", 1, None)).0, &Event::Released { attempt: 1, failure: None }).0;
    assert_eq!((job.state, job.due), (State::Pending, Some(1 + policy.redeliver)));
}

#[test]
fn a_second_multipart_upload_needs_the_end_of_the_first() {
    let begun = |upload_id: &str| Event::UploadBegun {
        multipart: Multipart { upload_id: upload_id.to_owned(), part_bytes: 5 },
    };
    let job = after(&[begun("u")]);
    assert_eq!(apply(&job, &begun("v"), &policy(), 1), Decision::Deny(Denied::Held));
    let job = after(&[begun("u"), Event::UploadAborted { upload_id: "u".to_owned() }, begun("v")]);
    assert_eq!(job.multipart.unwrap().upload_id, "v");
}

#[test]
fn an_upload_in_time_keeps_a_job_from_expiring() {
    assert_eq!(after(&[Event::Expired]).state, State::Expired);
    assert_eq!(after(&[upload(), Event::Expired]).state, State::Pending);
    assert_eq!(apply(&new_job(), &claim("w", 1, None), &policy(), 1), Decision::Deny(Denied::NotUploaded));
}

/// The store's clock may differ from ours: an upload is not there before its job, and not in future.
#[test]
fn an_upload_arrived_when_the_store_says_so() {
    let mut job = new_job();
    job.times.created = 100;
    for (at, expected) in [(Some(150), 150), (None, 200), (Some(50), 100), (Some(300), 200)] {
        let event = Event::Uploaded { object: uploaded_object("e"), sequencer: "1".to_owned(), at };
        let Decision::Accept(next) = apply(&job, &event, &policy(), 200) else { panic!("{at:?}") };
        assert_eq!(next.times.uploaded, Some(expected), "{at:?}");
    }
}

#[test]
fn an_object_of_another_job_is_not_taken() {
    let key = ObjectKey::upload(JobId::from_random_bytes([2; 16]), "a.zip".parse().unwrap());
    let foreign = Object { key, ..uploaded_object("e") };
    let event = Event::Uploaded { object: foreign, sequencer: "1".to_owned(), at: None };
    assert_eq!(apply(&new_job(), &event, &policy(), 1), Decision::Deny(Denied::ForeignObject));
}

#[test]
fn sequencers_are_padded_on_the_right() {
    assert!(is_newer("0061BF", "0061"));
    assert!(!is_newer("0061", "0061BF"));
    assert!(!is_newer("0061", "006100"));
    assert!(is_newer("1", "0FFFFF"));
    assert!(is_newer("00a1", "00A0"));
}
