//! Java engines. They write the same bytes through the jar as through the library (`parity`). Every
//! behaviour of a converter has a defined outcome, and a converter reaches nothing outside its job
//! (`confined`), also where the host supports less than usual, or more (`tiers`). Errors help where
//! something is missing (`installation`) or was left out of the build (`not_built`). All of this
//! also holds for a process that waited for its job (`warm`), or that did not serve it (`unused`).
//!
//! The converter of most tests is `tests/fixtures/doubles/java/Misbehaving.java`, which does what
//! its input says. The real one is `assimp-jvm`.

mod confined;
mod doubles;
mod installation;
mod not_built;
mod parity;
mod tiers;
mod unused;
pub(crate) mod warm;

use crate::misbehaviour::{is_alive, watched};
use crate::support::{Bench, Run};
pub(crate) use doubles::{attacking, declared};
use doubles::{classes, natives};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The output directory of native-sys/java/build.sh.
fn jars() -> PathBuf {
    let java = Path::new(env!("CARGO_BIN_EXE_cadmill")).with_file_name("../java");
    let stamp = java.join("stamp");
    assert!(
        stamp.is_file(),
        "{} is missing: the jars are not built; run `make setup` or native-sys/java/build.sh first",
        stamp.display()
    );
    java.canonicalize().unwrap()
}

/// The engines file that declares `assimp-ffi`, the library from the jar.
fn direct() -> PathBuf {
    jars().join("engines.toml")
}

/// One run of the double.
struct Double {
    bench: Bench,
    flags: Vec<String>,
    keys: String,
    unconfined: bool,
    before: Vec<String>,
}

/// How it ended.
struct Watched {
    run: Run,
    elapsed: Duration,
}

impl Double {
    fn new() -> Self {
        Self {
            bench: Bench::new(),
            flags: Vec::new(),
            keys: String::new(),
            unconfined: false,
            before: Vec::new(),
        }
    }

    fn flags(mut self, flags: &[&str]) -> Self {
        self.flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        self
    }

    /// Additional lines in the engine's `jvm` section.
    fn keys(mut self, keys: impl Into<String>) -> Self {
        self.keys = keys.into();
        self
    }

    fn unconfined(mut self, unconfined: bool) -> Self {
        self.unconfined = unconfined;
        self
    }

    /// Runs in this bench.
    fn bench(mut self, bench: Bench) -> Self {
        self.bench = bench;
        self
    }

    /// Another program that starts `cadmill`, with its arguments.
    fn before(mut self, before: &[&str]) -> Self {
        self.before = before.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Declares the double and writes the input.
    fn command(&self, behaviour: &str) -> Command {
        let engines = self.bench.path("engines.toml");
        std::fs::write(&engines, declared("double", classes(), &self.keys)).unwrap();
        let input = self.bench.path("input.obj");
        std::fs::write(&input, format!("{behaviour}\n")).unwrap();
        let mut arguments = vec!["convert", input.to_str().unwrap(), "--to", "stl", "--engine", "double"];
        arguments.extend(["--engines-file", engines.to_str().unwrap(), "-o", "out.stl", "--json"]);
        arguments.extend(self.flags.iter().map(String::as_str));
        let mut command = self.bench.command(&arguments);
        if self.unconfined {
            let host = crate::attacks::unconfined_host();
            command.env("CADMILL_ENGINE_HOST", host).env("CADMILL_MIN_POSTURE", "none");
        }
        if self.before.is_empty() {
            return command;
        }
        let before: Vec<&str> = self.before.iter().map(String::as_str).collect();
        crate::attacks::preceded(&before, &command)
    }

    /// Runs it, and asserts that nothing is left: no process that was seen while it ran, no
    /// workspace, none of the files that a JVM leaves, and no output unless it succeeded.
    fn watch(&self, behaviour: &str) -> Watched {
        let (run, elapsed, seen) = watched(self.command(behaviour));
        // A JVM that ends before it has loaded a library may be gone before it is observed.
        let ended_at_once =
            || elapsed < Duration::from_millis(500) && run.json()["engine"]["library"].is_null();
        assert!(!seen.is_empty() || ended_at_once(), "no engine process was seen: {run:?}");
        for process in seen {
            assert!(!is_alive(process), "{behaviour}: process {process} is left: {run:?}");
            let left = left_by(process, &self.bench);
            assert!(left.is_empty(), "{behaviour}: the JVM left {left:?}");
        }
        self.bench.assert_no_plaintext_left();
        assert_eq!(self.bench.path("out.stl").exists(), run.code == Some(0), "{behaviour}: {run:?}");
        Watched { run, elapsed }
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.bench.path("out.stl")).unwrap()
    }
}

/// Files that a JVM creates besides its output: performance data, the attach socket, crash reports
/// and core dumps.
fn left_by(process: u32, bench: &Bench) -> Vec<PathBuf> {
    let mut suspects = Vec::new();
    for directory in [PathBuf::from("/tmp"), std::env::temp_dir(), bench.path("."), bench.place().to_owned()]
    {
        for name in ["hs_err_pid{}.log", ".java_pid{}", ".attach_pid{}", "core.{}", "replay_pid{}.log"] {
            suspects.push(directory.join(name.replace("{}", &process.to_string())));
        }
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("hsperfdata_") {
                suspects.push(entry.path().join(process.to_string()));
            }
        }
    }
    suspects.retain(|path| path.exists());
    suspects
}

fn message(json: &serde_json::Value) -> &str {
    json["error"]["message"].as_str().unwrap()
}
