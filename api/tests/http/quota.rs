//! What one owner may have in flight.

use crate::support::{ANN, Answer, BOB, World, header, id_of, order, world_with};
use cadmill_core::domain::quota::Quota;
use cadmill_core::domain::state::Event;
use serde_json::json;

/// A server on which an owner may have two jobs of 1000 bytes in flight, or less than three.
fn world() -> World {
    world_with(|settings| settings.config.quota = Quota { jobs: 2, bytes: 2500 })
}

async fn create(world: &World, token: &str) -> Answer {
    world.call(token, "POST", "/api/jobs", Some(order())).await
}

#[tokio::test]
async fn an_owner_at_the_limit_waits_and_others_do_not() {
    let world = world();
    for _ in 0..2 {
        assert_eq!(create(&world, ANN).await.status, 201);
    }
    let refused = create(&world, ANN).await;
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (429, &json!("api.quota")));
    assert_eq!(header(&refused, "retry-after"), "30");
    assert_eq!(refused.body["retryable"], true);
    assert_eq!((&refused.body["limit_jobs"], &refused.body["jobs_in_flight"]), (&json!(2), &json!(2)));
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("2 jobs in flight") && detail.contains("api.owner_jobs"), "{detail}");
    assert_eq!(create(&world, BOB).await.status, 201);
}

#[tokio::test]
async fn bytes_are_limited_as_well() {
    let world = world_with(|settings| settings.config.quota = Quota { jobs: 9, bytes: 2500 });
    for status in [201, 201, 429] {
        assert_eq!(create(&world, ANN).await.status, status);
    }
    let mut small = order();
    small["size_bytes"] = json!(500);
    assert_eq!(world.new_job(small.clone()).await.status, 201, "as much as is left");
    let refused = world.new_job(small).await;
    assert_eq!((refused.status.as_u16(), &refused.body["limit_bytes"]), (429, &json!(2500)));
    assert_eq!((&refused.body["bytes_in_flight"], &refused.body["size_bytes"]), (&json!(2500), &json!(500)));
    assert!(refused.body["detail"].as_str().unwrap().contains("api.owner_bytes"));
}

/// Waiting would not help.
#[tokio::test]
async fn a_file_that_exceeds_the_limit_alone_is_too_large() {
    let world = world();
    let mut large = order();
    large["size_bytes"] = json!(2501);
    let refused = world.new_job(large).await;
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (422, &json!("upload.too_large")));
    assert_eq!(header(&refused, "retry-after"), "");
    assert_eq!(refused.body["limit_bytes"], 2500);
}

#[tokio::test]
async fn each_end_of_a_job_frees_its_place() {
    let world = world();
    assert_eq!(create(&world, ANN).await.status, 201);
    // By its owner.
    let id = id_of(&create(&world, ANN).await);
    assert_eq!(create(&world, ANN).await.status, 429);
    assert_eq!(world.call(ANN, "DELETE", &format!("/api/jobs/{id}"), None).await.status, 200);
    // By the cleanup.
    let id = id_of(&create(&world, ANN).await);
    assert_eq!(create(&world, ANN).await.status, 429);
    world.happen(id, Event::Expired).await;
    // By a worker; its result may still be downloaded.
    let id = world.completed().await;
    assert_eq!(world.read(id).await.counted, None);
    assert_eq!(create(&world, ANN).await.status, 201);
    assert_eq!(create(&world, ANN).await.status, 429);
    // To end a job that has ended frees nothing more.
    assert_eq!(world.call(ANN, "DELETE", &format!("/api/jobs/{id}"), None).await.status, 200);
    assert_eq!(create(&world, ANN).await.status, 429);
}

#[tokio::test]
async fn a_repeated_request_counts_once() {
    let world = world();
    let mut named = order();
    named["job_id"] = json!("00000000-0000-4000-8000-000000000001");
    for status in [201, 200, 200] {
        assert_eq!(world.new_job(named.clone()).await.status, status);
    }
    let mut other = named.clone();
    other["size_bytes"] = json!(7);
    assert_eq!(world.new_job(other.clone()).await.status, 409);
    assert_eq!(world.call(BOB, "POST", "/api/jobs", Some(named.clone())).await.status, 409);
    let usage = world.jobs.store().usage(&"ann".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((usage.jobs, usage.bytes), (1, 1000));
    assert_eq!(world.jobs.store().usage(&"bob".parse().unwrap()).await.unwrap().unwrap().jobs, 0);
    // At the limit too it is answered as before.
    assert_eq!(create(&world, ANN).await.status, 201);
    assert_eq!(world.new_job(named).await.status, 200);
    assert_eq!(world.new_job(other).await.status, 409);
}
