//! What the log contains for each request, and what it must never contain.

use crate::support::{ANN, World, id_of, order, request, world};
use axum::http::HeaderValue;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::JobFailure;
use futures_util::StreamExt;
use serde_json::json;
use std::cell::RefCell;
use std::io::Write;
use std::time::{Duration, Instant};
use tower::ServiceExt;

thread_local! {
    /// What this thread has logged.
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_tells_requests_and_no_secrets() {
    // For all tests of the program: `tracing` caches whether anybody listens to an event, and
    // another thread without a subscriber may have asked first.
    tracing_subscriber::fmt().json().with_max_level(tracing::Level::TRACE).with_writer(|| Lines).init();
    let world = world();
    world.new_job(json!({"file_name": "secret/name.zip", "size_bytes": 1, "target_format": "dxf"})).await;
    world.new_job(order()).await;
    let waiting = world.processing().await;
    let message = "secret.dwg is broken".to_owned();
    let failed = world.failed(JobFailure { code: FailureCode::EngineRejected, message, at: None }).await;
    let done = world.completed().await;
    for id in [waiting, failed, done] {
        world.call(ANN, "GET", &format!("/api/jobs/{id}/status?secret=1"), None).await;
    }
    let stream = world.router.clone().oneshot(request(
        ANN,
        "GET",
        &format!("/api/jobs/{waiting}/events?secret=3"),
        None,
    ));
    let mut stream = stream.await.unwrap().into_body().into_data_stream();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    let ticket = world.call(ANN, "POST", &format!("/api/jobs/{waiting}/ticket"), None).await;
    let ticket = ticket.body["ticket"].as_str().unwrap().to_owned();
    world.call(&ticket, "GET", &format!("/api/jobs/{waiting}/status"), None).await;
    let url = world.call(ANN, "POST", &format!("/api/jobs/{waiting}/events/ticket"), None).await;
    let url = url.body["url"].as_str().unwrap().to_owned();
    let opened = world.router.clone().oneshot(request("", "GET", &url, None)).await.unwrap();
    assert_eq!(opened.status(), 200);
    drop(opened);
    world.call("secret-token-of-nobody-0123456789abcdef", "GET", "/secret/path?secret=2", None).await;
    world.call(ANN, "GET", "/api/jobs?page=secret", None).await;
    let good = traced(&world, &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]).await;
    let bad = traced(&world, &["00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"]).await;
    let one = "00-11111111111111111111111111111111-00f067aa0ba902b7-01";
    let two = traced(&world, &[one, one]).await;
    world.call(ANN, "GET", &format!("/api/jobs/{good}/status"), None).await;
    world.shelf.down.store(true, std::sync::atomic::Ordering::SeqCst);
    world.call(ANN, "DELETE", &format!("/api/jobs/{done}"), None).await;
    world.call("", "GET", "/readyz", None).await;
    world.state.sweep(Instant::now() + Duration::from_secs(60)).await;

    let text = String::from_utf8(LINES.take()).unwrap();
    for never in ["secret", "town", "signature", ANN, "127.0.0.1:9", "ct1.", "ticket="] {
        assert!(!text.contains(never), "{never} is in the log:\n{text}");
    }
    let has = |parts: &[&str]| text.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    let job = format!("\"job.id\":\"{waiting}\"");
    let route = "\"http.route\":\"/api/jobs/{job_id}/status\"";
    assert!(has(&[route, &job, "\"owner\":\"ann\"", "\"http.status\":200", "\"request.id\":"]), "{text}");
    assert!(has(&["\"http.route\":\"none\"", "\"http.status\":404"]), "{text}");
    assert!(has(&["\"message\":\"poll\"", &job, "\"state\":\"PROCESSING\"", "\"poll.n\":1"]), "{text}");
    assert!(has(&["client stopped polling", &job]), "{text}");
    assert!(has(&["event stream opened", &job, "\"stream.resumed\":false"]), "{text}");
    assert!(has(&["event stream closed", &job, "\"stream.by\":\"client\"", "\"stream.events\":1"]), "{text}");
    let of = |id: JobId| format!("\"job.id\":\"{id}\"");
    let trace = "\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"";
    for message in ["\"message\":\"request\"", "\"message\":\"poll\""] {
        assert!(has(&[message, &of(good), trace]), "{text}");
    }
    for id in [bad, two, waiting] {
        assert!(has(&[&of(id)]) && !has(&[&of(id), "trace_id"]), "{text}");
    }
    assert_eq!(world.read(good).await.trace_id(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    assert_eq!((world.read(bad).await.trace, world.read(two).await.trace), (None, None));
    assert!(!has(&["client stopped polling", &failed.to_string()]), "{text}");
    assert!(has(&["the objects remain until the cleanup", "SlowDown"]), "{text}");
}

/// A job of a request with these headers.
async fn traced(world: &World, traces: &[&'static str]) -> JobId {
    let mut request = request(ANN, "POST", "/api/jobs", Some(order()));
    for trace in traces {
        request.headers_mut().append("traceparent", HeaderValue::from_static(trace));
    }
    id_of(&world.send(request).await)
}
