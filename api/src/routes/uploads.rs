//! Uploads: one presigned PUT, or a multipart upload.
//!
//! The record stores the kind and the id of the upload; the store reports what has arrived. If two
//! requests begin a multipart upload concurrently, one wins the record, and the other aborts its
//! own upload. An orphaned multipart upload holds data until the objects of the job are deleted,
//! which aborts every upload under its prefix.

use crate::extract::{JobPath, Query, no_such_job};
use crate::middleware::access_log::LogFields;
use crate::problem::Problem;
use crate::routes::status;
use crate::state::ApiState;
use crate::status::{StatusBody, timestamp};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ids::{ObjectKey, Owner};
use cadmill_core::domain::job::{Job, Multipart, State as JobState};
use cadmill_core::domain::state::{Denied, Event};
use cadmill_core::jobs::Change;
use cadmill_core::ports::object_store::{MAX_PARTS, Part, Presigned};
use cadmill_core::ports::{PortError, PortResult};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// Parts per response.
const BATCH: u32 = 100;
/// Maximum number of missing part numbers listed in a rejection.
const NAMED: usize = 100;

/// How to upload the file.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Upload {
    /// Single upload, with one request.
    Single(Single),
    /// Multipart upload: send each part, in any order, then complete the upload.
    Multipart(InParts),
}

/// One request that uploads the whole file.
#[derive(Serialize, ToSchema)]
#[schema(as = SingleUpload)]
pub struct Single {
    /// HTTP method.
    #[schema(pattern = "^PUT$")]
    method: String,
    /// Presigned URL. Anyone who has it can upload.
    #[schema(format = "uri")]
    url: String,
    /// Headers to send unchanged.
    headers: BTreeMap<String, String>,
    /// Size of the file, in bytes. `Content-Length` must be exactly this; HTTP clients set it by
    /// themselves.
    size_bytes: u64,
    /// When the URL expires.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// A multipart upload.
#[derive(Serialize, ToSchema)]
#[schema(as = MultipartUpload)]
pub struct InParts {
    /// Size of each part except the last, in bytes.
    part_size_bytes: u64,
    /// Number of parts.
    part_count: u32,
    /// The first batch of parts.
    parts: Vec<PartRequest>,
    /// First part number of the next batch; null when there are no further parts.
    next_part_number: Option<u32>,
}

/// One request that uploads one part.
#[derive(Serialize, ToSchema)]
pub struct PartRequest {
    /// Part number, from 1.
    part_number: u32,
    /// HTTP method.
    #[schema(pattern = "^PUT$")]
    method: String,
    /// Presigned URL. Anyone who has it can upload this part.
    #[schema(format = "uri")]
    url: String,
    /// Headers to send unchanged.
    headers: BTreeMap<String, String>,
    /// Size of the part, in bytes. `Content-Length` must be exactly this.
    size_bytes: u64,
    /// When the URL expires.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// A batch of parts, and the parts that have arrived.
#[derive(Serialize, ToSchema)]
pub(super) struct Parts {
    /// Requests for at most 100 parts.
    parts: Vec<PartRequest>,
    /// All parts that have arrived.
    uploaded: Vec<UploadedPart>,
    /// First part number of the next batch; null when there are no further parts.
    next_part_number: Option<u32>,
}

/// A part that has arrived.
#[derive(Serialize, ToSchema)]
pub(super) struct UploadedPart {
    /// Part number, from 1.
    part_number: u32,
    /// Size of the part, in bytes.
    size_bytes: u64,
    /// ETag of the part, as returned by the store.
    etag: String,
}

/// Selects a batch of parts.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PartsQuery {
    /// The first part number of the batch.
    #[param(minimum = 1, maximum = 10_000, default = 1, nullable = false)]
    from: Option<u32>,
}

/// Get upload instructions with fresh URLs.
#[utoipa::path(get, path = "/api/jobs/{job_id}/uploads", tag = "uploads",
    params(("job_id" = String, Path, description = "The job.", format = "uuid")),
    responses((status = 200, description = "One request, or the first parts.", body = Upload)))]
pub(super) async fn get_upload(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    JobPath(id): JobPath,
) -> Result<Response, Problem> {
    let job = status::owned(&state, id, &owner).await?;
    expected(&job)?;
    let (job, upload) = open(&state, job).await?;
    match upload {
        Some(upload) => Ok(about(&job, Json(upload))),
        // The upload completed, or the job ended, since the record was read.
        None => Err(expected(&job).err().unwrap_or_else(not_expected)),
    }
}

