//! What a conversion reports while it runs and when it ends.

use crate::engine::supervisor::Identity;
use cadmill_core::domain::counts::Counts;
use cadmill_core::domain::job::Warnings;
use cadmill_core::domain::route::Target;
use std::collections::BTreeMap;
use std::time::Duration;

/// A stage of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The input is fetched and expanded.
    Unpack,
    /// The engine runs.
    Convert,
    /// The output is written to its destination.
    Publish,
    /// The workspace is destroyed. Not reported if the caller destroys it.
    Remove,
}

/// Observes a job while it runs.
pub trait Observer {
    /// A stage begins.
    fn stage(&mut self, stage: Stage);
    /// The fraction of the stage that is done, from 0 to 1.
    fn progress(&mut self, fraction: f64);
    /// The engine is loaded.
    fn engine(&mut self, name: &str, identity: &Identity);
    /// There is a warning. `is_loss`: the result differs from the input in what no option asked for.
    fn warning(&mut self, line: &str, is_loss: bool);
}

/// The facts about a job at its end, on success and on failure. Fields are zero or empty for stages
/// that were not reached.
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
    /// The files that were converted, if it was asked for all.
    pub parts: Vec<Part>,
    /// The library that did the work.
    pub identity: Option<Identity>,
    /// Files that the engine wrote.
    pub output_files: u64,
    /// Peak memory of the engine process.
    pub peak_memory_bytes: u64,
    /// CPU time of the engine process.
    pub engine_processor_time: Duration,
    /// What was read and written, if the engine counts it.
    pub counts: Option<Counts>,
    /// Further facts that the engine reported about the result, by name. Of several conversions, see
    /// [`Part`].
    pub engine_facts: BTreeMap<String, String>,
    /// Warnings of cadmill and of the engine.
    pub warnings: Warnings,
    /// Wall time per stage.
    pub times: Times,
}

/// One of several files of an archive that were converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The file, by its path in the archive.
    pub root: String,
    /// The engine that converted it.
    pub engine: String,
    /// The directory of the result that has its output.
    pub directory: String,
    /// What was read and written, if the engine counts it.
    pub counts: Option<Counts>,
    /// Further facts that the engine reported about the result, by name.
    pub engine_facts: BTreeMap<String, String>,
    /// How many warnings there were.
    pub warnings: u64,
}

/// Wall time per stage.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// Fetching and expanding the input.
    pub unpack: Duration,
    /// Starting the engine process and loading the library.
    pub load: Duration,
    /// The engine's work, without loading.
    pub convert: Duration,
    /// Copying and digesting the output.
    pub publish: Duration,
    /// Removing the workspace.
    pub remove: Duration,
    /// Total.
    pub total: Duration,
}
