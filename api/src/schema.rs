//! Schemas of what the core defines and routes send, and the document that has them.

use std::sync::Arc;
use utoipa::ToSchema;

/// The description, as it is served.
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
    /// Whoever makes the request.
    Usage,
    /// Whoever made the file.
    Input,
    /// The engine's maintainers.
    Engine,
    /// Whoever sets the caps.
    Limit,
    /// The operator.
    System,
    /// Nobody.
    Nobody,
}

/// States of a job.
#[derive(ToSchema)]
#[schema(as = State, rename_all = "UPPERCASE")]
#[allow(dead_code, reason = "it describes the core's own type, which is what is sent")]
pub enum StateName {
    /// It waits: for the upload, or for a worker.
    Pending,
    /// A worker has it.
    Processing,
    /// The result is there.
    Completed,
    /// It ended without a result.
    Failed,
    /// Its owner ended it.
    Cancelled,
    /// The upload did not come in time.
    Expired,
}

/// Parts of the work, in their order.
#[derive(ToSchema)]
#[schema(as = Stage, rename_all = "lowercase")]
#[allow(dead_code, reason = "it describes the core's own type, which is what is sent")]
pub enum StageName {
    /// The file is read, and an archive expanded while it comes.
    Fetch,
    /// The engine works.
    Convert,
    /// The result is stored.
    Publish,
    /// Temporary files are destroyed.
    Wipe,
}

/// What each stage took, in milliseconds; stages that did not finish are absent.
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
