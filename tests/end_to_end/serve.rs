//! `cadmill serve`: one command starts the server, its stores and a worker, keeps the worker alive
//! and stops everything. The worker here is a script; other tests cover how a worker handles jobs.

use crate::attacks::preceded;
use crate::support::{Bench, Run};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Dies once, and then runs until its standard input is closed.
const WORKER: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
env | grep '^CADMILL_' > environment
echo "started $*" >> life
test -e died || { : > died; exit 1; }
cat > /dev/null
echo stopped >> life
"#;

/// What the script logs at each start.
const STARTED: &str = "started worker --until-stdin-closes\n";

/// An installation of `cadmill`, with the scripted worker or the real one.
pub(crate) struct Installation {
    directory: TempDir,
}

/// A running `cadmill serve`; killed when the test ends early.
pub(crate) struct Served {
    child: Child,
    pub(crate) url: String,
    /// What it and its worker have written to standard error since.
    lines: Arc<Mutex<Vec<String>>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Installation {
    fn of(programs: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let built = Path::new(env!("CARGO_BIN_EXE_cadmill"));
        for program in programs {
            let (built, installed) = (built.with_file_name(program), directory.path().join(program));
            // A hard link where possible: a debug build is large.
            if std::fs::hard_link(&built, &installed).is_err() {
                std::fs::copy(&built, &installed).unwrap();
            }
        }
        Self { directory }
    }

    /// An installation with the real worker.
    pub(crate) fn whole() -> Self {
        Self::of(&["cadmill", "cadmill-engine-host", "cadmill-converter"])
    }

    /// An installation with the scripted worker.
    pub(crate) fn new() -> Self {
        // The engine host too: its confinement is checked first.
        let Self { directory } = Self::of(&["cadmill", "cadmill-engine-host"]);
        let worker = directory.path().join("cadmill-converter");
        std::fs::write(&worker, WORKER).unwrap();
        std::fs::set_permissions(&worker, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The directory of the stores.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("cadmill"));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("CADMILL_")) {
                command.env_remove(name);
            }
        }
        command.arg("serve").args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn serve(&self, arguments: &[&str]) -> Served {
        let mut command = self.command(&["--listen", "127.0.0.1:0", "--data", "data"]);
        command.args(arguments);
        Self::listening(command)
    }

    /// The same, with environment variables.
    pub(crate) fn serve_with(&self, variables: &[(&str, &Path)], arguments: &[&str]) -> Served {
        let mut command = self.command(&["--listen", "127.0.0.1:0", "--data", "data"]);
        command.args(arguments).envs(variables.iter().copied());
        Self::listening(command)
    }

    /// The same, with RLIMIT_NOFILE set to `descriptors`.
    pub(crate) fn serve_with_descriptors(&self, descriptors: u64, arguments: &[&str]) -> Served {
        let mut command = self.command(&["--listen", "127.0.0.1:0", "--data", "data"]);
        command.args(arguments);
        let limited = ["bash", "-c", "ulimit -n $0; exec \"$@\"", &descriptors.to_string()];
        Self::listening(preceded(&limited, &command))
    }

    fn listening(mut command: Command) -> Served {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut before = Vec::new();
        let url = lines.find_map(|line| {
            let url = line.strip_prefix("listening on ").map(str::to_owned);
            before.push(line);
            url
        });
        // The server continues to log; an unread pipe would block it.
        let kept = Arc::new(Mutex::new(before.clone()));
        let keeping = Arc::clone(&kept);
        std::thread::spawn(move || lines.for_each(|line| keeping.lock().unwrap().push(line)));
        let url = url.unwrap_or_default();
        let served = Served { child, url, lines: kept };
        assert!(served.url.starts_with("http://127.0.0.1:"), "{before:?}");
        served
    }
}

