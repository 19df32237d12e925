//! Every kind of invalid request, with the complete response.

use crate::support::{ANN, BOB, World, order, request, snapshot, world, world_with};
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

/// A valid order with one field replaced.
fn with(field: &str, value: Value) -> Value {
    let mut order = order();
    order[field] = value;
    order
}

#[tokio::test]
async fn orders_that_are_wrong() {
    let world = world();
    let cases = [
        ("order_with_a_path_as_file_name", with("file_name", json!("../../etc/passwd"))),
        ("order_with_a_parent_as_file_name", with("file_name", json!(".."))),
        ("order_with_a_file_name_that_is_too_long", with("file_name", json!("x".repeat(256)))),
        ("order_of_10_gb", with("size_bytes", json!(10_u64 << 30))),
        ("order_of_no_bytes", with("size_bytes", json!(0))),
        ("order_of_a_negative_size", with("size_bytes", json!(-1))),
        ("order_of_a_fractional_size", with("size_bytes", json!(1.5))),
        ("order_of_a_size_as_text", with("size_bytes", json!("1000"))),
        ("order_of_an_unknown_format", with("target_format", json!("docx"))),
        ("order_with_an_unknown_field", with("file_nam", json!("a"))),
        ("order_with_a_job_id_in_upper_case", with("job_id", json!("0188A5EB-4C1D-7C3E-9A27-2F1D3C4B5A69"))),
        ("order_with_a_digest_that_is_none", with("checksum_sha256", json!("ab"))),
        ("order_with_a_root_of_control_characters", with("root", json!("a\u{0}b"))),
        ("order_with_an_empty_root", with("root", json!(""))),
        ("order_with_an_option_of_a_bad_name", with("options", json!({"a b": "c"}))),
        ("order_with_an_option_that_is_too_long", with("options", json!({"a": "c".repeat(1025)}))),
        ("order_with_an_unknown_preset", with("preset", json!("mine.toml"))),
        ("order_with_a_list", json!([order()])),
    ];
    for (name, body) in cases {
        snapshot!(name, world.new_job(body).await);
    }
    let many: serde_json::Map<String, Value> = (0..33).map(|n| (format!("o{n}"), json!("x"))).collect();
    snapshot!("order_with_33_options", world.new_job(with("options", json!(many))).await);
    snapshot!(
        "order_without_a_file_name",
        world.new_job(json!({"size_bytes": 1, "target_format": "dxf"})).await
    );
    // None of them created a job.
    assert_eq!(world.call(ANN, "GET", "/api/jobs", None).await.body["jobs"], json!([]));
}

