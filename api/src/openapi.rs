//! The OpenAPI document, generated from the code: paths and bodies come from the attributes of the
//! routes. This module adds the common parts: the problems of each operation, by code, and the
//! authentication.

use crate::problem::{MEDIA_TYPE, ProblemBody, status_of};
use crate::routes;
use crate::schema::Document;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::preset::Preset;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use utoipa::{OpenApi, PartialSchema};
use utoipa_axum::router::OpenApiRouter;

/// The document of this version.
pub fn document() -> Document {
    static DOCUMENT: LazyLock<Arc<str>> = LazyLock::new(|| {
        let mut text = serde_json::to_string_pretty(&described()).unwrap_or_default();
        text.push('\n');
        text.into()
    });
    Document(DOCUMENT.clone())
}

#[derive(OpenApi)]
#[openapi(info(
    title = "cadmill",
    description = "Converts large design files. Create a job and upload its file to the object store; a worker converts \
                   it, and the result is downloaded from the store. Every request can be repeated. Errors are \
                   problem details (RFC 9457) with a stable code."
))]
struct Head;

/// Who may call an operation.
#[derive(Clone, Copy, PartialEq)]
enum Caller {
    Anyone,
    Owner,
}

fn described() -> Value {
    let routes = |router: OpenApiRouter<_>| router.into_openapi();
    let mut api = Head::openapi();
    api.merge(routes(routes::health()));
    api.merge(routes(routes::constant()));
    let open = api.paths.paths.keys().cloned().collect::<Vec<_>>();
    api.merge(routes(routes::owned()));
    let mut document = serde_json::to_value(&api).unwrap_or_default();
    document["components"]["schemas"]["Problem"] =
        serde_json::to_value(ProblemBody::schema()).unwrap_or_default();
    document["components"]["securitySchemes"] = json!({"token": {"type": "http", "scheme": "bearer", "description": "A token of the operator, a JWT of the identity provider, or a ticket for the job."}});
    // Constraints that the derive cannot express: option names, presets and forbidden file names.
    let new_job = &mut document["components"]["schemas"]["NewJob"]["properties"];
    new_job["options"]["propertyNames"] = json!({"pattern": "^[A-Za-z0-9._:-]{1,64}$"});
    new_job["options"]["maxProperties"] = json!(32);
    new_job["options"]["additionalProperties"] =
        json!({"type": "string", "maxLength": 1024, "pattern": NO_CONTROL});
    let presets: Vec<Option<&str>> = Preset::names().map(Some).chain([None]).collect();
    new_job["preset"]["enum"] = json!(presets);
    new_job["file_name"]["pattern"] = json!("^[^/\\\\\\x00-\\x1f\\x7f-\\x9f]*$");
    new_job["file_name"]["not"] = json!({"enum": [".", ".."]});
    new_job["target_format"]["pattern"] = json!(NO_CONTROL);
    for (name, schema) in document["components"]["schemas"].as_object_mut().into_iter().flatten() {
        if !["NewJob", "StageMillis"].contains(&name.as_str()) {
            require_all(schema);
        }
    }
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, item) in paths {
            let caller = if open.contains(path) { Caller::Anyone } else { Caller::Owner };
            for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
                finish(operation, caller);
            }
        }
    }
    document
}

/// Responses contain all their fields: a missing value is null.
fn require_all(schema: &mut Value) {
    if let Some(properties) = schema["properties"].as_object() {
        let names: Vec<&String> = properties.keys().collect();
        let names = json!(names);
        schema["required"] = names;
    }
}

const JOB_ID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";

const NO_CONTROL: &str = "^[^\\x00-\\x1f\\x7f-\\x9f]*$";

