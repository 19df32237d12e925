//! Lost replies, failures and competitors, on the SQLite store.

mod random;

use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::ids::ObjectKey;
use cadmill_core::domain::job::Job;
use cadmill_core::domain::job::{Object, State};
use cadmill_core::domain::state::{Denied, Event, Ignored, Policy};
use cadmill_core::jobs::*;
use cadmill_core::ports::JobStore;
use cadmill_core::ports::clock::SystemClock;
use cadmill_stores::adapters::embedded::{Database, SqliteJobs};
use cadmill_stores::adapters::faulty::{Fault, FaultyJobs, Script};
use cadmill_stores::conformance::job_store::{new_job, new_owner};
use std::sync::Arc;
use std::time::Duration;

struct World {
    _directory: tempfile::TempDir,
    store: SqliteJobs,
}

fn world() -> World {
    let directory = tempfile::tempdir().unwrap();
    let store = Database::open(&directory.path().join("jobs.sqlite"), 5).unwrap().jobs();
    World { _directory: directory, store }
}

impl World {
    fn under(&self, script: Script) -> Jobs {
        let store = FaultyJobs::new(Arc::new(self.store.clone()), script);
        Jobs::new(Arc::new(store), Arc::new(SystemClock), Policy::default())
    }

    /// A job whose upload has arrived.
    async fn uploaded(&self) -> JobId {
        let order = new_job(&new_owner(), 1).order;
        let jobs = self.under(Script::new());
        let (job, _) = jobs.create(JobId::random(), order).await.unwrap();
        let object = object(ObjectKey::upload(job.id, job.order.file_name.clone()), "in");
        let event = Event::Uploaded { object, sequencer: "1".to_owned(), at: None };
        assert!(matches!(jobs.send(job.id, &event).await, Ok(Change::Done(_))));
        job.id
    }
}

fn object(key: ObjectKey, etag: &str) -> Object {
    Object { key, size_bytes: 7, etag: etag.to_owned(), version: None, sha256: None, encoded: None }
}

fn claim(worker: &str, revision: u64) -> Event {
    Event::Claimed { worker: worker.to_owned(), revision, dead: None }
}

fn output(id: JobId, attempt: u32, etag: &str) -> Event {
    let key = ObjectKey::processed(id, attempt, "a.dxf".parse().unwrap());
    Event::Completed { attempt, output: object(key, etag) }
}

#[tokio::test]
async fn a_claim_whose_reply_was_lost_is_the_claimers() {
    let world = world();
    let id = world.uploaded().await;
    let script = Script::new().on("replace", 1, Fault::DropReply);
    let change = world.under(script.clone()).send(id, &claim("one", 11)).await.unwrap();
    let Change::Done(job) = change else { panic!("{change:?}") };
    assert_eq!((job.attempt, job.lease.as_ref().map(|lease| lease.revision)), (1, Some(11)));
    assert_eq!(script.calls("replace"), 1, "it was read back and not written again");

    let other = world.under(Script::new()).send(id, &claim("two", 22)).await.unwrap();
    assert!(matches!(other, Change::Denied(Denied::Held, _)), "{other:?}");
}

#[tokio::test]
async fn a_claim_that_another_wrote_over_in_the_meantime_is_told_of() {
    let world = world();
    let id = world.uploaded().await;
    // The reply is lost; before the job is read back, a client polls its state.
    let script = Script::new().on("replace", 1, Fault::DropReply).on("get", 2, Fault::Delay(millis(300)));
    let jobs = world.under(script);
    let claimed = tokio::spawn(async move { jobs.send(id, &claim("one", 11)).await });
    let plain = world.under(Script::new());
    while world.store.get(id).await.unwrap().unwrap().attempt == 0 {
        tokio::time::sleep(millis(5)).await;
    }
    assert!(matches!(plain.send(id, &Event::Polled { times: 3 }).await, Ok(Change::Done(_))));
    let change = claimed.await.unwrap().unwrap();
    let Change::Done(job) = change else { panic!("{change:?}") };
    assert_eq!((job.attempt, job.polls), (1, 3));
}

