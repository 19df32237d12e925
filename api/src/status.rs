//! The status of a job, as clients see it.

use crate::schema::StageMillis;
use cadmill_core::domain::counts::Counts;
use cadmill_core::domain::failure::{FailureCode, Fault};
use cadmill_core::domain::job::{Job, Millis, Object, Stage, State as JobState};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};
use utoipa::ToSchema;

/// Status of a job.
#[derive(Serialize, ToSchema)]
#[schema(as = Status)]
pub struct StatusBody {
    /// The job id.
    #[schema(format = "uuid", pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
    pub job_id: String,
    /// State of the job.
    pub state: JobState,
    /// Current stage, or the last one.
    pub stage: Option<Stage>,
    /// Completed fraction of the stage, from 0 to 1; 1 when the job is completed.
    #[schema(minimum = 0, maximum = 1)]
    pub progress: f64,
    /// Number of attempts by workers.
    pub attempt: u32,
    /// Name of the file.
    pub file_name: String,
    /// The requested format.
    pub target_format: String,
    /// Size of the file, in bytes.
    pub size_bytes: u64,
    /// When the job was created.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When the upload arrived, as the store says, or else when it was detected.
    #[schema(format = DateTime)]
    pub uploaded_at: Option<String>,
    /// When the latest attempt began.
    #[schema(format = DateTime)]
    pub claimed_at: Option<String>,
    /// When the job ended.
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    /// Duration of each finished stage of the latest attempt, in milliseconds.
    pub stage_millis: StageMillis,
    /// Warnings of the latest attempt: at most 20 of at most 400 characters. They may quote names
    /// and content of the file.
    pub warnings: Vec<String>,
    /// How many warnings there were.
    pub warnings_total: u64,
    /// How many of them say that the result differs from the input in what no option asked for.
    pub losses: u64,
    /// What was read and written; null if the engine does not count it.
    pub counts: Option<Counts>,
    /// What the engine reports about the result beyond that, such as `solids`: names and values, 4096
    /// bytes at most. They may quote content of the file.
    pub facts: BTreeMap<String, String>,
    /// Why the job failed.
    pub failure: Option<FailureBody>,
    /// When to poll again, in milliseconds; null when the job has ended.
    pub poll_after_ms: Option<u64>,
    /// When the result is deleted if its download is not confirmed before; null when there is none or
    /// it was deleted.
    #[schema(format = DateTime)]
    pub result_expires_at: Option<String>,
    /// How to download the result; null when there is none or it was deleted.
    pub download: Option<Download>,
}

/// Why a job failed.
#[derive(Serialize, ToSchema)]
#[schema(as = JobFailure)]
pub struct FailureBody {
    /// The stable failure code.
    #[schema(value_type = String)]
    pub code: FailureCode,
    /// Description of the failure, for the owner of the job.
    pub message: String,
    /// The stage in which it failed.
    pub stage: Option<Stage>,
    /// Who has to act.
    pub fault: Fault,
    /// Whether the same job can succeed when it is retried.
    pub retryable: bool,
    /// How to resolve the failure.
    pub hint: String,
}

/// How to download the result: one request to the store.
#[derive(Serialize, ToSchema)]
pub struct Download {
    /// HTTP method.
    #[schema(pattern = "^GET$")]
    pub method: String,
    /// Presigned URL. Anyone who has it can download the file.
    #[schema(format = "uri")]
    pub url: String,
    /// Headers to send unchanged.
    pub headers: BTreeMap<String, String>,
    /// When the URL expires.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// Size of the result, in bytes, once it is decoded.
    pub size_bytes: u64,
    /// SHA-256 of the result, once it is decoded, in hexadecimal, if known.
    pub sha256: Option<String>,
    /// The `Content-Encoding` of the response; null if it is the result itself. Only an order with
    /// `accept_encoding` has one. A range of the response is one of the encoded bytes, so ranges must
    /// be joined before they are decoded.
    #[schema(pattern = "^gzip$")]
    pub content_encoding: Option<String>,
    /// Size of the response, in bytes: that of the result, or of its encoding.
    pub stored_bytes: u64,
    /// SHA-256 of the response, in hexadecimal, if known.
    pub stored_sha256: Option<String>,
    /// File name of the result.
    pub file_name: String,
}

/// The status from the record, without a download.
pub(crate) fn describe(job: &Job, pause: Option<Duration>) -> StatusBody {
    let progress = match job.state {
        JobState::Completed => 1.0,
        _ => f64::from(job.progress.min(1000)) / 1000.0,
    };
    let failure = job.failure.as_ref().map(|failure| FailureBody {
        code: failure.code,
        message: failure.message.clone(),
        stage: failure.at,
        fault: failure.code.fault(),
        retryable: failure.code.retryable(),
        hint: failure.code.hint().to_owned(),
    });
    StatusBody {
        job_id: job.id.to_string(),
        state: job.state,
        stage: job.stage,
        progress,
        attempt: job.attempt,
        file_name: job.order.file_name.as_str().to_owned(),
        target_format: job.order.format.clone(),
        size_bytes: job.order.size_bytes,
        created_at: timestamp(job.times.created),
        uploaded_at: job.times.uploaded.map(timestamp),
        claimed_at: job.times.claimed.map(timestamp),
        ended_at: job.times.ended.map(timestamp),
        stage_millis: (&job.stage_millis).into(),
        warnings: job.warnings.lines.clone(),
        warnings_total: job.warnings.total,
        losses: job.warnings.losses,
        counts: job.counts,
        facts: job.facts.values().clone(),
        failure,
        poll_after_ms: pause.map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)),
        result_expires_at: expires(job).map(timestamp),
        download: None,
    }
}

/// When the result is due for deletion. A deletion that failed is tried again at any time.
fn expires(job: &Job) -> Option<Millis> {
    downloadable(job).and_then(|_| if job.retry.is_some() { job.times.ended } else { job.due })
}

/// The download, while the result exists and has not been dismissed.
pub(crate) fn downloadable(job: &Job) -> Option<&Object> {
    let gone = job.times.dismissed.is_some() || job.times.purged.is_some();
    job.output.as_ref().filter(|_| job.state == JobState::Completed && !gone)
}

/// RFC 3339, UTC, with milliseconds. Times after the year 9999 are clamped to its end.
pub(crate) fn timestamp(millis: Millis) -> String {
    const LAST: Millis = 253_402_300_799_999;
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis.min(LAST));
    humantime::format_rfc3339_millis(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_an_end() {
        assert_eq!(timestamp(1), "1970-01-01T00:00:00.001Z");
        assert_eq!(timestamp(u64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