/// Adds the problems of an operation, and the common response headers.
fn finish(operation: &mut Value, caller: Caller) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let mut codes = particular(&id).to_vec();
    codes.extend([FailureCode::RequestRateLimited, FailureCode::RequestTimeout, FailureCode::ServerInternal]);
    // Beyond the connection limits only health checks are served.
    if !["healthz", "readyz"].contains(&&*id) {
        codes.push(FailureCode::ServerUnavailable);
    }
    if caller == Caller::Owner {
        use FailureCode as C;
        codes.extend([C::AuthRequired, C::AuthInvalid, C::AuthExpired, C::AuthAudience, C::AuthUnavailable]);
        codes.extend([C::StoreUnavailable, C::StoreRefused]);
        operation["security"] = json!([{"token": []}]);
    }
    if id == "events" {
        // What the attribute cannot express.
        operation["parameters"][0]["schema"] = json!({
            "type": "array", "minItems": 1, "maxItems": 50, "uniqueItems": true,
            "items": {"type": "string", "format": "uuid", "pattern": JOB_ID},
        });
    }
    if id == "create_job" {
        for status in ["200", "201"] {
            operation["responses"][status]["links"] = links();
        }
    }
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        if parameter["in"] == "header" {
            parameter["schema"] = json!({"type": "string"});
        }
    }
    let mut by_status: BTreeMap<u16, Vec<FailureCode>> = BTreeMap::new();
    for code in codes {
        by_status.entry(status_of(code).as_u16()).or_default().push(code);
    }
    for (status, codes) in by_status {
        operation["responses"][status.to_string()] = response(status, &codes);
    }
    for response in operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        // Each event by its fields; the data is JSON in a string.
        if let Some(stream) = response.pointer_mut("/content/text~1event-stream") {
            stream["schema"] = json!({"type": "object", "properties": {
                "id": {"type": "string"},
                "event": {"enum": ["status", "ended"]},
                "data": {"type": "string", "contentMediaType": "application/json"},
            }});
        }
        response["headers"]["x-request-id"] =
            json!({"description": "The request's name in the server's log.", "schema": {"type": "string"}});
    }
}

/// The operations that accept the id of a new job.
fn links() -> Value {
    let operations = [
        "job_status",
        "job_events",
        "job_ticket",
        "events_ticket",
        "job_audit",
        "delete_job",
        "job_downloaded",
        "get_upload",
        "list_parts",
        "complete_upload",
        "abort_upload",
    ];
    let link = |id: &str| json!({"operationId": id, "parameters": {"job_id": "$response.body#/job_id"}});
    operations.into_iter().map(|id| (id.to_owned(), link(id))).collect::<Map<_, _>>().into()
}

/// Problems specific to an operation, in addition to the common ones.
fn particular(operation: &str) -> &'static [FailureCode] {
    use FailureCode as C;
    match operation {
        "readyz" => &[C::ServerUnavailable],
        "create_job" => &[
            C::RequestInvalid,
            C::RequestTooLarge,
            C::RequestMediaType,
            C::UploadFileName,
            C::UploadTooLarge,
            C::FormatUnknown,
            C::RequestResultTtl,
            C::ApiQuota,
            C::JobConflict,
            C::JobNotFound,
        ],
        "list_jobs" => &[C::RequestInvalid, C::JobNotFound],
        "events" => &[C::RequestInvalid, C::JobNotFound],
        "job_status" | "job_events" | "job_ticket" | "events_ticket" | "job_audit" | "delete_job" => {
            &[C::JobNotFound]
        }
        "job_downloaded" => &[C::JobNotFound, C::JobNotCompleted],
        "get_upload" => &[C::JobNotFound, C::UploadNotExpected, C::JobEnded],
        "list_parts" => &[C::RequestInvalid, C::JobNotFound, C::UploadNotExpected, C::JobEnded],
        "complete_upload" => &[C::JobNotFound, C::UploadIncomplete, C::JobEnded],
        "abort_upload" => &[C::JobNotFound, C::UploadNotExpected],
        _ => &[],
    }
}

/// A response for the problems that share a status.
fn response(status: u16, codes: &[FailureCode]) -> Value {
    let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let examples: Map<String, Value> = codes.iter().map(|&code| (code.to_string(), example(code))).collect();
    let schema = json!({
        "allOf": [{"$ref": "#/components/schemas/Problem"}],
        "properties": {"status": {"const": status}, "code": {"enum": names}},
    });
    let mut response = json!({
        "description": codes.iter().map(|code| format!("`{code}`: {}", code.meaning())).collect::<Vec<_>>().join("\n\n"),
        "content": {MEDIA_TYPE: {"schema": schema, "examples": examples}},
    });
    if matches!(status, 429 | 503) {
        response["headers"]["Retry-After"] =
            json!({"description": "Seconds to wait, if known.", "schema": {"type": "integer", "minimum": 0}});
    }
    if status == 401 {
        response["headers"]["WWW-Authenticate"] =
            json!({"description": "What is asked for.", "schema": {"type": "string"}});
    }
    response
}

fn example(code: FailureCode) -> Value {
    let body = ProblemBody::from(Failure::new(code, code.meaning()));
    json!({"value": body})
}
