//! Workers that are killed, paused past their lease, or asked to stop, at each stage of the work.
//! The processes and the signals are real.

use super::world::{LEASE, Worker, World, large_archive};
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::{Stage, State};
use cadmill_core::domain::ledger::LedgerId;
use cadmill_core::domain::state::Event;
use cadmill_core::ports::AuditSink;
use rustix::process::Signal;

/// The vertices of a drawing whose result is uploaded in several parts, or in one. The conversion of
/// the former takes seconds.
const SEVERAL_PARTS: u32 = 500_000;
const ONE_PART: u32 = 50_000;

/// A job with this many vertices, and a worker that has stopped itself at the failpoint.
async fn stopped_at(failpoint: &str, vertices: u32) -> (World, JobId, Worker) {
    let world = World::new().await;
    let id = world.submit(&large_archive(vertices), "dxf").await;
    let first = world.worker("first", Some(failpoint));
    first.stopped().await;
    (world, id, first)
}

/// Killed there: a second worker ends the job, once, and nothing is left.
async fn killed_at(failpoint: &str, attempts: u32, vertices: u32) {
    let (world, id, first) = stopped_at(failpoint, vertices).await;
    let before = world.job(id).await;
    first.kill();
    let _second = world.worker("second", None);
    let (job, dxf) = world.completed(id).await;
    assert_eq!(job.attempt, attempts, "{job:?}");
    let least = if vertices == SEVERAL_PARTS { 9 << 20 } else { 900 << 10 };
    assert!(dxf.len() > least && dxf.ends_with(b"EOF\r\n"), "{} bytes", dxf.len());
    if before.state == State::Completed {
        assert_eq!(job.output, before.output, "the result that was recorded is the result");
    }
    world.queue_is_empty().await;
    world.workspace_is_empty().await;
    assert_eq!(world.job(id).await, job, "nothing changed after the end");
    assert_eq!(world.queue.dead_letters().await.unwrap(), 0);
}

macro_rules! killed {
    ($($(#[$long:meta])? $name:ident = $failpoint:literal, $attempts:literal, $vertices:ident;)+) => {
        $(
            $(#[$long])?
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                killed_at($failpoint, $attempts, $vertices).await;
            }
        )+

        #[test]
        fn every_failpoint_is_tried() {
            assert_eq!([$($failpoint),+], cadmill_converter::worker::failpoint::ALL);
        }
    };
}

// `observer::deaths` kills at those that are left out of `make test`.
killed! {
    killed_when_claimed = "claimed", 2, ONE_PART;
    #[ignore = "in `make nightly`"]
    killed_half_downloaded = "half-downloaded", 2, ONE_PART;
    #[ignore = "in `make nightly`"]
    killed_when_unpacked = "unpacked", 2, ONE_PART;
    #[ignore = "in `make nightly`"]
    killed_while_converting = "converting", 2, ONE_PART;
    #[ignore = "in `make nightly`"]
    killed_when_converted = "converted", 2, ONE_PART;
    #[ignore = "in `make nightly`"]
    killed_half_uploaded = "half-uploaded", 2, SEVERAL_PARTS;
    killed_when_uploaded_but_not_recorded = "uploaded", 2, SEVERAL_PARTS;
    #[ignore = "in `make nightly`"]
    killed_when_about_to_wipe = "wiping", 2, ONE_PART;
    killed_when_recorded_but_not_acknowledged = "recorded", 1, SEVERAL_PARTS;
}

/// Paused past its lease and resumed, the worker finds that another one owns the job.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_worker_cannot_publish() {
    let (world, id, first) = stopped_at("uploaded", SEVERAL_PARTS).await;
    let _second = world.worker("second", None);
    let (job, dxf) = world.completed(id).await;
    assert_eq!(job.attempt, 2);
    first.signal(Signal::CONT);
    world.wait_until_said("too late; not publishing it").await;
    // It has still destroyed its files, and its ledger records this.
    let after = world.wait(id, "audited", |job| job.audit.len() == 2).await;
    assert!(after.output == job.output && after.attempt == 2 && after.times == job.times, "{after:?}");
    assert!(world.completed(id).await.1 == dxf);
    world.queue_is_empty().await;
    assert_eq!(first.terminate(), Some(0));
    world.workspace_is_empty().await;
}

/// The same before the job has ended: the second worker still works on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_worker_cannot_publish_over_a_running_one() {
    let (world, id, first) = stopped_at("uploaded", ONE_PART).await;
    let second = world.worker("second", Some("converting"));
    second.stopped().await;
    assert_eq!(world.job(id).await.attempt, 2);
    first.signal(Signal::CONT);
    world.wait_until_said("too late; not publishing it").await;
    let job = world.job(id).await;
    assert_eq!((job.state, job.attempt, job.output), (State::Processing, 2, None));
    // The first worker now watches the lease of the second, which continues in time.
    second.signal(Signal::CONT);
    world.completed(id).await;
    world.queue_is_empty().await;
}

