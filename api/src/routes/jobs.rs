//! Creating, listing and ending jobs.
//!
//! A job is created in this order: the order is validated, the record is written, and only then is
//! an upload URL issued. So nothing can be uploaded without a record, and a process that dies in
//! between leaves a record that expires.

use crate::extract::{JobPath, Json, Query, no_such_job};
use crate::middleware::access_log::LogFields;
use crate::problem::Problem;
use crate::routes::status;
use crate::routes::uploads::{self, Upload};
use crate::settings::ApiSettings;
use crate::state::ApiState;
use crate::status::{StatusBody, describe};
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cadmill_core::domain::coding::Coding;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ids::{JobId, Owner};
use cadmill_core::domain::job::{Compress, Job, JobSpec, State as JobState};
use cadmill_core::domain::limits::display_size;
use cadmill_core::domain::preset::Preset;
use cadmill_core::domain::quota::Exceeded;
use cadmill_core::domain::route;
use cadmill_core::domain::state::{Event, Policy};
use cadmill_core::domain::trace::TraceParent;
use cadmill_core::jobs::{Change, NotCreated};
use cadmill_core::ports::PortError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// Maximum number of options of a job.
const MAX_OPTIONS: usize = 32;
/// Maximum length of an option name, in characters.
const MAX_OPTION_NAME: usize = 64;
/// Maximum length of an option value, a root and a format, in characters.
const MAX_OPTION_VALUE: usize = 1024;
const MAX_ROOT: usize = 1024;
const MAX_FORMAT: usize = 64;
/// Maximum number of content codings of an order, and the length of one, in characters.
const MAX_CODINGS: usize = 16;
const MAX_CODING: usize = 32;
/// When to try again while no cleanup program is alive, in seconds.
const NO_CLEANUP_S: u64 = 15;
/// Minimum time for which a result is kept, in seconds: a client that polls slowly must see it.
const MIN_TTL_S: u64 = 60;
/// Default and maximum number of jobs on a page.
const PAGE: u32 = 20;
const MAX_PAGE: u32 = 100;

/// Whether a single output file is zipped.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Compress)]
enum CompressMode {
    /// Not zipped (default).
    Never,
    /// Zipped if it is text and large.
    Auto,
    /// Always zipped.
    Always,
}

impl CompressMode {
    fn compress(self) -> Compress {
        match self {
            Self::Never => Compress::Never,
            Self::Auto => Compress::Auto,
            Self::Always => Compress::Always,
        }
    }
}

/// A conversion order.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewJob, example = json!({
    "file_name": "town.zip", "size_bytes": 1_610_612_736_u64, "target_format": "dxf", "root": "town/roads.shp"
}))]
pub(super) struct NewJob {
    /// File name: at most 255 bytes of UTF-8, without `/`, `\` and control characters, and neither
    /// `.` nor `..`.
    #[schema(min_length = 1, max_length = 255)]
    file_name: String,
    /// Size of the file, in bytes. The upload must have exactly this size.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 5_497_558_138_880_i64)]
    size_bytes: u64,
    /// Output format: an extension that an engine writes, e.g. `dxf`, or the engine's own name for
    /// a format. See `/api/formats`.
    #[schema(min_length = 1, max_length = 64)]
    target_format: String,
    /// Engine options.
    #[serde(default)]
    options: Option<BTreeMap<String, String>>,
    /// Name of options that come with the server; those in `options` win. The job keeps the options,
    /// not the name.
    preset: Option<String>,
    /// Path of the file to convert within the archive; `*` converts each file that can be converted,
    /// into one ZIP archive, or one GeoPackage with a layer for each.
    #[schema(min_length = 1, max_length = 1024, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    root: Option<String>,
    /// Whether a single output file is zipped: `auto` zips it if it is text and large. Multiple
    /// output files are always returned as one ZIP archive.
    #[serde(default)]
    compress: Option<CompressMode>,
    /// Whether the job fails with `engine.incomplete` if the result differs from the input in what
    /// no option asked for. Fields that the output format cannot carry do not count.
    #[serde(default)]
    strict: Option<bool>,
    /// Content codings that the client decodes (RFC 9110, 8.4.1), without weights. With `gzip`, a
    /// result in a text format of 1 MiB or more is stored with `Content-Encoding: gzip`; browsers and
    /// `curl --compressed` decode it by themselves, and `download` of the status says it. Unknown
    /// codings are ignored. The default is none: the result is stored as it is.
    #[serde(default)]
    #[schema(max_items = 16, value_type = Option<Vec<AcceptedCoding>>)]
    accept_encoding: Option<Vec<String>>,
    /// How long the result is kept if its download is not confirmed, in seconds. At least 60, and not
    /// longer than the server keeps results, which is the default.
    #[serde(default, deserialize_with = "whole_seconds")]
    #[schema(minimum = 60, maximum = 2_592_000)]
    result_ttl_seconds: Option<u64>,
    /// Idempotency key and id of the job: a UUID in lower case. Sending the same order with the
    /// same id again does not create a second job.
    #[schema(pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
    job_id: Option<String>,
    /// SHA-256 of the file, in hexadecimal.
    #[schema(pattern = "^[0-9a-fA-F]{64}$")]
    checksum_sha256: Option<String>,
}

