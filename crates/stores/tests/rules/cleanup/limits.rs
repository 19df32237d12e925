//! A job that cannot be served in time keeps no other from being served, and comes nearer to its end with
//! each try; and its evidence says all that its tries have deleted.

use super::fixture::{Ports, content};
use super::memory::Memory;
use super::world::{POLICY, World};
use cadmill_core::cleanup::deletion::Deleter;
use cadmill_core::cleanup::{Cleanup, upload_key};
use cadmill_core::domain::due::{Part, Work};
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::quota::Quota;
use cadmill_core::domain::state::Event;
use cadmill_stores::adapters::faulty::{Fault, Script};
use cadmill_stores::conformance::job_store::{new_job, new_owner};
use std::sync::Arc;
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3600);

/// Of a try, in place of 30 s.
const LIMIT: Duration = Duration::from_millis(1000);

/// Jobs of one part that have ended, each with its upload.
async fn ended(ports: &Ports, count: usize) -> Vec<JobId> {
    let first = JobId::random();
    let part = Part::with(Work::Delete, first);
    let others = std::iter::repeat_with(JobId::random).filter(|id| Part::with(Work::Delete, *id) == part);
    let ids: Vec<JobId> = std::iter::once(first).chain(others).take(count).collect();
    for &id in &ids {
        let (job, _) = ports.all().create(id, new_job(&new_owner(), 1).order).await.unwrap();
        ports.objects.put(&upload_key(id, &job.order.file_name), content()).await.unwrap();
        ports.send(id, Event::Cancelled).await;
        ports.pass(1);
    }
    ids
}

/// A cleanup whose requests follow this script, with the limit of these tests.
fn cleanup(ports: &Ports, script: &Script) -> Cleanup {
    ports.under(script).cleanup("one").0.with_limit(LIMIT)
}

fn results(job: JobId, attempts: std::ops::RangeInclusive<u32>) -> impl Iterator<Item = ObjectKey> {
    attempts.map(move |attempt| ObjectKey::processed(job, attempt, "plan.dxf".parse().unwrap()))
}

#[tokio::test]
async fn a_request_that_hangs_keeps_no_other_job() {
    let ports = Ports::in_memory(&Memory::default());
    let ids = ended(&ports, 9).await;
    let script = Script::new().on("list_uploads", 1, Fault::Delay(HOUR));
    let begun = Instant::now();
    let round = cleanup(&ports, &script).round().await;
    assert!(begun.elapsed() < 5 * LIMIT, "{:?}", begun.elapsed());
    assert_eq!((round.failed, round.objects), (1, 8));
    let mut waiting = Vec::new();
    for id in ids {
        let job = ports.get(id).await.unwrap();
        if job.purges == 0 {
            assert_eq!((job.retry.unwrap().tries, job.due), (1, Some(ports.now() + 10_000)));
            waiting.push(id);
        }
    }
    assert_eq!(waiting.len(), 1);
    ports.pass(10_000);
    assert_eq!(cleanup(&ports, &Script::new()).round().await.objects, 1);
    assert_eq!(ports.get(waiting[0]).await.unwrap().retry, None);
}

/// The uploads of the job cannot be listed, however long one waits: its result is deleted all the same.
#[tokio::test]
async fn a_request_that_hangs_keeps_no_other_place() {
    let ports = Ports::in_memory(&Memory::default());
    let id = ended(&ports, 1).await[0];
    let result = results(id, 1..=1).next().unwrap();
    ports.objects.put(&result, content()).await.unwrap();
    let script = Script::new().on("list_uploads", 1, Fault::Delay(HOUR));
    let round = cleanup(&ports, &script).round().await;
    assert_eq!((round.failed, round.objects), (1, 1));
    assert!(ports.objects.head(&result).await.is_err());
    ports.pass(10_000);
    assert_eq!(cleanup(&ports, &Script::new()).round().await.objects, 1);
    let job = ports.get(id).await.unwrap();
    assert_eq!((job.purges, job.deletions[0].objects), (1, 2));
}

/// Neither a listing nor a record that hangs holds the parts up.
#[tokio::test]
async fn a_store_of_records_that_hangs_keeps_no_other_part() {
    let ports = Ports::in_memory(&Memory::default());
    let ids = ended(&ports, 3).await;
    // The first listing is that of a part without any job, or of these, which are listed in the next round.
    for operation in ["due", "get", "replace"] {
        let script = Script::new().on(operation, 1, Fault::Delay(HOUR));
        let begun = Instant::now();
        let round = cleanup(&ports, &script).round().await;
        assert!(begun.elapsed() < 5 * LIMIT, "{operation}: {:?}", begun.elapsed());
        assert_eq!(round.unlisted + round.failed, 1, "{operation}");
        ports.pass(POLICY.linger);
    }
    cleanup(&ports, &Script::new()).round().await;
    for id in ids {
        assert_eq!(ports.get(id).await.unwrap().purges, 2);
    }
    ports.has_deleted_nothing_live();
}

