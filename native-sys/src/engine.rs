//! The common interface of all engines.

use crate::bindings::plugin as ffi;
use crate::library::LoadError;
use cadmill_core::domain::contents::Contents;
use cadmill_core::domain::counts::Counts;
use cadmill_core::domain::option_spec::OptionSpec;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A loaded converter library.
pub trait Engine {
    /// The library's identity, and the formats that it reads and writes.
    fn describe(&self) -> Description;

    /// Loads what a conversion needs, before the input is known.
    ///
    /// # Errors
    /// [`EngineError`]: memory ran out, or the installation is incomplete.
    fn prepare(&self, _events: &Arc<dyn Events>) -> Result<(), EngineError> {
        Ok(())
    }

    /// Converts one file. Blocks until it is done.
    ///
    /// Progress, log lines and cancellation go through `events`. Some libraries check for
    /// cancellation rarely: a caller that must stop a conversion reliably has to end the process.
    ///
    /// # Errors
    /// [`EngineError`]: the library's error on the input, or cancellation.
    fn convert(&self, request: &Request<'_>, events: &Arc<dyn Events>) -> Result<Converted, EngineError>;

    /// Reads one file and tells what it contains. Blocks until it is done, as [`Engine::convert`]
    /// does.
    ///
    /// # Errors
    /// As for [`Engine::convert`].
    fn inspect(&self, request: &Inspection<'_>, events: &Arc<dyn Events>) -> Result<Contents, EngineError>;

    /// How often a plugin called the host after its call had returned; always 0 for other engines.
    fn late_calls(&self) -> u64 {
        0
    }

    /// What a plugin says of itself beyond its formats, asked again; `None` for other engines.
    fn nature(&self) -> Option<Nature> {
        None
    }
}

/// What a plugin says of itself beyond its formats, and how it says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nature {
    /// `CADMILL_DETERMINISTIC`, `CADMILL_THREADS` etc.
    pub flags: u64,
    /// Ids of the outputs that have several files.
    pub several_files: Vec<String>,
    /// Directories that it says it reads.
    pub data: Vec<String>,
    /// Its licence, as an SPDX expression.
    pub licence: Option<String>,
    /// What the interface forbids and does no harm here, each in words.
    pub wrong: Vec<String>,
    /// Flags that this host does not know, each in words.
    pub unknown: Vec<String>,
    /// Structs that are larger than this host knows, by name.
    pub larger: Vec<String>,
    /// How long the slower of two calls of `describe()` took.
    pub describe_time: Duration,
    /// Whether it has a function to stop.
    pub has_cancel: bool,
    /// Whether the second call of the entry function and of `describe()` gave the same.
    pub same: bool,
}

impl Nature {
    /// Whether the description has the flag `CADMILL_DETERMINISTIC`.
    pub fn deterministic(&self) -> bool {
        self.has(ffi::CADMILL_DETERMINISTIC)
    }

    /// Whether the description has the flag `CADMILL_THREADS`.
    pub fn threads(&self) -> bool {
        self.has(ffi::CADMILL_THREADS)
    }

    /// Whether the description has the flag `CADMILL_ASKS_CANCELLED`.
    pub fn asks_cancelled(&self) -> bool {
        self.has(ffi::CADMILL_ASKS_CANCELLED)
    }

    /// Whether the description has the flag `CADMILL_ONE_CONVERSION`.
    pub fn one_conversion(&self) -> bool {
        self.has(ffi::CADMILL_ONE_CONVERSION)
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & u64::from(flag) != 0
    }
}

/// Description and capabilities of a library.
#[derive(Debug, Clone)]
pub struct Description {
    /// The library's own name, e.g. `GDAL`.
    pub library: String,
    /// Its version, e.g. `3.6.2`.
    pub version: String,
    /// The file that was loaded.
    pub path: PathBuf,
    /// Extensions of the files that it reads, in lower case, without a dot.
    pub inputs: Vec<String>,
    /// Formats that it writes.
    pub outputs: Vec<Output>,
    /// Its options, if it describes them.
    pub options: Vec<OptionSpec>,
}

/// A format that a library writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The library's own id of the format.
    pub id: String,
    /// File extension, in lower case, without a dot; empty if the library does not name one.
    pub extension: String,
}