/// A content coding: `gzip`, or any other name, which is ignored.
#[derive(ToSchema)]
#[schema(as = ContentCoding, value_type = String, min_length = 1, max_length = 32,
    pattern = "^[A-Za-z0-9._*-]{1,32}$", example = "gzip")]
#[allow(dead_code)]
struct AcceptedCoding(String);

/// A number of bytes.
fn whole<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    integer(&number).ok_or_else(|| serde::de::Error::custom("size_bytes must be an integer"))
}

/// A number of seconds, or none.
fn whole_seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    let wrong = || serde::de::Error::custom("result_ttl_seconds must be an integer");
    integer(&number).map(Some).ok_or_else(wrong)
}

/// JSON has one number type: `1000.0` equals 1000 (JSON Schema Core 2020-12, 4.2.3), as long as it is
/// exact, i.e. below 2 to the 53rd.
fn integer(number: &serde_json::Number) -> Option<u64> {
    const EXACT: f64 = (1_u64 << 53) as f64;
    let float = number.as_f64().filter(|float| float.fract() == 0.0 && (0.0..EXACT).contains(float));
    number.as_u64().or(float.map(|float| float as u64))
}

/// A job that was created, or that already existed.
#[derive(Serialize, ToSchema)]
pub(super) struct JobCreated {
    /// The job id.
    #[schema(format = "uuid")]
    job_id: String,
    /// State of the job.
    state: JobState,
    /// URL for polling the status.
    status_url: String,
    /// How to upload the file; null when the job no longer waits for it.
    upload: Option<Upload>,
}

/// One page of jobs, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct JobPage {
    /// The jobs, without download URLs.
    jobs: Vec<StatusBody>,
    /// Jobs of this page whose records cannot be read; the operator has to act.
    unreadable: u32,
    /// Value of `page` for the next page; null on the last page.
    next_page: Option<String>,
}

/// Selects a page of jobs.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Maximum number of jobs on the page.
    #[param(minimum = 1, maximum = 100, default = 20, nullable = false)]
    limit: Option<u32>,
    /// The `next_page` of an earlier response.
    #[param(min_length = 1, max_length = 2048, nullable = false)]
    page: Option<String>,
}

/// Create a job.
///
/// The response describes how to upload the file. With a `job_id` the request is idempotent:
/// repeating the same order returns 200 with fresh URLs; a different order returns 409.
#[utoipa::path(post, path = "/api/jobs", tag = "jobs", request_body = NewJob,
    params(("traceparent" = Option<String>, Header, description = "The trace that the job belongs to (W3C Trace Context, version 00). It is kept with the job and shown in the operator's logs. What is not valid is ignored.")),
    responses(
        (status = 201, description = "The job was created.", body = JobCreated,
            headers(("Location" = String, description = "URL of the job's status."))),
        (status = 200, description = "The job was already created by the same request.", body = JobCreated,
            headers(("Location" = String, description = "URL of the job's status.")))))]
