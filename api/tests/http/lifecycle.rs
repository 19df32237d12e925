//! A job from creation to its end, as its owner sees it.

use crate::support::{
    ANN, Answer, BOB, START, World, header, id_of, object, order, request, shown, snapshot, world,
};
use axum::http::StatusCode;
use cadmill_core::domain::coding::{Coding, Content, Encoded};
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::job::{Deletion, JobFailure, Stage, State};
use cadmill_core::domain::state::{Event, Policy};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

async fn status(world: &World, id: JobId) -> Answer {
    world.call(ANN, "GET", &format!("/api/jobs/{id}/status"), None).await
}

async fn status_with(world: &World, id: JobId, tag: &str) -> Answer {
    let mut request = request(ANN, "GET", &format!("/api/jobs/{id}/status"), None);
    request.headers_mut().insert("if-none-match", tag.parse().unwrap());
    world.send(request).await
}

#[tokio::test]
async fn a_job_as_its_owner_sees_it() {
    let world = world();
    let made = world.new_job(order()).await;
    snapshot!("job_made", made);
    let id = id_of(&made);
    assert_eq!(made.body["status_url"], json!(format!("/api/jobs/{id}/status")));
    snapshot!("status_waiting_for_the_upload", status(&world, id).await);
    let id = world.processing().await;
    world.happen(id, Event::Progressed { attempt: 1, stage: Stage::Convert, progress: 250 }).await;
    snapshot!("status_processing", status(&world, id).await);
    snapshot!("status_completed", status(&world, world.completed().await).await);
    let failure = JobFailure {
        code: FailureCode::LimitMemory,
        message: "the engine needed more than 4.00 GiB".to_owned(),
        at: Some(Stage::Convert),
    };
    snapshot!("status_failed", status(&world, world.failed(failure).await).await);
    let cancelled = world.processing().await;
    snapshot!("job_cancelled", world.call(ANN, "DELETE", &format!("/api/jobs/{cancelled}"), None).await);
}

/// Both sizes and digests are reported: those of the response, and of what it decodes to.
#[tokio::test]
async fn an_encoded_result_has_two_sizes() {
    let world = world();
    let id = world.processing().await;
    let content = Content { size_bytes: 1000, sha256: "cd".repeat(32) };
    let mut output = object(ObjectKey::processed(id, 1, "town.dxf".parse().unwrap()), 77);
    output.sha256 = Some("ab".repeat(32));
    output.encoded = Some(Encoded { coding: Coding::Gzip, content: Some(content) });
    world.happen(id, Event::Completed { attempt: 1, output }).await;
    let download = status(&world, id).await.body["download"].clone();
    let field = |name: &str| download[name].clone();
    assert_eq!((field("size_bytes"), field("stored_bytes")), (json!(1000), json!(77)));
    assert_eq!((field("sha256"), field("stored_sha256")), (json!("cd".repeat(32)), json!("ab".repeat(32))));
    assert_eq!((field("content_encoding"), field("file_name")), (json!("gzip"), json!("town.dxf")));
}

/// Only `gzip` has an effect, and only names of codings are accepted.
#[tokio::test]
async fn a_client_says_which_codings_it_decodes() {
    let world = world();
    let long = "x".repeat(33);
    let many = vec!["gzip"; 17];
    let with = |codings: Value| {
        let mut order = order();
        order["accept_encoding"] = codings;
        order
    };
    let good = [
        (json!(null), false),
        (json!([]), false),
        (json!(["identity"]), false),
        (json!(["br", "zstd", "*"]), false),
        (json!(["gzip"]), true),
        (json!(["br", "GZip"]), true),
        (json!(["x-gzip"]), true),
        (json!(vec!["gzip"; 16]), true),
    ];
    for (codings, accepts) in good {
        let id = id_of(&world.new_job(with(codings.clone())).await);
        assert_eq!(world.read(id).await.order.accept_gzip, accepts, "{codings}");
    }
    let bad = [json!([""]), json!(["gzip;q=0"]), json!(["gzip, br"]), json!(["gzíp"]), json!([long])];
    for codings in bad.into_iter().chain([json!(many), json!("gzip"), json!([1])]) {
        let refused = world.new_job(with(codings.clone())).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.body["code"]),
            (400, &json!("request.invalid")),
            "{codings}"
        );
    }
}

