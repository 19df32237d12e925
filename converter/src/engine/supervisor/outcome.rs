//! What is heard of an engine process, and how it ended: data alone.

use crate::engine::confinement::{InForce, Level};
use crate::engine::protocol::Answer;
use rustix::process::Pid;
use std::path::PathBuf;
use std::time::Duration;

/// What the engine says while it works.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The process has confined itself. Told for a probe, which waits while this is heard.
    Confined(Pid),
    /// The library is loaded.
    Loaded(Identity),
    /// So much of the work is done, from 0 to 1.
    Progress(f64),
    /// A line of the library's log; cleaned of control characters.
    Log {
        /// Whether the library calls it an error; else it is a warning.
        error: bool,
        /// The line.
        line: String,
    },
}

/// The library that did the work, as it told.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Identity {
    /// The library's name.
    pub library: String,
    /// Its version.
    pub version: String,
    /// The file that was loaded, fit to be shown: it is what the engine process says, and
    /// not opened again.
    pub path: PathBuf,
}

/// How one engine process ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It answered; the answer is about the work, not about the process.
    Answered(Answer),
    /// It made a system call that the filter forbids, and was ended by that.
    Violation {
        /// The call's number; none when it could not tell, as for the calls of another
        /// architecture.
        syscall: Option<i64>,
    },
    /// The kernel ended it because the machine or the container ran out of memory.
    OutOfMemory {
        /// Resident memory that was seen, in bytes.
        observed: u64,
    },
    /// It is confined less than is required, and was ended before it loaded anything.
    TooWeak {
        /// What it reached.
        level: Level,
        /// What is required.
        minimum: Level,
    },
    /// A signal ended it.
    Crashed {
        /// The signal's number.
        signal: i32,
    },
    /// It exited by itself and never answered.
    NoAnswer {
        /// Its exit code.
        exit: i32,
    },
    /// It hit a cap and was ended.
    Cap(Cap),
    /// It was cancelled and has ended.
    Cancelled,
    /// It said, left or did what no conversion does, after its library had run: a message of
    /// another moment, output that its owner cannot read, an end of its first thread alone.
    Misbehaved(String),
    /// The host broke the protocol before it loaded anything, and was ended.
    Protocol(String),
}

/// A cap that was hit: which, its value, and what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cap {
    /// Memory, in bytes.
    Memory {
        /// The cap.
        limit: u64,
        /// What was seen.
        observed: u64,
    },
    /// Wall time.
    Time {
        /// The cap.
        limit: Duration,
        /// What was seen.
        observed: Duration,
    },
    /// Files written, in bytes.
    Output {
        /// The cap.
        limit: u64,
        /// What was seen.
        observed: u64,
    },
    /// Files and directories written.
    Files {
        /// The cap.
        limit: u64,
        /// What was seen.
        observed: u64,
    },
    /// Threads.
    Threads {
        /// The cap.
        limit: u64,
        /// What was seen.
        observed: u64,
    },
    /// Text printed and messages sent, in bytes.
    Messages {
        /// The cap.
        limit: u64,
        /// What was seen.
        observed: u64,
    },
}

/// All that is known of one engine process after its death.
#[derive(Debug, Clone)]
pub struct ProcessReport {
    /// How it ended.
    pub outcome: Outcome,
    /// What the process was confined by, as it told.
    pub confinement: Option<InForce>,
    /// The library, if it got that far.
    pub identity: Option<Identity>,
    /// Whether a host that was started ahead has got its conversion.
    pub began: bool,
    /// From the start to the loaded library; of a host that was started ahead, from the
    /// moment that it got its conversion.
    pub load_time: Option<Duration>,
    /// From the same moment to the end of the process.
    pub wall_time: Duration,
    /// Processor time, user and system.
    pub processor_time: Duration,
    /// Largest resident set that was seen, in bytes.
    pub peak_memory_bytes: u64,
    /// The first warnings and errors of the library's log.
    pub warnings: Vec<String>,
    /// Bytes that the library printed by itself. The text is dropped: it may hold
    /// names and content.
    pub noise_bytes: u64,
}
