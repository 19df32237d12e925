//! The cleanup on real stores and with a manual clock.

mod endings;
mod faults;
mod fixture;
mod limits;
mod live;
mod many;
mod memory;
mod turns;
mod versions;
mod world;

use bytes::Bytes;
use cadmill_core::cleanup::*;
use cadmill_core::domain::due::{Part, Work};
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::domain::job::JobFailure;
use cadmill_core::domain::job::State;
use cadmill_core::domain::quota::Quota;
use cadmill_core::domain::state::{Decision, Event, apply};
use cadmill_core::ports::job_store::Replaced;
use cadmill_core::ports::{Clock, ObjectStore, PortError};
use cadmill_stores::adapters::faulty::{Fault, FaultyObjects, Script};
use cadmill_stores::conformance::job_store::{new_job, new_owner};
use std::sync::Arc;
use std::time::Duration;
use world::{NOTHING, POLICY, Scripts, World, no_writes};

#[tokio::test]
async fn a_job_without_upload_expires_and_is_forgotten() {
    let world = World::new().await;
    let id = world.create().await.id;
    world.not_before(POLICY.upload_window).await;
    assert_eq!(world.round().await, Round { expired: 1, ..NOTHING });
    // There is nothing to delete; that is checked once at once, and once when no URL is valid any
    // more.
    let job = world.get(id).await.unwrap();
    assert_eq!((job.state, job.purges), (State::Expired, 1));
    assert_eq!(world.round().await, NOTHING);
    world.not_before(POLICY.linger).await;
    assert_eq!(world.round().await, NOTHING);
    assert_eq!(world.get(id).await.unwrap().purges, 2);
    world.not_before(POLICY.record - POLICY.linger).await;
    assert_eq!(world.round().await, Round { records: 1, ..NOTHING });
    assert_eq!(world.get(id).await, None);
    assert_eq!(world.announced().await, []);
}

#[tokio::test]
async fn an_upload_whose_event_was_lost_is_announced_and_announced_again() {
    let world = World::new().await;
    let job = world.create().await;
    world.upload(&job).await;
    world.not_before(POLICY.redeliver).await;
    for pause in [2, 4] {
        assert_eq!(world.round().await, Round { announced: 1, ..NOTHING });
        assert_eq!(world.get(job.id).await.unwrap().state, State::Pending);
        let events = world.events(Duration::ZERO).await;
        let [event] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!((event.job, event.bucket.as_str()), (job.id, world.server.bucket()));
        world.not_before(pause * POLICY.redeliver).await;
    }
}

#[tokio::test]
async fn what_no_worker_takes_and_what_a_dead_worker_left_is_announced() {
    let world = World::new().await;
    let waiting = world.create().await;
    let object = world.upload(&waiting).await;
    world.send(waiting.id, Event::Uploaded { object, sequencer: "7".to_owned(), at: None }).await;
    world.not_before(POLICY.redeliver).await;
    assert_eq!(world.round().await, Round { announced: 1, ..NOTHING });
    assert_eq!(world.announced().await, [waiting.id]);

    let (left, _) = world.claimed().await;
    world.not_before(3 * POLICY.lease).await;
    assert_eq!(world.round().await, Round { announced: 1, ..NOTHING });
    assert_eq!(world.announced().await, [left.id]);
    // The cleanup announces the job but takes no lease away: the worker may still be alive.
    let job = world.get(left.id).await.unwrap();
    assert_eq!((job.state, job.attempt, job.lease), (State::Processing, 1, left.lease));
}

#[tokio::test]
async fn a_result_that_nobody_fetches_is_deleted_with_all_that_came_later() {
    let world = World::new().await;
    let (id, result) = world.completed().await;
    // The output of a stale attempt, and a multipart upload that was never completed.
    let stale = ObjectKey::processed(id, 2, "plan.dxf".parse().unwrap());
    world.put(&stale).await;
    let upload = world.objects.begin_multipart(&stale).await.unwrap();
    world.objects.put_part(&stale, &upload, 1, Bytes::from_static(b"part")).await.unwrap();

    world.not_before(POLICY.retention).await;
    assert!(world.has(&result).await);
    assert_eq!(world.round().await, Round { objects: 3, uploads: 1, ..NOTHING });
    assert!(!world.has(&result).await && !world.has(&stale).await);

    // Written with a URL that was still valid, or by a worker considered dead.
    world.put(&stale).await;
    world.not_before(POLICY.linger).await;
    assert_eq!(world.round().await, Round { objects: 1, ..NOTHING });
    assert!(!world.has(&stale).await);
    assert_eq!(world.get(id).await.unwrap().state, State::Completed, "the record says what was");
}