/// A client that decodes gzip may take over a job that was ordered without it, and not the other way
/// round: what it cannot decode is not the result.
#[tokio::test]
async fn the_same_order_may_accept_more() {
    let world = world();
    let (plain, mut gzip) = (order(), order());
    gzip["accept_encoding"] = json!(["gzip"]);
    for (first, second, status) in [(&plain, &gzip, 200), (&gzip, &plain, 409)] {
        let id = JobId::random().to_string();
        let (mut first, mut second) = (first.clone(), second.clone());
        (first["job_id"], second["job_id"]) = (json!(id), json!(id));
        let accepts = first["accept_encoding"].is_array();
        assert_eq!(world.new_job(first).await.status, 201);
        assert_eq!(world.new_job(second).await.status.as_u16(), status);
        assert_eq!(world.read(id.parse().unwrap()).await.order.accept_gzip, accepts);
    }
}

#[tokio::test]
async fn a_preset_becomes_options_of_the_job() {
    let world = world();
    let mut with_preset = order();
    with_preset["preset"] = json!("korea");
    with_preset["options"] = json!({"dxf.version": "R2018", "dxf.layer": "kind"});
    let options = world.read(id_of(&world.new_job(with_preset).await)).await.order.options;
    let value = |name: &str| options.get(name).map(String::as_str);
    assert_eq!((value("dxf.version"), value("dxf.layer")), (Some("R2018"), Some("kind")));
    assert_eq!(value("dxf.codepage"), Some("949"));
}

#[tokio::test]
async fn the_same_order_makes_one_job() {
    let world = world();
    let mut named = order();
    named["job_id"] = json!("0188a5eb-4c1d-7c3e-9a27-2f1d3c4b5a69");
    named["checksum_sha256"] = json!("AB".repeat(32));
    let first = world.new_job(named.clone()).await;
    let again = world.new_job(named.clone()).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 200));
    assert_eq!(shown(&first)["body"], shown(&again)["body"]);
    // The URLs are fresh.
    assert_ne!(first.body["upload"]["url"], again.body["upload"]["url"]);
    world.happen(id_of(&first), Event::Cancelled).await;
    let late = world.new_job(named).await;
    assert_eq!((late.status.as_u16(), &late.body["upload"]), (200, &Value::Null));
    assert_eq!(late.body["state"], "CANCELLED");
}

#[tokio::test]
async fn a_tag_stands_for_what_is_said() {
    let world = world();
    let id = world.processing().await;
    let first = status(&world, id).await;
    let tag = header(&first, "etag").to_owned();
    for known in [tag.clone(), "*".to_owned(), format!("\"other\", {tag}"), tag[2..].to_owned()] {
        let same = status_with(&world, id, &known).await;
        assert_eq!((same.status, &same.body), (StatusCode::NOT_MODIFIED, &json!("")), "{known}");
        assert_eq!(header(&same, "etag"), tag);
        assert_eq!(header(&same, "retry-after"), header(&first, "retry-after"));
    }
    assert_eq!(status_with(&world, id, "\"other\"").await.status, 200);
    world.happen(id, Event::Progressed { attempt: 1, stage: Stage::Convert, progress: 1 }).await;
    let changed = status_with(&world, id, &tag).await;
    assert_eq!(changed.status, 200);
    assert_ne!(header(&changed, "etag"), tag);
}

