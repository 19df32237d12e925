//! What is to be converted.

use cadmill_core::domain::job::Compress;
use cadmill_core::domain::limits::{ArchiveLimits, Caps};

/// What is to be converted, to what, within which limits.
#[derive(Debug, Clone)]
pub struct ConversionRequest {
    /// FORMAT: an extension or an engine's own format id.
    pub format: String,
    /// The only engine that may serve.
    pub engine: Option<String>,
    /// The file to convert, by its path in the archive.
    pub root: Option<String>,
    /// Options for the engine.
    pub options: Vec<(String, String)>,
    /// Whether one output file is zipped.
    pub compress: Compress,
    /// Caps on the engine process.
    pub caps: Caps,
    /// Limits on the archive.
    pub archive: ArchiveLimits,
    /// Times that the engine is started again on the same input after a crash.
    pub crash_retries: u32,
}
