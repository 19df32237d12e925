//! The routes.

use crate::problem::Problem;
use axum::routing::get;
use axum::{Json, Router};
use cadmill_core::domain::failure::{FailureCode, Fault};
use cadmill_core::domain::format::{EngineFormats, EngineKind};
use serde::Serialize;

/// Every route of the server.
pub fn router() -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/api/failures", get(failures))
        .route("/api/formats", get(formats))
        .fallback(|| async { Problem::no_such_path() })
}

#[derive(Serialize)]
struct FailureEntry {
    code: FailureCode,
    fault: Fault,
    retryable: bool,
    meaning: &'static str,
    hint: &'static str,
}

/// All failures that a job can end with.
async fn failures() -> Json<Vec<FailureEntry>> {
    let entry = |&code: &FailureCode| FailureEntry {
        code,
        fault: code.fault(),
        retryable: code.retryable(),
        meaning: code.meaning(),
        hint: code.hint(),
    };
    Json(FailureCode::ALL.iter().map(entry).collect())
}

/// What each built-in engine reads and writes.
async fn formats() -> Json<Vec<EngineFormats>> {
    Json(EngineKind::ALL.iter().map(|&kind| EngineFormats::of_kind(kind.as_str(), kind)).collect())
}