async fn raw(world: &World, content_type: Option<&str>, body: impl Into<Body>) -> crate::support::Answer {
    let mut builder = Request::post("/api/jobs").header("authorization", format!("Bearer {ANN}"));
    if let Some(content_type) = content_type {
        builder = builder.header("content-type", content_type);
    }
    world.send(builder.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn bodies_that_are_no_orders() {
    let world = world();
    let json_type = Some("application/json");
    snapshot!("body_that_is_not_json", raw(&world, json_type, "{\"file_name\": secret.zip}").await);
    snapshot!("body_that_ends_early", raw(&world, json_type, "{\"file_name\": \"a.zip\"").await);
    snapshot!("body_that_is_empty", raw(&world, json_type, "").await);
    snapshot!("body_of_two_values", raw(&world, json_type, format!("{0}{0}", order())).await);
    snapshot!(
        "body_with_a_field_twice",
        raw(
            &world,
            json_type,
            r#"{"file_name":"a.zip","size_bytes":1,"size_bytes":2,"target_format":"dxf"}"#
        )
        .await
    );
    snapshot!("body_that_is_not_utf8", raw(&world, json_type, vec![b'"', 0xff, b'"']).await);
    snapshot!("body_of_another_type", raw(&world, Some("text/plain"), order().to_string()).await);
    snapshot!("body_of_no_type", raw(&world, None, order().to_string()).await);
    snapshot!("body_of_10_mb", raw(&world, json_type, vec![b' '; 10_000_000]).await);
    let good = raw(&world, Some("Application/JSON; charset=utf-8"), order().to_string()).await;
    assert_eq!(good.status, 201);
}

#[tokio::test]
async fn a_body_may_be_as_large_as_the_limit() {
    let padded = |length: usize| {
        let order = order().to_string();
        format!("{order}{}", " ".repeat(length - order.len()))
    };
    let world = world();
    let json_type = Some("application/json");
    assert_eq!(raw(&world, json_type, padded(64 << 10)).await.status, 201);
    assert_eq!(raw(&world, json_type, padded((64 << 10) + 1)).await.status, 413);
}

#[tokio::test]
async fn a_file_may_be_as_large_as_the_limit() {
    let world = world();
    assert_eq!(world.new_job(with("size_bytes", json!(8_u64 << 30))).await.status, 201);
    assert_eq!(world.new_job(with("size_bytes", json!((8_u64 << 30) + 1))).await.status, 422);
    let huge = r#"{"file_name":"a.zip","size_bytes":99999999999999999999999,"target_format":"dxf"}"#;
    snapshot!("order_of_a_size_beyond_64_bits", raw(&world, Some("application/json"), huge).await);
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there() {
    let world = world();
    snapshot!("unknown_path", world.call(ANN, "GET", "/api/job", None).await);
    snapshot!(
        "unknown_path_with_secrets",
        world.call(ANN, "GET", "/api/jobs/secret.zip/raw?token=1", None).await
    );
    snapshot!("wrong_method", world.call(ANN, "PUT", "/api/jobs", None).await);
    snapshot!("wrong_method_without_a_token", world.call("", "PATCH", "/api/jobs", None).await);
    snapshot!("wrong_method_on_an_open_route", world.call("", "POST", "/healthz", None).await);
}

#[tokio::test]
async fn jobs_that_are_not_the_callers() {
    let world = world();
    let id = world.uploaded().await;
    let unknown = "0188a5eb-4c1d-7c3e-9a27-2f1d3c4b5a69";
    let paths = [("GET", "/status"), ("GET", "/uploads"), ("GET", "/uploads/parts"), ("DELETE", "")];
    let more = [("POST", "/uploads/complete"), ("POST", "/uploads/abort"), ("POST", "/downloaded")];
    for (method, rest) in paths.into_iter().chain(more) {
        let of = |id: &str| format!("/api/jobs/{id}{rest}");
        let missing = world.call(BOB, method, &of(unknown), None).await;
        assert_eq!(missing.status, 404, "{method} {rest}");
        for other in [id.to_string(), "nonsense".to_owned(), "..%2f..%2fetc".to_owned(), "%ff".to_owned()] {
            let answer = world.call(BOB, method, &of(&other), None).await;
            // Exactly the same response: it does not reveal that the job exists.
            assert_eq!(
                (answer.status, &answer.body),
                (missing.status, &missing.body),
                "{method} {rest} {other}"
            );
        }
    }
    snapshot!("another_owners_job", world.call(BOB, "GET", &format!("/api/jobs/{id}/status"), None).await);
    assert_eq!(world.read(id).await.state.as_str(), "PENDING");
    assert_eq!(world.call(BOB, "GET", "/api/jobs", None).await.body["jobs"], json!([]));
}

#[tokio::test]
async fn a_job_id_that_is_taken() {
    let world = world();
    let named = with("job_id", json!("0188a5eb-4c1d-7c3e-9a27-2f1d3c4b5a69"));
    assert_eq!(world.new_job(named.clone()).await.status, 201);
    let mut other = named.clone();
    other["size_bytes"] = json!(1001);
    snapshot!("job_id_of_another_order", world.new_job(other).await);
    let anothers = world.call(BOB, "POST", "/api/jobs", Some(named.clone())).await;
    snapshot!("job_id_of_another_owner", anothers);
    assert_eq!(world.new_job(named).await.status, 200);
}

#[tokio::test]
async fn queries_that_are_wrong() {
    let world = world();
    let id = world.uploaded().await;
    snapshot!("limit_of_none", world.call(ANN, "GET", "/api/jobs?limit=0", None).await);
    snapshot!("limit_that_is_too_large", world.call(ANN, "GET", "/api/jobs?limit=101", None).await);
    snapshot!("limit_that_is_no_number", world.call(ANN, "GET", "/api/jobs?limit=ten", None).await);
    snapshot!("page_that_no_answer_gave", world.call(ANN, "GET", "/api/jobs?page=secret", None).await);
    snapshot!("unknown_field_in_a_query", world.call(ANN, "GET", "/api/jobs?limt=1", None).await);
    snapshot!("field_twice_in_a_query", world.call(ANN, "GET", "/api/jobs?limit=1&limit=2", None).await);
    let parts = format!("/api/jobs/{id}/uploads/parts");
    snapshot!("parts_from_zero", world.call(ANN, "GET", &format!("{parts}?from=0"), None).await);
    snapshot!(
        "parts_beyond_the_last_number",
        world.call(ANN, "GET", &format!("{parts}?from=10001"), None).await
    );
}

#[tokio::test]
async fn tokens_that_are_wrong() {
    let world = world();
    let send = async |value: &str| {
        let request = Request::get("/api/jobs").header("authorization", value).body(Body::empty()).unwrap();
        world.send(request).await
    };
    snapshot!("no_token", world.call("", "GET", "/api/jobs", None).await);
    snapshot!("token_of_nobody", send(&format!("Bearer {}", "x".repeat(40))).await);
    snapshot!("token_of_another_scheme", send("Basic YW5uOmFubg==").await);
    snapshot!("token_that_is_empty", send("Bearer ").await);
    for garbled in ["Bearer", "Bearer a b", "bearer \u{e9}", &format!("Bearer {ANN} x"), &ANN[1..]] {
        assert_eq!(send(garbled).await.status, 401, "{garbled}");
    }
    let mut twice = request(ANN, "GET", "/api/jobs", None);
    twice.headers_mut().append("authorization", format!("Bearer {BOB}").parse().unwrap());
    assert_eq!(world.send(twice).await.status, 401);
    // The authentication scheme is case-insensitive.
    assert_eq!(send(&format!("bEARER {ANN}")).await.status, 200);
    // A valid order without a token creates no job and is not even read.
    assert_eq!(world.call("", "POST", "/api/jobs", Some(json!({"bad": 1}))).await.status, 401);
}

#[tokio::test]
async fn stores_that_fail() {
    let world = world();
    let id = world.completed().await;
    world.shelf.down.store(true, std::sync::atomic::Ordering::SeqCst);
    snapshot!("store_that_is_down", world.call(ANN, "GET", &format!("/api/jobs/{id}/status"), None).await);
    snapshot!("not_ready", world.call("", "GET", "/readyz", None).await);
    // The record does not depend on the objects: the job ends anyway.
    let ended = world.call(ANN, "DELETE", &format!("/api/jobs/{id}"), None).await;
    assert_eq!((ended.status.as_u16(), &ended.body["download"]), (200, &Value::Null));
}

#[tokio::test]
async fn a_panic_tells_nothing() {
    let world = world();
    let id = world.completed().await;
    world.shelf.panic.store(true, std::sync::atomic::Ordering::SeqCst);
    snapshot!("panic", world.call(ANN, "GET", &format!("/api/jobs/{id}/status"), None).await);
}

#[tokio::test]
async fn a_request_that_takes_too_long() {
    let world = world_with(|settings| settings.request_time = std::time::Duration::from_millis(50));
    world.shelf.stuck.store(true, std::sync::atomic::Ordering::SeqCst);
    snapshot!("timeout", world.new_job(order()).await);
}