/// Get requests for at most 100 parts, and the parts that have arrived.
#[utoipa::path(get, path = "/api/jobs/{job_id}/uploads/parts", tag = "uploads",
    params(("job_id" = String, Path, description = "The job.", format = "uuid"), PartsQuery),
    responses((status = 200, description = "The parts from there on.", body = Parts)))]
pub(super) async fn list_parts(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    JobPath(id): JobPath,
    Query(query): Query<PartsQuery>,
) -> Result<Response, Problem> {
    let from = query.from.unwrap_or(1);
    if !(1..=MAX_PARTS).contains(&from) {
        let message = format!("from: must be 1 to {MAX_PARTS}");
        return Err(Problem::new(FailureCode::RequestInvalid, message));
    }
    let job = status::owned(&state, id, &owner).await?;
    expected(&job)?;
    let Some(multipart) = &job.multipart else {
        let message = "the file is uploaded with one request, or no multipart upload was started";
        return Err(Problem::new(FailureCode::UploadNotExpected, message));
    };
    let arrived = match state.objects.parts(&key(&job), &multipart.upload_id).await {
        Err(PortError::NotFound(_)) => {
            let message = "the multipart upload is complete or was aborted";
            return Err(Problem::new(FailureCode::UploadNotExpected, message));
        }
        other => other?,
    };
    let (parts, next_part_number) = batch(&state, &job, multipart, from).await?;
    let uploaded = arrived
        .into_iter()
        .map(|part| UploadedPart { part_number: part.number, size_bytes: part.size_bytes, etag: part.etag })
        .collect();
    Ok(about(&job, Json(Parts { parts, uploaded, next_part_number })))
}

/// Complete the upload.
///
/// The server verifies the parts and assembles them; the request needs no body. Idempotent. If the
/// answer is `upload.incomplete` and its `arrived_bytes` are 0, nothing of the file is left: request
/// the upload again, which begins a new one.
#[utoipa::path(post, path = "/api/jobs/{job_id}/uploads/complete", tag = "uploads",
    params(("job_id" = String, Path, description = "The job.", format = "uuid")),
    responses((status = 200, description = "The whole file has arrived.", body = StatusBody)))]
pub(super) async fn complete_upload(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    JobPath(id): JobPath,
) -> Result<Response, Problem> {
    let job = status::owned(&state, id, &owner).await?;
    if matches!(job.state, JobState::Cancelled | JobState::Expired) {
        return Err(ended(&job));
    }
    if job.input.is_none() {
        complete(&state, &job).await?;
    }
    status::answer(&state, &job).await
}

/// Abort the multipart upload.
///
/// The parts that have arrived are deleted; requesting the upload again begins a new one.
/// Idempotent.
#[utoipa::path(post, path = "/api/jobs/{job_id}/uploads/abort", tag = "uploads",
    params(("job_id" = String, Path, description = "The job.", format = "uuid")),
    responses((status = 204, description = "No upload is in progress.")))]
pub(super) async fn abort_upload(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    JobPath(id): JobPath,
) -> Result<Response, Problem> {
    let job = status::owned(&state, id, &owner).await?;
    if job.input.is_some() && !job.state.is_terminal() {
        return Err(not_expected());
    }
    if let Some(multipart) = &job.multipart {
        // The record first: it must never name an aborted upload.
        let upload_id = multipart.upload_id.clone();
        if let Change::Missing = state.jobs.send(id, &Event::UploadAborted { upload_id }).await? {
            return Err(no_such_job());
        }
        give_up(&state, &job, &multipart.upload_id).await;
    }
    Ok(about(&job, StatusCode::NO_CONTENT))
}

/// The job, and how to upload its file; none when the job no longer waits for it. Begins a
/// multipart upload if one is needed.
pub(super) async fn open(state: &ApiState, job: Job) -> Result<(Job, Option<Upload>), Problem> {
    if expected(&job).is_err() {
        return Ok((job, None));
    }
    let settings = &state.settings;
    if job.multipart.is_none() && job.order.size_bytes <= settings.config.multipart_threshold_bytes {
        let (size, sha256) = (job.order.size_bytes, job.order.sha256.as_deref());
        let Presigned { method, url, headers, expires, .. } =
            state.objects.presign_put(&key(&job), size, sha256, settings.upload_lifetime(size)).await?;
        let headers = headers.into_iter().collect();
        let (method, size_bytes) = (method.to_owned(), job.order.size_bytes);
        let single = Single { method, url, headers, size_bytes, expires_at: timestamp(expires) };
        return Ok((job, Some(Upload::Single(single))));
    }
    let job = if job.multipart.is_some() { job } else { begin(state, job).await? };
    let Some(multipart) = job.multipart.clone().filter(|_| expected(&job).is_ok()) else {
        return Ok((job, None));
    };
    let (parts, next_part_number) = batch(state, &job, &multipart, 1).await?;
    let (part_size_bytes, part_count) = (multipart.part_bytes, part_count(&job, &multipart));
    let upload = InParts { part_size_bytes, part_count, parts, next_part_number };
    Ok((job, Some(Upload::Multipart(upload))))
}

