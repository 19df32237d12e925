//! What is recorded of deletions: nothing that was deleted is lost, or counted twice.

use super::super::super::job::{Purged, Unconfirmed};
use super::*;

pub(super) fn purged(before: u8, deletion: Deletion, head: Option<Box<SignedHead>>) -> Event {
    Event::Purged { before, deletion, tries: Vec::new(), head }
}

pub(super) fn in_part(id: u64, objects: u64, unless: Option<Deletion>) -> Event {
    let part = Unconfirmed { id, purged: Purged { objects, ..Purged::default() } };
    Event::PurgedInPart { part, unless: unless.map(Box::new) }
}

fn at(job: &Job, event: &Event, now: Millis) -> Job {
    match apply(job, event, &policy(), now) {
        Decision::Accept(next) => *next,
        other => panic!("{event:?}: {other:?}"),
    }
}

fn ended() -> Job {
    at(&new_job(), &Event::Expired, policy().upload_window)
}

#[test]
fn a_deletion_is_recorded_with_its_ledger_in_one_write() {
    let job = after(&[Event::Expired]);
    let evident = deletion_at(5, Evidence::Part(1));
    let event = purged(0, evident.clone(), Some(head(0, 1, 2)));
    let (next, _) = step(&job, &event);
    assert_eq!((next.purges, next.version, &next.audit), (1, job.version + 1, &vec![*head(0, 1, 2)]));
    assert_eq!((next.deletions.as_slice(), next.owed, next.deletion_ledgers()), (&[evident][..], None, 1));
    // The reply was lost, and the event is sent again.
    assert_eq!(apply(&next, &event, &policy(), 1), Decision::Ignore(Ignored::Duplicate));
    // Another program deleted at the same time: its ledger is kept, and not counted.
    let other = purged(0, deletion_at(6, Evidence::Part(2)), Some(head(0, 2, 2)));
    let (both, _) = step(&next, &other);
    assert_eq!((both.purges, both.deletions.len(), both.audit.len(), both.due), (1, 2, 2, next.due));
    assert_eq!(apply(&both, &other, &policy(), 1), Decision::Ignore(Ignored::Duplicate));
    // Without evidence there is nothing to keep.
    let bare = purged(0, deletion_at(7, Evidence::None), None);
    assert_eq!(apply(&both, &bare, &policy(), 1), Decision::Ignore(Ignored::Duplicate));
    // Heads of attempts, of other heads of the same ledger, and of no part.
    for foreign in [head(1, 1, 2), head(0, 1, 3), head(0, 0, 2)] {
        let event = purged(1, deletion_at(8, Evidence::Part(1)), Some(foreign));
        assert_eq!(apply(&next, &event, &policy(), 1), Decision::Deny(Denied::ForeignLedger));
    }
}

#[test]
fn evidence_that_is_owed_makes_a_job_due_earlier_and_puts_no_deletion_off() {
    let policy = policy();
    let at = |job: &Job, event: &Event, now| match apply(job, event, &policy, now) {
        Decision::Accept(next) => *next,
        other => panic!("{event:?}: {other:?}"),
    };
    let job = at(&new_job(), &Event::Expired, policy.upload_window);
    let start = policy.upload_window + 1000;
    let owed = deletion_at(start, Evidence::Owed);
    let job = at(&job, &purged(0, owed.clone(), None), start);
    assert_eq!((job.due, serves(&job, &policy, start)), (Some(start), false));
    // It cannot be written for a while: the pauses grow, and the deletion keeps its time.
    let second = start + policy.linger;
    let (mut job, mut now) = (job, start);
    for before in 0..12 {
        now = job.owed.unwrap().at;
        if now >= second {
            break;
        }
        assert!(!serves(&job, &policy, now));
        job = at(&job, &Event::EvidenceFailed { before }, now);
    }
    assert!(now >= second && job.due == Some(second), "{job:?}");
    assert!(serves(&job, &policy, second));
    let again = apply(&job, &Event::EvidenceFailed { before: 0 }, &policy, now);
    assert_eq!(again, Decision::Ignore(Ignored::Duplicate), "of two programs one counts");
    // The second deletion cannot be recorded either, and a failure to delete is put off by itself.
    let put_off = at(&job, &Event::Postponed { before: 0, is_nearer: false }, second);
    assert_eq!(put_off.due, Some(second + 10_000));
    let later = deletion_at(second, Evidence::Owed);
    let job = at(&job, &purged(1, later.clone(), None), second);
    let end = policy.upload_window + policy.record;
    assert_eq!((job.purges, served_at(&job, &policy, second)), (2, end));
    assert!(job.due < Some(end));
    // Then the ledger is there again.
    let written = Event::Evidenced { deletion: owed, head: Some(head(0, 1, 2)) };
    let job = at(&job, &written, second + 1);
    assert_eq!(apply(&job, &written, &policy, 1), Decision::Ignore(Ignored::Duplicate));
    assert!(job.owed.is_some());
    let job = at(&job, &Event::Evidenced { deletion: later, head: Some(head(0, 2, 2)) }, second + 2);
    assert_eq!((job.owed, job.due, job.audit.len()), (None, Some(end), 2));
    let evidence: Vec<Evidence> = job.deletions.iter().map(|deletion| deletion.evidence).collect();
    assert_eq!(evidence, [Evidence::Part(1), Evidence::Part(2)]);
    // The records of earlier versions.
    let mut old = serde_json::to_value(&job).unwrap();
    old["deletions"][0].as_object_mut().unwrap().remove("evidence");
    old.as_object_mut().unwrap().remove("owed");
    let old: Job = serde_json::from_value(old).unwrap();
    assert_eq!((old.owed, old.deletions[0].evidence), (None, Evidence::None));
}

