//! The supervisor: one engine process from start to death.
//!
//! Enforces the caps (wall time, memory, output, messages) and cancellation, and classifies how the
//! process ended. Whatever the engine does, [`Supervisor::run`] returns within the time cap plus a
//! moment, and the process group is dead by then.
//!
//! The process is in its own control group and has its own user id, where the host allows it,
//! before it reads its request. The confinement that it reports is compared with the minimum.
//!
//! The supervisor waits in one `poll` for messages, noise and the end of the process, and wakes
//! every 20 to 50 ms to check the caps. Its memory use does not depend on what the engine sends. It
//! creates no thread, except for a host that is started ahead of its work ([`WarmHost`]), whose
//! thread does the same.

mod assignment;
mod cgroup;
mod dialogue;
mod exit;
mod host_binary;
mod observation;
mod outcome;
mod prestarted;
mod process;
mod readable;
mod room;
mod text;
mod uid;
mod watch;

use crate::engine::confinement::Level;
use crate::engine::pin::PinCache;
use crate::engine::protocol::{Command, Confinement, EngineRequest, Task, WHEREVER_IT_IS};
use assignment::Assignment;
use cadmill_core::domain::limits::Caps;
use cgroup::Cgroup;
use process::Process;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use watch::Watch;

pub use host_binary::{HOST_VARIABLE, engine_host};
pub use outcome::{Cap, Denied, DeniedFile, Event, Identity, Outcome, ProcessReport};
pub use prestarted::{HandoffError, WarmHost};
pub use text::clean;
pub(crate) use text::plain;

/// Starts engine hosts.
#[derive(Debug, Clone)]
pub struct Supervisor {
    host: PathBuf,
    minimum: Level,
    /// Shared by all clones.
    pins: PinCache,
}

impl Supervisor {
    /// Starts hosts from this binary, with the default [`Level`] as the minimum.
    pub fn new(host: PathBuf) -> Self {
        Self { host, minimum: Level::default(), pins: PinCache::default() }
    }

    /// The same supervisor with another minimum level.
    #[must_use]
    pub fn requiring(self, minimum: Level) -> Self {
        Self { minimum, ..self }
    }

    /// The minimum level that hosts must reach.
    pub fn minimum(&self) -> Level {
        self.minimum
    }

    /// Runs one request to its end.
    ///
    /// `work` is the directory that the host starts in and uses for temporary files, `output` is
    /// the directory for results; the size of both together is capped. `events` is called on this
    /// thread. The kernel ends the host when the calling *thread* ends.
    ///
    /// # Errors
    /// If the host cannot be started, or a system call for watching it fails.
    pub fn run(
        &self,
        request: &EngineRequest,
        caps: &Caps,
        work: &Path,
        output: &Path,
        cancel: &AtomicBool,
        events: &mut dyn FnMut(Event),
    ) -> io::Result<ProcessReport> {
        let assignment = Arc::new(Assignment::at_once(work, output));
        let (mut watch, confinement) = self.begin(request, caps, assignment, events)?;
        watch.send(&Command::Run(Box::new(self.completed(request.clone(), confinement))))?;
        watch.until_death(cancel)?;
        watch.reap()
    }

    /// Adds to the request what the supervisor knows of the process and the library.
    fn completed(&self, mut request: EngineRequest, confinement: Confinement) -> EngineRequest {
        let library = &mut request.library;
        library.seal = match (&library.path, &library.sha256) {
            (Some(path), Some(sha256)) => self.pins.seal(path, sha256),
            _ => None,
        };
        EngineRequest { confinement, ..request }
    }

    /// Starts the process, which does nothing until it receives its request.
    fn begin<'a>(
        &self,
        request: &EngineRequest,
        caps: &Caps,
        assignment: Arc<Assignment>,
        events: &'a mut dyn FnMut(Event),
    ) -> io::Result<(Watch<'a>, Confinement)> {
        let [work, output] = assignment.written();
        let temporaries = match &request.task {
            Task::Await { .. } => Path::new(WHEREVER_IT_IS),
            _ => work.as_path(),
        };
        let (group, process) = Cgroup::start(caps, || Process::start(&self.host, &work, temporaries))?;
        let own_uid = uid::chown(process.pid(), request, &work, &output)?;
        let confinement = Confinement {
            minimum: self.minimum,
            own_uid,
            control_group: group.is_own(),
            observed: request.confinement.observed,
        };
        Ok((Watch::new(process, group, *caps, assignment, self.minimum, &request.task, events), confinement))
    }
}
