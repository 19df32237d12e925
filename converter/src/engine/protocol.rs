//! Messages between the supervisor and the engine host.
//!
//! Each is one [`frame`](super::frame). Commands go down the host's standard input, messages come up its standard
//! output, which the host moves out of the library's reach before it loads one.
//! File names and options travel here and never in arguments or the
//! environment, where other processes can read them.
//!
//! What comes up is untrusted: it is decoded strictly, and its text is cleaned before it is
//! shown.

use crate::engine::confinement::{InForce, Level};
use crate::engine::pin::FileFingerprint;
use cadmill_core::domain::format::EngineKind;
use cadmill_core::domain::limits::Caps;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Raised with each change of a message; the two binaries must agree.
pub const VERSION: u32 = 6;

/// The current directory of a host that waits, by a path that stays true when it is moved.
pub const WHEREVER_IT_IS: &str = "/proc/self/cwd";

/// From the supervisor to the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// The one request; always first.
    Run(Box<EngineRequest>),
    /// The conversion that a host with [`Task::Await`] waits for; sent once.
    Go(Box<Task>),
    /// Stop as soon as the library allows.
    Cancel,
}

/// What the host is to do, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineRequest {
    /// [`VERSION`].
    pub version: u32,
    /// Process id of the supervisor: the host ends when it is no longer its parent.
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
    /// A request of this process. How the host is to confine itself is up to the supervisor.
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

/// How the host is to confine itself beyond what it always does.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confinement {
    /// Below this level no library is loaded.
    pub minimum: Level,
    /// The user id, and group id, to take; the job's directories are its own.
    pub own_uid: Option<u32>,
    /// Whether the supervisor has put the process into a control group of its own.
    pub control_group: bool,
}

/// A library to load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// How it is bound.
    pub kind: EngineKind,
    /// Its file; the system's when there is none.
    pub path: Option<PathBuf>,
    /// SHA-256 that the file must have, in hexadecimal.
    pub sha256: Option<String>,
    /// What tells the file that had it, if it has been hashed before.
    pub seal: Option<FileFingerprint>,
    /// Directories that it reads besides its file, e.g. its tables of projections.
    pub data: Vec<PathBuf>,
    /// Libraries that it needs and the linker does not find; loaded before it.
    pub needs: Vec<PathBuf>,
    /// What a converter in Java needs besides; only such an engine has it.
    pub jvm: Option<Box<Jvm>>,
}

/// What a converter in Java needs.
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
    /// Cap on the heap, in bytes; derived from the cap on memory without it.
    pub heap_bytes: Option<u64>,
    /// Archive of classes, for a faster start.
    pub archive: Option<PathBuf>,
    /// Why it cannot be used, as was found out before.
    pub problem: Option<String>,
}

impl Jvm {
    /// Files and directories that the JVM reads, the installation included.
    pub fn reads(&self) -> impl Iterator<Item = &PathBuf> {
        self.home.iter().chain(&self.class_path).chain(&self.natives).chain(&self.archive)
    }
}

impl Library {
    /// What stands for the library where none is loaded.
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

/// The work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Confine yourself, load nothing, and answer when the next command comes: until then
    /// others may look at the process.
    Probe {
        /// The only directory to read from.
        input_dir: PathBuf,
        /// The only directory to write to.
        output_dir: PathBuf,
    },
    /// Tell what the library is and can do.
    Describe,
    /// Load the library and wait for one conversion, which [`Command::Go`] brings. The
    /// directories may be moved until then, so that their paths mean nothing after the start.
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
        /// Options: name and value.
        options: Vec<(String, String)>,
    },
}

impl Task {
    /// The only directory to read from, and the only one to write to besides the host's
    /// current directory; none for a task without files.
    pub fn directories(&self) -> Option<[&Path; 2]> {
        match self {
            Self::Describe => None,
            Self::Probe { input_dir, output_dir }
            | Self::Await { input_dir, output_dir }
            | Self::Convert { input_dir, output_dir, .. } => Some([input_dir, output_dir]),
        }
    }
}

/// From the host to the supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// The host has confined itself, so well; always first.
    Confined(Box<InForce>),
    /// Code of the library runs from here on, in its constructors first: whatever comes
    /// after this may be its own words.
    Loading {
        /// What the files themselves show to be wrong, by reading them.
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
    /// A host that waited has got its conversion. Until it says so, it knows nothing of a job.
    Began,
    /// So much of the work is done.
    Progress {
        /// From 0 to 1.
        fraction: f64,
    },
    /// A line of the library's log.
    Log {
        /// Whether the library calls it an error; else it is a warning.
        error: bool,
        /// The line.
        line: String,
    },
    /// The process is about to die of a signal. Written by the signal handler.
    Dying {
        /// The signal.
        signal: i32,
        /// `errno` of the thread that got it: `ENOMEM` tells a failed allocation.
        errno: i32,
        /// Private data at that moment (`VmData`), in bytes.
        data_bytes: u64,
    },
    /// The process made a system call that the filter forbids, and is about to die
    /// of it. Written by the signal handler.
    Violation {
        /// The call's number.
        syscall: i64,
        /// The architecture that it was made for (`AUDIT_ARCH_*`).
        arch: u32,
    },
    /// The answer; always last.
    Done {
        /// How the work ended.
        answer: Answer,
        /// Largest resident set of the host (`VmHWM`), in bytes. A process that is
        /// gone in milliseconds is not sampled from outside.
        peak_memory_bytes: u64,
    },
}

/// How the work ended, as the host tells it.
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
    },
    /// To [`Task::Convert`]: the output is there.
    Converted {
        /// Warnings and errors that the library reported and went on.
        warnings: u64,
    },
    /// The library refused the input; the text is its own.
    Rejected(String),
    /// The input would have the library read what is not part of it; the text says how.
    Reaches(String),
    /// The library asked for memory that it did not get.
    OutOfMemory(String),
    /// An option or the format is unknown to the engine.
    BadOption(String),
    /// The library cannot be used.
    Unavailable {
        /// Why, by kind.
        reason: Unavailable,
        /// Why, in words.
        message: String,
    },
    /// The host could not make itself ready.
    Setup(String),
    /// It stopped because it was told to.
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
    /// Not the pinned file.
    Pin,
    /// Engines of its kind are not part of this build.
    NotBuilt,
}
