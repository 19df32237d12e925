//! The API's message types, as far as they are used here. Unknown fields of a response are ignored:
//! the server may be newer than this program.

use cadmill_core::domain::job::Compress;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The order, as sent.
#[derive(Serialize)]
pub(super) struct NewJob<'a> {
    pub(super) file_name: &'a str,
    pub(super) size_bytes: u64,
    pub(super) target_format: &'a str,
    pub(super) options: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) root: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) compress: Option<Compress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) strict: Option<bool>,
    /// Content codings that are decoded here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) accept_encoding: Option<&'a [&'a str]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) result_ttl_seconds: Option<u64>,
    pub(super) job_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checksum_sha256: Option<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct Created {
    /// None when the job no longer waits for the file.
    pub(super) upload: Option<Upload>,
}

/// How to upload the file.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Upload {
    Single(Request),
    Multipart(InParts),
}

/// A presigned request. Anyone who has the URL can send it, so there is no `Debug`.
#[derive(Deserialize, Clone)]
pub(super) struct Request {
    pub(super) url: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(super) struct InParts {
    pub(super) part_size_bytes: u64,
    pub(super) part_count: u32,
    #[serde(default)]
    pub(super) parts: Vec<Part>,
}

#[derive(Deserialize, Clone)]
pub(super) struct Part {
    pub(super) part_number: u32,
    pub(super) size_bytes: u64,
    #[serde(flatten)]
    pub(super) request: Request,
}

/// A batch of parts, and the parts that have arrived.
#[derive(Deserialize)]
pub(super) struct Parts {
    pub(super) parts: Vec<Part>,
    #[serde(default)]
    pub(super) uploaded: Vec<Arrived>,
}

#[derive(Deserialize)]
pub(super) struct Arrived {
    pub(super) part_number: u32,
    pub(super) size_bytes: u64,
}

/// Status of the job.
#[derive(Deserialize)]
pub(super) struct Status {
    pub(super) state: String,
    pub(super) stage: Option<String>,
    #[serde(default)]
    pub(super) progress: f64,
    #[serde(default)]
    pub(super) attempt: u32,
    pub(super) created_at: Option<String>,
    pub(super) uploaded_at: Option<String>,
    /// When the latest attempt began.
    pub(super) claimed_at: Option<String>,
    pub(super) ended_at: Option<String>,
    #[serde(default)]
    pub(super) stage_millis: BTreeMap<String, u64>,
    #[serde(default)]
    pub(super) warnings: Vec<String>,
    #[serde(default)]
    pub(super) warnings_total: u64,
    #[serde(default)]
    pub(super) losses: u64,
    #[serde(default)]
    pub(super) counts: Option<serde_json::Value>,
    #[serde(default)]
    pub(super) facts: BTreeMap<String, String>,
    pub(super) failure: Option<JobFailure>,
    pub(super) poll_after_ms: Option<u64>,
    pub(super) download: Option<Download>,
}

impl Status {
    pub(super) fn has_ended(&self) -> bool {
        !matches!(self.state.as_str(), "PENDING" | "PROCESSING")
    }
}

#[derive(Deserialize)]
pub(super) struct JobFailure {
    pub(super) code: String,
    pub(super) message: String,
}

#[derive(Deserialize)]
pub(super) struct Download {
    /// Of the result, once it is decoded.
    pub(super) size_bytes: u64,
    pub(super) sha256: Option<String>,
    /// The `Content-Encoding` of the response. An older server encodes nothing.
    #[serde(default)]
    pub(super) content_encoding: Option<String>,
    /// Size of the response, in bytes, if the server says it.
    #[serde(default)]
    pub(super) stored_bytes: Option<u64>,
    pub(super) file_name: String,
    #[serde(flatten)]
    pub(super) request: Request,
}

impl Download {
    /// Size of the response, in bytes.
    pub(super) fn response_bytes(&self) -> u64 {
        self.stored_bytes.unwrap_or(self.size_bytes)
    }
}

/// Problem details (RFC 9457).
#[derive(Deserialize, Default)]
pub(super) struct Problem {
    pub(super) code: Option<String>,
    pub(super) detail: Option<String>,
    pub(super) title: Option<String>,
}
