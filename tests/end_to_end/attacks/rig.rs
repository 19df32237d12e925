//! The setup of one attack: its library, its input, the run and the check of the outcome.

use super::table::{Attack, End, Given};
use crate::support::{Bench, Run, compile_c, repository, unique};
use std::ffi::OsStr;
use std::io::Write;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// What the attacks try to read.
const SECRET: &str = "credentials-of-the-task-role";

/// What confines the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Everything.
    Confined,
    /// Nothing: the engine host is replaced by another program, which only tests have.
    Unconfined,
    /// Everything but Landlock, which the kernel appears to lack.
    WithoutLandlock,
    /// Everything, with Landlock of ABI 2, as the kernel appears to support it.
    LandlockAbi2,
}

impl Mode {
    pub(super) fn expected(self, attack: &Attack, route: Route) -> End {
        let confined = match route {
            Route::Native | Route::Plugin => attack.confined,
            Route::Java => attack.in_java.unwrap_or(attack.confined),
        };
        match self {
            Self::Confined | Self::LandlockAbi2 => confined,
            Self::Unconfined if route == Route::Java => {
                attack.unconfined_in_java.unwrap_or(attack.unconfined)
            }
            Self::Unconfined => attack.unconfined,
            Self::WithoutLandlock => attack.without_landlock.unwrap_or(confined),
        }
    }
}

/// What loads the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// The engine host, as it loads Assimp.
    Native,
    /// A converter in Java, in a JVM.
    Java,
    /// The engine host, as it loads a plugin. Each attack ends as it does in place of Assimp: what
    /// confines the process does not depend on the interface.
    Plugin,
}

/// Builds with the C compiler, unless the result is newer than every source. This lets the tests
/// run without a compiler, on files that were built elsewhere.
///
/// One build at a time: if a library is replaced while an engine starts, it is no longer the file
/// that the engine's Landlock rules allow.
pub(super) fn built(name: &str, arguments: &[&str], source: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let doubles = repository().join("tests/fixtures/doubles");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("attacks").join(name);
    let changed = |path: &Path| path.metadata().and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let header = repository().join("native-sys/include/cadmill_plugin.h");
    let sources = [doubles.join(source), doubles.join("attacks/attack.h"), header];
    if sources.iter().all(|source| changed(source) < changed(&target)) {
        return target;
    }
    compile_c(&target, &[&["-O1", "-w"], arguments].concat(), source);
    target
}

/// The library of an attack.
pub(super) fn library_of(attack: &Attack) -> PathBuf {
    let name = format!("{}-{}.so", attack.family, attack.name);
    let chosen = format!("-DATTACK={}", attack.name);
    built(&name, &["-shared", "-fPIC", &chosen], &format!("attacks/{}.c", attack.family))
}

/// Run on its own, this test builds what a container without a compiler needs.
#[test]
fn every_attack_is_built() {
    for attack in super::ATTACKS {
        assert!(library_of(attack).is_file());
    }
    let wrappers = [without_landlock(), landlock_not_enabled(), landlock_abi_2(), unlimited_stack()];
    assert!(wrappers.iter().all(|wrapper| wrapper.is_file()));
    assert!(crate::misbehaviour::double().is_file());
}

/// The host without its confinement: an example of the package, which a plain build of the tests
/// builds.
pub(crate) fn unconfined_host() -> PathBuf {
    let examples = Path::new(env!("CARGO_BIN_EXE_cadmill")).with_file_name("examples");
    let host = examples.join("engine-host-unconfined");
    assert!(host.is_file(), "{} is missing: run `cargo test --workspace --no-run` first", host.display());
    host
}

/// Runs a command as if the kernel had no Landlock.
pub(crate) fn without_landlock() -> PathBuf {
    built("without_landlock", &[], "without_landlock.c")
}

/// Runs a command as if the kernel had Landlock, but not enabled.
pub(super) fn landlock_not_enabled() -> PathBuf {
    built("landlock_not_enabled", &["-DANSWER=EOPNOTSUPP"], "without_landlock.c")
}

/// Runs a command as if the kernel had Landlock of ABI 2. No ruleset then has a right of a later
/// ABI.
pub(crate) fn landlock_abi_2() -> PathBuf {
    built("landlock_abi_2", &[], "landlock_abi_2.c")
}

/// Prefixes a command with another program.
pub(super) fn wrapped(wrapper: &Path, command: &Command) -> Command {
    preceded(&[wrapper.to_str().unwrap()], command)
}