#[tokio::test]
async fn a_tag_changes_before_the_url_it_hides_is_bad() {
    let world = world();
    let id = world.completed().await;
    let first = status(&world, id).await;
    let tag = header(&first, "etag").to_owned();
    assert!(first.body["download"]["url"].is_string());
    assert_eq!(status_with(&world, id, &tag).await.status, 304);
    // URLs are valid for 300 s; START is 50 s into one half of that.
    assert_eq!(START / 1000 % 150, 50);
    world.clock.0.fetch_add(99_999, Ordering::SeqCst);
    assert_eq!(status_with(&world, id, &tag).await.status, 304);
    world.clock.0.fetch_add(1, Ordering::SeqCst);
    assert_eq!(status_with(&world, id, &tag).await.status, 200);
}

#[tokio::test]
async fn a_result_that_was_fetched_is_deleted() {
    let world = world();
    let id = world.completed().await;
    let downloaded = format!("/api/jobs/{id}/downloaded");
    for _ in 0..2 {
        assert_eq!(world.call(ANN, "POST", &downloaded, None).await.status, 204);
    }
    assert!(world.shelf.objects.lock().unwrap().is_empty());
    let after = status(&world, id).await;
    assert_eq!((&after.body["state"], &after.body["download"]), (&json!("COMPLETED"), &Value::Null));
    let job = world.read(id).await;
    // The cleanup deletes them again: a URL may still be valid.
    assert_eq!((job.times.dismissed, job.purges), (Some(START), 1));
    assert_eq!(job.due, Some(START + Policy::default().linger));
    assert_eq!((job.deletions.len(), job.deletions[0].by.as_str()), (1, "api"));
}

#[tokio::test]
async fn what_is_not_completed_was_not_downloaded() {
    let world = world();
    let id = world.processing().await;
    snapshot!(
        "downloaded_before_the_end",
        world.call(ANN, "POST", &format!("/api/jobs/{id}/downloaded"), None).await
    );
    assert_eq!(world.call(BOB, "POST", &format!("/api/jobs/{id}/downloaded"), None).await.status, 404);
    assert_eq!(world.read(id).await.state, State::Processing);
}

#[tokio::test]
async fn a_job_is_ended_once_and_its_files_deleted() {
    let world = world();
    let id = world.processing().await;
    for _ in 0..2 {
        let answer = world.call(ANN, "DELETE", &format!("/api/jobs/{id}"), None).await;
        assert_eq!((answer.status.as_u16(), &answer.body["state"]), (200, &json!("CANCELLED")));
    }
    assert!(world.shelf.objects.lock().unwrap().is_empty());
    assert_eq!(world.shelf.purges.load(Ordering::SeqCst), 4);
    let done = world.completed().await;
    let answer = world.call(ANN, "DELETE", &format!("/api/jobs/{done}"), None).await;
    assert_eq!((&answer.body["state"], &answer.body["download"]), (&json!("COMPLETED"), &Value::Null));
    assert!(world.read(done).await.times.dismissed.is_some());
    assert!(world.shelf.objects.lock().unwrap().is_empty());
}

/// After two deletions the record of a job may end while the API answers: then what is below its prefix is
/// that of a new job with its id.
#[tokio::test]
async fn what_is_stored_after_two_deletions_is_not_the_api_s_to_delete() {
    let world = world();
    let id = world.completed().await;
    let path = format!("/api/jobs/{id}");
    world.call(ANN, "DELETE", &path, None).await;
    let job = world.read(id).await;
    let deletion = Deletion { confirmed_at: START + 1, ..job.deletions[0].clone() };
    world.happen(id, Event::Purged { before: 1, deletion, tries: Vec::new(), head: None }).await;
    let purges = world.shelf.purges.load(Ordering::SeqCst);
    let key = ObjectKey::upload(id, "a.zip".parse().unwrap()).to_string();
    world.shelf.objects.lock().unwrap().insert(key.clone(), 7);
    assert_eq!(world.call(ANN, "DELETE", &path, None).await.status, 200);
    assert_eq!(world.call(ANN, "POST", &format!("{path}/downloaded"), None).await.status, 204);
    assert_eq!(world.shelf.purges.load(Ordering::SeqCst), purges);
    assert!(world.shelf.objects.lock().unwrap().contains_key(&key));
    assert_eq!(world.read(id).await.deletions.len(), 2);
}

