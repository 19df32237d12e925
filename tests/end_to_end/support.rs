//! Runs the `cadmill` binary, in a workspace directory private to the test.

use serde_json::Value;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;
use tempfile::TempDir;

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli/ has a parent").to_owned()
}

/// A file under tests/fixtures/real.
pub(crate) fn real(name: &str) -> PathBuf {
    let path = repository().join("tests/fixtures/real").join(name);
    assert!(path.exists(), "no fixture {}", path.display());
    path
}

/// A setup to run `cadmill` in: a directory for results, and a workspace directory that must be
/// empty when the test ends.
pub(crate) struct Bench {
    results: TempDir,
    place: TempDir,
    /// For descriptions of engines, so that no test has those of another.
    cache: TempDir,
    variables: Vec<(String, String)>,
}

/// The outcome of one run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let place = tempfile::Builder::new().prefix("cadmill-test-").tempdir_in("/dev/shm");
        Self {
            results: tempfile::tempdir().expect("a directory for results"),
            place: place.expect("a directory in /dev/shm"),
            cache: tempfile::tempdir().expect("a directory for descriptions"),
            variables: Vec::new(),
        }
    }

    /// The same, with an environment variable set for `cadmill`.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let value = value.as_ref().to_str().expect("a value in UTF-8").to_owned();
        self.variables.push((name.to_owned(), value));
        self
    }

    /// A path in the directory for results.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.results.path().join(name)
    }

    /// The directory in which `cadmill` creates its workspaces.
    pub(crate) fn place(&self) -> &Path {
        self.place.path()
    }

    /// The directory of the user for what can be made again.
    pub(crate) fn cache(&self) -> &Path {
        self.cache.path()
    }

    /// `cadmill` with arguments, not yet started.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_cadmill"));
        let host = binary.with_file_name("cadmill-engine-host");
        assert!(host.is_file(), "{} is missing: run `cargo build --workspace` first", host.display());
        let mut command = Command::new(binary);
        command
            .args(arguments)
            .current_dir(self.results.path())
            .env("CADMILL_WORKSPACE", self.place())
            .env("XDG_CACHE_HOME", self.cache.path())
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs `cadmill` to its end. It must leave no workspace.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Run {
        let run = Run::from(self.command(arguments).output().expect("cadmill starts"));
        self.assert_no_plaintext_left();
        run
    }

    /// Fails the test if a workspace is left.
    pub(crate) fn assert_no_plaintext_left(&self) {
        let left: Vec<_> = std::fs::read_dir(self.place()).expect("the place is there").flatten().collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
        }
    }
}

impl Run {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }

    /// Asserts success.
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Asserts a failure with this exit code and this failure code, reported in JSON.
    pub(crate) fn failed(self, exit: i32, code: &str) -> Value {
        assert_eq!(self.code, Some(exit), "{self:?}");
        let json = self.json();
        assert_eq!(json["error"]["code"], code, "{self:?}");
        assert_eq!(json["error"]["exit_code"], exit, "{self:?}");
        for field in ["message", "hint"] {
            let text = json["error"][field].as_str().unwrap_or_default();
            assert!(text.len() > 10, "the {field} says too little: {self:?}");
        }
        json
    }
}

/// The process ids of a process's children.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // proc(5): the name may contain anything; state and parent follow its closing parenthesis.
        let parent_of = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        if parent_of.and_then(|p| p.parse().ok()) == Some(parent) {
            found.push(pid);
        }
    }
    found
}

/// All paths below a directory; symbolic links are not followed.
pub(crate) fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(path) = pending.pop() {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found
}

/// Every file below these paths that has the marker in its name, or was changed since that time and
/// contains it.
pub(crate) fn traces_of(marker: &str, since: SystemTime, places: &[&Path]) -> Vec<PathBuf> {
    /// Larger files do not come from these tests.
    const MAX_FILE: u64 = 256 << 20;
    let contains = |path: &Path| {
        let Ok(meta) = path.symlink_metadata() else { return false };
        let recent = meta.modified().is_ok_and(|at| at >= since);
        if !meta.is_file() || !recent || meta.len() > MAX_FILE {
            return false;
        }
        let content = std::fs::read(path).unwrap_or_default();
        memchr::memmem::find(&content, marker.as_bytes()).is_some()
    };
    let mut found: Vec<PathBuf> = places.iter().flat_map(|place| tree(place)).collect();
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains(marker) || contains(path)
    });
    found
}

/// A name suffix that no other test and no other run has.
pub(crate) fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Whether this compiler exists and may write where the doubles are built. Elsewhere, as in a
/// container or in the guest of `make nightly`, earlier results are used.
pub(crate) fn builds_with(compiler: &str) -> bool {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    rustix::fs::access(place, rustix::fs::Access::WRITE_OK).is_ok()
        && Command::new(compiler).arg("--version").output().is_ok()
}

/// Compiles a C source of the doubles. The result is replaced atomically, because another test or
/// run may be using it.
pub(crate) fn compile_c(result: &Path, arguments: &[&str], source: &str) {
    std::fs::create_dir_all(result.parent().expect("a file in a directory")).unwrap();
    let fresh = result.with_extension(format!("{}.fresh", unique()));
    let source = repository().join("tests/fixtures/doubles").join(source);
    let mut command = Command::new("cc");
    command.args(arguments).arg("-o").arg(&fresh).arg(source).arg("-lpthread");
    let output = command.output().expect("a C compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(&fresh, result).expect("the result is in its place");
}

/// An in-memory zip archive of these entries: names, methods, contents.
pub(crate) fn zipped(entries: &[(&str, zip::CompressionMethod, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, method, content) in entries {
        let options = zip::write::SimpleFileOptions::default().compression_method(*method);
        writer.start_file(*name, options).expect("an entry");
        writer.write_all(content).expect("its content");
    }
    writer.finish().expect("an archive").into_inner()
}