/// Prefixes a command with another program and its arguments, if there is one.
pub(crate) fn preceded(before: &[&str], command: &Command) -> Command {
    let mut words = before.iter().map(OsStr::new).chain([command.get_program()]);
    let mut outer = Command::new(words.next().expect("a program"));
    outer.args(words).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        outer.current_dir(directory);
    }
    outer.stdin(std::process::Stdio::null());
    outer
}

pub(super) struct Rig {
    bench: Bench,
    attack: &'static Attack,
    mode: Mode,
    route: Route,
    input: PathBuf,
    /// What the input holds before the attack.
    content: Vec<u8>,
    /// A path outside the job, where the effect appears.
    effect: PathBuf,
    _secret: Option<tempfile::TempDir>,
    _server: Option<Server>,
}

/// Removes the effect of a successful attack from the machine.
impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.effect).or_else(|_| std::fs::remove_dir(&self.effect));
    }
}

impl Rig {
    pub(super) fn new(attack: &'static Attack, mode: Mode, route: Route) -> Self {
        let bench = Bench::new();
        let effect = std::env::temp_dir().join(format!("cadmill-attack-effect-{}", unique()));
        let (mut secret, mut server) = (None, None);
        let parameter = match attack.given {
            Given::Nothing | Given::Unpacked => String::new(),
            Given::Input => bench.path("input.obj").display().to_string(),
            Given::Text(text) => text.to_owned(),
            Given::Secret => {
                // Like the workspace of another job: another directory in the same place.
                let other = tempfile::Builder::new().prefix("cadmill-other-").tempdir_in("/dev/shm").unwrap();
                let path = other.path().join("model.obj");
                std::fs::write(&path, SECRET).unwrap();
                secret = Some(other);
                path.display().to_string()
            }
            Given::Link => {
                let link = bench.path("link");
                std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
                link.display().to_string()
            }
            Given::Elsewhere | Given::Effect => effect.display().to_string(),
            Given::Port | Given::Socket | Given::Abstract => {
                let started = Server::start(attack.given);
                let parameter = started.address.clone();
                server = Some(started);
                parameter
            }
        };
        let content = format!("{parameter}\n");
        let (input, content) = match attack.given {
            Given::Unpacked => (bench.path("input.zip"), archive_of(&content)),
            _ => (bench.path("input.obj"), content.into_bytes()),
        };
        std::fs::write(&input, &content).unwrap();
        Self { bench, attack, mode, route, input, content, effect, _secret: secret, _server: server }
    }

    pub(super) fn run(&self) -> Run {
        let attack = self.attack;
        let library = library_of(attack);
        let engines = match self.route {
            Route::Native => crate::misbehaviour::engines_file(&self.bench, &library, ""),
            Route::Java => engine_in_java(&self.bench, &library),
            Route::Plugin => engine_as_plugin(&self.bench, &library),
        };
        let named = format!("library={}", library.file_name().unwrap().to_str().unwrap());
        let mut arguments =
            vec!["convert", self.input.to_str().unwrap(), "--to", "stl", "--engine", "double"];
        arguments.extend(["--engines-file", engines.to_str().unwrap(), "-o", "out.stl", "--json"]);
        arguments.extend(attack.flags);
        if self.route == Route::Java {
            arguments.extend(["--opt", &named]);
        }
        let mut command = self.bench.command(&arguments);
        match self.mode {
            Mode::Confined => {}
            Mode::Unconfined => {
                command.env("CADMILL_ENGINE_HOST", unconfined_host()).env("CADMILL_MIN_POSTURE", "none");
            }
            Mode::WithoutLandlock => {
                command.env("CADMILL_MIN_POSTURE", "syscalls");
                command = wrapped(&without_landlock(), &command);
            }
            // The default minimum applies.
            Mode::LandlockAbi2 => command = wrapped(&landlock_abi_2(), &command),
        }
        if attack.name == "stack_bomb" {
            // The stack may grow as far as the host allows.
            let shell = unlimited_stack();
            command = wrapped(&shell, &command);
        }
        let run = Run::from(command.output().expect("cadmill starts"));
        self.bench.assert_no_plaintext_left();
        run
    }