impl Served {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it and its worker have written to standard error.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for a line that contains this text, and returns what follows it.
    pub(crate) fn said(&self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let lines = self.lines();
            if let Some((_, rest)) = lines.iter().find_map(|line| line.split_once(text)) {
                return rest.to_owned();
            }
            assert!(start.elapsed() < Duration::from_secs(60), "never said {text:?}: {lines:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends a signal and waits for the end; returns the exit code.
    pub(crate) fn stop(mut self, signal: rustix::process::Signal) -> Option<i32> {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap().code()
    }
}

/// Waits until a file contains this text.
fn wait_for(path: &Path, text: &str) {
    let start = Instant::now();
    while !std::fs::read_to_string(path).is_ok_and(|content| content.contains(text)) {
        assert!(start.elapsed() < Duration::from_secs(60), "{} never had {text:?}", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_worker_that_dies_is_started_again_and_stopped_with_the_rest() {
    use rustix::process::Signal;
    for signal in [Signal::TERM, Signal::INT] {
        let installation = Installation::new();
        let served = installation.serve(&["--job-lease", "9s"]);
        wait_for(&installation.path("life"), &[STARTED, STARTED].concat());
        let environment = std::fs::read_to_string(installation.path("environment")).unwrap();
        for expected in [
            "CADMILL_S3_ENDPOINT=http://127.0.0.1:",
            "CADMILL_JOB_LEASE=9s",
            "CADMILL_WORKER_NICE=10",
            "CADMILL_DATA_DIR=data",
        ] {
            assert!(environment.contains(expected), "{expected}: {environment}");
        }
        assert_eq!(served.stop(signal), Some(0));
        let life = std::fs::read_to_string(installation.path("life")).unwrap();
        assert_eq!(life, [STARTED, STARTED, "stopped\n"].concat());
    }
}

#[test]
fn files_can_be_submitted_to_it() {
    let installation = Installation::new();
    // Parts of 5 MiB, so that both kinds of upload are tested.
    let served = installation.serve(&["--api-multipart-threshold", "5M", "--api-part-size", "5M"]);
    for size in [1000, 12 << 20] {
        let bench = Bench::new();
        let input = bench.path("in.dxf");
        std::fs::write(&input, vec![7; size]).unwrap();
        let arguments = ["submit", input.to_str().unwrap(), "--to", "dxf", "--server", &served.url];
        let mut command = bench.command(&arguments);
        for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "CADMILL_TOKEN"] {
            command.env_remove(proxy);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let uploaded = lines.by_ref().take_while(|line| !line.ends_with("PENDING")).collect::<Vec<_>>();
        assert!(uploaded.iter().any(|line| line.ends_with(" s  uploaded")), "{uploaded:?}");
        // No worker converts it here.
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let rest: Vec<String> = lines.collect();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    }
    assert_eq!(served.stop(rustix::process::Signal::TERM), Some(0));
}

/// The worker would end at each start and be restarted forever.
#[test]
fn what_the_worker_would_refuse_is_told_at_the_start() {
    let installation = Installation::new();
    let no_file = installation.path("nowhere.toml");
    let no_file = no_file.to_str().unwrap();
    for (variable, value, code, told) in [
        ("CADMILL_WORKER_WARM", "assimp-jwm", "usage.invalid", "unknown engine: 'assimp-jwm'"),
        ("CADMILL_WORKER_WARM", "assimp-jvm,gdal,java", "usage.invalid", "unknown engine: 'java'"),
        ("CADMILL_ENGINES_FILE", no_file, "usage.engines_file", "nowhere.toml"),
    ] {
        let mut command = installation.command(&["--listen", "127.0.0.1:0", "--data", "data"]);
        let run = Run::from(command.env(variable, value).output().unwrap());
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(told) && run.stderr.contains(code), "{run:?}");
        assert!(!run.stderr.contains("listening"), "{run:?}");
        assert!(!installation.path("life").exists(), "a worker was started");
    }
}

/// Another worker would refuse it too, and jobs would wait for ever.
#[test]
fn a_worker_that_refuses_its_configuration_ends_the_server() {
    let installation = Installation::new();
    std::fs::write(installation.path("cadmill-converter"), "#!/bin/sh\nexit 2\n").unwrap();
    let output = installation.command(&["--listen", "127.0.0.1:0", "--data", "data"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("the worker refuses this configuration"), "{text}");
}

/// What the server accepts, its worker does too.
#[test]
fn short_lifetimes_of_urls_and_results_reach_the_worker() {
    let installation = Installation::whole();
    let served = installation.serve(&["--api-download-url-lifetime", "10s", "--job-retention", "45s"]);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(served.stop(rustix::process::Signal::TERM), Some(0));
}

#[test]
fn a_wrong_configuration_is_told_whole_and_a_right_one_printed() {
    let installation = Installation::new();
    let mut command = installation.command(&["--job-lease", "soon", "--listen", "0.0.0.0:0"]);
    let run = Run::from(command.env("CADMILL_JOB_LEESE", "3s").output().unwrap());
    assert_eq!(run.code, Some(2), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 3, "{run:?}");
    assert!(run.stderr.contains("did you mean CADMILL_JOB_LEASE?"), "{run:?}");
    let mut command = installation.command(&["--print-config"]);
    let run = Run::from(
        command.env("CADMILL_S3_SECRET_KEY", "hunter2").env("CADMILL_S3_ACCESS_KEY", "a").output().unwrap(),
    );
    let run = run.succeeded();
    assert!(run.stdout.contains("job.lease = \"30s\"  # default\n"), "{run:?}");
    assert!(run.stdout.contains("s3.access_key = \"a\"  # env CADMILL_S3_ACCESS_KEY\n"), "{run:?}");
    assert!(!run.stdout.contains("hunter2") && !installation.path("life").exists(), "{run:?}");
}

/// A damaged file in the data directory has a failure code and exit code for that case.
#[test]
fn a_damaged_data_directory_is_told_with_its_file_and_the_way_on() {
    for damaged in ["jobs.sqlite", "objects.sqlite"] {
        let installation = Installation::new();
        let served = installation.serve(&[]);
        assert_eq!(served.stop(rustix::process::Signal::TERM), Some(0));
        let path = installation.path("data").join(damaged);
        assert!(path.is_file());
        // If the write-ahead log still exists, it has the pages too.
        let _ = std::fs::remove_file(path.with_extension("sqlite-wal"));
        let _ = std::fs::remove_file(path.with_extension("sqlite-shm"));
        std::fs::write(&path, "rubbish".repeat(2000)).unwrap();
        let mut command = installation.command(&["--listen", "127.0.0.1:0", "--data", "data"]);
        let run = Run::from(command.output().unwrap());
        assert_eq!(run.code, Some(25), "{run:?}");
        for told in ["[infra.data_directory]", &format!("data/{damaged}: "), "Put back", "move"] {
            assert!(run.stderr.contains(told), "{told}: {run:?}");
        }
        assert!(!run.stderr.contains("listening"), "{run:?}");
    }
}
