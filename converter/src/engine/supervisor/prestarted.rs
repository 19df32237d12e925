//! A host that is started ahead of its conversion: confined, with its library loaded, and
//! for one conversion only.
//!
//! The host has its own thread in the supervisor, which watches it from start to end, because the
//! kernel ends a host together with the thread that started it. The job sends its work to the host
//! directly, not through that thread, which learns of it from the host's next message.
//!
//! A host that dies or hangs before it has begun does not fail the job: [`WarmHost::convert`] then
//! returns no report, and the job starts a host in the usual way. An engine that cannot be loaded
//! does fail it, because the next host would report the same. Dropping the value kills the host and
//! waits for its end.

use super::assignment::Assignment;
use super::outcome::{Cap, Event, Outcome, ProcessReport};
use super::{Supervisor, uid};
use crate::engine::frame;
use crate::engine::protocol::{Answer, Command, EngineRequest, Task};
use cadmill_core::domain::limits::Caps;
use rustix::process::{Signal, pidfd_send_signal};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Number of events buffered while the job does not read them. Further events are dropped; the
/// report contains what matters.
const EVENTS: usize = 256;

/// How often a request to cancel is passed on.
const TICK: Duration = Duration::from_millis(20);

/// How long a job waits for the confinement of a host that was started for it, before it starts
/// another. On an idle machine it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a warm host could not take its job. The host had not begun it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandoffError {
    /// The host was dead, or died before it had read the job.
    #[error("a warm engine host exited before its job")]
    Ended,
    /// The host did not read the job within seconds, and was killed.
    #[error("a warm engine host did not accept its job and was killed")]
    TimedOut,
}

/// A host that waits for its conversion.
pub struct WarmHost {
    caps: Caps,
    assignment: Arc<Assignment>,
    cancel: Arc<AtomicBool>,
    control: HostControl,
    events: Receiver<Event>,
    thread: Option<JoinHandle<io::Result<ProcessReport>>>,
}

/// What the thread passes to the owner of the process that it started.
struct HostControl {
    commands: File,
    handle: OwnedFd,
    own_uid: Option<u32>,
}

/// The thread's arguments.
struct HostThread {
    supervisor: Supervisor,
    request: EngineRequest,
    caps: Caps,
    assignment: Arc<Assignment>,
    cancel: Arc<AtomicBool>,
}

impl Supervisor {
    /// Starts a host that waits for a conversion; the task of the request is
    /// [`Task::Await`]. `work` and `output` are as in [`Supervisor::run`].
    ///
    /// # Errors
    /// When the host cannot be started.
    pub fn start_ahead(
        &self,
        request: EngineRequest,
        caps: &Caps,
        work: &Path,
        output: &Path,
    ) -> io::Result<WarmHost> {
        let assignment = Arc::new(Assignment::later(work, output));
        let cancel = Arc::new(AtomicBool::new(false));
        let life = HostThread {
            supervisor: self.clone(),
            request,
            caps: *caps,
            assignment: Arc::clone(&assignment),
            cancel: Arc::clone(&cancel),
        };
        let (told, events) = mpsc::sync_channel(EVENTS);
        let (started, is_started) = mpsc::channel();
        let thread =
            std::thread::Builder::new().name("ahead".to_owned()).spawn(move || life.run(&started, &told))?;
        match is_started.recv() {
            Ok(control) => {
                Ok(WarmHost { caps: *caps, assignment, cancel, control, events, thread: Some(thread) })
            }
            Err(_) => Err(thread
                .join()
                .ok()
                .and_then(Result::err)
                .unwrap_or_else(|| io::Error::other("the thread of the engine host ended"))),
        }
    }
}

impl HostThread {
    fn run(self, started: &Sender<HostControl>, told: &SyncSender<Event>) -> io::Result<ProcessReport> {
        let mut tell = |event| {
            if matches!(event, Event::Loaded(_)) {
                tracing::debug!("a warm engine host has loaded its engine");
            }
            drop(told.try_send(event));
        };
        let (mut watch, confinement) =
            self.supervisor.begin(&self.request, &self.caps, self.assignment, &mut tell)?;
        let (commands, handle) = watch.control()?;
        let control = HostControl { commands: File::from(commands), handle, own_uid: confinement.own_uid };
        watch.send(&Command::Run(Box::new(self.supervisor.completed(self.request, confinement))))?;
        // If the receiver is gone, the host is killed at once.
        if started.send(control).is_ok() {
            watch.until_death(&self.cancel)?;
        }
        watch.reap()
    }
}

