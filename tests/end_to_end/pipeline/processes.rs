//! The programs of the pipeline as processes.

use crate::support::repository;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A program that runs until it is asked to stop. Dropping it kills it.
pub(crate) struct Service {
    child: Child,
    place: TempDir,
    log: tempfile::NamedTempFile,
    /// The ledgers, if it is a worker.
    _data: TempDir,
}

impl Service {
    /// Starts a program beside `cadmill`, or at a path.
    pub(crate) fn start(program: &str, arguments: &[&str], variables: &[(&str, String)]) -> Self {
        let binary = Path::new(env!("CARGO_BIN_EXE_cadmill")).with_file_name(program);
        assert!(binary.is_file(), "{} is missing: run `cargo build --workspace` first", binary.display());
        let place = tempfile::Builder::new().prefix("cadmill-test-").tempdir_in("/dev/shm").expect("a place");
        let log = tempfile::NamedTempFile::new().expect("a log");
        let data = tempfile::tempdir().expect("a directory");
        let child = Command::new(binary)
            .args(arguments)
            .env("CADMILL_WORKSPACE", place.path())
            .env("CADMILL_DATA_DIR", data.path())
            .envs(variables.iter().cloned())
            .current_dir(repository())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen().expect("the log"))
            .spawn()
            .expect("the program starts");
        Self { child, place, log, _data: data }
    }

    pub(crate) fn worker(variables: &[(&str, String)]) -> Self {
        Self::start("cadmill-converter", &["worker"], variables)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it is there");
    }

    /// Waits for a line of the log, and returns the rest of the line.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let since = Instant::now();
        loop {
            let log = self.log();
            if let Some(rest) = log.lines().find_map(|line| line.split_once(text)).map(|(_, rest)| rest) {
                return rest.split_whitespace().next().unwrap_or_default().to_owned();
            }
            let ended = self.child.try_wait().expect("its state");
            assert!(ended.is_none(), "it ended ({ended:?}):\n{log}");
            assert!(since.elapsed() < PATIENCE, "it never said {text:?}:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it ends by itself: its exit code and its log.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                return (status.code(), self.log());
            }
            assert!(since.elapsed() < PATIENCE, "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to stop: it must exit with success and leave no plaintext.
    pub(crate) fn stops_well(mut self) {
        self.signal(rustix::process::Signal::TERM);
        let status = self.child.wait().expect("its end");
        assert_eq!(status.code(), Some(0), "{}", self.log());
        let left: Vec<_> = std::fs::read_dir(self.place.path()).expect("the place").flatten().collect();
        assert!(left.is_empty(), "left behind: {left:?}\n{}", self.log());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running pipeline.
pub(crate) struct Server {
    pub(crate) url: String,
    services: Vec<Service>,
    _data: Option<TempDir>,
}

impl Server {
    /// `cadmill serve`: everything on one machine.
    pub(crate) fn embedded(variables: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().expect("a data directory");
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let path = data.path().to_str().expect("UTF-8");
        let mut service =
            Service::start("cadmill", &["serve", "--listen", "127.0.0.1:0", "--data", path], &variables);
        let url = service.wait_for("listening on ");
        Self { url, services: vec![service], _data: Some(data) }
    }

    /// The API and a worker, as separate processes.
    pub(crate) fn of(mut api: Service, mut worker: Service) -> Self {
        let url = api.wait_for("listening on ");
        worker.wait_for("ready");
        Self { url, services: vec![worker, api], _data: None }
    }

    pub(crate) fn logs(&self) -> String {
        self.services.iter().map(Service::log).collect()
    }

    pub(crate) fn stops_well(self) {
        for service in self.services {
            service.stops_well();
        }
    }
}