#[test]
fn what_tries_deleted_goes_into_the_next_deletion_once() {
    let job = at(&ended(), &in_part(7, 5, None), 1);
    assert_eq!((job.due, job.unconfirmed[0].purged.objects), (ended().due, 5), "due as before");
    // The reply was lost, and the event is sent again.
    assert_eq!(apply(&job, &in_part(7, 5, None), &policy(), 1), Decision::Ignore(Ignored::Duplicate));
    let job = at(&job, &in_part(8, 2, None), 1);
    // A deletion that knew of the first.
    let deletion = Deletion { objects: 9, ..deletion_at(20, Evidence::None) };
    let event = Event::Purged { before: 0, deletion: deletion.clone(), tries: vec![7], head: None };
    let job = at(&job, &event, 20);
    assert_eq!(job.unconfirmed.iter().map(|part| part.id).collect::<Vec<_>>(), [8]);
    // The program did not hear that its deletion is on record.
    let heard = in_part(9, 4, Some(deletion));
    assert_eq!(apply(&job, &heard, &policy(), 21), Decision::Ignore(Ignored::Duplicate));
    // Of a job that goes on, which has the id of one that ended, nothing is recorded.
    assert_eq!(apply(&new_job(), &heard, &policy(), 21), Decision::Ignore(Ignored::NotNow));
    let nothing = in_part(10, 0, None);
    assert_eq!(apply(&job, &nothing, &policy(), 21), Decision::Ignore(Ignored::NotNow));
    // A record of the version before.
    let mut old = serde_json::to_value(&job).unwrap();
    old.as_object_mut().unwrap().remove("unconfirmed").expect("it has one");
    let old: Job = serde_json::from_value(old).unwrap();
    assert_eq!(old, Job { unconfirmed: Vec::new(), ..job });
}

/// One program fails, and another deletes everything before the failure is recorded.
#[test]
fn a_failure_that_is_recorded_late_brings_no_deletion_forward() {
    let failure = Event::Postponed { before: 0, is_nearer: false };
    let job = ended();
    let now = policy().upload_window;
    assert_eq!(at(&job, &failure, now).due, Some(now + 10_000));
    for evidence in [Evidence::None, Evidence::Owed] {
        let deleted = at(&job, &purged(0, deletion_at(now, evidence), None), now);
        assert_eq!(apply(&deleted, &failure, &policy(), now), Decision::Ignore(Ignored::NotNow));
    }
}

#[test]
fn a_try_that_brings_the_end_nearer_is_followed_soon() {
    let start = policy().upload_window;
    let (mut job, mut now) = (ended(), start);
    for _ in 0..9 {
        let before = job.retry.map_or(0, |retry| retry.tries);
        job = at(&job, &Event::Postponed { before, is_nearer: true }, now);
        assert_eq!(job.due, Some(now + 10_000));
        now += 10_000;
    }
    assert_eq!(job.retry.unwrap().since(), start, "it is known since when it is due");
    job = at(&job, &Event::Postponed { before: 1, is_nearer: false }, now);
    assert_eq!((job.due, job.retry.unwrap().since()), (Some(now + 20_000), start));
}

#[test]
fn evidence_of_a_job_is_not_recorded_for_the_next_of_its_id() {
    for evidence in [Some(head(0, 1, 2)), None] {
        let event = Event::Evidenced { deletion: deletion_at(1, Evidence::Owed), head: evidence };
        assert_eq!(apply(&new_job(), &event, &policy(), 2), Decision::Ignore(Ignored::NotNow));
    }
}