/// One conversion.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The root file, inside `input_dir`.
    pub input: &'a Path,
    /// The only directory that may be read.
    pub input_dir: &'a Path,
    /// The main output file, inside `output_dir`. The engine may create further files beside it.
    pub output: &'a Path,
    /// The only directory that may be written.
    pub output_dir: &'a Path,
    /// The engine's own id of the output format.
    pub format_id: &'a str,
    /// The layer to write into an output that keeps the layers of other conversions, if one of them
    /// has made it; for formats that have layers.
    pub layer: Option<&'a str>,
    /// Options: name and value.
    pub options: &'a [(String, String)],
    /// Whether a result that differs from the input is a failure, so that every difference matters.
    pub strict: bool,
}

/// One inspection.
#[derive(Debug, Clone, Copy)]
pub struct Inspection<'a> {
    /// The root file, inside `input_dir`.
    pub input: &'a Path,
    /// The only directory that may be read.
    pub input_dir: &'a Path,
    /// Options of a conversion, of which those that concern the input have an effect.
    pub options: &'a [(String, String)],
}

/// The result of a successful conversion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// Number of non-fatal warnings and errors that the library reported.
    pub warnings: u64,
    /// What was read and written, if the engine counts it.
    pub counts: Option<Counts>,
    /// Further facts about the result: name and value.
    pub facts: Vec<(String, String)>,
}

/// Stage of a conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the input.
    Read,
    /// Writing the output.
    Write,
    /// Both at once.
    Translate,
}

/// Severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The result differs from the input in what no option asked for.
    Loss,
    /// Something is unusual, or was guessed.
    Warning,
}

/// Words of libraries for something that is not in the result, in lower case.
const LOSSES: &[&str] = &[
    "can't",
    "cannot",
    "clamp",
    "corrupt",
    "could not",
    "couldn't",
    "damaged",
    "discard",
    "dropped",
    "exceeds",
    "failed",
    "ignor",
    "incomplete",
    "is missing",
    "left out",
    "lost",
    "not found",
    "not opened",
    "not successfully",
    "not supported",
    "not written",
    "out of range",
    "overflow",
    "skipp",
    "too large",
    "truncat",
    "unexpected eof",
    "unable to",
    "unsupported",
];

impl Level {
    /// The severity of a warning in the words of a library, which has no other way to tell.
    pub(crate) fn of_words(line: &str) -> Self {
        let line = line.to_lowercase();
        // Of the parts of a 3MF archive, those that were read among them; and what a format has no
        // place for, as it has for no field.
        let is_noise = line.starts_with("ignored file of un") || line.contains(" cannot carry ");
        if !is_noise && LOSSES.iter().any(|words| line.contains(words)) { Self::Loss } else { Self::Warning }
    }
}

/// Receives the events of a conversion. Called from the converting thread, and from threads that
/// the library creates.
pub trait Events: Send + Sync {
    /// Progress: `fraction` from 0 to 1 over all stages.
    fn progress(&self, stage: Stage, fraction: f64);
    /// A value of progress as a library reported it, which may be less than before or not a number.
    fn reported(&self, _fraction: f64) {}
    /// A log line of the library.
    fn log(&self, level: Level, line: &str);
    /// A library has asked whether to stop. Not each time is [`Events::cancelled`] looked at.
    fn asked(&self) {}
    /// A library's own function to stop is about to be called.
    fn stops(&self) {}
    /// A library has given the host a value that the interface does not know; `what` names it.
    fn misused(&self, _what: &'static str) {}
    /// Whether to stop. Polled as often as the library allows.
    fn cancelled(&self) -> bool;
}

/// Why a conversion failed while the process is still intact.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The library rejected the input; the text is the library's.
    #[error("{0}")]
    Rejected(String),
    /// The input would make the library read data outside of it; the text says how.
    #[error("{0}")]
    Reaches(String),
    /// The input was read, but does not fit the output format or the options; the text says why.
    #[error("{0}")]
    Unfit(String),
    /// Characters of the input would be missing in the output, or be others there; the text says
    /// which.
    #[error("{0}")]
    TextLost(String),
    /// A memory allocation of the library failed.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// An option or the format is unknown; the text names it and the valid values.
    #[error("{0}")]
    Option(String),
    /// A defect of the engine; the text is its own.
    #[error("{0}")]
    Defect(String),
    /// [`Events::cancelled`] returned true.
    #[error("cancelled")]
    Cancelled,
    /// The engine is incomplete, which is detected only now: a JVM loads classes on first use.
    #[error(transparent)]
    Unusable(LoadError),
}
