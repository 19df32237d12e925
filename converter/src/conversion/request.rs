//! A request for a conversion.

use cadmill_core::domain::job::Compress;
use cadmill_core::domain::limits::{ArchiveLimits, Caps};

/// The input, the target format and the limits of a conversion.
#[derive(Debug, Clone)]
pub struct ConversionRequest {
    /// FORMAT: an extension, or an engine's format id.
    pub format: String,
    /// If set, only this engine may be used.
    pub engine: Option<String>,
    /// The file to convert, by its path in the archive.
    pub root: Option<String>,
    /// Options for the engine.
    pub options: Vec<(String, String)>,
    /// Whether a single output file is zipped.
    pub compress: Compress,
    /// Whether a difference that no option asked for is a failure, `engine.incomplete`.
    pub strict: bool,
    /// Caps on the engine process.
    pub caps: Caps,
    /// Limits on the archive.
    pub archive: ArchiveLimits,
    /// How often the engine is restarted on the same input after a crash.
    pub crash_retries: u32,
}