#[tokio::test]
async fn of_two_claims_that_both_lose_their_replies_one_is_held() {
    let world = world();
    let id = world.uploaded().await;
    let script = || Script::new().on("replace", 1, Fault::DropReply).on("replace", 2, Fault::DropReply);
    let (one, two) = (world.under(script()), world.under(script()));
    let (first, second) = (claim("one", 11), claim("two", 22));
    let (one, two) = futures_util::future::join(one.send(id, &first), two.send(id, &second)).await;
    let (one, two) = (one.unwrap(), two.unwrap());
    let won = |change: &Change| matches!(change, Change::Done(_));
    let held = |change: &Change| matches!(change, Change::Denied(Denied::Held, _));
    assert!(won(&one) && held(&two) || won(&two) && held(&one), "{one:?} {two:?}");
    assert_eq!(world.store.get(id).await.unwrap().unwrap().attempt, 1);
}

#[tokio::test]
async fn a_write_that_is_made_twice_is_done_once() {
    let world = world();
    let id = world.uploaded().await;
    let twice = || world.under(Script::new().on("replace", 1, Fault::Twice));
    let change = twice().send(id, &claim("one", 11)).await.unwrap();
    assert!(matches!(&change, Change::Done(job) if job.attempt == 1), "{change:?}");
    let change = twice().send(id, &output(id, 1, "mine")).await.unwrap();
    assert!(matches!(&change, Change::Done(job) if job.state == State::Completed), "{change:?}");
}

#[tokio::test]
async fn an_end_whose_reply_was_lost_is_done_and_a_late_worker_is_superseded() {
    let world = world();
    let id = world.uploaded().await;
    let plain = world.under(Script::new());
    plain.must(id, &claim("one", 11)).await.unwrap();
    let jobs = world.under(Script::new().on("replace", 1, Fault::DropReply).on("get", 2, Fault::Fail));
    let change = jobs.send(id, &output(id, 1, "mine")).await.unwrap();
    assert!(matches!(&change, Change::Done(job) if job.state == State::Completed), "{change:?}");
    let late = plain.send(id, &output(id, 1, "other")).await.unwrap();
    assert!(matches!(late, Change::Denied(Denied::Superseded, _)), "{late:?}");
    let failure = plain.must(id, &output(id, 1, "other")).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::Superseded);
}

#[tokio::test]
async fn failures_that_pass_are_passed_over_and_others_are_told() {
    let world = world();
    let id = world.uploaded().await;
    let script = Script::new()
        .on("get", 1, Fault::Fail)
        .on("replace", 1, Fault::Fail)
        .on("get", 3, Fault::DropReply)
        .on("replace", 2, Fault::DropReply);
    let change = world.under(script).send(id, &claim("one", 11)).await.unwrap();
    assert!(matches!(change, Change::Done(_)), "{change:?}");

    let before = world.store.get(id).await.unwrap();
    let script = (1..=ROUNDS).fold(Script::new(), |script, call| script.on("replace", call, Fault::Fail));
    let error = world.under(script).send(id, &Event::Cancelled).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(world.store.get(id).await.unwrap(), before, "nothing happened");
    let missing = world.under(Script::new()).send(JobId::random(), &Event::Cancelled).await;
    assert_eq!(missing, Ok(Change::Missing));
}

#[tokio::test]
async fn a_creation_whose_reply_was_lost_is_the_creators() {
    let world = world();
    let order = new_job(&new_owner(), 1).order;
    for fault in [Fault::DropReply, Fault::Fail, Fault::Delay(millis(1))] {
        let jobs = world.under(Script::new().on("create", 1, fault));
        let (job, new) = jobs.create(JobId::random(), order.clone()).await.unwrap();
        assert!(new, "{fault:?}");
        assert_eq!(world.store.get(job.id).await, Ok(Some(job)), "{fault:?}");
    }
    // An existing job of another owner with this id is found, even if the reply is lost.
    let id = JobId::random();
    let (first, _) = world.under(Script::new()).create(id, order).await.unwrap();
    let jobs = world.under(Script::new().on("create", 1, Fault::DropReply));
    let other = new_job(&new_owner(), 1).order;
    assert_eq!(jobs.create(id, other).await, Ok((first, false)));
    let script = (1..=3).fold(Script::new(), |script, call| script.on("create", call, Fault::Fail));
    let order = new_job(&new_owner(), 1).order;
    assert!(
        world
            .under(script)
            .create(JobId::random(), order)
            .await
            .is_err_and(|error| matches!(error, NotCreated::Store(error) if error.is_transient()))
    );
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
