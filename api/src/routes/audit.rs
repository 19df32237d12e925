//! The ledger heads of a job, against which an auditor verifies the ledgers, and the deletions of its
//! files.
//!
//! Neither has file names or content. Heads are returned as they were written. A reader must verify
//! them with a public key from another source. The deletions are those of the job's record, which is
//! not signed: each names the ledger that proves it.

use crate::auth::Caller;
use crate::extract::{JobPath, no_such_job};
use crate::middleware::access_log::LogFields;
use crate::problem::Problem;
use crate::state::ApiState;
use crate::status::timestamp;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use cadmill_core::domain::job::{Deletion, Evidence, Job};
use cadmill_core::domain::ledger::{LedgerId, SignedHead};
use serde::Serialize;
use utoipa::ToSchema;

/// The ledger heads of a job.
#[derive(Serialize, ToSchema)]
#[schema(as = JobAudit)]
pub(super) struct AuditBody {
    /// The job id.
    #[schema(format = "uuid")]
    job_id: String,
    /// Attempts so far. An attempt without an entry below has not ended yet, or its worker died.
    attempts_made: u32,
    /// Number of entries dropped in favour of newer ones.
    dropped: u32,
    /// The ledger heads, in the order of arrival.
    attempts: Vec<AuditedAttempt>,
    /// The confirmed deletions of everything that the store had of the job, as the job's record has
    /// them. Empty as long as its files are there. There are two as a rule: the second deletes what was
    /// written after the first by requests that were still valid.
    deletions: Vec<DeletionBody>,
}

/// Everything of the job was deleted from the object store, and a listing after that found nothing.
#[derive(Serialize, ToSchema)]
#[schema(as = JobDeletion)]
pub(super) struct DeletionBody {
    /// Deleted objects, counting each version.
    objects: u64,
    /// Deleted markers of objects that had been deleted before.
    marks: u64,
    /// Aborted multipart uploads.
    uploads: u64,
    /// When the listing found nothing.
    #[schema(format = "date-time")]
    confirmed_at: String,
    /// Age in milliseconds of the oldest of them; null if there was nothing, or the store does not say.
    oldest_age_ms: Option<u64>,
    /// Name of the program that deleted.
    by: String,
    /// Identity of the ledger that has this deletion; null if there is none, or none yet.
    ledger: Option<String>,
    /// Whether the ledger could not be written yet, which is tried again.
    ledger_owed: bool,
}

/// The head of one ledger.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditedAttempt {
    /// The attempt number; 0 for the deletions of the job's files.
    attempt: u32,
    /// 0 for the attempt itself; 1, 2, … for the destruction of the remains of a killed worker, and for
    /// deletions.
    part: u32,
    /// The signed data: this object with sorted keys and without whitespace.
    head: HeadBody,
    /// Ed25519 signature of the head, in base64; null when the worker had no key.
    signature: Option<String>,
    /// Key id: SHA-256 of its SubjectPublicKeyInfo (DER).
    key_id: Option<String>,
    /// SubjectPublicKeyInfo (DER) in base64. Do not rely on it for verification: get the key from
    /// the operator.
    public_key: Option<String>,
}

/// The last record of a ledger.
#[derive(Serialize, ToSchema)]
#[schema(as = LedgerHead)]
pub(super) struct HeadBody {
    /// Name of the format.
    format: String,
    /// SHA-256 of the last line including its LF.
    last_hash: String,
    /// Number of the last record, from 0.
    last_seq: u64,
    /// Identity of the ledger: job, attempt and part.
    ledger: String,
}

/// Get the ledger heads and the deletions of a job: for its owner, and for auditors.
#[utoipa::path(get, path = "/api/jobs/{job_id}/audit", tag = "jobs",
    params(("job_id" = String, Path, description = "The job.", format = "uuid")),
    responses((status = 200, description = "The heads of its ledgers.", body = AuditBody)))]
pub(super) async fn job_audit(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
    JobPath(id): JobPath,
) -> Result<Response, Problem> {
    let job = state.jobs.store().get(id).await?;
    let job = job.filter(|job| caller.auditor || job.order.owner == caller.owner).ok_or_else(no_such_job)?;
    let mut response = Json(describe(&job)).into_response();
    response.extensions_mut().insert(LogFields::of(&job));
    Ok(response)
}

fn describe(job: &Job) -> AuditBody {
    AuditBody {
        job_id: job.id.to_string(),
        attempts_made: job.attempt,
        dropped: job.audit_dropped,
        attempts: job.audit.iter().map(attempt).collect(),
        deletions: job.deletions.iter().map(|deletion| deleted(job, deletion)).collect(),
    }
}

fn deleted(job: &Job, deletion: &Deletion) -> DeletionBody {
    let ledger = match deletion.evidence {
        Evidence::Part(part) => Some(LedgerId::of_deletions(job.id, part).to_string()),
        Evidence::None | Evidence::Owed => None,
    };
    DeletionBody {
        objects: deletion.objects,
        marks: deletion.marks,
        uploads: deletion.uploads,
        confirmed_at: timestamp(deletion.confirmed_at),
        oldest_age_ms: deletion.oldest_age_ms,
        by: deletion.by.clone(),
        ledger,
        ledger_owed: deletion.evidence == Evidence::Owed,
    }
}

fn attempt(SignedHead { head, signature }: &SignedHead) -> AuditedAttempt {
    let signature = signature.as_ref();
    AuditedAttempt {
        attempt: head.ledger.attempt,
        part: head.ledger.part,
        head: HeadBody {
            format: head.format.clone(),
            last_hash: head.last_hash.clone(),
            last_seq: head.last_seq,
            ledger: head.ledger.to_string(),
        },
        signature: signature.map(|s| s.signature.clone()),
        key_id: signature.map(|s| s.key_id.clone()),
        public_key: signature.map(|s| s.public_key.clone()),
    }
}