impl ProcessReport {
    /// Whether the report says that the engine cannot be loaded: every other host of it would end
    /// in the same way. A crash, or an exit without an answer, may be transient.
    fn cannot_load(&self, time: Duration) -> bool {
        self.identity.is_none()
            && match &self.outcome {
                Outcome::Answered(answer) => *answer != Answer::Cancelled,
                Outcome::Violation { .. }
                | Outcome::TooWeak { .. }
                | Outcome::Misbehaved(_)
                | Outcome::Unconfirmed { .. } => true,
                // Waiting for too long is not a failure to load.
                Outcome::Cap(Cap::Time { limit, .. }) => *limit == time,
                Outcome::Cap(_) => true,
                Outcome::OutOfMemory { .. }
                | Outcome::Crashed { .. }
                | Outcome::NoAnswer { .. }
                | Outcome::Cancelled
                | Outcome::Protocol(_) => false,
            }
    }
}

impl WarmHost {
    /// The caps that the host was started with. They cannot be changed.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// Whether the process still runs.
    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Waits until the host is confined: from then on it refers to none of its directories by path,
    /// so that they may be moved. Returns false if the host has ended, or was not confined within
    /// seconds.
    pub fn is_settled(&self) -> bool {
        let until = Instant::now() + PATIENCE;
        while self.is_alive() && Instant::now() < until {
            if self.assignment.is_confined() {
                return true;
            }
            std::thread::sleep(TICK);
        }
        false
    }

    /// Limits what the work may write, in bytes, if that is lower than its cap.
    pub fn limit_output(&self, bytes: u64) {
        self.assignment.limit_output(bytes);
    }

    /// Records that the host's directories were moved here. Call it only if the host [is
    /// settled](Self::is_settled).
    pub fn moved(&self, work: &Path, output: &Path) {
        self.assignment.moved(work, output);
    }

    /// Converts and ends.
    ///
    /// # Errors
    /// [`HandoffError`]: the host had not begun, and knew nothing of the job. Another host may
    /// succeed; where it would not, as when the engine cannot be loaded, the report says so.
    pub fn convert(
        mut self,
        task: &Task,
        cancel: &AtomicBool,
        events: &mut dyn FnMut(Event),
    ) -> Result<ProcessReport, HandoffError> {
        if let Err(error) = self.send(task) {
            tracing::debug!(error = %error, "could not send the job to a warm engine host");
            // The host has died, or must not go on waiting for work that does not come.
            let _ = pidfd_send_signal(&self.control.handle, Signal::KILL);
        }
        loop {
            match self.events.recv_timeout(TICK) {
                Ok(event) => events(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.cancel.store(cancel.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let time = self.caps.time;
        let report = self.join().ok_or(HandoffError::Ended)?;
        match &report.outcome {
            _ if report.began => Ok(report),
            Outcome::Cancelled => Ok(report),
            _ if report.cannot_load(time) => Ok(report),
            Outcome::Cap(Cap::Time { .. }) => Err(HandoffError::TimedOut),
            _ => Err(HandoffError::Ended),
        }
    }

    /// Why the engine cannot be loaded, if the host ended for that reason.
    pub fn unable(mut self) -> Option<Outcome> {
        let time = self.caps.time;
        let report = if self.is_alive() { None } else { self.join() };
        report.filter(|report| report.cannot_load(time)).map(|report| report.outcome)
    }

    fn join(&mut self) -> Option<ProcessReport> {
        self.thread.take()?.join().ok()?.ok()
    }

    fn send(&mut self, task: &Task) -> io::Result<()> {
        if !self.is_alive() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        if let (Some(id), Task::Convert { input_dir, .. }) = (self.control.own_uid, task) {
            // The host has owned the directory since its start; the files were added later.
            uid::hand_over(input_dir, id)?;
        }
        self.assignment.go();
        frame::send(&mut self.control.commands, &Command::Go(Box::new(task.clone())))
    }
}

impl Drop for WarmHost {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // The thread sees the end, and kills the rest of the process group.
            let _ = pidfd_send_signal(&self.control.handle, Signal::KILL);
            let _ = thread.join();
        }
    }
}
