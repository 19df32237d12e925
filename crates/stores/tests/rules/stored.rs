//! Data stored by an earlier version can be read: jobs, their queue, and ledgers.

use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::{Job, Stage, State};
use cadmill_core::domain::ledger::SignedHead;
use cadmill_core::domain::ledger::verify::{Verdict, verify};
use cadmill_core::domain::upload_event;
use cadmill_core::ports::{EventQueue, JobStore};
use cadmill_stores::adapters::embedded::Database;
use std::path::PathBuf;
use std::time::Duration;

const COMPLETED: &str = "18208d5e-40de-4c2e-ae71-067191b3cff7";
const FAILED: &str = "46c7dbcb-d759-496c-b92d-4d2a581a8c1c";
const PENDING: &str = "712bdd72-9f9c-429b-980c-fe687bceff96";
const CANCELLED: &str = "73bc5d69-0c00-4a31-bc92-839048416eae";

fn stored() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/stored")
}

/// A copy of the database, because opening writes to it.
fn opened() -> (tempfile::TempDir, Database) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.sqlite");
    std::fs::copy(stored().join("jobs.sqlite"), &path).unwrap();
    let database = Database::open(&path, 5).unwrap();
    (directory, database)
}

async fn job(database: &Database, id: &str) -> Job {
    database.jobs().get(id.parse().unwrap()).await.unwrap().unwrap()
}

#[tokio::test]
async fn jobs_are_read() {
    let (_directory, database) = opened();
    let completed = job(&database, COMPLETED).await;
    assert_eq!((completed.state, completed.attempt, completed.polls > 0), (State::Completed, 1, true));
    assert_eq!((completed.order.file_name.as_str(), completed.order.size_bytes), ("cube_ascii.ply", 329));
    assert_eq!(completed.output.as_ref().unwrap().size_bytes, 1324);
    let stages: Vec<Stage> = completed.stage_millis.keys().copied().collect();
    assert_eq!(stages, [Stage::Fetch, Stage::Convert, Stage::Publish, Stage::Wipe]);
    let failed = job(&database, FAILED).await;
    let failure = failed.failure.unwrap();
    assert_eq!((failed.state, failure.code), (State::Failed, FailureCode::EngineRejected));
    assert_eq!(failure.at, Some(Stage::Convert));
    let pending = job(&database, PENDING).await;
    assert_eq!((pending.state, pending.input), (State::Pending, None));
    let cancelled = job(&database, CANCELLED).await;
    assert_eq!(cancelled.state, State::Cancelled);
    assert_eq!(cancelled.order.options.get("join-vertices").map(String::as_str), Some("on"));
}

#[tokio::test]
async fn messages_are_read() {
    let (_directory, database) = opened();
    let queue = database.queue();
    let messages = queue.receive(10, Duration::ZERO, Duration::from_secs(60)).await.unwrap();
    let [message] = messages.as_slice() else { panic!("{messages:?}") };
    let events = upload_event::parse(&message.body).unwrap();
    let jobs: Vec<JobId> = events.iter().map(|event| event.job).collect();
    assert_eq!(jobs, [CANCELLED.parse().unwrap()]);
    queue.delete(message).await.unwrap();
    // Of an owner that the earlier version did not note.
    queue.send(&message.body).await.unwrap();
    assert_eq!(queue.receive(10, Duration::ZERO, Duration::ZERO).await.unwrap().len(), 1);
}

#[tokio::test]
async fn ledgers_are_read_and_are_those_of_the_jobs() {
    let (_directory, database) = opened();
    for (id, outcome) in [(COMPLETED, "completed"), (FAILED, "engine.rejected")] {
        let place = stored().join("audit").join(id);
        let ledger = std::fs::read(place.join("1-0.jsonl")).unwrap();
        let head = std::fs::read(place.join("1-0.head.json")).unwrap();
        let head: SignedHead = serde_json::from_slice(&head).unwrap();
        let audit = verify(&ledger, Some(&head), None);
        assert_eq!((audit.verdict, &audit.findings[..]), (Verdict::Unsigned, &[][..]), "{id}");
        assert_eq!(audit.story.outcome.as_deref(), Some(outcome));
        assert_eq!(job(&database, id).await.audit, [head], "the record has the head");
    }
}