#[tokio::test]
async fn jobs_are_listed_by_pages_without_urls() {
    let world = world();
    let mut made = Vec::new();
    for _ in 0..3 {
        world.clock.0.fetch_add(1000, Ordering::SeqCst);
        made.push(world.completed().await.to_string());
    }
    made.reverse();
    let mut listed = Vec::new();
    let mut path = "/api/jobs?limit=2".to_owned();
    loop {
        let page = world.call(ANN, "GET", &path, None).await;
        let jobs = page.body["jobs"].as_array().unwrap().clone();
        assert!(jobs.len() <= 2 && jobs.iter().all(|job| job["download"].is_null()));
        listed.extend(jobs.iter().map(|job| job["job_id"].as_str().unwrap().to_owned()));
        match page.body["next_page"].as_str() {
            Some(next) => path = format!("/api/jobs?limit=2&page={next}"),
            None => break,
        }
    }
    assert_eq!(listed, made);
    // A page token of one owner reveals nothing to another.
    let next = world.call(ANN, "GET", "/api/jobs?limit=1", None).await.body["next_page"].clone();
    let others = world.call(BOB, "GET", &format!("/api/jobs?page={}", next.as_str().unwrap()), None).await;
    assert!(others.status == 400 || others.body["jobs"] == json!([]), "{}", others.body);
}

#[tokio::test]
async fn polls_are_counted_in_the_record() {
    let world = world();
    let id = world.completed().await;
    for _ in 0..3 {
        status(&world, id).await;
    }
    // The first of them saw the end; its count is written concurrently with the response.
    let counted = async || {
        for _ in 0..500 {
            if world.read(id).await.polls > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        world.read(id).await.polls
    };
    assert_eq!(counted().await, 1);
    world.state.sweep(Instant::now() + Duration::from_secs(60)).await;
    assert_eq!(world.read(id).await.polls, 3);
    let waiting = world.processing().await;
    status(&world, waiting).await;
    world.state.sweep(Instant::now()).await;
    assert_eq!(world.read(waiting).await.polls, 0);
    world.state.sweep(Instant::now() + Duration::from_secs(60)).await;
    assert_eq!(world.read(waiting).await.polls, 1);
}

#[tokio::test]
async fn it_is_ready_when_all_stores_answer() {
    let ready = world();
    assert_eq!(ready.call("", "GET", "/readyz", None).await.status, 200);
    // The result is cached for a while: probes cost the stores little.
    ready.shelf.down.store(true, Ordering::SeqCst);
    assert_eq!(ready.call("", "GET", "/readyz", None).await.status, 200);
    let stuck = world();
    stuck.shelf.stuck.store(true, Ordering::SeqCst);
    let answer = stuck.call("", "GET", "/readyz", None).await;
    assert_eq!((answer.status.as_u16(), &answer.body["missing"]), (503, &json!(["object store"])));
}

#[tokio::test]
async fn a_probe_does_not_wait_for_a_store_that_was_ready() {
    let world = world();
    assert_eq!(world.call("", "GET", "/readyz", None).await.status, 200);
    world.shelf.stuck.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    // Answered with the latest result while the store has its time to respond.
    assert_eq!(world.call("", "GET", "/readyz", None).await.status, 200);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let answer = world.call("", "GET", "/readyz", None).await;
    assert_eq!((answer.status.as_u16(), &answer.body["missing"]), (503, &json!(["object store"])));
    // Recovery is found in the same way: by the check beside the answers.
    world.shelf.stuck.store(false, Ordering::SeqCst);
    let begun = Instant::now();
    while world.call("", "GET", "/readyz", None).await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