/// A program that is stopped ends the tries that are under way, and begins no others.
#[tokio::test]
async fn a_stop_loses_no_count() {
    let ports = Ports::in_memory(&Memory::default());
    let ids = ended(&ports, 40).await;
    let slow =
        |script: Script, call| script.on("delete_version", call, Fault::Delay(Duration::from_millis(300)));
    let script = (1..=40).fold(Script::new(), slow);
    let (cleanup, membership) = ports.under(&script).cleanup("one");
    cleanup.run(&membership, tokio::time::sleep(Duration::from_millis(100))).await;
    let (mut deleted, mut there) = (0, 0);
    for id in ids {
        let job = ports.get(id).await.unwrap();
        let key = upload_key(id, &job.order.file_name);
        let is_there = ports.objects.head(&key).await.is_ok();
        assert_eq!(job.deletions.iter().map(|deletion| deletion.objects).sum::<u64>(), u64::from(!is_there));
        deleted += u64::from(!is_there);
        there += u64::from(is_there);
    }
    assert!(deleted > 0 && there > 0, "{deleted} deleted, {there} left");
}

#[tokio::test]
async fn a_job_with_more_than_a_try_has_time_for_is_deleted_in_several() {
    const COUNT: u32 = 60;
    let ports = Ports::in_memory(&Memory::default());
    let id = ended(&ports, 1).await[0];
    for key in results(id, 1..=COUNT - 1) {
        ports.objects.put(&key, content()).await.unwrap();
    }
    let slow = |script: Script, call| script.on("delete_version", call, Fault::Delay(LIMIT / 20));
    let script = (1..=2 * COUNT).fold(Script::new(), slow);
    let (begun, mut tries, mut deleted) = (ports.now(), 0, 0);
    let cleanup = cleanup(&ports, &script);
    let job = loop {
        let round = cleanup.round().await;
        deleted += round.objects;
        let job = ports.get(id).await.unwrap();
        if job.purges == 1 {
            break job;
        }
        tries += 1;
        assert!(tries < 20 && round.failed == 1 && round.objects > 0, "{job:?}");
        let retry = job.retry.unwrap();
        assert_eq!((retry.at, retry.since() <= begun), (ports.now() + 10_000, true), "soon again: {retry:?}");
        ports.pass(10_000);
    };
    assert!(tries >= 2, "{tries} tries failed");
    let [deletion] = job.deletions.as_slice() else { panic!("{job:?}") };
    assert_eq!((deletion.objects, deleted), (u64::from(COUNT), u64::from(COUNT)), "after {tries} tries");
    assert_eq!((job.retry, job.unconfirmed.len()), (None, 0));
}

/// The object of each number cannot be deleted at first.
#[tokio::test]
async fn the_evidence_has_what_failed_tries_deleted() {
    for call in 1..=9 {
        let ports = Ports::in_memory(&Memory::default());
        let id = ended(&ports, 1).await[0];
        for key in results(id, 1..=8) {
            ports.objects.put(&key, content()).await.unwrap();
        }
        let script = Script::new().on("delete_version", call, Fault::Fail);
        let cleanup = cleanup(&ports, &script);
        assert_eq!(cleanup.round().await.failed, 1);
        ports.pass(10_000);
        assert_eq!(cleanup.round().await.failed, 0);
        let job = ports.get(id).await.unwrap();
        assert_eq!((job.purges, job.deletions[0].objects, job.unconfirmed.len()), (1, 9, 0), "{call}");
    }
}

/// Two programs delete at once, and neither keeps ledgers: the record has what both have deleted.
#[tokio::test]
async fn of_two_deletions_at_once_without_ledgers_all_is_counted() {
    let ports = Ports::in_memory(&Memory::default());
    let id = ended(&ports, 1).await[0];
    let job = ports.get(id).await.unwrap();
    let deleter = || Deleter::new(ports.all(), Arc::clone(&ports.objects), "api".to_owned());
    deleter().delete(&job).await.unwrap();
    for key in results(id, 1..=2) {
        ports.objects.put(&key, content()).await.unwrap();
    }
    // It has read the record before the other has written it.
    deleter().delete(&job).await.unwrap();
    let there = ports.get(id).await.unwrap();
    assert_eq!((there.purges, there.deletions[0].objects), (1, 1));
    ports.pass(POLICY.linger);
    assert_eq!(cleanup(&ports, &Script::new()).round().await.failed, 0);
    let there = ports.get(id).await.unwrap();
    let counts: Vec<u64> = there.deletions.iter().map(|deletion| deletion.objects).collect();
    assert_eq!((counts, there.unconfirmed.len()), (vec![1, 2], 0));
}

