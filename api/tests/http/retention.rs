//! How long a result is kept, by the order of its job.

use crate::support::{ANN, START, World, id_of, object, order, snapshot, world, world_of};
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::state::{Event, Policy};
use serde_json::{Value, json};

fn with(seconds: Value) -> Value {
    let mut order = order();
    order["result_ttl_seconds"] = seconds;
    order
}

/// The job with this order, completed, as its owner sees it.
async fn completed(world: &World, order: Value) -> (JobId, Value) {
    let id = id_of(&world.new_job(order).await);
    let input = object(ObjectKey::upload(id, "town.zip".parse().unwrap()), 1000);
    let output = object(ObjectKey::processed(id, 1, "town.dxf".parse().unwrap()), 77);
    world.happen(id, Event::Uploaded { object: input, sequencer: "A".to_owned(), at: None }).await;
    world.happen(id, Event::Claimed { worker: "w1".to_owned(), revision: 1, dead: None }).await;
    world.happen(id, Event::Completed { attempt: 1, output }).await;
    (id, world.call(ANN, "GET", &format!("/api/jobs/{id}/status"), None).await.body)
}

#[tokio::test]
async fn a_result_expires_as_its_order_says() {
    let world = world();
    // The clock stands still at 22:13:20.
    for (order, expires, kept) in [
        (order(), "2023-11-14T22:43:20.000Z", 1800),
        (with(json!(null)), "2023-11-14T22:43:20.000Z", 1800),
        (with(json!(1800)), "2023-11-14T22:43:20.000Z", 1800),
        (with(json!(90.0)), "2023-11-14T22:14:50.000Z", 90),
        (with(json!(60)), "2023-11-14T22:14:20.000Z", 60),
    ] {
        let (id, status) = completed(&world, order).await;
        assert_eq!(status["result_expires_at"], expires, "{status}");
        assert_eq!(world.read(id).await.due, Some(START + kept * 1000));
        // Nothing is there any more, whenever it would have expired.
        let path = format!("/api/jobs/{id}");
        assert_eq!(world.call(ANN, "POST", &format!("{path}/downloaded"), None).await.status, 204);
        let status = world.call(ANN, "GET", &format!("{path}/status"), None).await.body;
        assert_eq!((&status["result_expires_at"], &status["download"]), (&Value::Null, &Value::Null));
    }
}

#[tokio::test]
async fn a_result_is_not_kept_longer_than_the_server_keeps_results() {
    let world = world();
    for (name, value) in [
        ("order_of_a_result_ttl_that_is_too_long", json!(1801)),
        ("order_of_a_result_ttl_that_is_too_short", json!(59)),
        ("order_of_a_negative_result_ttl", json!(-1)),
        ("order_of_a_fractional_result_ttl", json!(90.5)),
        ("order_of_a_result_ttl_as_text", json!("10m")),
    ] {
        snapshot!(name, world.new_job(with(value)).await);
    }
    assert_eq!(world.call(ANN, "GET", "/api/jobs", None).await.body["jobs"], json!([]), "none was created");
    // A server that keeps results for less than a minute.
    let short = world_of(Policy { retention: 20_000, ..Policy::default() });
    assert_eq!(short.new_job(with(json!(21))).await.status, 422);
    assert_eq!(short.new_job(with(json!(20))).await.status, 201);
}

/// The time is a part of the order: another one under the same id is another order.
#[tokio::test]
async fn an_order_with_another_time_is_another_order() {
    let world = world();
    let named = |seconds: Value| {
        let mut order = with(seconds);
        order["job_id"] = json!("0188a5eb-4c1d-7c3e-9a27-2f1d3c4b5a69");
        order
    };
    assert_eq!(world.new_job(named(json!(600))).await.status, 201);
    assert_eq!(world.new_job(named(json!(600))).await.status, 200);
    assert_eq!(world.new_job(named(json!(601))).await.status, 409);
    assert_eq!(world.new_job(named(json!(null))).await.status, 409);
}
