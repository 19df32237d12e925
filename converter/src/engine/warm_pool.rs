//! Engine hosts that are started ahead of their jobs. Starting the process, confining it and
//! loading the library are most of the cost of a short conversion, and all but a tenth of it for an
//! engine in Java.
//!
//! - [`WarmPool::hand_out`] gives a job a waiting host, with the directories that the host has
//!   confined itself to; otherwise it starts one in the job's own workspace, so that the library is
//!   loaded while the input is fetched.
//! - A host serves one job and exits. While it waits it holds no file, name or secret of any job,
//!   and its directories are in a workspace that belongs to no job.
//! - A host is not used for a job with other caps than those it was started with, except for a
//!   lower cap on output. Any failure here is logged in one line, and the job runs as if there were
//!   no warm host.

use crate::engine::failure::failure_of;
use crate::engine::protocol::{EngineRequest, Task};
use crate::engine::registry::{Engine, Engines};
use crate::engine::supervisor::{Supervisor, WarmHost};
use crate::workspace::{Workspace, WorkspaceRoot};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::Caps;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Memory of a waiting host, as counted in the budget of a worker, in bytes: twice the measured
/// size of one of `assimp-jvm` or of GDAL.
pub const WAITING_BYTES: u64 = 96 << 20;

/// The warm hosts of one worker.
pub struct WarmPool {
    place: WorkspaceRoot,
    supervisor: Supervisor,
    caps: Caps,
    /// One host for each entry; an engine may be listed more than once.
    wanted: Vec<Engine>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    hosts: Vec<Host>,
    /// Engines that cannot be loaded. No other host of them is started ahead, because it would fail
    /// in the same way. A job for such an engine still starts its own host, and reports the reason.
    broken: Vec<String>,
    closed: bool,
}

/// Fields drop in order: the host before its directories.
struct Host {
    engine: String,
    ahead: WarmHost,
    workspace: Workspace,
}

impl WarmPool {
    /// Keeps a host ready for each engine in `names`, a comma-separated list.
    ///
    /// # Errors
    /// `usage.invalid` if there is no such engine.
    pub fn new(
        names: &str,
        engines: &Engines,
        place: WorkspaceRoot,
        supervisor: Supervisor,
        caps: Caps,
    ) -> Result<Self, Failure> {
        let wanted = all_wanted(names, engines)?;
        Ok(Self { place, supervisor, caps, wanted, waiting: Mutex::default() })
    }

    /// Checks `names` before a worker is started with them.
    ///
    /// # Errors
    /// As for [`WarmPool::new`].
    pub fn check(names: &str, engines: &Engines) -> Result<(), Failure> {
        all_wanted(names, engines).map(drop)
    }

    /// Number of hosts kept.
    pub fn kept(&self) -> u64 {
        self.wanted.len() as u64
    }

    /// Replaces hosts that have ended, and starts those that are missing.
    pub fn fill(&self) {
        let mut waiting = self.waiting();
        if waiting.closed {
            return;
        }
        let (alive, dead) =
            std::mem::take(&mut waiting.hosts).into_iter().partition(|host| host.ahead.is_alive());
        waiting.hosts = alive;
        for host in dead {
            let engine = host.engine.clone();
            if !may_be_chance(host) {
                waiting.broken.push(engine);
            }
        }
        for engine in missing(&self.wanted, &waiting) {
            match self.start(engine) {
                Ok(host) => waiting.hosts.push(host),
                Err(failure) => {
                    tracing::warn!(engine = engine.name, code = %failure.code, "could not start a warm engine host");
                }
            }
        }
    }

    /// Kills all waiting hosts and removes their directories; no others are started.
    pub fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        waiting.hosts.clear();
    }

    /// Returns a host for this job, whose workspace must still be empty.
    ///
    /// # Errors
    /// Errors of the workspace, which is unusable then: `infra.io`, `infra.audit`.
    pub(crate) fn hand_out(
        &self,
        engine: &Engine,
        caps: &Caps,
        workspace: &Workspace,
    ) -> Result<Option<WarmHost>, Failure> {
        // Landlock rules name directories by path while they are created: the directories may be
        // moved only afterwards.
        if let Some(host) = self.take(&engine.name, caps)
            && host.ahead.is_settled()
            && workspace.take_over(&host.workspace)?
        {
            host.ahead.moved(&workspace.scratch(), &workspace.output());
            host.ahead.limit_output(caps.output_bytes);
            tracing::debug!(engine = engine.name, "using a warm engine host");
            return Ok(Some(host.ahead));
        }
        // The host creates files that are not announced one by one: its start must be in the
        // ledger.
        workspace.check()?;
        let started = start_in(workspace, engine, caps, &self.supervisor);
        Ok(started
            .inspect_err(|failure| tracing::warn!(code = %failure.code, "could not start a warm host"))
            .ok())
    }

    fn take(&self, engine: &str, caps: &Caps) -> Option<Host> {
        let mut waiting = self.waiting();
        let fits =
            |host: &Host| host.engine == engine && serves(host.ahead.caps(), caps) && host.ahead.is_alive();
        let index = waiting.hosts.iter().position(fits)?;
        Some(waiting.hosts.remove(index))
    }

    fn start(&self, engine: &Engine) -> Result<Host, Failure> {
        let workspace = self.place.create()?;
        let ahead = start_in(&workspace, engine, &self.caps, &self.supervisor)?;
        Ok(Host { engine: engine.name.clone(), ahead, workspace })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for WarmPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarmPool").field("kept", &self.kept()).finish_non_exhaustive()
    }
}

