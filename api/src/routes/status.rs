//! Status of a job: one read of the store and one log line per request.

use crate::extract::{JobPath, no_such_job};
use crate::middleware::access_log::LogFields;
use crate::problem::Problem;
use crate::rate_limits::whole_seconds;
use crate::state::ApiState;
use crate::status::{Download, StatusBody, describe, downloadable, timestamp};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use cadmill_core::domain::ids::{JobId, Owner};
use cadmill_core::domain::job::{Job, Millis};
use cadmill_core::domain::state::Event;
use cadmill_core::metrics;
use cadmill_core::ports::PortResult;
use cadmill_core::ports::object_store::Presigned;
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};

/// Get the status of a job.
///
/// Poll again after `poll_after_ms`. With `If-None-Match` the response is 304 if nothing has
/// changed. The ETag also changes when a new download URL is due.
#[utoipa::path(get, path = "/api/jobs/{job_id}/status", tag = "jobs",
    params(
        ("job_id" = String, Path, description = "The job.", format = "uuid"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier answer.")),
    responses(
        (status = 200, description = "Where it stands.", body = StatusBody, headers(
            ("ETag" = String, description = "Changes when the answer does."),
            ("Retry-After" = u64, description = "Seconds until the next request is worth it, while the job has not ended."))),
        (status = 304, description = "As the earlier answer said.", headers(
            ("ETag" = String, description = "The same."),
            ("Retry-After" = u64, description = "The same.")))))]
pub(super) async fn job_status(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    JobPath(id): JobPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let job = owned(&state, id, &owner).await?;
    let now = state.jobs.clock().now();
    let pause = state.throughput.pause(&job, now);
    note_poll(&state, &job, pause);
    let mut body = describe(&job, pause);
    let signed = download(&state, &job).await?;
    let validity = signed.as_ref().map(|(_, validity)| *validity);
    let tag = tag(&body, validity, now, state.settings.config.download_url_lifetime);
    let mut response = if none_match(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        body.download = signed.map(|(download, _)| download);
        Json(body).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    if let Some(pause) = pause {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(pause)));
    }
    response.extensions_mut().insert(LogFields::of(&job));
    Ok(response)
}

/// The owner's job.
///
/// # Errors
/// The same for a missing job and for another owner's.
pub(super) async fn owned(state: &ApiState, id: JobId, owner: &Owner) -> Result<Job, Problem> {
    let job = state.jobs.store().get(id).await?;
    job.filter(|job| job.order.owner == *owner).ok_or_else(no_such_job)
}

/// A response with the full status of a job.
pub(super) async fn answer(state: &ApiState, job: &Job) -> Result<Response, Problem> {
    let mut body = describe(job, state.throughput.pause(job, state.jobs.clock().now()));
    body.download = download(state, job).await?.map(|(download, _)| download);
    let mut response = Json(body).into_response();
    response.extensions_mut().insert(LogFields::of(job));
    Ok(response)
}

/// When a URL expires, and how long it is valid from when it was signed.
type Validity = (Millis, Duration);

/// The download of a job, and the validity of its URL.
async fn download(state: &ApiState, job: &Job) -> PortResult<Option<(Download, Validity)>> {
    let Some(object) = downloadable(job) else { return Ok(None) };
    let lifetime = state.settings.config.download_url_lifetime;
    let Presigned { method, url, headers, expires, lifetime } =
        state.objects.presign_get(object, object.key.file(), lifetime).await?;
    let (size_bytes, sha256) = object.decoded();
    let coding = object.encoded.as_ref().map(|encoded| encoded.coding);
    let download = Download {
        method: method.to_owned(),
        url,
        headers: headers.into_iter().collect(),
        expires_at: timestamp(expires),
        size_bytes,
        sha256: sha256.map(str::to_owned),
        content_encoding: coding.map(|coding| coding.as_str().to_owned()),
        stored_bytes: object.size_bytes,
        stored_sha256: object.sha256.clone(),
        file_name: object.key.file().as_str().to_owned(),
    };
    Ok(Some((download, (expires, lifetime))))
}