pub(super) async fn create_job(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    headers: HeaderMap,
    Json(new): Json<NewJob>,
) -> Result<Response, Problem> {
    let (id, order) = checked(new, owner, &state.settings, state.jobs.policy())?;
    if state.settings.config.require_cleanup && !state.attendance.is_given().await? {
        let message = "no cleanup program is alive, so nothing would delete the file";
        return Err(Problem::new(FailureCode::NoCleanup, message).retry_after(NO_CLEANUP_S));
    }
    let (job, is_new) =
        state.jobs.create_traced(id, order.clone(), trace_of(&headers)).await.map_err(not_created)?;
    // A client that decodes gzip can use what was ordered without it, e.g. by an older client.
    let order = JobSpec { accept_gzip: order.accept_gzip && job.order.accept_gzip, ..order };
    if job.order != order {
        return Err(Problem::new(
            FailureCode::JobConflict,
            "the job_id is already used by a different request",
        ));
    }
    let (job, upload) = uploads::open(&state, job).await?;
    let status_url = format!("/api/jobs/{id}/status");
    let location = HeaderValue::from_str(&status_url);
    let body = JobCreated { job_id: id.to_string(), state: job.state, status_url, upload };
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = (status, axum::Json(body)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response.extensions_mut().insert(LogFields::of(&job));
    Ok(response)
}

/// The trace of a request. Several are as one that is not valid.
fn trace_of(headers: &HeaderMap) -> Option<TraceParent> {
    let mut given = headers.get_all(TRACE_PARENT).iter();
    let first = given.next()?.to_str().ok()?;
    first.parse().ok().filter(|_| given.next().is_none())
}

/// The header of a trace.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// How long a client waits until it asks for a place again, in seconds: within this time an average
/// conversion ends.
const QUOTA_PAUSE: u64 = 30;

/// Which limit a job would exceed, what is in flight, and what to do.
fn not_created(error: NotCreated) -> Problem {
    let failure = match error {
        NotCreated::Store(error) => return error.into(),
        NotCreated::Quota(Exceeded::Jobs { jobs, limit }) => {
            let message = format!(
                "you have {jobs} jobs in flight, and at most {limit} are allowed (api.owner_jobs); wait until one \
                 of them has ended, or end one"
            );
            Failure::new(FailureCode::ApiQuota, message)
                .with("limit_jobs", limit)
                .with("jobs_in_flight", jobs)
        }
        NotCreated::Quota(Exceeded::Bytes { bytes, size, limit }) => {
            let [used, size_text, most] = [bytes, size, limit].map(display_size);
            let message = format!(
                "your jobs in flight have {used}, and {size_text} more would exceed the {most} that are allowed \
                 (api.owner_bytes); wait until one of them has ended, or end one"
            );
            let failure = Failure::new(FailureCode::ApiQuota, message).with("limit_bytes", limit);
            failure.with("bytes_in_flight", bytes).with("size_bytes", size)
        }
    };
    Problem::from(failure).retry_after(QUOTA_PAUSE)
}

/// The validated order of a request.
fn checked(
    new: NewJob,
    owner: Owner,
    settings: &ApiSettings,
    policy: &Policy,
) -> Result<(JobId, JobSpec), Problem> {
    let file_name = new
        .file_name
        .parse()
        .map_err(|error| Problem::new(FailureCode::UploadFileName, format!("file_name: {error}")))?;
    check_size(new.size_bytes, settings.config.max_upload_bytes, settings.config.quota.bytes)?;
    check_text("target_format", &new.target_format, MAX_FORMAT)?;
    route::targets(&new.target_format, None, &settings.engines)?;
    let mut options = new.options.unwrap_or_default();
    check_options(&options)?;
    if let Some(name) = &new.preset {
        check_text("preset", name, MAX_OPTION_NAME)?;
        let preset = Preset::named(name).map_err(|failure| invalid(format!("preset: {failure}")))?;
        options = preset.with(options).into_iter().collect();
    }
    if let Some(root) = &new.root {
        check_text("root", root, MAX_ROOT)?;
        if root.is_empty() {
            return Err(invalid("root: must not be empty; omit it instead"));
        }
    }
    let sha256 = new.checksum_sha256.map(|text| text.to_ascii_lowercase());
    if sha256.as_ref().is_some_and(|text| text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err(invalid("checksum_sha256: must be 64 hexadecimal digits"));
    }
    let id = match new.job_id {
        Some(text) => text.parse().map_err(|error| invalid(format!("job_id: {error}")))?,
        None => JobId::random(),
    };
    let compress = new.compress.map_or(Compress::Never, CompressMode::compress);
    let (size_bytes, format, root) = (new.size_bytes, new.target_format, new.root);
    let strict = new.strict.unwrap_or_default();
    let accept_gzip = accepts_gzip(&new.accept_encoding.unwrap_or_default())?;
    check_ttl(new.result_ttl_seconds, policy.retention / 1000)?;
    let order = JobSpec {
        owner,
        file_name,
        size_bytes,
        sha256,
        format,
        root,
        options,
        compress,
        strict,
        accept_gzip,
        result_ttl_seconds: new.result_ttl_seconds,
    };
    Ok((id, order))
}

/// A result may be kept shorter than the server keeps results, and not longer. `most` is that time, in
/// seconds.
fn check_ttl(seconds: Option<u64>, most: u64) -> Result<(), Problem> {
    let least = MIN_TTL_S.min(most);
    match seconds {
        Some(seconds) if !(least..=most).contains(&seconds) => Err(Problem::new(
            FailureCode::RequestResultTtl,
            format!("result_ttl_seconds: must be {least} to {most}; this server keeps a result for {most} s"),
        )),
        _ => Ok(()),
    }
}

/// Whether gzip is among the codings.
fn accepts_gzip(codings: &[String]) -> Result<bool, Problem> {
    if codings.len() > MAX_CODINGS {
        let message = format!("accept_encoding: {} given, at most {MAX_CODINGS} allowed", codings.len());
        return Err(invalid(message));
    }
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._*-".contains(&b);
    if codings.iter().any(|name| name.is_empty() || name.len() > MAX_CODING || !name.bytes().all(good)) {
        return Err(invalid(format!(
            "accept_encoding: a coding must have 1 to {MAX_CODING} of the characters A-Z a-z 0-9 . _ * -"
        )));
    }
    Ok(codings.iter().any(|name| Coding::named(name) == Some(Coding::Gzip)))
}

/// An upload that exceeds `owner_bytes` alone could never be accepted, so waiting is not offered.
fn check_size(size_bytes: u64, max_bytes: u64, owner_bytes: u64) -> Result<(), Problem> {
    if size_bytes == 0 {
        return Err(invalid("size_bytes: must be at least 1"));
    }
    let max_bytes = max_bytes.min(owner_bytes);
    if size_bytes > max_bytes {
        let (size, max) = (display_size(size_bytes), display_size(max_bytes));
        let message = format!("the file has {size}; this server accepts at most {max}");
        let failure = Failure::new(FailureCode::UploadTooLarge, message);
        return Err(failure.with("limit_bytes", max_bytes).with("size_bytes", size_bytes).into());
    }
    Ok(())
}

fn check_options(options: &BTreeMap<String, String>) -> Result<(), Problem> {
    if options.len() > MAX_OPTIONS {
        return Err(invalid(format!("options: {} given, at most {MAX_OPTIONS} allowed", options.len())));
    }
    for (name, value) in options {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        if name.is_empty() || name.len() > MAX_OPTION_NAME || !name.bytes().all(good) {
            return Err(invalid(format!(
                "options: a name must have 1 to {MAX_OPTION_NAME} of the characters A-Z a-z 0-9 . _ : -"
            )));
        }
        check_text("options: a value", value, MAX_OPTION_VALUE)?;
    }
    Ok(())
}

/// A string for an engine or a path in an archive: bounded in length, without control characters.
fn check_text(what: &str, text: &str, max: usize) -> Result<(), Problem> {
    if text.chars().count() > max || text.contains(char::is_control) {
        return Err(invalid(format!("{what}: must have at most {max} characters and no control characters")));
    }
    Ok(())
}

fn invalid(message: impl Into<String>) -> Problem {
    Problem::new(FailureCode::RequestInvalid, message)
}

/// List the caller's jobs, newest first.
#[utoipa::path(get, path = "/api/jobs", tag = "jobs", params(ListQuery),
    responses((status = 200, description = "One page of them.", body = JobPage)))]
