//! Liveness and readiness.

use crate::problem::Problem;
use crate::state::ApiState;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_stores::readiness::FRESH;

/// Liveness check: the server process responds.
#[utoipa::path(get, path = "/healthz", tag = "health",
    responses((status = 200, description = "The server is running.", body = String, content_type = "text/plain", example = "ok\n")))]
pub(super) async fn healthz() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain")], "ok\n")
}

/// Readiness check: the stores respond and accept writes.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, description = "The stores respond.", body = String, content_type = "text/plain", example = "ready\n")))]
pub(super) async fn readyz(State(state): State<ApiState>) -> Result<impl IntoResponse, Problem> {
    let mut missing = state.readiness.missing().await;
    if state.door().is_short() {
        missing.push("file descriptors");
    }
    // A store that does not respond is in the list already.
    if state.settings.config.require_cleanup && matches!(state.attendance.is_given().await, Ok(false)) {
        missing.push("cleanup program");
    }
    if missing.is_empty() {
        return Ok(([(header::CONTENT_TYPE, "text/plain")], "ready\n"));
    }
    let message = format!("no valid response from: {}", missing.join(", "));
    let names: Vec<String> = missing.into_iter().map(str::to_owned).collect();
    let failure = Failure::new(FailureCode::ServerUnavailable, message).with("missing", names);
    Err(Problem::from(failure).retry_after(FRESH.as_secs()))
}