/// Begins a multipart upload, unless another request already did; returns the updated job.
async fn begin(state: &ApiState, job: Job) -> Result<Job, Problem> {
    let upload_id = state.objects.begin_multipart(&key(&job)).await?;
    let part_bytes = state.settings.part_size_bytes(job.order.size_bytes);
    let multipart = Multipart { upload_id: upload_id.clone(), part_bytes };
    // On an error here the record may still name the upload, so the upload is not aborted.
    let change = state.jobs.send(job.id, &Event::UploadBegun { multipart }).await?;
    match change {
        Change::Done(job) => Ok(*job),
        Change::Ignored(_, now) | Change::Denied(Denied::Held | Denied::Ended, now) => {
            if now.multipart.as_ref().is_none_or(|theirs| theirs.upload_id != upload_id) {
                give_up(state, &job, &upload_id).await;
            }
            Ok(*now)
        }
        Change::Denied(_, now) => Ok(*now),
        Change::Missing => {
            give_up(state, &job, &upload_id).await;
            Err(no_such_job())
        }
    }
}

/// Aborts an upload that no record names. If that fails, it is aborted when the objects are
/// deleted.
async fn give_up(state: &ApiState, job: &Job, upload_id: &str) {
    if let Err(error) = state.objects.abort_multipart(&key(job), upload_id).await {
        tracing::warn!(job.id = %job.id, trace_id = job.trace_id(), error = %error, "the multipart upload remains until the cleanup");
    }
}

/// Verifies that the object exists and has the declared size.
async fn complete(state: &ApiState, job: &Job) -> Result<(), Problem> {
    let Some(multipart) = &job.multipart else {
        return whole(state, job, None).await;
    };
    let key = key(job);
    let parts = match state.objects.parts(&key, &multipart.upload_id).await {
        Ok(parts) => parts,
        // It was completed before, and the reply was lost; or the store has dropped it.
        Err(error @ PortError::NotFound(_)) => return whole(state, job, Some(error)).await,
        Err(error) => return Err(error.into()),
    };
    check_parts(job, multipart, &parts)?;
    match state.objects.complete_multipart(&key, &multipart.upload_id, &parts).await {
        Ok(()) => Ok(()),
        // Another request completed it, or this one did and the reply was lost; or two requests were
        // in conflict, and neither did.
        Err(
            error @ (PortError::NotFound(_)
            | PortError::Precondition(_)
            | PortError::Conflict(_)
            | PortError::Unknown { .. }),
        ) => whole(state, job, Some(error)).await,
        Err(error) => Err(error.into()),
    }
}

/// Checks the object itself. If it does not exist, `after` tells whether that may be temporary, or
/// the multipart upload is of no use any more.
async fn whole(state: &ApiState, job: &Job, after: Option<PortError>) -> Result<(), Problem> {
    let declared = job.order.size_bytes;
    // By a listing: the API may not read uploads.
    let arrived = match state.objects.find(&key(job)).await {
        Ok(object) if object.size_bytes == declared => return Ok(()),
        Ok(object) => object.size_bytes,
        Err(PortError::NotFound(_)) => match after {
            Some(error @ PortError::Unknown { .. }) => return Err(error.into()),
            Some(PortError::NotFound(_) | PortError::Conflict(_)) => {
                forget(state, job).await?;
                0
            }
            _ => 0,
        },
        Err(error) => return Err(error.into()),
    };
    let message = format!("{arrived} of {declared} bytes have arrived");
    let failure = Failure::new(FailureCode::UploadIncomplete, message);
    Err(failure.with("declared_bytes", declared).with("arrived_bytes", arrived).into())
}

