//! The form of a core type that routes send otherwise than the core keeps it, and the document
//! that contains all schemas.

use cadmill_core::domain::job::Stage;
use serde::Serialize;
use std::collections::BTreeMap;
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

/// Duration of each stage, in milliseconds; stages that did not finish are omitted.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StageMillis {
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    fetch: Option<u64>,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    convert: Option<u64>,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    publish: Option<u64>,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    wipe: Option<u64>,
}

impl From<&BTreeMap<Stage, u64>> for StageMillis {
    fn from(millis: &BTreeMap<Stage, u64>) -> Self {
        let of = |stage| millis.get(&stage).copied();
        Self {
            fetch: of(Stage::Fetch),
            convert: of(Stage::Convert),
            publish: of(Stage::Publish),
            wipe: of(Stage::Wipe),
        }
    }
}