/// A look at a job is not a success.
#[test]
fn a_poll_keeps_the_pause_after_a_failure() {
    let now = policy().upload_window;
    let failed = at(&ended(), &Event::Postponed { before: 0, is_nearer: false }, now);
    let polled = at(&failed, &Event::Polled { times: 3 }, now + 1);
    assert_eq!((polled.retry, polled.due, polled.polls), (failed.retry, failed.due, 3));
    assert!(failed.retry.is_some());
    // What the owner says begins anew.
    let dismissed = at(&failed, &Event::Dismissed, now + 1);
    assert_eq!((dismissed.retry, dismissed.due), (None, Some(now + 1)));
}

/// A deletion by a program, which may know what tries before it have deleted.
#[derive(Debug, Clone)]
enum Act {
    Try { objects: u64 },
    Delete { objects: u64, evidence: Evidence, is_late: bool },
}

fn act() -> impl Strategy<Value = Act> {
    let evidence = prop::sample::select(vec![Evidence::None, Evidence::Owed, Evidence::Part(1)]);
    prop_oneof![
        (1u64..9).prop_map(|objects| Act::Try { objects }),
        (0u64..9, evidence, any::<bool>()).prop_map(|(objects, evidence, is_late)| Act::Delete {
            objects,
            evidence,
            is_late
        }),
    ]
}

proptest! {
    /// However many deletions and tries a record has seen, it or a ledger has all that was deleted.
    #[test]
    fn no_count_is_lost(acts in prop::collection::vec(act(), 0..40)) {
        let mut job = ended();
        let (mut all, mut in_ledgers) = (0, 0);
        for (number, act) in (1u64..).zip(acts) {
            let now = policy().upload_window + number * 1000;
            let event = match act {
                Act::Try { objects } => {
                    all += objects;
                    in_part(number, objects, None)
                }
                Act::Delete { objects, evidence, is_late } => {
                    // One that is late has no evidence of its own only if it is noted as a try.
                    let before = if is_late { job.purges.wrapping_sub(1) } else { job.purges };
                    all += objects;
                    let known = job.unconfirmed.iter().map(|part| part.purged.objects).sum::<u64>();
                    let part = u32::try_from(number).unwrap();
                    let evidence = if evidence == Evidence::Part(1) { Evidence::Part(part) } else { evidence };
                    let has_ledger = matches!(evidence, Evidence::Part(_));
                    if is_late && evidence == Evidence::None {
                        in_part(number, objects, None)
                    } else {
                        let tries = job.unconfirmed.iter().map(|part| part.id).collect();
                        let counts = objects + known;
                        in_ledgers += if has_ledger { counts } else { 0 };
                        let deletion = Deletion { objects: counts, ..deletion_at(now, evidence) };
                        let head = has_ledger.then(|| head(0, part, 2));
                        Event::Purged { before, deletion, tries, head }
                    }
                }
            };
            job = step_at(&job, &event, now);
            // Again, after a lost reply.
            job = step_at(&job, &event, now);
            assert_whole(&job);
            prop_assert!(job.deletions.len() <= 4 && job.unconfirmed.len() <= 4);
            let in_record = job.deletions.iter().filter(|one| !matches!(one.evidence, Evidence::Part(_)));
            let recorded = in_record.map(|one| one.objects).sum::<u64>();
            let waiting = job.unconfirmed.iter().map(|part| part.purged.objects).sum::<u64>();
            prop_assert_eq!(recorded + waiting + in_ledgers, all);
        }
    }
}

/// The job after an event, whether or not that changed it.
fn step_at(job: &Job, event: &Event, now: Millis) -> Job {
    match apply(job, event, &policy(), now) {
        Decision::Accept(next) => *next,
        Decision::Ignore(_) | Decision::Deny(_) => job.clone(),
    }
}

#[test]
fn two_deletions_as_one_have_the_oldest_of_both() {
    let one = Deletion { oldest_age_ms: Some(700), by: "a".to_owned(), ..deletion_at(1000, Evidence::Owed) };
    let other = Deletion { oldest_age_ms: None, by: "b".to_owned(), ..deletion_at(3000, Evidence::Owed) };
    let both = one.and(&other);
    assert_eq!((both.objects, both.confirmed_at, both.by.as_str()), (2, 3000, "b"));
    assert_eq!(both.oldest_age_ms, Some(2700), "it was made at 300");
    assert_eq!(other.and(&Deletion { oldest_age_ms: None, ..one }).oldest_age_ms, None);
}
