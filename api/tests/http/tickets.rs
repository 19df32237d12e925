//! Tickets: what a client can do with them, and what it cannot.

use crate::support::{ANN, START, World, id_of, object, order, request, world, world_with};
use axum::http::{Request, StatusCode};
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::state::Event;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use tower::ServiceExt;

const HOUR: u64 = 3_600_000;

async fn ticket(world: &World, id: JobId) -> String {
    let made = world.call(ANN, "POST", &format!("/api/jobs/{id}/ticket"), None).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    made.body["ticket"].as_str().unwrap().to_owned()
}

/// The status and the code of the answer to a request with this in place of a token. A stream is not read.
async fn ask(world: &World, ticket: &str, method: &str, path: &str) -> (u16, Value) {
    if path.ends_with("/events") || path.contains("ticket=") {
        let response = world.router.clone().oneshot(request(ticket, method, path, None)).await.unwrap();
        if response.status() == StatusCode::OK {
            return (200, Value::Null);
        }
    }
    let answer = world.call(ticket, method, path, None).await;
    (answer.status.as_u16(), answer.body["code"].clone())
}

#[tokio::test]
async fn a_ticket_takes_one_job_from_its_upload_to_its_end() {
    let world = world();
    let id = id_of(&world.new_job(order()).await);
    let ticket = ticket(&world, id).await;
    let job = |rest: &str| format!("/api/jobs/{id}{rest}");
    assert_eq!(ask(&world, &ticket, "GET", &job("/uploads")).await.0, 200);
    assert_eq!(ask(&world, &ticket, "GET", &job("/events")).await.0, 200);
    assert_eq!(ask(&world, &ticket, "GET", &job("/status")).await.0, 200);
    assert_eq!(
        ask(&world, &ticket, "POST", &job("/uploads/complete")).await,
        (409, json!("upload.incomplete"))
    );
    let upload = object(ObjectKey::upload(id, "town.zip".parse().unwrap()), 1000);
    world.happen(id, Event::Uploaded { object: upload, sequencer: "A".to_owned(), at: None }).await;
    world.happen(id, Event::Claimed { worker: "w".to_owned(), revision: 1, dead: None }).await;
    let output = object(ObjectKey::processed(id, 1, "town.dxf".parse().unwrap()), 77);
    world.happen(id, Event::Completed { attempt: 1, output }).await;
    let status = world.call(&ticket, "GET", &job("/status"), None).await;
    assert!(status.body["download"]["url"].is_string(), "{}", status.body);
    assert_eq!(ask(&world, &ticket, "POST", &job("/downloaded")).await.0, 204);
    assert_eq!(ask(&world, &ticket, "DELETE", &job("")).await.0, 200);
}

#[tokio::test]
async fn all_else_is_an_unknown_job() {
    let world = world();
    let (id, other) = (world.uploaded().await, world.uploaded().await);
    let ticket = ticket(&world, id).await;
    let unknown = (404, json!("job.not_found"));
    for (method, path) in [
        ("GET", "/api/jobs".to_owned()),
        ("POST", "/api/jobs".to_owned()),
        ("GET", format!("/api/events?job={id}")),
        ("GET", format!("/api/jobs/{id}/audit")),
        ("POST", format!("/api/jobs/{id}/ticket")),
        ("GET", format!("/api/jobs/{other}/status")),
        ("GET", format!("/api/jobs/{other}/events")),
        ("DELETE", format!("/api/jobs/{other}")),
        ("GET", format!("/api/jobs/{}/status", JobId::random())),
    ] {
        assert_eq!(ask(&world, &ticket, method, &path).await, unknown, "{method} {path}");
    }
    let forged = ticket.replace("ct1.j", "ct1.e");
    assert_eq!(ask(&world, &forged, "GET", &format!("/api/jobs/{id}/events")).await, unknown);
    // A ticket for a job is too much for a URL.
    let leaked = format!("/api/jobs/{id}/events?ticket={ticket}");
    assert_eq!(ask(&world, "", "GET", &leaked).await, unknown);
    // Another process with a key of its own.
    let stranger = world_with(|settings| settings.config.rate_burst = 1000);
    assert_eq!(ask(&stranger, &ticket, "GET", &format!("/api/jobs/{id}/status")).await, unknown);
}

#[tokio::test]
async fn a_ticket_expires() {
    let world = world();
    let id = world.uploaded().await;
    let made = world.call(ANN, "POST", &format!("/api/jobs/{id}/ticket"), None).await;
    assert_eq!(made.body["expires_at"], "2023-11-15T22:13:20.000Z");
    let ticket = made.body["ticket"].as_str().unwrap();
    let status = format!("/api/jobs/{id}/status");
    world.clock.0.store(START + 24 * HOUR - 1, Ordering::SeqCst);
    assert_eq!(ask(&world, ticket, "GET", &status).await.0, 200);
    world.clock.0.store(START + 24 * HOUR, Ordering::SeqCst);
    assert_eq!(ask(&world, ticket, "GET", &status).await, (401, json!("auth.expired")));
}

#[tokio::test]
async fn a_stream_is_opened_by_a_url_for_a_minute() {
    let world = world();
    let id = world.uploaded().await;
    let made = world.call(ANN, "POST", &format!("/api/jobs/{id}/events/ticket"), None).await;
    assert_eq!(made.body["expires_at"], "2023-11-14T22:14:20.000Z");
    let url = made.body["url"].as_str().unwrap().to_owned();
    let response = world.router.clone().oneshot(Request::get(&url).body(axum::body::Body::empty()).unwrap());
    let response = response.await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let elsewhere = url.replace("/events?", "/status?");
    assert_eq!(ask(&world, "", "GET", &elsewhere).await, (404, json!("job.not_found")));
    // It is not accepted as a token.
    let text = url.split_once("ticket=").unwrap().1;
    assert_eq!(
        ask(&world, text, "GET", &format!("/api/jobs/{id}/status")).await,
        (404, json!("job.not_found"))
    );
    assert_eq!(
        ask(&world, "", "GET", &format!("/api/jobs/{id}/events?ticket=x")).await,
        (401, json!("auth.required"))
    );
    // Who has a ticket for the job can make one.
    let ticket = ticket(&world, id).await;
    assert_eq!(ask(&world, &ticket, "POST", &format!("/api/jobs/{id}/events/ticket")).await.0, 200);
    world.clock.0.store(START + 60_000, Ordering::SeqCst);
    assert_eq!(ask(&world, "", "GET", &url).await, (401, json!("auth.expired")));
}