pub(super) async fn list_jobs(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(invalid(format!("limit: must be 1 to {MAX_PAGE}")));
    }
    let page =
        state.jobs.store().list(&owner, query.page.as_deref(), limit).await.map_err(|error| match error {
            PortError::NotFound(_) => invalid("page: not a value that an earlier response returned"),
            other => other.into(),
        })?;
    let now = state.jobs.clock().now();
    let jobs = page.jobs.iter().map(|job| describe(job, state.throughput.pause(job, now))).collect();
    if page.unreadable > 0 {
        tracing::error!(
            code = FailureCode::RecordUnreadable.as_str(),
            records = page.unreadable,
            "records of jobs cannot be read and are missing from a list"
        );
    }
    Ok(axum::Json(JobPage { jobs, unreadable: page.unreadable, next_page: page.next }).into_response())
}

/// End a job.
///
/// A job that is waiting or in progress is cancelled. A job that has ended is dismissed: its result
/// is no longer needed. Either way its files are deleted. Idempotent.
#[utoipa::path(delete, path = "/api/jobs/{job_id}", tag = "jobs",
    params(("job_id" = String, Path, description = "The job.", format = "uuid")),
    responses((status = 200, description = "The job after that.", body = StatusBody)))]
pub(super) async fn delete_job(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    JobPath(id): JobPath,
) -> Result<Response, Problem> {
    status::owned(&state, id, &owner).await?;
    let deleting = state.clone();
    let job = to_its_end(async move {
        let _turn = deleting.deletions.turn(id).await;
        let mut change = deleting.jobs.send(id, &Event::Cancelled).await?;
        if let Change::Denied(..) = change {
            change = deleting.jobs.send(id, &Event::Dismissed).await?;
        }
        let job = of(change)?;
        purge(&deleting, &job).await;
        Ok::<_, Problem>(job)
    })
    .await?;
    status::answer(&state, &job).await
}

