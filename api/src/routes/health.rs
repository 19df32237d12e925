//! Whether the server lives, and whether what it depends on answers.

use crate::problem::Problem;
use crate::server::{ApiState, Server};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::ports::PortResult;
use std::future::Future;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Longest time for each of the stores to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// For how long an answer is given again, so that probes cost the stores little.
const FRESH: Duration = Duration::from_secs(2);

/// The latest answer of the stores.
#[derive(Default)]
pub struct Readiness(Mutex<Option<(Instant, Vec<&'static str>)>>);

impl Readiness {
    /// The names of those that do not answer. One caller asks for all.
    async fn missing(&self, server: &Server) -> Vec<&'static str> {
        let mut latest = self.0.lock().await;
        if let Some((at, missing)) = &*latest
            && at.elapsed() < FRESH
        {
            return missing.clone();
        }
        let (objects, jobs, queue) = tokio::join!(
            answers("object store", server.objects.check()),
            answers("job store", server.jobs.store().check()),
            answers("event queue", server.queue.check()),
        );
        let missing: Vec<&'static str> = [objects, jobs, queue].into_iter().flatten().collect();
        *latest = Some((Instant::now(), missing.clone()));
        missing
    }
}

/// The name, if it does not answer well and in time.
async fn answers(name: &'static str, check: impl Future<Output = PortResult<()>>) -> Option<&'static str> {
    match tokio::time::timeout(PATIENCE, check).await {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => tracing::warn!(store = name, error = %error, "not ready"),
        Err(_) => tracing::warn!(store = name, "not ready: no answer in 2 s"),
    }
    Some(name)
}

/// Whether the server lives.
#[utoipa::path(get, path = "/healthz", tag = "health",
    responses((status = 200, description = "It lives.", body = String, content_type = "text/plain", example = "ok\n")))]
pub(super) async fn healthz() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain")], "ok\n")
}

/// Whether the server can do its work: the stores answer.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, description = "The stores answer.", body = String, content_type = "text/plain", example = "ready\n")))]
pub(super) async fn readyz(State(state): State<ApiState>) -> Result<impl IntoResponse, Problem> {
    let missing = state.readiness.missing(&state).await;
    if missing.is_empty() {
        return Ok(([(header::CONTENT_TYPE, "text/plain")], "ready\n"));
    }
    let message = format!("no good answer from: {}", missing.join(", "));
    let names: Vec<String> = missing.into_iter().map(str::to_owned).collect();
    let failure = Failure::new(FailureCode::ServerUnavailable, message).with("missing", names);
    Err(Problem::from(failure).retry_after(FRESH.as_secs()))
}