    /// Whether the run ended as expected, judged by the effect of the attack.
    pub(super) fn compare(&self, run: &Run, expected: &End) -> Result<(), String> {
        let worked = self.worked(run);
        let verdict = match *expected {
            End::Works => worked.clone(),
            End::WorksOrKernelRefuses => worked.clone().or_else(|why| {
                let unknown = [
                    "Function not implemented",
                    "Operation not supported",
                    "not supported by protocol",
                    "Invalid argument",
                    "No such",
                ];
                let refused = said(run).is_some_and(|text| {
                    let by_rights =
                        text.contains("Operation not permitted") || text.contains("Permission denied");
                    by_rights && !is_root_on_bare_machine()
                        || unknown.iter().any(|reason| text.contains(reason))
                });
                // A kernel without 32-bit calls does not have this interrupt.
                let no_such_call =
                    self.attack.name == "int80" && code(run).as_deref() == Some("engine.crashed");
                if refused || no_such_call { Ok(()) } else { Err(why) }
            }),
            End::Violation(call) => expect_violation(run, call),
            End::Refused(reason) => expect_refusal(run, reason),
            End::Failure(exit, failure) => expect_failure(run, exit, failure),
        };
        verdict?;
        let may_work = matches!(expected, End::Works | End::WorksOrKernelRefuses);
        if may_work { Ok(()) } else { self.nothing_happened(run) }
    }

    /// The effect: a file outside the job, or the evidence in the output.
    fn worked(&self, run: &Run) -> Result<(), String> {
        if let Given::Effect = self.attack.given {
            let text = patiently(&self.effect).ok_or("its effect is not there")?;
            return self.clean_up(&text);
        }
        if run.code != Some(0) {
            return Err("it did not work".to_owned());
        }
        let output = std::fs::read(self.bench.path("out.stl")).map_err(|e| e.to_string())?;
        let tail = String::from_utf8_lossy(&output[output.len().saturating_sub(4096)..]).into_owned();
        if !tail.contains("ATTACK SUCCEEDED") {
            return Err(format!("the output has no evidence: {} bytes", output.len()));
        }
        let wanted = match self.attack.given {
            Given::Secret | Given::Port | Given::Socket | Given::Abstract
                if !["tcp_listen", "udp"].contains(&self.attack.name) =>
            {
                SECRET
            }
            Given::Link => "root:",
            _ => "",
        };
        if !tail.contains(wanted) {
            return Err(format!("the evidence is not what it was after: {tail}"));
        }
        if let Some(text) = reported(&run.json()).into_iter().find(|text| is_unclean(text)) {
            return Err(format!("the report has {text:?}"));
        }
        // The published size must match the reported one, even if the file changed late.
        let told = run.json()["output"]["bytes"].as_u64();
        if told == Some(output.len() as u64) { Ok(()) } else { Err(format!("{told:?} bytes were reported")) }
    }

    /// One attack starts a daemon: it is alive, and must not outlive the test.
    fn clean_up(&self, text: &str) -> Result<(), String> {
        std::fs::remove_file(&self.effect).map_err(|e| e.to_string())?;
        if self.attack.name == "daemonize" {
            let pid =
                text.trim().parse().ok().and_then(rustix::process::Pid::from_raw).ok_or("no process id")?;
            rustix::process::kill_process(pid, rustix::process::Signal::KILL)
                .map_err(|e| format!("the daemon is not there: {e}"))?;
        }
        Ok(())
    }

    fn nothing_happened(&self, run: &Run) -> Result<(), String> {
        let content = std::fs::read(&self.input).unwrap_or_default();
        if content != self.content {
            return Err("the input was changed".to_owned());
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(&self.input.metadata().unwrap().permissions());
        if mode & 0o022 != 0 {
            return Err("the input's mode was changed".to_owned());
        }
        if self.effect.exists() || self.bench.path("out.stl").exists() {
            return Err("it left something".to_owned());
        }
        if run.stdout.contains(SECRET) || run.stderr.contains(SECRET) {
            return Err("the secret is out".to_owned());
        }
        Ok(())
    }
}

/// An archive with one file.
pub(super) fn archive_of(content: &str) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("model.obj", zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(content.as_bytes()).unwrap();
    writer.finish().unwrap().into_inner()
}

/// An engines file that declares `double`, the converter that loads such libraries.
pub(super) fn engine_in_java(bench: &Bench, library: &Path) -> PathBuf {
    let file = bench.path("engines.toml");
    let keys = format!("natives = {:?}", library.parent().unwrap());
    std::fs::write(&file, crate::jvm::declared("double", crate::jvm::attacking(), &keys)).unwrap();
    file
}

/// An engines file that declares the library as the plugin `double`. Its formats are not declared: what
/// it says of itself is asked for first, by another process.
pub(super) fn engine_as_plugin(bench: &Bench, library: &Path) -> PathBuf {
    let file = bench.path("engines.toml");
    let text = format!("[[engine]]\nname = \"double\"\nkind = \"plugin\"\nlibrary = {library:?}\n");
    std::fs::write(&file, text).unwrap();
    file
}

/// A shell script that removes the limit on the stack and runs the command.
fn unlimited_stack() -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("attacks/unlimited-stack.sh");
    if !path.exists() {
        let fresh = path.with_extension(unique());
        std::fs::write(
            &fresh,
            "#!/bin/sh\nulimit -s unlimited 2>/dev/null || ulimit -s 131072\nexec \"$@\"\n",
        )
        .unwrap();
        std::fs::set_permissions(&fresh, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::rename(&fresh, &path).unwrap();
    }
    path
}

/// Reads a file that another process may be about to write.
fn patiently(path: &Path) -> Option<String> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if !text.is_empty() => return Some(text),
            _ if Instant::now() > deadline => return None,
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// The message of the failure.
fn said(run: &Run) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(&run.stdout).ok()?;
    Some(json["error"]["message"].as_str()?.to_owned())
}

