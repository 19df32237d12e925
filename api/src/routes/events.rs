//! Event streams of jobs (HTML, 9.2 "Server-sent events").
//!
//! An event is the status of a job without its download, and its id is the version of the record, with `e` for
//! the last event of a job. A stream of several jobs has the versions of all of them in each id, in the order of the request, so that a client can
//! take the stream up again at any process.

use crate::extract::{JobPath, no_such_job};
use crate::middleware::access_log::LogFields;
use crate::problem::Problem;
use crate::routes::event_stream::{Cursor, EventStream};
use crate::routes::status::owned;
use crate::state::ApiState;
use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::{JobId, Owner};
use cadmill_core::domain::job::Job;
use std::collections::{HashMap, HashSet};

/// Maximum number of jobs of one stream.
const MAX_JOBS: usize = 50;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// nginx would keep events back.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Follow a job.
///
/// Each event is the status, without `download`, when it has changed: `status` while the job goes on, and
/// `ended` at its end, after which the stream ends and one request for the status returns the download. The id
/// of an event is for `Last-Event-ID`. A comment comes when nothing has changed for 15 s, and a stream ends after ten minutes: open
/// another. Beyond the limits on streams the response is 429; poll the status then.
#[utoipa::path(get, path = "/api/jobs/{job_id}/events", tag = "jobs",
    params(
        ("job_id" = String, Path, description = "The job.", format = "uuid"),
        ("ticket" = Option<String>, Query, description = "A ticket of `events/ticket`, for a client that cannot send a token."),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event of an earlier stream.")),
    responses(
        (status = 200, description = "Events, from the present status on.", body = String, content_type = "text/event-stream"),
        (status = 204, description = "The job has ended, and the client has its last event.")))]
pub(super) async fn job_events(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    JobPath(id): JobPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let seat = state.streams.take(&owner)?;
    let job = owned(&state, id, &owner).await?;
    let cursor = cursor_of(&headers, 1);
    let fields = LogFields::of(&job);
    let mut response = match cursor.is_at_end(std::slice::from_ref(&job)) {
        true => StatusCode::NO_CONTENT.into_response(),
        false => answer(EventStream::new(&state, seat, &[job], cursor)),
    };
    response.extensions_mut().insert(fields);
    Ok(response)
}

/// Follow several jobs.
///
/// As for one job; the stream ends when all of them have ended. A browser has few connections to a server.
#[utoipa::path(get, path = "/api/events", tag = "jobs",
    params(
        ("job" = Vec<String>, Query, description = "A job; 1 to 50 of them, each once."),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event of an earlier stream of the same jobs in the same order.")),
    responses(
        (status = 200, description = "Events, from the present status of each on.", body = String, content_type = "text/event-stream"),
        (status = 204, description = "All of them have ended, and the client has their last events.")))]
pub(super) async fn events(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let ids = ids_of(query.as_deref().unwrap_or_default())?;
    let seat = state.streams.take(&owner)?;
    let jobs = all_owned(&state, &ids, &owner).await?;
    let cursor = cursor_of(&headers, jobs.len());
    Ok(match cursor.is_at_end(&jobs) {
        true => StatusCode::NO_CONTENT.into_response(),
        false => answer(EventStream::new(&state, seat, &jobs, cursor)),
    })
}

/// The jobs of a query.
fn ids_of(query: &str) -> Result<Vec<JobId>, Problem> {
    let invalid = |message: String| Problem::new(FailureCode::RequestInvalid, message);
    let mut ids = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some(text) = pair.strip_prefix("job=") else {
            return Err(invalid("the query has a field other than job".to_owned()));
        };
        ids.push(text.parse::<JobId>().map_err(|_| no_such_job())?);
    }
    if !(1..=MAX_JOBS).contains(&ids.len()) {
        return Err(invalid(format!("job: must be there 1 to {MAX_JOBS} times")));
    }
    if ids.iter().collect::<HashSet<_>>().len() < ids.len() {
        return Err(invalid("job: the same job is there twice".to_owned()));
    }
    Ok(ids)
}

/// The owner's jobs, in this order.
///
/// # Errors
/// If one is missing or another owner's.
async fn all_owned(state: &ApiState, ids: &[JobId], owner: &Owner) -> Result<Vec<Job>, Problem> {
    let found = state.jobs.store().get_many(ids).await?;
    let mut found: HashMap<JobId, Job> = found.into_iter().map(|job| (job.id, job)).collect();
    let mut jobs = Vec::with_capacity(ids.len());
    for id in ids {
        let job = match found.remove(id) {
            Some(job) => (job.order.owner == *owner).then_some(job).ok_or_else(no_such_job)?,
            // The batch may lag behind its creation.
            None => owned(state, *id, owner).await?,
        };
        jobs.push(job);
    }
    Ok(jobs)
}

/// Where the client stands. What is not an id of this stream counts as none.
fn cursor_of(headers: &HeaderMap, jobs: usize) -> Cursor {
    headers
        .get(LAST_EVENT_ID)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| Cursor::parse(text, jobs))
        .unwrap_or_else(|| Cursor::start(jobs))
}

fn answer(stream: EventStream) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (ACCEL_BUFFERING, HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(stream.into_chunks())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_jobs_and_nothing_else() {
        let id = |n: u8| JobId::from_random_bytes([n; 16]);
        let query = |ids: &[JobId]| ids.iter().map(|id| format!("job={id}")).collect::<Vec<_>>().join("&");
        let ids: Vec<JobId> = (0..51).map(id).collect();
        assert_eq!(ids_of(&query(&ids[..50])).unwrap(), ids[..50]);
        let code = |query: &str| ids_of(query).err().map(|problem| problem.code());
        for bad in ["", "&", "x=1", "job", &query(&ids), &query(&[id(1), id(1)])] {
            assert_eq!(code(bad), Some("request.invalid"), "{bad}");
        }
        for unknown in ["job=", "job=1", "job=0188A5EB-4C1D-4C3E-9A27-2F1D3C4B5A69"] {
            assert_eq!(code(unknown), Some("job.not_found"), "{unknown}");
        }
    }
}
