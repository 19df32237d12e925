//! The supervisor: one engine process from start to death.
//!
//! Owns the caps (wall time, memory, output, messages), cancellation, and the
//! judgement of how the process ended. Whatever the engine does, [`Supervisor::run`]
//! returns within the time cap plus a moment, and the process group is dead then.
//!
//! The process has what the host allows, a control group and a user id of its own, before
//! it reads its request; what it says of its confinement is held against
//! the minimum.
//!
//! It waits in one `poll` for messages, noise and the end of the process, and
//! wakes every 20 to 50 ms to look at the caps. Its memory does not depend on what the
//! engine says. It makes no thread, but for a host that is started ahead of its work
//! ([`Ahead`]), whose thread does the same.

mod dialogue;
mod process;
mod readable;
mod room;
mod text;
mod watch;
mod prestarted;
mod cgroup;
mod host_binary;
mod exit;
mod assignment;
mod uid;

use crate::engine::pin::Pins;
use crate::engine::posture::{InForce, Level};
use crate::engine::protocol::{Answer, Command, Confinement, Request, Task, WHEREVER_IT_IS};
use cadmill_core::domain::limits::Caps;
use cgroup::Group;
use assignment::Orders;
use process::Process;
use rustix::process::Pid;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use watch::Watch;

pub use prestarted::{Ahead, Unused};
pub use host_binary::{HOST_VARIABLE, engine_host};
pub use text::clean;

/// Starts engine hosts.
#[derive(Debug, Clone)]
pub struct Supervisor {
    host: PathBuf,
    minimum: Level,
    /// Shared by all clones.
    pins: Pins,
}

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
pub struct Report {
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

impl Supervisor {
    /// Starts hosts from this binary, and asks of them the default [`Level`].
    pub fn new(host: PathBuf) -> Self {
        Self { host, minimum: Level::default(), pins: Pins::default() }
    }

    /// The same, asking for another level.
    #[must_use]
    pub fn requiring(self, minimum: Level) -> Self {
        Self { minimum, ..self }
    }

    /// The least level that hosts must reach.
    pub fn minimum(&self) -> Level {
        self.minimum
    }

    /// Runs one request to its end.
    ///
    /// `work` is the directory that the host starts in and puts temporaries into,
    /// `output` the one for results; the size of both together is capped. `events` is called on this
    /// thread. The kernel ends the host when the calling *thread* ends.
    ///
    /// # Errors
    /// When the host cannot be started, or the system refuses to watch it.
    pub fn run(
        &self,
        request: &Request,
        caps: &Caps,
        work: &Path,
        output: &Path,
        cancel: &AtomicBool,
        events: &mut dyn FnMut(Event),
    ) -> io::Result<Report> {
        let orders = Arc::new(Orders::at_once(work, output));
        let (mut watch, confinement) = self.begin(request, caps, orders, events)?;
        watch.send(&Command::Run(Box::new(self.completed(request.clone(), confinement))))?;
        watch.until_death(cancel)?;
        watch.bury()
    }

    /// The request, with what the supervisor knows of the process and the library.
    fn completed(&self, mut request: Request, confinement: Confinement) -> Request {
        let library = &mut request.library;
        library.seal = match (&library.path, &library.sha256) {
            (Some(path), Some(sha256)) => self.pins.seal(path, sha256),
            _ => None,
        };
        Request { confinement, ..request }
    }

    /// Starts the process, which waits for its request and does nothing until then.
    fn begin<'a>(
        &self,
        request: &Request,
        caps: &Caps,
        orders: Arc<Orders>,
        events: &'a mut dyn FnMut(Event),
    ) -> io::Result<(Watch<'a>, Confinement)> {
        let [work, output] = orders.written();
        let temporaries = match &request.task {
            Task::Await { .. } => Path::new(WHEREVER_IT_IS),
            _ => work.as_path(),
        };
        let (group, process) = Group::start(caps, || Process::start(&self.host, &work, temporaries))?;
        let own_uid = uid::give(process.pid(), request, &work, &output)?;
        let confinement = Confinement { minimum: self.minimum, own_uid, control_group: group.is_own() };
        Ok((Watch::new(process, group, *caps, orders, self.minimum, &request.task, events), confinement))
    }
}
