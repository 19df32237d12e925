//! The worker as a child process: started again when it dies, told to stop, and
//! killed when it does not.

use cadmill_core::domain::failure::{Failure, FailureCode};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// The binary, beside ours.
const NAME: &str = "cadmill-converter";

/// Waits between a death and the next start.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A worker that lived so long died of something new.
const LONG_LIFE: Duration = Duration::from_secs(60);

/// What the worker gets on top of the time in which it stops by itself.
const GRACE: Duration = Duration::from_secs(3);

pub(super) struct WorkerProcess {
    pub(super) program: PathBuf,
    /// Its configuration. It may hold secrets.
    pub(super) environment: Vec<(&'static str, String)>,
    pub(super) stop_within: Duration,
}

impl WorkerProcess {
    /// The worker's binary.
    ///
    /// # Errors
    /// `infra.engine_host` when it is not beside ours.
    pub(super) fn program() -> Result<PathBuf, Failure> {
        let own = std::env::current_exe().map_err(|e| Failure::io("finding our own binary", &e))?;
        let path = own.with_file_name(NAME);
        if path.is_file() {
            return Ok(path);
        }
        Err(Failure::new(FailureCode::EngineHost, format!("{NAME} is not beside {}", own.display())))
    }

    /// Keeps a worker running until `stop` becomes true; it has ended when this returns.
    pub(super) async fn keep_running(self, mut stop: watch::Receiver<bool>) {
        let mut wait = FIRST_WAIT;
        while !*stop.borrow() {
            let start = Instant::now();
            match self.start() {
                Ok(mut child) => {
                    tokio::select! {
                        ended = child.wait() => match ended {
                            Ok(status) => tracing::warn!(%status, "the worker ended and is started again"),
                            Err(error) => tracing::warn!(%error, "the worker cannot be watched"),
                        },
                        () = told(&mut stop) => return self.end(child).await,
                    }
                }
                Err(error) => tracing::warn!(%error, "the worker cannot be started"),
            }
            if start.elapsed() >= LONG_LIFE {
                wait = FIRST_WAIT;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = told(&mut stop) => return,
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        // Ours were read and judged; the worker's are these.
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
            command.env_remove(name);
        }
        command
            .arg("worker")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // An interrupt from the terminal reaches us, and we tell it once.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    async fn end(&self, mut child: Child) {
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // Not waited for yet, so the id is still the child's. It may have ended.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(self.stop_within + GRACE, child.wait()).await.is_err() {
            tracing::warn!("the worker did not stop in time and is killed");
            let _ = child.kill().await;
        }
    }
}

/// Ends when we are told to stop.
pub(super) async fn told(stop: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone, which is a reason to stop, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Whether the variable is of our configuration; what tests inject stays.
fn is_ours(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("CADMILL_") && !name.starts_with("CADMILL_FAILPOINT"))
}