/// Whether a terminal would interpret a text.
fn is_unclean(text: &str) -> bool {
    text.chars().any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c))
}

/// What the engine reported of a conversion that succeeded: warnings, and facts with their names.
fn reported(report: &serde_json::Value) -> Vec<String> {
    let warnings = report["warnings"].as_array().into_iter().flatten();
    let warnings = warnings.map(|line| line.as_str().unwrap_or_default().to_owned());
    let facts = report["facts"].as_object().into_iter().flatten();
    let facts = facts.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
    warnings.chain(facts).collect()
}

fn code(run: &Run) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(&run.stdout).ok()?;
    Some(json["error"]["code"].as_str()?.to_owned())
}

fn expect_failure(run: &Run, exit: i32, failure: &str) -> Result<(), String> {
    let found = (run.code, code(run));
    if found == (Some(exit), Some(failure.to_owned())) { Ok(()) } else { Err(format!("{found:?}")) }
}

fn expect_violation(run: &Run, call: &str) -> Result<(), String> {
    expect_failure(run, 18, "engine.violation")?;
    let told = run.json()["error"]["syscall"].as_str().unwrap_or_default().to_owned();
    let wanted = if call.is_empty() {
        "not known: made with SIGSYS blocked, as system() and posix_spawn() do, or of another architecture"
    } else {
        call
    };
    if told == wanted { Ok(()) } else { Err(format!("the call is told as {told}")) }
}

fn expect_refusal(run: &Run, reason: &str) -> Result<(), String> {
    expect_failure(run, 15, "engine.rejected")?;
    let text = said(run).unwrap_or_default();
    let good = text.contains("ATTACK BLOCKED") && text.contains(reason) && !is_unclean(&text);
    if good { Ok(()) } else { Err(text) }
}

/// Whether only the kernel's own rules apply: root, and no container.
fn is_root_on_bare_machine() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let all = status.lines().any(|line| line.starts_with("CapEff:") && line.ends_with("ffffffff"));
    let filtered = status.lines().any(|line| line.starts_with("Seccomp:") && !line.ends_with('0'));
    all && !filtered
}

/// Answers every request with the secret. It stands in for the service that issues the credentials
/// of a task, which is a plain HTTP server at a fixed address.
struct Server {
    address: String,
    _directory: Option<tempfile::TempDir>,
}

impl Server {
    fn start(given: Given) -> Self {
        let (address, directory) = match given {
            Given::Port => {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let port = listener.local_addr().unwrap().port();
                serve(move || listener.accept().map(|(stream, _)| stream));
                (port.to_string(), None)
            }
            Given::Abstract => {
                let name = format!("cadmill-attack-{}", unique());
                let address = SocketAddr::from_abstract_name(&name).unwrap();
                let listener = UnixListener::bind_addr(&address).unwrap();
                serve(move || listener.accept().map(|(stream, _)| stream));
                (name, None)
            }
            _ => {
                let directory = tempfile::tempdir().unwrap();
                let path = directory.path().join("socket");
                let listener = UnixListener::bind(&path).unwrap();
                serve(move || listener.accept().map(|(stream, _)| stream));
                (path.display().to_string(), Some(directory))
            }
        };
        Self { address, _directory: directory }
    }
}

/// Runs until the test program ends.
fn serve<S: Write + 'static>(mut accept: impl FnMut() -> std::io::Result<S> + Send + 'static) {
    std::thread::spawn(move || {
        while let Ok(mut stream) = accept() {
            let _ = stream.write_all(SECRET.as_bytes());
        }
    });
}