#[tokio::test]
async fn what_has_been_fetched_or_has_failed_is_deleted_at_once() {
    let world = World::new().await;
    let (id, result) = world.completed().await;
    world.send(id, Event::Dismissed).await;
    assert_eq!(world.round().await, Round { objects: 2, ..NOTHING });
    assert!(!world.has(&result).await);

    let (job, partial) = world.claimed().await;
    let failure = JobFailure { code: FailureCode::EngineRejected, message: "no".to_owned(), at: None };
    world.send(job.id, Event::Failed { attempt: 1, failure }).await;
    assert_eq!(world.round().await, Round { objects: 2, ..NOTHING });
    assert!(!world.has(&partial.key).await);
}

/// If a step fails, the job stays due, and the next round retries.
#[tokio::test]
async fn what_fails_is_done_in_the_next_round() {
    let world = World::new().await;
    let (id, result) = world.completed().await;
    world.send(id, Event::Dismissed).await;
    let first = || Script::new().on("purge", 1, Fault::Fail);
    let both = || first().on("purge", 2, Fault::Fail);
    // Each time it is tried again later, and soon if less is left: the upload, after the result is gone.
    for (objects, deleted, pause) in [(first(), 1, 10_000), (both(), 0, 20_000), (both(), 0, 40_000)] {
        let round = world.round_with(Scripts { objects, ..Scripts::default() }).await;
        assert_eq!(round, Round { objects: deleted, failed: 1, ..NOTHING });
        world.not_before(pause).await;
    }
    // Deleted, but recording that failed: it is deleted once more.
    let jobs = no_writes();
    assert_eq!(world.round_with(Scripts { jobs, ..Scripts::default() }).await.failed, 1);
    assert!(!world.has(&result).await);
    assert_eq!(world.get(id).await.unwrap().purges, 0);
    assert_eq!(world.round().await.failed, 0);
    let job = world.get(id).await.unwrap();
    assert_eq!((job.purges, job.retry, job.unconfirmed.len()), (1, None, 0), "it begins anew");
    // The upload is not among them: nothing could be written when it was deleted.
    assert_eq!(job.deletions[0].objects, 1, "the result, which the first try deleted");

    // A job whose objects cannot be deleted does not block the others.
    let (one, _) = world.completed().await;
    let (two, _) = world.completed().await;
    for id in [one, two] {
        world.send(id, Event::Dismissed).await;
    }
    let round = world.round_with(Scripts { objects: first(), ..Scripts::default() }).await;
    assert_eq!((round.failed, round.objects), (1, 3));
}

#[tokio::test]
async fn an_announcement_that_fails_is_made_again_and_a_double_one_is_a_duplicate() {
    let world = World::new().await;
    let job = world.create().await;
    let object = world.upload(&job).await;
    world.send(job.id, Event::Uploaded { object, sequencer: "7".to_owned(), at: None }).await;
    world.pass(POLICY.redeliver);
    let queue = Script::new().on("send", 1, Fault::Fail);
    assert_eq!(
        world.round_with(Scripts { queue, ..Scripts::default() }).await,
        Round { failed: 1, ..NOTHING }
    );
    assert_eq!(world.announced().await, []);
    world.not_before(10_000).await;
    // Announced, but recording that failed: announced once more, with the same sequencer.
    let jobs = no_writes();
    assert_eq!(world.round_with(Scripts { jobs, ..Scripts::default() }).await.failed, 1);
    assert_eq!(world.round().await, Round { announced: 1, ..NOTHING });
    let events = world.events(Duration::ZERO).await;
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event.job == job.id && event.sequencer == "7"), "{events:?}");
    assert_eq!(world.round().await, NOTHING);
}

/// While a cleanup is busy with one job, another cleanup deletes the record of the next, and a client
/// uses its id again.
#[tokio::test]
async fn a_job_that_has_the_id_of_one_that_was_due_keeps_its_upload() {
    let world = World::new().await;
    // In one part, and more than are served at once, so that the last is served after the others.
    let (first, _) = world.completed().await;
    let part = Part::with(Work::Delete, first);
    let is_of_part = |id: &JobId| Part::with(Work::Delete, *id) == part;
    let mut ids = vec![first];
    for id in std::iter::repeat_with(JobId::random).filter(is_of_part).take(4) {
        ids.push(world.completed_as(id).await.0);
    }
    let second = ids[4];
    for id in ids {
        world.send(id, Event::Dismissed).await;
        world.pass(1);
    }
    // Each in two places.
    let slow = |script: Script, call| script.on("purge", call, Fault::Delay(Duration::from_secs(2)));
    let objects = (1..=8).fold(Script::new(), slow);
    let replaced = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let old = world.get(second).await.unwrap();
        let store = world.jobs(Script::new());
        world.objects.purge(Role::Upload, second).await.unwrap();
        assert!(store.store().delete(&old).await.unwrap());
        let (job, is_new) = store.create(second, old.order).await.unwrap();
        assert!(is_new);
        let key = upload_key(second, &job.order.file_name);
        world.put(&key).await;
        key
    };
    let round = world.round_with(Scripts { objects, ..Scripts::default() });
    let (round, key) = futures_util::future::join(round, replaced).await;
    assert_eq!((round.failed, round.objects), (0, 8), "the objects of the other jobs only");
    assert!(world.has(&key).await, "the upload of a new job was deleted");
    assert_eq!(world.get(second).await.unwrap().state, State::Pending);
}

