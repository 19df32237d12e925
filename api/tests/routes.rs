//! The routes that need no store, through the router and without a socket.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use serde_json::Value;
use tower::ServiceExt;

fn router() -> axum::Router {
    let settings = cadmill_api::settings::ApiSettings::default();
    cadmill_api::router::catalogue_router(&settings.engines)
}

async fn get(path: &str) -> (StatusCode, String, Value) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router().oneshot(request).await.unwrap();
    let status = response.status();
    let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, kind, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

#[tokio::test]
async fn it_lives() {
    assert_eq!(get("/healthz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn failures_are_listed_with_their_codes() {
    let (status, _, body) = get("/api/failures").await;
    assert_eq!(status, StatusCode::OK);
    let codes: Vec<&str> = body.as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"limit.memory") && codes.contains(&"input.archive.truncated"), "{codes:?}");
}

#[tokio::test]
async fn formats_are_listed_by_engine() {
    let (_, _, body) = get("/api/formats").await;
    let gdal = body.as_array().unwrap().iter().find(|e| e["engine"] == "gdal").unwrap();
    assert_eq!(gdal["outputs"][0]["id"], "DXF");
}

/// The routes of the metrics are those of the document, and each with its methods.
#[tokio::test]
async fn every_route_is_one_of_the_metrics() {
    let (_, _, document) = get("/openapi.json").await;
    let mut routes: Vec<(String, Vec<String>)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, methods)| {
            (path.clone(), methods.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect())
        })
        .collect();
    routes.sort();
    let known = cadmill_core::metrics::label::ROUTES.iter();
    let known: Vec<(String, Vec<String>)> = known
        .map(|(path, methods)| {
            ((*path).to_owned(), methods.iter().map(|method| (*method).to_owned()).collect())
        })
        .collect();
    assert_eq!(routes, known);
}

#[tokio::test]
async fn an_unknown_path_is_a_problem() {
    let (status, kind, body) = get("/nowhere").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(kind, "application/problem+json");
    assert_eq!(body["status"], 404);
    assert_eq!(body["code"], "request.not_found");
}
