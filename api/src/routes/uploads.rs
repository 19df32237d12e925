//! How a file gets into the store: with one presigned PUT, or in parts.
//!
//! The record says which, and of which upload; the store says what has arrived. Of two
//! requests that begin a multipart upload at once one wins the record, and the other
//! gives its own up. An upload that nobody knows of any more holds data until the
//! objects of the job are deleted, which gives up every upload under its prefix.

use crate::extract::{JobPath, Query, no_such_job};
use crate::middleware::access_log::LogFields;
use crate::problem::Problem;
use crate::routes::status::{self, StatusBody, timestamp};
use crate::state::ApiState;
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

/// Parts in one answer.
const BATCH: u32 = 100;
/// Numbers of missing parts that a refusal names.
const NAMED: usize = 100;

/// How to upload the file.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Upload {
    /// With one request.
    Single(Single),
    /// In parts: send each, in any order, then complete the upload.
    Multipart(InParts),
}

/// One request that uploads the whole file.
#[derive(Serialize, ToSchema)]
#[schema(as = SingleUpload)]
pub struct Single {
    /// The method.
    #[schema(pattern = "^PUT$")]
    method: String,
    /// The URL. Whoever has it can upload.
    #[schema(format = "uri")]
    url: String,
    /// Headers to send as they are.
    headers: BTreeMap<String, String>,
    /// When the URL stops to be good.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// An upload in parts.
#[derive(Serialize, ToSchema)]
#[schema(as = MultipartUpload)]
pub struct InParts {
    /// Size of each part but the last, in bytes.
    part_size_bytes: u64,
    /// Number of parts.
    part_count: u32,
    /// The first of them.
    parts: Vec<PartRequest>,
    /// Where the rest begins; null when there is none.
    next_part_number: Option<u32>,
}

/// One request that uploads one part.
#[derive(Serialize, ToSchema)]
pub struct PartRequest {
    /// From 1 on.
    part_number: u32,
    /// The method.
    #[schema(pattern = "^PUT$")]
    method: String,
    /// The URL. Whoever has it can upload this part.
    #[schema(format = "uri")]
    url: String,
    /// Headers to send as they are.
    headers: BTreeMap<String, String>,
    /// Size of the part, in bytes.
    size_bytes: u64,
    /// When the URL stops to be good.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Some of the parts, and those that have arrived.
#[derive(Serialize, ToSchema)]
pub(super) struct Parts {
    /// Requests for 100 parts at most.
    parts: Vec<PartRequest>,
    /// Every part that has arrived.
    uploaded: Vec<UploadedPart>,
    /// Where the next batch begins; null when there is none.
    next_part_number: Option<u32>,
}

/// A part that has arrived.
#[derive(Serialize, ToSchema)]
pub(super) struct UploadedPart {
    /// From 1 on.
    part_number: u32,
    /// Its size, in bytes.
    size_bytes: u64,
    /// As the store gave it.
    etag: String,
}

/// Which parts.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PartsQuery {
    /// The first part of the batch.
    #[param(minimum = 1, maximum = 10_000, default = 1, nullable = false)]
    from: Option<u32>,
}

/// How to upload the file, with fresh URLs.
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
        // It arrived, or the job ended, since it was read.
        None => Err(expected(&job).err().unwrap_or_else(not_expected)),
    }
}

/// Requests for 100 parts at most, and what has arrived of the file.
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

/// Say that the file is uploaded. Parts are looked at and put together here; nothing
/// else needs to be sent. Can be repeated.
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

/// Give the upload in parts up: what has arrived is deleted, and asking for the upload
/// begins another. Can be repeated.
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
        // The record first: it must never name an upload that is given up.
        let upload_id = multipart.upload_id.clone();
        if let Change::Missing = state.jobs.send(id, &Event::UploadAborted { upload_id }).await? {
            return Err(no_such_job());
        }
        give_up(&state, &job, &multipart.upload_id).await;
    }
    Ok(about(&job, StatusCode::NO_CONTENT))
}