/// A weak ETag: two responses with one tag have the same content, but their URLs may differ. While
/// there is a result, the tag also changes twice in a URL's lifetime, so that a client that gets
/// 304 holds a URL that is valid for at least half of it. URLs that end early with the credentials
/// that signed them have a tag of that end: it changes with the credentials.
fn tag(body: &StatusBody, validity: Option<Validity>, now: Millis, whole: Duration) -> String {
    let half = u64::try_from(whole.as_millis() / 2).unwrap_or(u64::MAX).max(1);
    // Lifetimes are in whole seconds.
    let turn = validity.map(|(expires, lifetime)| match lifetime.as_secs() < whole.as_secs() {
        true => ("until", expires),
        false => ("turn", now / half),
    });
    let mut said = serde_json::to_value(body).unwrap_or_default();
    // Depends on the load, not on the job.
    said["poll_after_ms"] = serde_json::Value::Null;
    said["download"] = serde_json::json!(turn);
    let digest = Sha256::digest(said.to_string().as_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("W/\"{hex}\"")
}

/// Whether the client already has this tag (RFC 9110, 13.1.2: weak comparison).
fn none_match(headers: &HeaderMap, tag: &str) -> bool {
    let opaque = |text: &str| text.trim().trim_start_matches("W/").to_owned();
    headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        // Our tags contain no comma.
        value.trim() == "*" || value.split(',').any(|known| opaque(known) == opaque(tag))
    })
}

/// Logs the poll, and adds the polls to the record when the client saw the end. The write is not
/// awaited: the response does not depend on it.
fn note_poll(state: &ApiState, job: &Job, pause: Option<Duration>) {
    metrics::polled(job.state);
    let polled = state.pollers.polled(job.id, job.state, pause, Instant::now());
    tracing::info!(
        job.id = %job.id,
        trace_id = job.trace_id(),
        state = job.state.as_str(),
        poll.n = polled.polls,
        poll.since_seconds = polled.since.map(|since| since.as_secs_f64()),
        "poll"
    );
    if polled.saw_end {
        state.throughput.record(job);
        let (jobs, id, times) = (state.jobs.clone(), job.id, polled.count);
        tokio::spawn(async move {
            if let Err(error) = jobs.send(id, &Event::Polled { times }).await {
                tracing::debug!(job.id = %id, error = %error, "polls are not counted");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly_and_in_lists() {
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::IF_NONE_MATCH, HeaderValue::from_str(value).unwrap());
            }
            none_match(&headers, "W/\"a1\"")
        };
        for good in [&["W/\"a1\""][..], &["\"a1\""], &["*"], &["\"x\", W/\"a1\""], &["\"x\"", "\"a1\""]] {
            assert!(with(good), "{good:?}");
        }
        for bad in [&[][..], &[""], &["a1"], &["\"a\""], &["\"a1"], &["W/"]] {
            assert!(!with(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_tag_changes_before_the_url_that_came_with_it_expires() {
        const MINUTE: Millis = 60_000;
        let job = cadmill_stores::conformance::job_store::new_job(&"ann".parse().unwrap(), 1);
        let body = describe(&job, None);
        let now = 1_800_000_000_000 / (5 * MINUTE) * 5 * MINUTE;
        let of = |expires: Option<Millis>, at: Millis| {
            let validity = expires.map(|expires| (expires, Duration::from_millis(expires - at)));
            tag(&body, validity, at, Duration::from_secs(300))
        };
        let whole = |at: Millis| of(Some(at + 5 * MINUTE), at);
        assert_eq!(whole(now), whole(now + 2 * MINUTE));
        assert_ne!(whole(now), whole(now + 3 * MINUTE));
        // The credentials end at this time, and later ones at another.
        let end = now + 4 * MINUTE;
        assert_eq!(of(Some(end), now), of(Some(end), now + 3 * MINUTE));
        assert_ne!(of(Some(end), now), of(Some(end + MINUTE), now + 3 * MINUTE));
        assert_ne!(of(Some(end), now), whole(now + 3 * MINUTE));
        assert_eq!(of(None, now), of(None, now + 60 * MINUTE));
    }
}
