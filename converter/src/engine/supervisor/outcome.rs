//! Events of an engine process, and how it ended: data only.

use super::text::clean;
use crate::engine::confinement::{InForce, Level};
use crate::engine::protocol::{Answer, Unavailable};
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
        /// Whether the result differs from the input in what no option asked for.
        is_loss: bool,
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
        /// The call's number; `None` if it is not known, as for calls of another architecture and
        /// while the signal is blocked.
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
    /// After library code had run, it reported that the library cannot be used, and the file of the
    /// library did not confirm it.
    Unconfirmed {
        /// What it reported.
        reason: Unavailable,
        /// In words.
        message: String,
    },
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
    /// Bytes that the library printed. The text is discarded: it may contain names and content.
    pub noise_bytes: u64,
    /// What it was denied, if that was observed.
    pub denied: Denied,
}

/// What a process was denied by its confinement. Reported by the process itself, so that a library may
/// forge it: it is advice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Denied {
    /// Numbers of the system calls that the filter forbids, each once.
    pub syscalls: Vec<i64>,
    /// Files that could not be opened, made or removed, each once.
    pub files: Vec<DeniedFile>,
}

/// A file that a process was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeniedFile {
    /// The system call.
    pub syscall: i64,
    /// Whether it would have written.
    pub writes: bool,
    /// The beginning of its path, cleaned for display.
    pub path: String,
}

/// Maximum number of calls and of files of [`Denied`].
const MAX_DENIED: usize = 256;

impl Denied {
    pub(super) fn call(&mut self, syscall: i64) {
        if !self.syscalls.contains(&syscall) && self.syscalls.len() < MAX_DENIED {
            self.syscalls.push(syscall);
        }
    }

    /// `path` is in hexadecimal, as the message has it.
    pub(super) fn file(&mut self, syscall: i64, writes: bool, path: &str) {
        let path = hex::decode(path).unwrap_or_default();
        let file = DeniedFile { syscall, writes, path: clean(&String::from_utf8_lossy(&path)) };
        if !self.files.contains(&file) && self.files.len() < MAX_DENIED {
            self.files.push(file);
        }
    }
}