/// The job, and how to upload its file; nothing when it no longer waits for it. Begins
/// an upload in parts where one is due.
pub(super) async fn open(state: &ApiState, job: Job) -> Result<(Job, Option<Upload>), Problem> {
    if expected(&job).is_err() {
        return Ok((job, None));
    }
    let settings = &state.settings;
    if job.multipart.is_none() && job.order.size_bytes <= settings.config.multipart_threshold_bytes {
        let (size, sha256) = (job.order.size_bytes, job.order.sha256.as_deref());
        let Presigned { method, url, headers, expires } =
            state.objects.presign_put(&key(&job), size, sha256, settings.upload_lifetime(size)).await?;
        let headers = headers.into_iter().collect();
        let single = Single { method: method.to_owned(), url, headers, expires_at: timestamp(expires) };
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

/// Begins an upload in parts, unless another request did; the job after that.
async fn begin(state: &ApiState, job: Job) -> Result<Job, Problem> {
    let upload_id = state.objects.begin_multipart(&key(&job)).await?;
    let part_bytes = state.settings.part_size_bytes(job.order.size_bytes);
    let multipart = Multipart { upload_id: upload_id.clone(), part_bytes };
    // When this fails the record may name the upload all the same, so it is not given up.
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

/// Gives up an upload that no record names. What stays is given up with the objects.
async fn give_up(state: &ApiState, job: &Job, upload_id: &str) {
    if let Err(error) = state.objects.abort_multipart(&key(job), upload_id).await {
        tracing::warn!(job.id = %job.id, error = %error, "the multipart upload remains until the cleanup");
    }
}

/// Makes sure that the object is there and has the declared size.
async fn complete(state: &ApiState, job: &Job) -> Result<(), Problem> {
    let Some(multipart) = &job.multipart else {
        return whole(state, job, None).await;
    };
    let key = key(job);
    let parts = match state.objects.parts(&key, &multipart.upload_id).await {
        Ok(parts) => parts,
        // It was completed before, and the reply lost.
        Err(error @ PortError::NotFound(_)) => return whole(state, job, Some(error)).await,
        Err(error) => return Err(error.into()),
    };
    check_parts(job, multipart, &parts)?;
    match state.objects.complete_multipart(&key, &multipart.upload_id, &parts).await {
        Ok(()) => Ok(()),
        // Another request was faster, or it happened and the reply was lost.
        Err(error @ (PortError::NotFound(_) | PortError::Precondition(_) | PortError::Unknown { .. })) => {
            whole(state, job, Some(error)).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Looks at the object itself. Where it is not there, `after` says whether that is
/// for now only.
async fn whole(state: &ApiState, job: &Job, after: Option<PortError>) -> Result<(), Problem> {
    let declared = job.order.size_bytes;
    let arrived = match state.objects.head(&key(job)).await {
        Ok(object) if object.size_bytes == declared => return Ok(()),
        Ok(object) => object.size_bytes,
        Err(PortError::NotFound(_)) => match after {
            Some(error @ PortError::Unknown { .. }) => return Err(error.into()),
            _ => 0,
        },
        Err(error) => return Err(error.into()),
    };
    let message = format!("{arrived} of {declared} bytes have arrived");
    let failure = Failure::new(FailureCode::UploadIncomplete, message);
    Err(failure.with("declared_bytes", declared).with("arrived_bytes", arrived).into())
}

/// Whether these are all parts of the file, each of its size.
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

/// Requests for the parts from this one on, and where the next batch begins.
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
        // A client may send them one after the other.
        bytes = bytes.saturating_add(size_bytes);
        let lifetime = state.settings.upload_lifetime(bytes);
        let Presigned { method, url, headers, expires } =
            state.objects.presign_part(&key, &multipart.upload_id, part_number, size_bytes, lifetime).await?;
        let (method, headers) = (method.to_owned(), headers.into_iter().collect());
        let expires_at = timestamp(expires);
        parts.push(PartRequest { part_number, method, url, headers, size_bytes, expires_at });
    }
    Ok((parts, (last < count).then(|| last + 1).filter(|_| from <= count)))
}

/// Number of parts of the job's file.
fn part_count(job: &Job, multipart: &Multipart) -> u32 {
    // The size of the parts was chosen so that it fits.
    u32::try_from(job.order.size_bytes.div_ceil(multipart.part_bytes.max(1))).unwrap_or(MAX_PARTS)
}

/// Size of one of them; none for a number beyond the last.
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

/// Where the job's file belongs.
fn key(job: &Job) -> ObjectKey {
    ObjectKey::upload(job.id, job.order.file_name.clone())
}

fn about(job: &Job, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    response.extensions_mut().insert(LogFields(job.id));
    response
}
