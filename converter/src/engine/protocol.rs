//! Messages between the supervisor and the engine host.
//!
//! Each message is one [`frame`](super::frame). Commands go to the host's standard input, and
//! messages come from its standard output, which the host moves out of the library's reach before
//! it loads one. File names and options are sent in messages and never in arguments or the
//! environment, where other processes can read them.
//!
//! Messages from the host are untrusted: they are decoded strictly, and their text is cleaned
//! before it is displayed.

use crate::engine::confinement::{InForce, Level};
use crate::engine::examination::Examination;
use crate::engine::pin::FileFingerprint;
use cadmill_core::domain::contents::Contents;
use cadmill_core::domain::counts::Counts;
use cadmill_core::domain::format::EngineKind;
use cadmill_core::domain::limits::Caps;
use cadmill_core::domain::option_spec::OptionSpec;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Incremented with each change of a message; both binaries must have the same version.
pub const VERSION: u32 = 13;

/// The current directory of a waiting host, by a path that stays valid when the directory is moved.
pub const WHEREVER_IT_IS: &str = "/proc/self/cwd";

/// From the supervisor to the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// The request; sent first, and once.
    Run(Box<EngineRequest>),
    /// The conversion that a host with [`Task::Await`] waits for; sent once.
    Go(Box<Task>),
    /// Stop as soon as the library allows it.
    Cancel,
}

/// The first command as a host of any version reads it: what a request of another version has more of is
/// no reason to answer nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum First {
    /// Of this version.
    Command(Command),
    /// A request of another version, which must not be carried out.
    OfVersion(u32),
}

impl First {
    /// Reads it; `None` if it is not a command.
    pub fn read(message: Value) -> Option<Self> {
        let version = message.pointer("/run/version").map(|version| version.as_u64());
        match version {
            Some(Some(version)) if version != u64::from(VERSION) => {
                Some(Self::OfVersion(u32::try_from(version).unwrap_or(u32::MAX)))
            }
            _ => serde_json::from_value(message).ok().map(Self::Command),
        }
    }
}

/// The single request to a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineRequest {
    /// [`VERSION`].
    pub version: u32,
    /// Process id of the supervisor: the host ends if this is not its parent.
    pub supervisor: u32,
    /// The library to load.
    pub library: Library,
    /// What to do with it.
    pub task: Task,
    /// Cap on private data, in bytes (`RLIMIT_DATA`).
    pub memory_bytes: u64,
    /// Cap on the size of one file, in bytes (`RLIMIT_FSIZE`).
    pub file_bytes: u64,
    /// How the host is to confine itself; filled in by the supervisor.
    pub confinement: Confinement,
}

impl EngineRequest {
    /// A request from this process. The supervisor fills in the confinement.
    pub fn new(library: Library, task: Task, caps: &Caps) -> Self {
        Self {
            version: VERSION,
            supervisor: std::process::id(),
            library,
            task,
            memory_bytes: caps.memory_bytes,
            file_bytes: caps.output_bytes,
            confinement: Confinement::default(),
        }
    }
}

/// How the host is to confine itself, in addition to what it always does.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confinement {
    /// Minimum level; below it no library is loaded.
    pub minimum: Level,
    /// The user id, and group id, to take; it owns the job's directories.
    pub own_uid: Option<u32>,
    /// Whether the supervisor has put the process into its own control group.
    pub control_group: bool,
    /// Whether files and system calls that are denied are reported ([`Message::Denied`]). A denied
    /// call then fails instead of ending the process. Allows nothing more.
    pub observed: bool,
}

/// A library to load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// How it is bound.
    pub kind: EngineKind,
    /// Its file; `None` for the system's library.
    pub path: Option<PathBuf>,
    /// SHA-256 that the file must have, in hexadecimal.
    pub sha256: Option<String>,
    /// Fingerprint of the file, if it was hashed before and had that SHA-256.
    pub seal: Option<FileFingerprint>,
    /// Directories that it reads in addition to its file, e.g. its tables of projections.
    pub data: Vec<PathBuf>,
    /// Libraries that it needs and the dynamic loader does not find; loaded before it.
    pub needs: Vec<PathBuf>,
    /// Data for a converter in Java; `None` for other engines.
    pub jvm: Option<Box<Jvm>>,
}

