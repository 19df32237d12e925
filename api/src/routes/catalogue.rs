//! Data that is constant while the server runs: failures, formats and the OpenAPI document.

use crate::schema::Document;
use axum::http::header;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use cadmill_core::domain::failure::{FailureCode, Fault};
use cadmill_core::domain::format::EngineFormats;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Response of `/api/formats`.
#[derive(Clone)]
pub(crate) struct Formats(pub(crate) Arc<[EngineFormats]>);

/// A failure code.
#[derive(Serialize, ToSchema)]
pub struct FailureEntry {
    /// The stable failure code.
    #[schema(value_type = String)]
    code: FailureCode,
    /// Who has to act.
    fault: Fault,
    /// Whether the same job or request can succeed when it is retried unchanged.
    retryable: bool,
    /// The meaning, in one sentence.
    meaning: &'static str,
    /// How to resolve the failure, in one sentence.
    hint: &'static str,
}

/// Formats that an engine reads and writes.
#[derive(Serialize, ToSchema)]
pub struct Engine {
    /// Name of the engine.
    engine: String,
    /// Extensions of the files that it reads, in lower case, without a dot.
    inputs: Vec<String>,
    /// Formats that it writes. If several share an extension, the extension selects the first.
    outputs: Vec<Output>,
}

/// A format that an engine writes.
#[derive(Serialize, ToSchema)]
pub struct Output {
    /// The engine's own name for the format.
    id: String,
    /// Its extension, in lower case, without a dot.
    extension: String,
}

/// List all failures that a job or a request can end with.
#[utoipa::path(get, path = "/api/failures", tag = "catalogue",
    responses((status = 200, description = "Every failure code.", body = Vec<FailureEntry>)))]
pub(super) async fn failures() -> Json<Vec<FailureEntry>> {
    let entry = |&code: &FailureCode| FailureEntry {
        code,
        fault: code.fault(),
        retryable: code.retryable(),
        meaning: code.meaning(),
        hint: code.hint(),
    };
    Json(FailureCode::ALL.iter().map(entry).collect())
}

/// List the formats that each engine reads and writes.
#[utoipa::path(get, path = "/api/formats", tag = "catalogue",
    responses((status = 200, description = "Every engine, in the order in which one is chosen.", body = Vec<Engine>)))]
pub(super) async fn formats(Extension(Formats(engines)): Extension<Formats>) -> Json<Vec<Engine>> {
    let engine = |known: &EngineFormats| Engine {
        engine: known.engine.clone(),
        inputs: known.inputs.clone(),
        outputs: known
            .outputs
            .iter()
            .map(|output| Output { id: output.id.clone(), extension: output.extension.clone() })
            .collect(),
    };
    Json(engines.iter().map(engine).collect())
}

/// This OpenAPI document.
#[utoipa::path(get, path = "/openapi.json", tag = "catalogue",
    responses((status = 200, description = "An OpenAPI 3.1 document.", body = Object, content_type = "application/json")))]
pub(super) async fn openapi_json(Extension(document): Extension<Document>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document.text())
}
