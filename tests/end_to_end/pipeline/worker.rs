//! A worker as a process.

use super::observer::trace::Observer;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

/// Timeout of every wait, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A worker process. Dropping it kills it.
pub(crate) struct Worker {
    pub(super) child: Child,
    pub(super) log: PathBuf,
    pub(super) observer: Option<Observer>,
}

impl Worker {
    /// The observer, for a worker that is observed.
    pub(crate) fn observer(&self) -> Observer {
        self.observer.clone().expect("an observer")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the worker is there");
    }

    /// Waits until the worker has stopped itself at its failpoint.
    pub(crate) async fn stopped(&self) {
        let since = Instant::now();
        loop {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
            let state = stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next());
            // For a traced process the kernel also reports `t` at every system call.
            match &self.observer {
                None if state == Some('T') => return,
                Some(observer) if observer.saw_it_stop() => return,
                _ => {}
            }
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            assert!(since.elapsed() < PATIENCE, "it never came to its failpoint: {state:?}\n{log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills it with SIGKILL and waits for its death.
    pub(crate) fn kill(mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.child.wait().expect("its end");
    }

    /// Asks it to end, and returns its exit code.
    pub(crate) fn terminate(self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        self.ended()
    }

    /// Waits for its end, and returns its exit code.
    pub(crate) fn ended(mut self) -> Option<i32> {
        self.child.wait().expect("its end").code()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
