//! How much of an input was converted.

use serde::{Deserialize, Serialize};

/// What a conversion counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CountedUnit {
    /// Features of layers.
    Features,
    /// Points, lines and faces of meshes.
    Parts,
}

/// How much of the input was converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// What was counted.
    pub unit: CountedUnit,
    /// Read from the input.
    pub read: u64,
    /// Written to the output; by the output itself where its format tells.
    pub written: u64,
    /// Read, and left out because the output could not have them.
    pub skipped: u64,
}

impl Counts {
    /// The sum of two; `None` if they count different things.
    pub fn plus(self, other: Self) -> Option<Self> {
        (self.unit == other.unit).then(|| Self {
            unit: self.unit,
            read: self.read.saturating_add(other.read),
            written: self.written.saturating_add(other.written),
            skipped: self.skipped.saturating_add(other.skipped),
        })
    }
}