#[tokio::test]
async fn two_cleanups_at_once_do_no_harm() {
    let world = World::new().await;
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.push(world.create().await.id);
    }
    world.pass(POLICY.upload_window);
    let (one, two) = futures_util::future::join(world.round(), world.round()).await;
    assert_eq!((one.failed, two.failed), (0, 0));
    for id in jobs {
        let job = world.get(id).await.unwrap();
        // One of them may have found the job expired by the other, and deleted what it had.
        assert!(job.state == State::Expired && job.purges <= 1, "{job:?}");
    }
}

/// More unreadable records than a round processes, all of them due before the readable ones.
#[tokio::test]
async fn unreadable_records_keep_nothing_else_from_being_deleted() {
    let world = World::new().await;
    let mut spoilt = Vec::new();
    for _ in 0..150 {
        spoilt.push(world.create().await.id);
    }
    let path = world.data.path().join("jobs.sqlite");
    let raw = rusqlite::Connection::open(path).unwrap();
    for id in &spoilt {
        raw.execute("UPDATE jobs SET record = '{}', due = 1 WHERE id = ?1", [id.to_string()]).unwrap();
    }
    let (job, key) = world.completed().await;
    world.send(job, Event::Dismissed).await;
    world.pass(POLICY.linger);
    let round = world.round().await;
    assert_eq!((round.unreadable, round.objects, round.failed), (150, 2, 0), "{round:?}");
    assert!(matches!(world.objects.head(&key).await, Err(PortError::NotFound(_))));
    // They are left alone for an hour, and nothing of them is lost.
    assert_eq!(world.round().await.unreadable, 0);
    world.pass(SET_ASIDE);
    assert_eq!(world.round().await.unreadable, 150);
    let count: i64 =
        raw.query_row("SELECT count(*) FROM jobs WHERE record = '{}'", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 150);
}

/// Objects without a record are deleted when their time is over; those of a job that has a
/// record, or gets it back, are not.
#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_deleted_after_their_time() {
    use cadmill_core::cleanup::orphans::{Orphaned, Orphans};
    use std::time::Instant;
    let world = World::new().await;
    let (kept, lost) = (world.create().await, world.create().await);
    for job in [&kept, &lost] {
        world.put(&upload_key(job.id, &job.order.file_name)).await;
        world.put(&ObjectKey::processed(job.id, 1, "plan.dxf".parse().unwrap())).await;
    }
    let begun = ObjectKey::upload(JobId::random(), "parts.zip".parse().unwrap());
    world.objects.begin_multipart(&begun).await.unwrap();
    let store = world.jobs(Script::new());
    assert!(store.store().delete(&lost).await.unwrap());

    let list = world.server.jobs();
    let present = list().await.unwrap();
    assert_eq!(present.len(), 3, "{present:?}");
    let objects: Arc<dyn ObjectStore> = world.objects.clone();
    let mut orphans = Orphans::new(store, objects, Duration::from_secs(100));
    let start = Instant::now();
    let mut round = async |seconds| {
        let present = list().await.unwrap();
        orphans.round(&present, start + Duration::from_secs(seconds)).await.unwrap()
    };
    assert_eq!(round(0).await, Orphaned { found: 2, deleted: 0 });
    assert_eq!(round(99).await, Orphaned::default());
    assert_eq!(round(100).await, Orphaned { found: 0, deleted: 2 });
    assert_eq!(round(300).await, Orphaned::default());
    assert_eq!(list().await.unwrap(), [kept.id]);
    world.objects.head(&upload_key(kept.id, &kept.order.file_name)).await.unwrap();
}

