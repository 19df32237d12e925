//! The deletions of a job's files in its audit, with the ledgers that prove them.

use crate::support::{ANN, BOB, EVE, World, world_with};
use cadmill_core::cleanup::evidence::{Ledgers, Writer};
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::ledger::verify::{Verdict, verify};
use cadmill_core::domain::ledger::{LedgerId, Signature, SignedHead};
use cadmill_core::ports::{AuditSink, Signer};
use cadmill_stores::adapters::faulty::{Fault, FaultyAudit, Script};
use cadmill_stores::adapters::ledger::FileAudit;
use cadmill_stores::conformance::audit_sink::signer;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

async fn audit(world: &World, token: &str, id: JobId) -> Value {
    let answer = world.call(token, "GET", &format!("/api/jobs/{id}/audit"), None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

async fn downloaded(world: &World) -> JobId {
    let id = world.completed().await;
    assert_eq!(audit(world, ANN, id).await["deletions"], json!([]), "its files are there");
    let path = format!("/api/jobs/{id}/downloaded");
    assert_eq!(world.call(ANN, "POST", &path, None).await.status, 204);
    assert!(world.shelf.objects.lock().unwrap().is_empty());
    id
}

#[tokio::test]
async fn the_audit_has_a_deletion_with_its_signed_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let (sink, signer) = (Arc::new(FileAudit::new(directory.path()).unwrap()), Arc::new(signer()));
    let ledgers = Ledgers::Here(Writer::new(sink.clone(), Some(signer.clone())));
    let world = world_with(|settings| settings.ledgers = ledgers);
    let id = downloaded(&world).await;
    let shown = audit(&world, ANN, id).await;
    assert_eq!(shown, audit(&world, EVE, id).await, "an auditor sees the same");
    let [deletion] = shown["deletions"].as_array().unwrap().as_slice() else { panic!("{shown}") };
    let expected = json!({
        "by": "api",
        "confirmed_at": deletion["confirmed_at"],
        "ledger": format!("{id}/0/1"),
        "ledger_owed": false,
        "marks": 0,
        "objects": deletion["objects"],
        "oldest_age_ms": deletion["oldest_age_ms"],
        "uploads": 0,
    });
    assert_eq!(deletion, &expected);
    assert!(deletion["confirmed_at"].as_str().unwrap().ends_with('Z'), "{deletion}");
    // The head among those of the attempts is that of the ledger, which is valid.
    let entry = shown["attempts"].as_array().unwrap().last().unwrap();
    assert_eq!((&entry["attempt"], &entry["part"]), (&json!(0), &json!(1)));
    let text = |name: &str| entry[name].as_str().unwrap().to_owned();
    let signature =
        Signature { key_id: text("key_id"), public_key: text("public_key"), signature: text("signature") };
    let head = SignedHead {
        head: serde_json::from_value(entry["head"].clone()).unwrap(),
        signature: Some(signature),
    };
    let lines = sink.read(LedgerId::of_deletions(id, 1)).unwrap();
    let verified = verify(&lines, Some(&head), Some(&signer.public_key()));
    assert_eq!(verified.verdict, Verdict::Valid, "{:?}", verified.findings);
    let purge = &verified.story.purges[0];
    assert_eq!((json!(purge.objects), purge.by.as_str()), (deletion["objects"].clone(), "api"));
    // Others learn nothing.
    assert_eq!(world.call(BOB, "GET", &format!("/api/jobs/{id}/audit"), None).await.status, 404);
}

/// The answer to the client does not depend on the ledger.
#[tokio::test]
async fn the_audit_says_that_the_ledger_of_a_deletion_is_owed() {
    let directory = tempfile::tempdir().unwrap();
    let sink = Arc::new(FileAudit::new(directory.path()).unwrap());
    let faulty = FaultyAudit::new(sink, Script::new().on("begin", 1, Fault::Fail));
    let failing = Ledgers::Here(Writer::new(Arc::new(faulty), Some(Arc::new(signer()))));
    for (ledgers, owed) in [(failing, true), (Ledgers::Elsewhere, true), (Ledgers::Nowhere, false)] {
        let world = world_with(|settings| settings.ledgers = ledgers);
        let id = downloaded(&world).await;
        let shown = audit(&world, ANN, id).await;
        let deletion = &shown["deletions"][0];
        assert_eq!((&deletion["ledger"], &deletion["ledger_owed"]), (&Value::Null, &json!(owed)), "{shown}");
        let job = world.read(id).await;
        assert_eq!((job.purges, job.owed.is_some()), (1, owed));
    }
}

/// A client that goes away in the middle of the deletion takes no count with it.
#[tokio::test]
async fn a_deletion_is_recorded_although_its_client_goes_away() {
    let directory = tempfile::tempdir().unwrap();
    let sink = Arc::new(FileAudit::new(directory.path()).unwrap());
    let slow = Script::new().on("begin", 1, Fault::Delay(Duration::from_millis(500)));
    let slow = FaultyAudit::new(sink, slow);
    let ledgers = Ledgers::Here(Writer::new(Arc::new(slow), Some(Arc::new(signer()))));
    let world = world_with(|settings| settings.ledgers = ledgers);
    let id = world.completed().await;
    let objects = world.shelf.objects.lock().unwrap().len();
    let path = format!("/api/jobs/{id}/downloaded");
    let gone = async {
        while !world.shelf.objects.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        answer = world.call(ANN, "POST", &path, None) => panic!("answered too early: {}", answer.body),
        () = gone => {}
    }
    while world.read(id).await.purges == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let shown = audit(&world, ANN, id).await;
    assert_eq!(shown["deletions"][0]["objects"], json!(objects), "{shown}");
}

/// A client repeats what it has no answer to yet.
#[tokio::test]
async fn of_several_requests_one_counts_the_deletion() {
    let world = world_with(|settings| settings.ledgers = Ledgers::Nowhere);
    let id = world.completed().await;
    let path = format!("/api/jobs/{id}/downloaded");
    let objects = world.shelf.objects.lock().unwrap().len();
    let requests = (0..8).map(|_| world.call(ANN, "POST", &path, None));
    let statuses = futures_util::future::join_all(requests).await.into_iter().map(|answer| answer.status);
    assert!(statuses.eq([204; 8]));
    let shown = audit(&world, ANN, id).await;
    let [deletion] = shown["deletions"].as_array().unwrap().as_slice() else { panic!("{shown}") };
    assert_eq!(deletion["objects"], json!(objects));
}
