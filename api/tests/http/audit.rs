//! The ledger heads of a job: who may read them, and their content.

use crate::support::{ANN, BOB, EVE, World, order, snapshot, world};
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::ledger::chain::ZERO_HASH;
use cadmill_core::domain::ledger::{Head, LedgerId, PublicKey, Signature, SignedHead};
use cadmill_core::domain::state::Event;
use cadmill_core::ports::Signer;
use cadmill_stores::conformance::audit_sink::signer;
use serde_json::json;

fn head(job: JobId, attempt: u32, part: u32) -> Head {
    Head::new(LedgerId { job, attempt, part }, 41, ZERO_HASH)
}

async fn audited(world: &World, head: SignedHead, end: Option<Event>) {
    let job = head.head.ledger.job;
    world.happen(job, Event::Audited { head: Box::new(head), end: end.map(Box::new) }).await;
}

/// A job that was released once, by a worker without a key, and then completed.
async fn twice_tried(world: &World) -> (JobId, PublicKey) {
    let job = world.processing().await;
    let unsigned = SignedHead { head: head(job, 1, 0), signature: None };
    audited(world, unsigned, Some(Event::Released { attempt: 1, failure: None })).await;
    world.happen(job, Event::Claimed { worker: "w2".to_owned(), revision: 2, dead: None }).await;
    let signer = signer();
    let sign = |head: Head| SignedHead { signature: Some(signer.signature(&head.message()).unwrap()), head };
    let key = ObjectKey::processed(job, 2, "town.dxf".parse().unwrap());
    let end = Event::Completed { attempt: 2, output: crate::support::object(key, 77) };
    audited(world, sign(head(job, 2, 0)), Some(end)).await;
    audited(world, sign(head(job, 1, 1)), None).await;
    (job, signer.public_key())
}

#[tokio::test]
async fn the_owner_and_auditors_get_heads_that_verify() {
    let world = world();
    let (job, key) = twice_tried(&world).await;
    let path = format!("/api/jobs/{job}/audit");
    let answers = [world.call(ANN, "GET", &path, None).await, world.call(EVE, "GET", &path, None).await];
    assert_eq!(answers[0].body, answers[1].body);
    let mut answer = answers.into_iter().next().unwrap();
    let attempts = answer.body["attempts"].as_array_mut().unwrap();
    assert_eq!(attempts.len(), 3);
    for attempt in &mut attempts[1..] {
        // The response contains exactly what was signed.
        let text = |name: &str| attempt[name].as_str().unwrap().to_owned();
        let (key_id, public_key) = (text("key_id"), text("public_key"));
        let signature = Signature { key_id, public_key, signature: text("signature") };
        assert!(signature.is_good(&key, attempt["head"].to_string().as_bytes()), "{attempt}");
        for name in ["signature", "key_id", "public_key"] {
            attempt[name] = json!(format!("[{name}]"));
        }
    }
    snapshot!("audit_of_a_job_that_was_tried_twice", answer);
}

#[tokio::test]
async fn nobody_else_learns_that_the_job_is_there() {
    let world = world();
    let (job, _) = twice_tried(&world).await;
    let path = format!("/api/jobs/{job}/audit");
    let other = world.call(BOB, "GET", &path, None).await;
    snapshot!("audit_of_another_owners_job", other);
    let missing = world.call(EVE, "GET", &format!("/api/jobs/{}/audit", JobId::random()), None).await;
    assert_eq!(missing.status, 404);
    assert_eq!(world.call("", "GET", &path, None).await.status, 401);
    assert_eq!(world.call(BOB, "GET", "/api/jobs/x/audit", None).await.status, 404);
}

#[tokio::test]
async fn an_auditor_gets_nothing_else_of_others() {
    let world = world();
    let (job, _) = twice_tried(&world).await;
    for (method, path) in [("GET", "/status"), ("DELETE", ""), ("POST", "/downloaded"), ("GET", "/upload")] {
        let answer = world.call(EVE, method, &format!("/api/jobs/{job}{path}"), None).await;
        assert_eq!(answer.status, 404, "{method} {path}");
    }
    // The auditor's own jobs follow the same rules as everyone's.
    let made = world.call(EVE, "POST", "/api/jobs", Some(order())).await;
    let path = format!("/api/jobs/{}/audit", crate::support::id_of(&made));
    let answer = world.call(EVE, "GET", &path, None).await;
    assert_eq!(
        (answer.body["attempts_made"].clone(), answer.body["attempts"].clone()),
        (json!(0), json!([]))
    );
}
