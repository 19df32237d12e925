//! The one face of all engines.

use crate::library::LoadError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A loaded converter library.
pub trait Engine {
    /// What the library is, and what it reads and writes.
    fn describe(&self) -> Description;

    /// Converts one file. Blocks until it is done.
    ///
    /// Progress, log lines and the question whether to stop go through
    /// `events`. Not every library asks often: a caller that must stop it for
    /// sure ends the process.
    ///
    /// # Errors
    /// [`EngineError`]: what the library said of the input, or that it was told to stop.
    fn convert(&self, request: &Request<'_>, events: &Arc<dyn Events>) -> Result<Converted, EngineError>;
}

/// What a library is and can do.
#[derive(Debug, Clone)]
pub struct Description {
    /// The library's own name, e.g. `GDAL`.
    pub library: String,
    /// Its version, e.g. `3.6.2`.
    pub version: String,
    /// The file that was loaded.
    pub path: PathBuf,
    /// Extensions of the files that it reads, lower case, without a dot.
    pub inputs: Vec<String>,
    /// Formats that it writes.
    pub outputs: Vec<Output>,
}

/// A format that a library writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The library's own id of the format.
    pub id: String,
    /// File extension, lower case, without a dot; empty when the library names none.
    pub extension: String,
}

/// One conversion.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The root file, inside `input_dir`.
    pub input: &'a Path,
    /// The only directory that is read from.
    pub input_dir: &'a Path,
    /// The main output file, inside `output_dir`. The engine may add others beside it.
    pub output: &'a Path,
    /// The only directory that is written to.
    pub output_dir: &'a Path,
    /// The engine's own id of the output format.
    pub format_id: &'a str,
    /// Options: name and value.
    pub options: &'a [(String, String)],
}

/// The end of a conversion that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Converted {
    /// Warnings and errors that the library reported on the way and went on.
    pub warnings: u64,
}

/// Part of a conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The input is being read.
    Read,
    /// The output is being written.
    Write,
    /// Both at once.
    Translate,
}

/// Weight of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The library could not do something and went on.
    Error,
    /// Something is odd with the input.
    Warning,
}

/// Where an engine tells what it does. Called from the converting thread, and
/// from threads that the library makes.
pub trait Events: Send + Sync {
    /// Part of the work is done: `fraction` from 0 to 1 over all stages.
    fn progress(&self, stage: Stage, fraction: f64);
    /// The library has something to say.
    fn log(&self, level: Level, line: &str);
    /// Whether to stop. Asked as often as the library allows.
    fn cancelled(&self) -> bool;
}

/// Why a conversion failed, the process being still whole.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The library refused the input; the text is its own.
    #[error("{0}")]
    Rejected(String),
    /// The input would have the library read what is not part of it; the text says how.
    #[error("{0}")]
    Reaches(String),
    /// The library asked for memory that it did not get.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// An option or the format is unknown; the text says which and what there is.
    #[error("{0}")]
    Option(String),
    /// [`Events::cancelled`] answered yes.
    #[error("cancelled")]
    Cancelled,
    /// The engine turned out to be incomplete only now: a JVM loads classes when they are used.
    #[error(transparent)]
    Unusable(LoadError),
}