/// A job that expires is due for its deletion at once, and another program may delete it before the first
/// goes on: the deletion of the first must not be counted as the one that is to come later.
#[tokio::test]
async fn a_deletion_at_once_is_not_the_later_one() {
    let wait = Fault::Delay(Duration::from_millis(500));
    // Between the end of the job and its deletion: the reply of the write is lost and the record read again,
    // or the place that its owner has is freed.
    for (call, slow) in [
        ("get", Script::new().on("replace", 1, Fault::DropReply).on("get", 3, wait)),
        ("usage", Script::new().on("usage", 1, wait)),
    ] {
        let ports = Ports::in_memory(&Memory::default());
        let jobs = ports.all().with_quota(Quota { jobs: 9, bytes: u64::MAX });
        let (job, _) = jobs.create(JobId::random(), new_job(&new_owner(), 1).order).await.unwrap();
        ports.half(&upload_key(job.id, &job.order.file_name)).await;
        ports.pass(POLICY.upload_window);
        let (first, second) = (ports.under(&slow).cleanup("first").0, ports.cleanup("second").0);
        let other = async {
            while !ports.get(job.id).await.unwrap().state.is_terminal() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            second.round().await
        };
        let (expires, deletes) = tokio::join!(first.round(), other);
        assert_eq!((expires.expired, deletes.uploads), (1, 1), "{call}");
        let there = ports.get(job.id).await.unwrap();
        assert_eq!((there.purges, there.due), (1, Some(ports.now() + POLICY.linger)), "{call}");
    }
}

/// A deletion that its program does not hear to be on record is not counted twice.
#[tokio::test]
async fn a_deletion_whose_record_was_written_is_counted_once() {
    let ports = Ports::in_memory(&Memory::default());
    let id = ended(&ports, 1).await[0];
    let job = ports.get(id).await.unwrap();
    // Written, but the reply is lost, and no read says so.
    let lost = Script::new().on("replace", 1, Fault::DropReply);
    let lost = (2..=cadmill_core::jobs::ROUNDS).fold(lost, |script, get| script.on("get", get, Fault::Fail));
    let store = ports.under(&lost).all();
    let deleter = Deleter::new(store, Arc::clone(&ports.objects), "api".to_owned());
    let first = deleter.delete(&job).await;
    assert!(first.is_err());
    let there = ports.get(id).await.unwrap();
    let counts: Vec<u64> = there.deletions.iter().map(|deletion| deletion.objects).collect();
    assert_eq!((counts, there.unconfirmed.len()), (vec![1], 0), "{first:?}");
}

/// What the API deletes of a job that it cancels while a worker may still write is in the next evidence.
#[tokio::test]
async fn what_is_deleted_without_a_confirmation_is_in_the_next() {
    let ports = Ports::in_memory(&Memory::default());
    let id = ended(&ports, 1).await[0];
    let job = ports.get(id).await.unwrap();
    let deleter = Deleter::new(ports.all(), Arc::clone(&ports.objects), "api".to_owned());
    assert_eq!(deleter.clear(&job).await.unwrap().objects, 1);
    let there = ports.get(id).await.unwrap();
    assert_eq!((there.purges, there.due), (0, job.due), "it stays due");
    let round = cleanup(&ports, &Script::new()).round().await;
    assert_eq!((round.objects, round.failed), (0, 0));
    let there = ports.get(id).await.unwrap();
    assert_eq!((there.deletions[0].objects, there.unconfirmed.len()), (1, 0));
}

/// An owner whose counts cannot be read: the files go all the same, and the record stays until they can.
#[tokio::test]
async fn damaged_counts_of_an_owner_keep_no_files() {
    let world = World::new().await;
    let quota = Quota { jobs: 9, bytes: u64::MAX };
    let jobs = world.jobs(Script::new()).with_quota(quota);
    let order = new_job(&new_owner(), 1).order;
    let (job, _) = jobs.create(JobId::random(), order.clone()).await.unwrap();
    let key = upload_key(job.id, &job.order.file_name);
    world.put(&key).await;
    let raw = rusqlite::Connection::open(world.data.path().join("jobs.sqlite")).unwrap();
    let spoil = "UPDATE usage SET record = '{}' WHERE owner = ?1";
    let good: String = raw.query_row("SELECT record FROM usage", [], |row| row.get(0)).unwrap();
    assert_eq!(raw.execute(spoil, [order.owner.as_str()]).unwrap(), 1);
    world.send(job.id, Event::Cancelled).await;
    for purges in [1, 2] {
        let round = world.round().await;
        assert_eq!((round.objects, round.failed), (u64::from(purges == 1), 1), "{purges}: it is said");
        let there = world.get(job.id).await.unwrap();
        assert_eq!((there.purges, there.counted.is_some()), (purges, true));
        world.pass(POLICY.linger);
    }
    assert!(!world.has(&key).await);
    world.pass(POLICY.record);
    assert_eq!((world.round().await.failed, world.get(job.id).await.is_some()), (1, true));
    raw.execute("UPDATE usage SET record = ?1", [good]).unwrap();
    world.pass(10_000);
    assert_eq!((world.round().await.records, world.get(job.id).await), (1, None));
    let usage = jobs.store().usage(&order.owner).await.unwrap().unwrap();
    assert_eq!((usage.jobs, usage.bytes), (0, 0));
}