/// Data for a converter in Java.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jvm {
    /// The Java installation.
    pub home: Option<PathBuf>,
    /// Jars and directories of classes: the bridge, then the library, then others.
    pub class_path: Vec<PathBuf>,
    /// Directory of native libraries that the classes load.
    pub natives: Option<PathBuf>,
    /// The converter's class, where the class path has several.
    pub converter: Option<String>,
    /// Cap on the heap, in bytes; by default derived from the cap on memory.
    pub heap_bytes: Option<u64>,
    /// Class data archive, for a faster start.
    pub archive: Option<PathBuf>,
    /// Why the engine cannot be used, if that was found earlier.
    pub problem: Option<String>,
}

impl Jvm {
    /// Files and directories that the JVM reads, the installation included.
    pub fn reads(&self) -> impl Iterator<Item = &PathBuf> {
        self.home.iter().chain(&self.class_path).chain(&self.natives).chain(&self.archive)
    }
}

impl Library {
    /// A placeholder for tasks that load no library.
    pub fn of_nothing() -> Self {
        Self {
            kind: EngineKind::Assimp,
            path: None,
            sha256: None,
            seal: None,
            data: Vec::new(),
            needs: Vec::new(),
            jvm: None,
        }
    }
}

/// The task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Confine yourself, load nothing, and answer when the next command arrives: until then other
    /// processes may inspect this one.
    Probe {
        /// The only directory to read from.
        input_dir: PathBuf,
        /// The only directory to write to.
        output_dir: PathBuf,
    },
    /// Describe the library and its formats.
    Describe,
    /// Load the library and wait for one conversion, sent by [`Command::Go`]. The directories may
    /// be moved until then, so their paths are not valid after the start.
    Await {
        /// The only directory to read from.
        input_dir: PathBuf,
        /// The only directory to write to.
        output_dir: PathBuf,
    },
    /// Convert one file.
    Convert {
        /// The root file.
        input: PathBuf,
        /// The only directory to read from.
        input_dir: PathBuf,
        /// The main output file.
        output: PathBuf,
        /// The only directory to write to.
        output_dir: PathBuf,
        /// The engine's own id of the output format.
        format_id: String,
        /// The layer to write, where the conversions of a job share one output.
        layer: Option<String>,
        /// Options: name and value.
        options: Vec<(String, String)>,
        /// Whether a result that differs from the input is a failure.
        strict: bool,
    },
    /// Convert one file several times in this process, and observe the engine meanwhile. For
    /// `cadmill engines check`, which gives samples and no files of an owner.
    Examine {
        /// The conversion. Each run has a directory of its own below that of the output.
        conversion: Box<Task>,
        /// Number of runs; without one, only the description is examined.
        runs: u32,
        /// When the first run is asked to stop, in milliseconds from its beginning.
        stop_after: Option<u64>,
    },
    /// Tell what one file contains.
    Inspect {
        /// The root file.
        input: PathBuf,
        /// The only directory to read from.
        input_dir: PathBuf,
        /// The only directory to write to.
        output_dir: PathBuf,
        /// Options: name and value.
        options: Vec<(String, String)>,
    },
}

impl Task {
    /// The only directory to read from, and the only one to write to besides the host's current
    /// directory; `None` for a task without files.
    pub fn directories(&self) -> Option<[&Path; 2]> {
        match self {
            Self::Describe => None,
            Self::Examine { conversion, .. } => conversion.directories(),
            Self::Probe { input_dir, output_dir }
            | Self::Await { input_dir, output_dir }
            | Self::Convert { input_dir, output_dir, .. }
            | Self::Inspect { input_dir, output_dir, .. } => Some([input_dir, output_dir]),
        }
    }
}