/// One that cannot be deleted does not keep those after it.
#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_that_cannot_be_deleted_keeps_no_other() {
    use cadmill_core::cleanup::orphans::Orphans;
    use std::time::Instant;
    let world = World::new().await;
    let mut keys = Vec::new();
    for _ in 0..2 {
        let key = ObjectKey::upload(JobId::random(), "plan.zip".parse().unwrap());
        world.put(&key).await;
        keys.push(key);
    }
    let present = world.server.jobs()().await.unwrap();
    let script = Script::new().on("purge", 1, Fault::Fail);
    let objects = Arc::new(FaultyObjects::new(Arc::clone(&world.objects) as _, script));
    let mut orphans = Orphans::new(world.jobs(Script::new()), objects, Duration::ZERO);
    assert!(orphans.round(&present, Instant::now()).await.is_err());
    assert_eq!(world.server.jobs()().await.unwrap(), present[..1]);
    assert_eq!(orphans.round(&present[..1], Instant::now()).await.unwrap().deleted, 1);
    assert_eq!(world.server.jobs()().await.unwrap(), []);
}

/// Without the right to list, or with that of a worker, it is not known whether an upload is there:
/// no job expires, and the upload of each is kept.
#[tokio::test]
async fn a_cleanup_that_may_not_list_ends_no_job() {
    let world = World::new().await;
    let (missing, there) = (world.create().await, world.create().await);
    world.upload(&there).await;
    world.pass(POLICY.upload_window);
    let blind = world.policy("cleanup").without("FindObjects", "s3:ListBucketVersions");
    for policy in [blind, world.policy("worker")] {
        assert_eq!(world.round_under(policy).await, Round { failed: 2, ..NOTHING });
        for job in [&missing, &there] {
            assert_eq!(world.get(job.id).await.unwrap().state, State::Pending);
        }
        world.pass(20_000);
    }
    // The document grants enough, and needs no right to read.
    let round = world.round_under(world.policy("cleanup")).await;
    assert_eq!(round, Round { expired: 1, announced: 1, ..NOTHING });
    assert_eq!(world.get(missing.id).await.unwrap().state, State::Expired);
    assert!(world.has(&upload_key(there.id, &there.order.file_name)).await);
}

/// What may not be deleted stays due, and is deleted when it may.
#[tokio::test]
async fn a_purge_that_is_refused_is_made_later() {
    let world = World::new().await;
    let (job, key) = world.completed().await;
    world.send(job, Event::Dismissed).await;
    let refused = world.policy("cleanup").without("DeleteObjects", "s3:DeleteObject");
    assert_eq!(world.round_under(refused).await, Round { failed: 1, ..NOTHING });
    assert!(world.has(&key).await);
    world.pass(10_000);
    assert_eq!(world.round_under(world.policy("cleanup")).await, Round { objects: 2, ..NOTHING });
    assert!(!world.has(&key).await);
}

/// What cannot be deleted in one place keeps nothing in the other.
#[tokio::test]
async fn an_upload_that_cannot_be_deleted_keeps_no_result() {
    let world = World::new().await;
    let (job, key) = world.completed().await;
    world.send(job, Event::Dismissed).await;
    let failing = Scripts { objects: Script::new().on("purge", 1, Fault::Fail), ..Scripts::default() };
    assert_eq!(world.round_with(failing).await.failed, 1);
    assert!(!world.has(&key).await, "the result");
    assert_eq!(world.get(job).await.unwrap().purges, 0, "the upload is left");
}

/// The process that recorded the end died before it freed the place of the job.
#[tokio::test]
async fn the_place_of_a_job_that_has_ended_is_freed_before_anything_is_deleted() {
    let world = World::new().await;
    let jobs = world.jobs(Script::new()).with_quota(Quota { jobs: 1, bytes: u64::MAX });
    let order = new_job(&new_owner(), 1).order;
    let owner = order.owner.clone();
    let (job, _) = jobs.create(JobId::random(), order.clone()).await.unwrap();
    let Decision::Accept(ended) = apply(&job, &Event::Cancelled, &POLICY, world.clock.now()) else {
        panic!()
    };
    assert_eq!(jobs.store().replace(&ended).await, Ok(Replaced::Done));
    assert!(jobs.create(JobId::random(), order.clone()).await.is_err(), "it is counted");

    let script = (1..=cadmill_core::jobs::ROUNDS)
        .fold(Script::new(), |script, round| script.on("replace", round, Fault::Fail));
    let failing = Scripts { jobs: script, ..Scripts::default() };
    let round = world.round_with(failing).await;
    assert_eq!(round.failed, 1);
    let there = world.get(job.id).await.unwrap();
    assert_eq!(there.purges, 0, "nothing was deleted: {there:?}");
    world.pass(10_000);
    for _ in 0..2 {
        world.round().await;
        let usage = jobs.store().usage(&owner).await.unwrap().unwrap();
        assert_eq!((usage.jobs, usage.bytes), (0, 0));
    }
    let there = world.get(job.id).await.unwrap();
    assert_eq!((there.counted, there.purges), (None, 1));
    assert!(jobs.create(JobId::random(), order).await.is_ok());
}