fn all_wanted(names: &str, engines: &Engines) -> Result<Vec<Engine>, Failure> {
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| wanted(name, engines)).collect()
}

fn wanted(name: &str, engines: &Engines) -> Result<Engine, Failure> {
    engines.get(name).cloned().ok_or_else(|| {
        let text = format!("worker.warm names an unknown engine: '{name}'");
        Failure::new(FailureCode::UsageInvalid, text)
    })
}

/// Whether a host with these caps may serve a job with those. The cap on output is enforced from
/// outside, and may be lower.
fn serves(host: &Caps, job: &Caps) -> bool {
    job.output_bytes <= host.output_bytes && Caps { output_bytes: host.output_bytes, ..*job } == *host
}

/// Logs why a waiting host has ended, and returns whether the next one may succeed.
fn may_be_chance(host: Host) -> bool {
    let Host { engine, ahead, workspace } = host;
    let why = ahead.unable().and_then(|outcome| failure_of(&engine, outcome).err());
    match &why {
        Some(failure) => tracing::error!(
            engine,
            code = %failure.code,
            reason = workspace.hide(&failure.message),
            "the engine cannot be loaded; no warm host of it is started until this worker restarts"
        ),
        None => tracing::warn!(engine, "a warm engine host has exited; starting another"),
    }
    why.is_none()
}

/// The wanted engines for which no host waits.
fn missing<'a>(wanted: &'a [Engine], waiting: &Waiting) -> Vec<&'a Engine> {
    let mut there: Vec<&str> = waiting.hosts.iter().map(|host| host.engine.as_str()).collect();
    let is_missing = |engine: &&Engine| match there.iter().position(|name| *name == engine.name) {
        Some(index) => {
            there.swap_remove(index);
            false
        }
        None => true,
    };
    let wanted = wanted.iter().filter(|engine| !waiting.broken.contains(&engine.name));
    wanted.filter(is_missing).collect()
}

fn start_in(
    workspace: &Workspace,
    engine: &Engine,
    caps: &Caps,
    supervisor: &Supervisor,
) -> Result<WarmHost, Failure> {
    let task = Task::Await { input_dir: workspace.input(), output_dir: workspace.output() };
    let request = EngineRequest::new(engine.library().clone(), task, caps);
    supervisor
        .start_ahead(request, caps, &workspace.scratch(), &workspace.output())
        .map_err(|e| Failure::new(FailureCode::EngineHost, format!("starting the engine host: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &str) -> Result<WarmPool, Failure> {
        let place = WorkspaceRoot::new("/dev/shm".into(), false);
        let supervisor = Supervisor::new("/nonexistent".into());
        WarmPool::new(names, &Engines::default(), place, supervisor, Caps::default())
    }

    #[test]
    fn names_are_of_engines() {
        for (names, kept) in [("", 0), (" , ", 0), ("gdal", 1), ("assimp-jvm, assimp, assimp-jvm,", 3)] {
            assert_eq!(hosts(names).unwrap().kept(), kept, "{names:?}");
        }
        let failure = hosts("assimp-jvm,nope").unwrap_err();
        assert_eq!(failure.code, FailureCode::UsageInvalid);
        assert!(failure.message.contains("unknown engine: 'nope'"), "{}", failure.message);
    }

    #[test]
    fn a_host_that_cannot_be_started_leaves_nothing_behind() {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let supervisor = Supervisor::new("/nonexistent".into());
        let at = WorkspaceRoot::new(place.path().into(), false);
        let hosts = WarmPool::new("assimp-jvm", &Engines::default(), at.clone(), supervisor, Caps::default())
            .unwrap();
        hosts.fill();
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
        // The job continues without a warm host.
        let engine = Engines::default().get("assimp-jvm").unwrap().clone();
        let workspace = at.create().unwrap();
        assert!(hosts.hand_out(&engine, &Caps::default(), &workspace).unwrap().is_none());
        workspace.remove().unwrap();
    }
}
