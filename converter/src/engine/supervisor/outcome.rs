//! Events of an engine process, and how it ended: data only.

use crate::engine::confinement::{InForce, Level};
use crate::engine::protocol::Answer;
use cadmill_core::domain::job::Warnings;
use rustix::process::Pid;
use std::path::PathBuf;
use std::time::Duration;

/// What the engine reports while it works.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The process has confined itself. Sent for a probe only, which waits during the callback.
    Confined(Pid),
    /// The library is loaded.
    Loaded(Identity),
    /// Progress of the work, from 0 to 1.
    Progress(f64),
    /// A line of the library's log, without control characters.
    Log {
        /// The line.
        line: String,
    },
}

/// The library that did the work, as the engine process reports it.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// The library's name.
    pub library: String,
    /// Its version.
    pub version: String,
    /// The file that was loaded, cleaned for display. It is reported by the engine process and must
    /// not be opened again.
    pub path: PathBuf,
}

/// How one engine process ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It answered; the answer is about the work, not the process.
    Answered(Answer),
    /// It was ended for a system call that the filter forbids.
    Violation {
        /// The call's number; `None` if it is not known, as for calls of another architecture.
        syscall: Option<i64>,
    },
    /// The kernel ended it because the machine or the container ran out of memory.
    OutOfMemory {
        /// Resident memory observed, in bytes.
        observed: u64,
    },
    /// Its confinement is below the minimum, and it was ended before it loaded anything.
    TooWeak {
        /// The level reached.
        level: Level,
        /// The minimum level.
        minimum: Level,
    },
    /// A signal ended it.
    Crashed {
        /// The signal's number.
        signal: i32,
    },
    /// It exited without an answer.
    NoAnswer {
        /// Its exit code.
        exit: i32,
    },
    /// It exceeded a cap and was ended.
    Cap(Cap),
    /// It was cancelled and has ended.
    Cancelled,
    /// After library code had run, it did what a conversion must not do: it sent a message out of
    /// sequence, left output that its owner cannot read, or ended its first thread alone.
    Misbehaved(String),
    /// The host broke the protocol before it loaded anything, and was ended.
    Protocol(String),
}

/// A cap that was exceeded: which one, its value, and the value observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cap {
    /// Memory, in bytes.
    Memory {
        /// The cap.
        limit: u64,
        /// The value observed.
        observed: u64,
    },
    /// Wall time.
    Time {
        /// The cap.
        limit: Duration,
        /// The value observed.
        observed: Duration,
    },
    /// Files written, in bytes.
    Output {
        /// The cap.
        limit: u64,
        /// The value observed.
        observed: u64,
    },
    /// Files and directories written.
    Files {
        /// The cap.
        limit: u64,
        /// The value observed.
        observed: u64,
    },
    /// Threads.
    Threads {
        /// The cap.
        limit: u64,
        /// The value observed.
        observed: u64,
    },
    /// Text printed and messages sent, in bytes.
    Messages {
        /// The cap.
        limit: u64,
        /// The value observed.
        observed: u64,
    },
}

/// Everything known of one engine process after its death.
#[derive(Debug, Clone)]
pub struct ProcessReport {
    /// How it ended.
    pub outcome: Outcome,
    /// The confinement of the process, as it reported it.
    pub confinement: Option<InForce>,
    /// The library, if it was loaded.
    pub identity: Option<Identity>,
    /// Whether a host that was started ahead has received its conversion.
    pub began: bool,
    /// Time from the start to the loaded library; for a host that was started ahead, from when it
    /// received its conversion.
    pub load_time: Option<Duration>,
    /// Time from the same moment to the end of the process.
    pub wall_time: Duration,
    /// Processor time, user and system.
    pub processor_time: Duration,
    /// Largest resident set observed, in bytes.
    pub peak_memory_bytes: u64,
    /// Warnings and errors of the library's log.
    pub warnings: Warnings,
    /// The first of them that says that the result differs from the input.
    pub first_loss: Option<String>,
    /// Bytes that the library printed. The text is discarded: it may contain names and content.
    pub noise_bytes: u64,
}
