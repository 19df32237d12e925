//! Makes tickets for a job, see [`crate::auth::tickets`].

use crate::auth::tickets::Scope;
use crate::extract::JobPath;
use crate::middleware::access_log::LogFields;
use crate::problem::Problem;
use crate::routes::status::owned;
use crate::state::ApiState;
use crate::status::timestamp;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use cadmill_core::domain::ids::Owner;
use cadmill_core::domain::job::{Job, Millis};
use serde::Serialize;
use utoipa::ToSchema;

/// How long an event stream can be opened by its URL, in milliseconds. A URL is kept in places that a header is
/// not.
const TO_OPEN: Millis = 60_000;

/// A ticket for a job.
#[derive(Serialize, ToSchema)]
pub(super) struct JobTicket {
    /// To be sent as a token: `Authorization: Bearer TICKET`. Anyone who has it can upload the file of the job,
    /// download its result and end it.
    ticket: String,
    /// When it expires.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// A URL of an event stream.
#[derive(Serialize, ToSchema)]
pub(super) struct EventsTicket {
    /// Relative URL of the stream, for a client that cannot send headers, such as `EventSource` of a browser.
    url: String,
    /// Until when the stream can be opened.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Make a ticket for a job.
///
/// For a client that must not have the token. With the ticket in place of a token it can upload the file, follow the job,
/// get its status and result, confirm the download and end the job; all else is answered as an unknown job.
#[utoipa::path(post, path = "/api/jobs/{job_id}/ticket", tag = "jobs",
    params(("job_id" = String, Path, description = "The job.", format = "uuid")),
    responses((status = 200, description = "The ticket.", body = JobTicket)))]
pub(super) async fn job_ticket(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    JobPath(id): JobPath,
) -> Result<Response, Problem> {
    let job = owned(&state, id, &owner).await?;
    let lifetime = state.settings.config.ticket_lifetime.as_millis();
    let (ticket, expires_at) =
        make(&state, Scope::Job, &job, Millis::try_from(lifetime).unwrap_or(Millis::MAX));
    Ok(with(&job, Json(JobTicket { ticket, expires_at })))
}

/// Make a URL that opens the event stream of a job.
///
/// The URL needs no token, and can be used for 60 s.
#[utoipa::path(post, path = "/api/jobs/{job_id}/events/ticket", tag = "jobs",
    params(("job_id" = String, Path, description = "The job.", format = "uuid")),
    responses((status = 200, description = "The URL.", body = EventsTicket)))]
pub(super) async fn events_ticket(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    JobPath(id): JobPath,
) -> Result<Response, Problem> {
    let job = owned(&state, id, &owner).await?;
    let (ticket, expires_at) = make(&state, Scope::Events, &job, TO_OPEN);
    let url = format!("/api/jobs/{id}/events?ticket={ticket}");
    Ok(with(&job, Json(EventsTicket { url, expires_at })))
}

fn make(state: &ApiState, scope: Scope, job: &Job, lifetime: Millis) -> (String, String) {
    let expires = state.jobs.clock().now().saturating_add(lifetime);
    (state.tickets.ticket(scope, job, expires), timestamp(expires))
}

fn with(job: &Job, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    response.extensions_mut().insert(LogFields::of(job));
    response
}
