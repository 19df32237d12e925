//! What is observed of an engine in its own process, for `cadmill engines check`: data only.
//!
//! The process reports it of itself. It says what a library does that means no harm, and proves
//! nothing of one that does.

use serde::{Deserialize, Serialize};

/// What was observed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Examination {
    /// What a plugin says of itself beyond its formats; `None` for other engines.
    pub nature: Option<Nature>,
    /// Private data before the first run (`VmData`), in bytes.
    pub data_bytes: u64,
    /// Signals whose handlers it changed while it was loaded and described itself.
    pub signals_of_loading: Vec<i32>,
    /// Signals whose handlers `prepare()` left changed.
    pub signals_of_prepare: Vec<i32>,
    /// Values that `prepare()` gave and that the interface does not know, each in words.
    pub misused_in_prepare: Vec<String>,
    /// The runs that ended.
    pub runs: Vec<Run>,
    /// Whether the description is another one after them.
    pub changes: bool,
}

/// What a plugin says of itself beyond its formats, and how it says it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nature {
    /// It says that the same input gives the same bytes.
    pub deterministic: bool,
    /// It says that it starts threads.
    pub threads: bool,
    /// It says that it asks whether to stop.
    pub asks_cancelled: bool,
    /// It says that it converts once in a process.
    pub one_conversion: bool,
    /// Ids of the outputs that have several files.
    pub several_files: Vec<String>,
    /// Directories that it says it reads.
    pub data: Vec<String>,
    /// Its licence, as an SPDX expression.
    pub licence: Option<String>,
    /// What the interface forbids and does no harm, each in words.
    pub wrong: Vec<String>,
    /// Flags that this host does not know, each in words.
    pub unknown: Vec<String>,
    /// Structs that are larger than this host knows, by name.
    pub larger: Vec<String>,
    /// How long the slower of two calls of `describe()` took, in microseconds.
    pub describe_micros: u64,
    /// Whether it has a function to stop.
    pub has_cancel: bool,
    /// Whether a second call of the entry function and of `describe()` gave the same.
    pub same: bool,
}

/// One conversion of several in a process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Why it failed; `None` if it did not.
    pub failure: Option<String>,
    /// Whether it ended because it was asked to.
    pub cancelled: bool,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// From the request to stop until the end, in microseconds; `None` without a request, and if it
    /// ended before.
    pub stopped_micros: Option<u64>,
    /// How often it asked whether to stop.
    pub asked: u64,
    /// How often it reported progress.
    pub progress: u64,
    /// How often it reported less progress than before.
    pub backwards: u64,
    /// How often it reported a value that is not from 0 to 1.
    pub invalid: u64,
    /// Private data after it (`VmData`), in bytes.
    pub data_bytes: u64,
    /// Threads after it, this one included.
    pub threads: u64,
    /// Signals whose handlers it left changed.
    pub signals: Vec<i32>,
    /// Open descriptors after it.
    pub descriptors: u64,
    /// Whether its own function to stop was called.
    pub stop_called: bool,
    /// Whether it reported the same facts as the first run.
    pub same_facts: bool,
    /// Values that the interface does not know, each in words.
    pub misused: Vec<String>,
}
