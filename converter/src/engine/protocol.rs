//! Messages between the supervisor and the engine host.
//!
//! A frame is a length (four bytes, little-endian) and that many bytes of JSON.
//! Commands go down the host's standard input, messages come up its standard
//! output, which the host moves out of the library's reach before it loads one.
//! File names and options travel here and never in arguments or the
//! environment, where other processes can read them.
//!
//! What comes up is untrusted: it is bounded in size, decoded strictly, and its
//! text is cleaned before it is shown.

use crate::engine::pin::Seal;
use crate::engine::posture::{InForce, Level};
use cadmill_core::domain::format::EngineKind;
use cadmill_core::domain::limits::Caps;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Raised with each change of a message; the two binaries must agree.
pub const VERSION: u32 = 6;

/// Longest frame, in bytes of JSON. A pipe holds 64 KiB, so that a command never
/// blocks the supervisor, whatever the host does.
pub const MAX_FRAME: usize = 48 << 10;

/// The current directory of a host that waits, by a path that stays true when it is moved.
pub const WHEREVER_IT_IS: &str = "/proc/self/cwd";

/// From the supervisor to the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// The one request; always first.
    Run(Box<Request>),
    /// The conversion that a host with [`Task::Await`] waits for; sent once.
    Go(Box<Task>),
    /// Stop as soon as the library allows.
    Cancel,
}

/// What the host is to do, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
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

impl Request {
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
    pub seal: Option<Seal>,
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

/// Why a frame was refused.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`].
    #[error("a frame of {0} bytes is longer than {MAX_FRAME}")]
    TooLong(usize),
    /// Not the JSON of a message.
    #[error("a frame is no message")]
    Malformed,
}

/// The bytes of one frame.
///
/// # Errors
/// [`FrameError::TooLong`] when the message does not fit.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message).map_err(|_| FrameError::Malformed)?;
    let length = bytes.len() - 4;
    if length > MAX_FRAME {
        return Err(FrameError::TooLong(length));
    }
    bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(bytes)
}

/// Writes one frame.
///
/// # Errors
/// The writer's, and `InvalidData` for a message that does not fit a frame.
pub fn send(writer: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = encode(message).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    writer.write_all(&bytes)
}

/// Reads one frame; nothing at the end of the stream.
///
/// # Errors
/// The reader's, and `InvalidData` for a frame that is refused.
pub fn receive<M: DeserializeOwned>(reader: &mut impl Read) -> io::Result<Option<M>> {
    let mut decoder = Decoder::default();
    let mut buffer = [0; 4096];
    // Never too far: what follows the frame is another's.
    loop {
        let missing = decoder.missing().min(buffer.len());
        match reader.read(&mut buffer[..missing]) {
            Ok(0) if decoder.is_empty() => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => decoder.push(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        match decoder.next() {
            Ok(None) => {}
            Ok(Some(message)) => return Ok(Some(message)),
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}

/// Splits a stream of bytes into messages, whatever the pieces in which it comes.
/// Does no I/O and holds one frame and one piece at most.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Adds a piece of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether nothing is left of the stream so far.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Bytes that the frame under way needs at least, at least 1: the rest of its length, or
    /// of its content.
    fn missing(&self) -> usize {
        let whole = match self.buffer.first_chunk::<4>() {
            Some(head) => 4 + (u32::from_le_bytes(*head) as usize).min(MAX_FRAME),
            None => 4,
        };
        whole.saturating_sub(self.buffer.len()).max(1)
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    /// [`FrameError`]; the stream cannot be read on after that.
    #[allow(clippy::should_implement_trait)]
    pub fn next<M: DeserializeOwned>(&mut self) -> Result<Option<M>, FrameError> {
        let Some((head, rest)) = self.buffer.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*head) as usize;
        if length > MAX_FRAME {
            return Err(FrameError::TooLong(length));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(frame).map_err(|_| FrameError::Malformed)?;
        self.buffer.drain(..4 + length);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn done(answer: Answer) -> Message {
        Message::Done { answer, peak_memory_bytes: 1 }
    }

    fn message() -> impl Strategy<Value = Message> {
        prop_oneof![
            // Fractions that JSON carries exactly.
            (0u32..=256).prop_map(|n| Message::Progress { fraction: f64::from(n) / 256.0 }),
            (any::<bool>(), ".{0,200}").prop_map(|(error, line)| Message::Log { error, line }),
            ".{0,200}".prop_map(|text| done(Answer::Rejected(text))),
            (any::<i32>(), any::<i32>(), any::<u64>())
                .prop_map(|(signal, errno, data_bytes)| Message::Dying { signal, errno, data_bytes }),
        ]
    }

    fn decode_in_pieces(stream: &[u8], piece: usize) -> Vec<Message> {
        let mut decoder = Decoder::default();
        let mut messages = Vec::new();
        for bytes in stream.chunks(piece) {
            decoder.push(bytes);
            while let Some(message) = decoder.next().unwrap() {
                messages.push(message);
            }
        }
        assert!(decoder.is_empty());
        messages
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_messages(sent in prop::collection::vec(message(), 0..8), piece in 1usize..300) {
            let stream: Vec<u8> = sent.iter().flat_map(|m| encode(m).unwrap()).collect();
            prop_assert_eq!(decode_in_pieces(&stream, piece), sent.clone());
            prop_assert_eq!(decode_in_pieces(&stream, 1), sent);
        }

        #[test]
        fn garbage_is_refused_or_waited_for(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            // No panic, and never more than was pushed.
            while let Ok(Some(_)) = decoder.next::<Message>() {}
        }
    }

    /// Gives one byte at a time, or all that is asked for.
    struct Pipe(std::collections::VecDeque<u8>, bool);

    impl Read for Pipe {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = if self.1 { buffer.len().min(1) } else { buffer.len() };
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn nothing_is_read_beyond_a_frame() {
        let messages = [Command::Cancel, Command::Go(Box::new(Task::Describe))];
        let stream: Vec<u8> = messages.iter().flat_map(|m| encode(m).unwrap()).collect();
        for slow in [false, true] {
            let mut pipe = Pipe(stream.iter().copied().collect(), slow);
            for (left, message) in [encode(&messages[1]).unwrap().len(), 0].into_iter().zip(&messages) {
                assert_eq!(receive::<Command>(&mut pipe).unwrap().as_ref(), Some(message));
                assert_eq!(pipe.0.len(), left);
            }
            assert!(receive::<Command>(&mut pipe).unwrap().is_none());
            pipe.0.extend([4, 0, 0]);
            let cut = receive::<Command>(&mut pipe).unwrap_err();
            assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
            pipe.0.extend((MAX_FRAME as u32 + 1).to_le_bytes());
            assert_eq!(receive::<Command>(&mut pipe).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_frame_at_the_limit_passes_and_one_byte_more_does_not() {
        let overhead = encode(&Command::Cancel).unwrap().len();
        assert!(overhead < 32);
        let text = |n: usize| done(Answer::Rejected("x".repeat(n)));
        let fixed = encode(&text(0)).unwrap().len() - 4;
        let bytes = encode(&text(MAX_FRAME - fixed)).unwrap();
        assert_eq!(decode_in_pieces(&bytes, 4096).len(), 1);
        assert!(matches!(encode(&text(MAX_FRAME - fixed + 1)), Err(FrameError::TooLong(_))));
        let mut decoder = Decoder::default();
        decoder.push(&(MAX_FRAME as u32 + 1).to_le_bytes());
        assert!(matches!(decoder.next::<Message>(), Err(FrameError::TooLong(_))));
    }
}