/// Removes a multipart upload that can never be completed from the record, and aborts it, so that the
/// next request for an upload begins a new one. After `ConditionalRequestConflict` S3 wants the
/// upload to be begun again (Amazon S3 API Reference, "CompleteMultipartUpload").
async fn forget(state: &ApiState, job: &Job) -> Result<(), Problem> {
    let Some(multipart) = &job.multipart else { return Ok(()) };
    let upload_id = multipart.upload_id.clone();
    if let Change::Done(_) = state.jobs.send(job.id, &Event::UploadAborted { upload_id }).await? {
        tracing::warn!(job.id = %job.id, trace_id = job.trace_id(), "the multipart upload cannot be completed and has to be begun again");
        give_up(state, job, &multipart.upload_id).await;
    }
    Ok(())
}

/// Verifies that these are all parts of the file, each with the correct size.
fn check_parts(job: &Job, multipart: &Multipart, parts: &[Part]) -> Result<(), Problem> {
    let count = part_count(job, multipart);
    let arrived: BTreeMap<u32, u64> = parts.iter().map(|part| (part.number, part.size_bytes)).collect();
    let good = |number: &u32| arrived.get(number) == Some(&part_size(job, multipart, *number));
    let missing: Vec<u32> = (1..=count).filter(|number| !good(number)).collect();
    let beyond: Vec<u32> = arrived.keys().copied().filter(|&number| number == 0 || number > count).collect();
    if missing.is_empty() && beyond.is_empty() {
        return Ok(());
    }
    let words = |numbers: &[u32]| numbers.iter().take(NAMED).map(u32::to_string).collect::<Vec<_>>();
    let message = format!(
        "{} of {count} parts are missing or have another size, and {} do not belong to the file",
        missing.len(),
        beyond.len()
    );
    let mut failure = Failure::new(FailureCode::UploadIncomplete, message)
        .with("part_count", u64::from(count))
        .with("part_size_bytes", multipart.part_bytes)
        .with("missing_parts", words(&missing));
    if !beyond.is_empty() {
        failure = failure.with("unknown_parts", words(&beyond));
    }
    Err(failure.into())
}

/// Requests for a batch of parts from this number, and the start of the next batch.
async fn batch(
    state: &ApiState,
    job: &Job,
    multipart: &Multipart,
    from: u32,
) -> PortResult<(Vec<PartRequest>, Option<u32>)> {
    let count = part_count(job, multipart);
    let last = count.min(from.saturating_add(BATCH - 1));
    let key = key(job);
    let (mut parts, mut bytes) = (Vec::new(), 0u64);
    for part_number in from..=last {
        let size_bytes = part_size(job, multipart, part_number);
        // A client may send the parts one after the other.
        bytes = bytes.saturating_add(size_bytes);
        let lifetime = state.settings.upload_lifetime(bytes);
        let Presigned { method, url, headers, expires, .. } =
            state.objects.presign_part(&key, &multipart.upload_id, part_number, size_bytes, lifetime).await?;
        let (method, headers) = (method.to_owned(), headers.into_iter().collect());
        let expires_at = timestamp(expires);
        parts.push(PartRequest { part_number, method, url, headers, size_bytes, expires_at });
    }
    Ok((parts, (last < count).then(|| last + 1).filter(|_| from <= count)))
}

/// Number of parts of the file.
fn part_count(job: &Job, multipart: &Multipart) -> u32 {
    // Fits: the part size was chosen accordingly.
    u32::try_from(job.order.size_bytes.div_ceil(multipart.part_bytes.max(1))).unwrap_or(MAX_PARTS)
}

/// Size of a part; none for a number beyond the last.
fn part_size(job: &Job, multipart: &Multipart, number: u32) -> u64 {
    let before = u64::from(number.saturating_sub(1)).saturating_mul(multipart.part_bytes);
    job.order.size_bytes.saturating_sub(before).min(multipart.part_bytes)
}

/// Whether the job waits for an upload.
fn expected(job: &Job) -> Result<(), Problem> {
    match job.state {
        JobState::Pending if job.input.is_none() => Ok(()),
        JobState::Pending | JobState::Processing => Err(not_expected()),
        _ => Err(ended(job)),
    }
}

fn not_expected() -> Problem {
    Problem::new(FailureCode::UploadNotExpected, "the file has arrived already")
}

fn ended(job: &Job) -> Problem {
    Problem::new(FailureCode::JobEnded, format!("the job has ended: it is {}", job.state.as_str()))
}

/// Object key of the job's file.
fn key(job: &Job) -> ObjectKey {
    ObjectKey::upload(job.id, job.order.file_name.clone())
}

fn about(job: &Job, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    response.extensions_mut().insert(LogFields::of(job));
    response
}
