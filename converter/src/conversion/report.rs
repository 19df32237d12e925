//! What is heard of a conversion while it runs, and known of it at its end.

use crate::engine::supervisor::Identity;
use cadmill_core::domain::route::Target;
use std::time::Duration;

/// The part of a job that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The input is brought in and expanded.
    Unpack,
    /// The engine works.
    Convert,
    /// The output goes to its place.
    Publish,
}

/// Hears of a job while it runs.
pub trait Observer {
    /// A stage begins.
    fn stage(&mut self, stage: Stage);
    /// So much of the stage is done, from 0 to 1.
    fn progress(&mut self, fraction: f64);
    /// The engine is loaded.
    fn engine(&mut self, name: &str, identity: &Identity);
    /// The engine warns.
    fn warning(&mut self, line: &str);
}

/// What is known of a job at its end, good or bad. Fields are zero or empty for
/// what was not reached.
#[derive(Debug, Clone, Default)]
pub struct ConversionReport {
    /// Size of the input file.
    pub input_bytes: u64,
    /// Expanded size of the archive; zero for a plain file.
    pub unpacked_bytes: u64,
    /// Files in the archive; zero for a plain file.
    pub unpacked_files: u64,
    /// The file that was converted, by its path in the archive or its own name.
    pub root: Option<String>,
    /// Engine and format.
    pub target: Option<Target>,
    /// The library that did the work.
    pub identity: Option<Identity>,
    /// Files that the engine wrote.
    pub output_files: u64,
    /// Peak memory of the engine process.
    pub peak_memory_bytes: u64,
    /// Processor time of the engine process.
    pub engine_processor_time: Duration,
    /// First warnings of the engine.
    pub warnings: Vec<String>,
    /// Wall time per stage.
    pub times: Times,
}

/// Wall time per stage.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// Bringing the input in and expanding it.
    pub unpack: Duration,
    /// Starting the engine process and loading the library.
    pub load: Duration,
    /// The engine's work, without loading.
    pub convert: Duration,
    /// Copying and digesting the output.
    pub publish: Duration,
    /// Removing the workspace.
    pub remove: Duration,
    /// All of it.
    pub total: Duration,
}
