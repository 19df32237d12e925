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
/// The same for whether they take writes, which is dearer. A failure is asked about
/// again after [`FRESH`].
const FRESH_WRITES: Duration = Duration::from_secs(10);

/// What the name of a store that takes no writes begins with.
const WRITES: &str = "writes to the ";

/// The latest answers of the stores.
#[derive(Default)]
pub struct Readiness(Mutex<Latest>);

#[derive(Default)]
struct Latest {
    answers: Option<(Instant, Vec<&'static str>)>,
    writes: Option<(Instant, Vec<&'static str>)>,
}

impl Readiness {
    /// The names of those that do not answer or take no writes. One caller asks for all.
    async fn missing(&self, server: &Server) -> Vec<&'static str> {
        let mut latest = self.0.lock().await;
        let is_fresh = |latest: &Option<(Instant, Vec<_>)>, whole: Duration| {
            let fresh = |missing: &Vec<_>| if missing.is_empty() { whole } else { FRESH };
            latest.as_ref().is_some_and(|(at, missing)| at.elapsed() < fresh(missing))
        };
        if !is_fresh(&latest.answers, FRESH) {
            let missing = tokio::join!(
                answers("object store", server.objects.check()),
                answers("job store", server.jobs.store().check()),
                answers("event queue", server.queue.check()),
            );
            let missing = <[_; 3]>::from(missing).into_iter().flatten().collect();
            latest.answers = Some((Instant::now(), missing));
        }
        if !is_fresh(&latest.writes, FRESH_WRITES) {
            let missing = tokio::join!(
                answers("writes to the object store", server.objects.can_write()),
                answers("writes to the job store", server.jobs.store().can_write()),
            );
            let missing = <[_; 2]>::from(missing).into_iter().flatten().collect();
            latest.writes = Some((Instant::now(), missing));
        }
        let known = [&latest.answers, &latest.writes].into_iter().flatten();
        let mut missing: Vec<_> = known.flat_map(|(_, missing)| missing.iter().copied()).collect();
        // A store that does not answer is named once.
        let silent = missing.clone();
        missing.retain(|name| !name.strip_prefix(WRITES).is_some_and(|store| silent.contains(&store)));
        if server.door().is_short() {
            missing.push("file descriptors");
        }
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

/// Whether the server can do its work: the stores answer and take writes.
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