/// Confirm that the result was downloaded and is no longer needed.
///
/// Its files are deleted at once instead of later. Idempotent.
#[utoipa::path(post, path = "/api/jobs/{job_id}/downloaded", tag = "jobs",
    params(("job_id" = String, Path, description = "The job.", format = "uuid")),
    responses((status = 204, description = "The files are gone, or soon will be.")))]
pub(super) async fn job_downloaded(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    JobPath(id): JobPath,
) -> Result<Response, Problem> {
    let job = status::owned(&state, id, &owner).await?;
    if job.state != JobState::Completed {
        let message = format!("the job is {}, so there is no result to confirm", job.state.as_str());
        return Err(Problem::new(FailureCode::JobNotCompleted, message));
    }
    let job = to_its_end(async move {
        let _turn = state.deletions.turn(id).await;
        let job = of(state.jobs.send(id, &Event::Dismissed).await?)?;
        purge(&state, &job).await;
        Ok::<_, Problem>(job)
    })
    .await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.extensions_mut().insert(LogFields::of(&job));
    Ok(response)
}

/// Goes on although the client goes away: what was deleted must be counted.
async fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends.
        Err(_) => std::future::pending().await,
    }
}

/// The job after an event, whether or not the event changed it.
fn of(change: Change) -> Result<Job, Problem> {
    match change {
        Change::Done(job) | Change::Ignored(_, job) | Change::Denied(_, job) => Ok(*job),
        Change::Missing => Err(no_such_job()),
    }
}

/// Deletes everything of a job that has ended, as far as the store allows, by the same act as the
/// cleanup; which does it once more later, for what was uploaded since through a URL that was still
/// valid.
async fn purge(state: &ApiState, job: &Job) {
    // After two deletions the record may end at any time, and the id be that of a new job.
    if !job.state.is_terminal() || job.purges >= 2 {
        return;
    }
    // A worker that had the job does not know yet that it is cancelled.
    let may_write = job.state == JobState::Cancelled && job.attempt > 0;
    let deleted = match may_write || job.purges > 0 {
        true => state.deleter.clear(job).await,
        false => state.deleter.delete(job).await,
    };
    if let Err(error) = deleted {
        tracing::warn!(job.id = %job.id, error = %error, "the objects remain until the cleanup");
    }
}