/// Asked to stop, the worker kills the engine, wipes, and returns the job without counting the
/// attempt.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_stop_gives_the_job_back() {
    let (world, id, first) = stopped_at("converting", SEVERAL_PARTS).await;
    first.signal(Signal::TERM);
    first.signal(Signal::CONT);
    assert_eq!(first.terminate(), Some(0), "all was given back in time");
    let job = world.job(id).await;
    assert_eq!((job.state, job.attempt, job.excused), (State::Pending, 1, 1));
    // The job was not cancelled, and the ledger does not say that it was.
    let ledger = world.ledgers().read(LedgerId::of_attempt(id, 1)).expect("its ledger");
    let ledger = String::from_utf8(ledger).expect("ASCII");
    let last = ledger.lines().last().expect("a record");
    assert!(last.contains("\"outcome\":\"worker.stopped\""), "{last}");
    world.workspace_is_empty().await;
    let _second = world.worker("second", None);
    let (job, _) = world.completed(id).await;
    assert_eq!((job.attempt, job.excused), (2, 1));
    world.queue_is_empty().await;
}

/// The time for which watchers have seen a dead worker's lease unchanged adds up, although each
/// watcher is killed long before a whole lease has passed.
#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_killed_more_often_than_the_lease_take_the_job_over() {
    const MOST_LIVES: usize = 20;
    let (world, id, first) = stopped_at("converting", ONE_PART).await;
    first.kill();
    let mut lives = 0;
    while world.job(id).await.attempt == 1 {
        lives += 1;
        assert!(lives <= MOST_LIVES, "{:?}", world.job(id).await.lease);
        let watcher = world.worker(&format!("watcher-{lives}"), None);
        // From then on it runs for a third of a lease.
        while !watcher.log().contains("watching its lease") && world.job(id).await.attempt == 1 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        tokio::time::sleep(LEASE / 3).await;
        watcher.kill();
    }
    let _last = world.worker("last", None);
    world.completed(id).await;
    world.queue_is_empty().await;
}

/// Cancelled by its owner, the conversion stops and nothing is published.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_ends_its_conversion() {
    let (world, id, first) = stopped_at("converting", SEVERAL_PARTS).await;
    let change = world.jobs.send(id, &Event::Cancelled).await.unwrap();
    assert!(matches!(change, cadmill_core::jobs::Change::Done(_)), "{change:?}");
    first.signal(Signal::CONT);
    world.queue_is_empty().await;
    world.workspace_is_empty().await;
    let job = world.job(id).await;
    assert_eq!((job.state, job.output), (State::Cancelled, None));
    assert_eq!(world.said("\"completed\""), 0);
}

/// A job that kills its worker each time is ended, with a failure that says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_ends() {
    let world = World::new().await;
    let id = world.submit(&large_archive(1000), "dxf").await;
    for attempt in 1..=3 {
        let worker = world.worker(&format!("w{attempt}"), Some("unpacked"));
        worker.stopped().await;
        assert_eq!(world.job(id).await.attempt, attempt);
        worker.kill();
    }
    let _last = world.worker("last", None);
    let job = world.wait(id, "ended", |job| job.state.is_terminal()).await;
    let failure = job.failure.expect("a failure");
    assert_eq!((failure.code.as_str(), failure.at), ("infra.worker_lost", Some(Stage::Fetch)));
    world.queue_is_empty().await;
    world.workspace_is_empty().await;
    assert_eq!(world.queue.dead_letters().await.unwrap(), 1);
}
