//! Schemas of core types that routes send, and the document that contains them.

use std::sync::Arc;
use utoipa::ToSchema;

/// The description as served.
#[derive(Clone)]
pub struct Document(pub(crate) Arc<str>);

impl Document {
    /// JSON, indented.
    pub fn text(&self) -> String {
        self.0.to_string()
    }
}

/// Who has to act.
#[derive(ToSchema)]
#[schema(as = Fault, rename_all = "snake_case")]
#[allow(dead_code, reason = "it describes the core's own type, which is what is sent")]
pub enum FaultName {
    /// The caller that made the request.
    Usage,
    /// The author of the file.
    Input,
    /// The engine's maintainers.
    Engine,
    /// The person who sets the limits.
    Limit,
    /// The operator of the service.
    System,
    /// No one.
    Nobody,
}

/// States of a job.
#[derive(ToSchema)]
#[schema(as = State, rename_all = "UPPERCASE")]
#[allow(dead_code, reason = "it describes the core's own type, which is what is sent")]
pub enum StateName {
    /// Waiting for the upload, or for a worker.
    Pending,
    /// A worker is processing the job.
    Processing,
    /// The result is available.
    Completed,
    /// Ended without a result.
    Failed,
    /// Cancelled by its owner.
    Cancelled,
    /// The upload did not complete in time.
    Expired,
}

/// Stages of a job, in order.
#[derive(ToSchema)]
#[schema(as = Stage, rename_all = "lowercase")]
#[allow(dead_code, reason = "it describes the core's own type, which is what is sent")]
pub enum StageName {
    /// Reading the file; an archive is unpacked while it arrives.
    Fetch,
    /// Conversion by the engine.
    Convert,
    /// Storing the result.
    Publish,
    /// Destroying temporary files.
    Wipe,
}

/// Duration of each stage, in milliseconds; stages that did not finish are omitted.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it describes a map, which is what is sent")]
pub struct StageMillis {
    #[schema(nullable = false)]
    fetch: Option<u64>,
    #[schema(nullable = false)]
    convert: Option<u64>,
    #[schema(nullable = false)]
    publish: Option<u64>,
    #[schema(nullable = false)]
    wipe: Option<u64>,
}