/// From the host to the supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// The host has confined itself, with this result; always first.
    Confined(Box<InForce>),
    /// Code of the library, its constructors first, runs from here on: later messages may be forged
    /// by it.
    Loading {
        /// Problems found by reading the library files.
        doubts: Vec<Unavailable>,
    },
    /// The library is loaded.
    Loaded {
        /// The library's name.
        library: String,
        /// Its version.
        version: String,
        /// The file that was loaded.
        path: PathBuf,
    },
    /// A waiting host has received its conversion. Until it sends this, it knows nothing of a job.
    Began,
    /// Progress of the work.
    Progress {
        /// From 0 to 1.
        fraction: f64,
    },
    /// A line of the library's log.
    Log {
        /// Whether it says that the result differs from the input; otherwise it is a warning.
        loss: bool,
        /// The line.
        line: String,
    },
    /// The process is about to die of a signal. Written by the signal handler.
    Dying {
        /// The signal.
        signal: i32,
        /// `errno` of the thread that received it: `ENOMEM` indicates a failed allocation.
        errno: i32,
        /// Private data at that moment (`VmData`), in bytes.
        data_bytes: u64,
    },
    /// The process made a system call that the filter forbids, and is about to die from it. Written
    /// by the signal handler.
    Violation {
        /// The call's number.
        syscall: i64,
    },
    /// A file could not be opened, made or removed because of the confinement. Written by the signal
    /// handler, and only if [`Confinement::observed`].
    Denied {
        /// The call's number.
        syscall: i64,
        /// Whether it would have written.
        writes: bool,
        /// The beginning of the path, its bytes in hexadecimal.
        path: String,
    },
    /// The answer; always last.
    Done {
        /// How the work ended.
        answer: Answer,
        /// Largest resident set of the host (`VmHWM`), in bytes. A process that exits within
        /// milliseconds is not sampled from outside.
        peak_memory_bytes: u64,
    },
}

/// How the work ended, as the host reports it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Task::Probe`]: nothing was loaded.
    Probed,
    /// To [`Task::Describe`].
    Described {
        /// Extensions that are read.
        inputs: Vec<String>,
        /// Formats that are written: id and extension.
        outputs: Vec<(String, String)>,
        /// Options, if the engine describes them.
        options: Vec<OptionSpec>,
    },
    /// To [`Task::Convert`]: the output was written.
    Converted {
        /// Warnings and errors that the library reported without failing.
        warnings: u64,
        /// What was read and written, if the engine counts it.
        counts: Option<Counts>,
        /// Further facts about the result: name and value.
        facts: Vec<(String, String)>,
    },
    /// To [`Task::Inspect`].
    Inspected(Box<Contents>),
    /// To [`Task::Examine`].
    Examined(Box<Examination>),
    /// The library rejected the input; the text is the library's.
    Rejected(String),
    /// The input would make the library read files that are not part of it; the text describes how.
    Reaches(String),
    /// The input was read, but does not fit the output format or the options; the text says why.
    Unfit(String),
    /// Characters of the input would be missing in the output, or be others there.
    TextLost(String),
    /// A defect of the engine, in its own words.
    Failed(String),
    /// The library could not allocate memory.
    OutOfMemory(String),
    /// The engine does not know an option or the format.
    BadOption(String),
    /// The library cannot be used.
    Unavailable {
        /// The kind of reason.
        reason: Unavailable,
        /// The reason, in words.
        message: String,
    },
    /// The host could not prepare itself.
    Setup(String),
    /// It stopped on request.
    Cancelled,
}

/// Why a library cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unavailable {
    /// No such file, or not loadable.
    Missing,
    /// A function is missing.
    Symbol,
    /// Not a supported version.
    Version,
    /// What it says of itself cannot be worked with.
    Description,
    /// Not the pinned file.
    Pin,
    /// Engines of its kind are not part of this build.
    NotBuilt,
}

impl Unavailable {
    /// The value of the detail `reason` of a failure.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Symbol => "symbol",
            Self::Version => "version",
            Self::Description => "description",
            Self::Pin => "pin",
            Self::NotBuilt => "not_built",
        }
    }
}
