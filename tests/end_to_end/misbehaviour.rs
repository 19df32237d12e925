//! Whatever an engine does, the conversion ends in time with a defined outcome, and leaves no
//! process and no file behind.
//!
//! The engine is `tests/fixtures/doubles/engine_double.c`, which takes the same route as the real
//! library and does what the input file says. Two tests at the end use real libraries that crash on
//! real files.

use crate::support::{Bench, Run, builds_with, children_of, compile_c, real};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Compiles the engine double, once for each set of macros.
pub(crate) fn compile(name: &str, macros: &[&str]) -> PathBuf {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.so"));
    let usual = ["-shared", "-fPIC", "-O1", "-Wall", "-Wno-infinite-recursion"];
    compile_c(&library, &[&usual[..], macros].concat(), "engine_double.c");
    library
}

pub(crate) fn double() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        // Without a compiler, as in a container, the library that was built elsewhere.
        let there = Path::new(env!("CARGO_TARGET_TMPDIR")).join("double.so");
        if !builds_with("cc") && there.is_file() { there } else { compile("double", &[]) }
    })
}

/// An engines file that declares a library as the engine `double`.
pub(crate) fn engines_file(bench: &Bench, library: &Path, more: &str) -> PathBuf {
    let file = bench.path("engines.toml");
    let text = format!("[[engine]]\nname = \"double\"\nkind = \"assimp\"\nlibrary = {library:?}\n{more}");
    std::fs::write(&file, text).unwrap();
    file
}

/// A run of the double with a behaviour, watched from outside.
struct Watched {
    run: Run,
    elapsed: Duration,
}

/// Arguments to convert an input that triggers this behaviour of the double.
fn arguments(bench: &Bench, behaviour: &str, more: &[&str]) -> Vec<String> {
    let input = bench.path("input.obj");
    std::fs::write(&input, format!("{behaviour} \n")).unwrap();
    let engines = engines_file(bench, double(), "");
    let mut arguments: Vec<String> =
        ["convert", input.to_str().unwrap(), "--to", "stl", "--engine", "double"]
            .into_iter()
            .chain(["--engines-file", engines.to_str().unwrap(), "-o", "out.stl", "--json"])
            .map(str::to_owned)
            .collect();
    arguments.extend(more.iter().map(|&m| m.to_owned()));
    arguments
}

/// Runs the double and asserts that nothing is left: no process that was seen while it ran, no
/// workspace, and no output unless it succeeded.
fn watch(behaviour: &str, more: &[&str]) -> Watched {
    let bench = Bench::new();
    let (run, elapsed, seen) = watched(bench.command(&arguments(&bench, behaviour, more)));
    // An engine that ends at once is gone before it can be observed.
    assert!(!seen.is_empty() || elapsed < SECOND / 2, "no engine process was seen: {run:?}");
    for process in seen {
        assert!(!is_alive(process), "{behaviour}: process {process} is left: {run:?}");
    }
    bench.assert_no_plaintext_left();
    assert_eq!(bench.path("out.stl").exists(), run.code == Some(0), "{behaviour}: {run:?}");
    Watched { run, elapsed }
}

/// Runs a command, and returns its duration and its descendant processes.
pub(crate) fn watched(mut command: Command) -> (Run, Duration, Vec<u32>) {
    let started = Instant::now();
    let child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("cadmill starts");
    let pid = child.id();
    let (finished, is_finished) = std::sync::mpsc::channel();
    let watcher = std::thread::spawn(move || {
        let mut seen = Vec::new();
        while is_finished.try_recv().is_err() {
            for process in descendants(pid) {
                if !seen.contains(&process) {
                    seen.push(process);
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        seen
    });
    let run = Run::from(child.wait_with_output().unwrap());
    let elapsed = started.elapsed();
    finished.send(()).unwrap();
    (run, elapsed, watcher.join().unwrap())
}

pub(crate) fn descendants(parent: u32) -> Vec<u32> {
    let mut found = children_of(parent);
    let mut at = 0;
    while at < found.len() {
        let more = children_of(found[at]);
        found.extend(more);
        at += 1;
    }
    found
}

/// Whether a process can still run. A zombie cannot: it waits for the init process, which adopted
/// it when its parent died.
pub(crate) fn is_alive(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn number(json: &Value, name: &str) -> u64 {
    json["error"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {json}"))
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_good_engine_converts() {
    let watched = watch("ok", &[]);
    let json = watched.run.succeeded().json();
    assert_eq!(json["outcome"], "converted");
    assert_eq!(json["output"]["bytes"], 10);
}

#[test]
fn an_engine_may_remove_what_it_made_and_nobody_gets_it() {
    let watched = watch("tidy", &[]);
    let json = watched.run.succeeded().json();
    assert_eq!(json["output"]["engine_files"], 1, "{json}");
    assert_eq!(json["output"]["bytes"], 10, "{json}");
}

#[test]
fn a_crash_is_told_with_its_signal() {
    for (behaviour, signal) in [("segv", 11), ("abort", 6), ("divide", 8), ("recurse", 11)] {
        let json = watch(behaviour, &[]).run.failed(14, "engine.crashed");
        assert_eq!(json["error"]["signal"], signal, "{behaviour}");
    }
}

#[test]
fn a_crash_after_a_whole_output_is_still_a_crash() {
    watch("crash-after-writing", &[]).run.failed(14, "engine.crashed");
}

#[test]
fn an_endless_loop_hits_the_time_cap() {
    let watched = watch("loop", &["--timeout", "1s"]);
    let json = watched.run.failed(13, "limit.time");
    assert_eq!(number(&json, "limit_ms"), 1000);
    assert!(number(&json, "observed_ms") < 2000, "{json}");
    assert!(watched.elapsed < 2 * SECOND, "{:?}", watched.elapsed);
}

#[test]
fn an_engine_that_ignores_signals_hits_the_time_cap() {
    let watched = watch("stubborn", &["--timeout", "1s"]);
    watched.run.failed(13, "limit.time");
    assert!(watched.elapsed < 2 * SECOND, "{:?}", watched.elapsed);
}

#[test]
fn allocating_without_end_hits_the_memory_cap() {
    let json = watch("allocate", &["--memory", "128M", "--timeout", "60s"]).run.failed(12, "limit.memory");
    assert_eq!(number(&json, "limit_bytes"), 128 << 20);
    let observed = number(&json, "observed_bytes");
    assert!((100 << 20..160 << 20).contains(&observed), "{json}");
}

#[test]
fn one_allocation_that_is_too_large_is_the_memory_cap_too() {
    watch("allocate-at-once", &["--memory", "128M"]).run.failed(12, "limit.memory");
    watch("bad-alloc", &["--memory", "128M"]).run.failed(12, "limit.memory");
}

#[test]
fn a_silent_exit_is_no_success() {
    assert_eq!(watch("exit", &[]).run.failed(17, "engine.no_answer")["error"]["exit_code"], 17);
    let json = watch("exit-with-code", &[]).run.failed(17, "engine.no_answer");
    assert_eq!(json["error"]["process_exit"], 7);
    watch("no-output", &[]).run.failed(17, "engine.no_answer");
}

#[test]
fn what_a_library_prints_is_no_answer() {
    watch("forge", &[]).run.failed(17, "engine.no_answer");
}

#[test]
fn a_flood_of_text_hits_the_message_cap_and_a_chatty_library_does_not() {
    let json = watch("flood", &["--timeout", "60s"]).run.failed(16, "limit.messages");
    assert_eq!(number(&json, "limit_bytes"), 64 << 20);
    let chatty = watch("chatty", &[]).run.succeeded();
    assert!(!chatty.stderr.contains("xxxx") && !chatty.stdout.contains("xxxx"), "the text was passed on");
}

#[test]
fn endless_output_hits_the_output_cap() {
    for behaviour in ["endless-file", "endless-files"] {
        let json =
            watch(behaviour, &["--max-output", "16M", "--timeout", "60s"]).run.failed(16, "limit.output");
        assert_eq!(number(&json, "limit_bytes"), 16 << 20, "{behaviour}");
        assert!(number(&json, "observed_bytes") < 2 << 30, "{behaviour}: {json}");
    }
}

#[test]
fn an_output_that_is_no_regular_file_is_refused() {
    // The engine is killed when it tries; `attacks` shows what happens next.
    watch("link", &[]).run.failed(18, "engine.violation");
    watch("fifo", &[]).run.failed(18, "engine.violation");
}

#[test]
fn an_engine_starts_no_process() {
    watch("orphan", &[]).run.failed(18, "engine.violation");
}

#[test]
fn the_engines_words_are_cleaned() {
    let json = watch("hide", &[]).run.failed(15, "engine.rejected");
    let message = json["error"]["message"].as_str().unwrap();
    assert!(message.contains("forged: line") && !message.contains(char::is_control), "{message:?}");
}

#[test]
fn the_engine_sees_three_variables_and_its_own_descriptors() {
    let json = watch("environment", &[]).run.failed(15, "engine.rejected");
    let message = json["error"]["message"].as_str().unwrap();
    let list = message.split("input: ").nth(1).unwrap();
    let mut names: Vec<&str> =
        list.split('|').filter_map(|v| v.split_once('=')).map(|(name, _)| name).collect();
    names.sort_unstable();
    assert_eq!(names, ["LC_ALL", "MALLOC_ARENA_MAX", "TMPDIR"], "{message}");
    let json = watch("descriptors", &[]).run.failed(15, "engine.rejected");
    let message = json["error"]["message"].as_str().unwrap();
    let open = message.split("input: ").nth(1).unwrap().trim_end_matches('|').split('|').count();
    // Three standard ones, commands, messages and the sender's copy of them, and the two
    // directories that custom I/O keeps open.
    assert!(open <= 8, "{message}");
}

#[test]
fn an_input_cannot_make_the_engine_open_other_files() {
    let bench = Bench::new();
    let arguments = arguments(&bench, "escape", &[]);
    std::os::unix::fs::symlink("/etc/passwd", bench.path("link-to-passwd")).unwrap();
    let json = bench.run(&arguments).failed(15, "engine.rejected");
    let message = json["error"]["message"].as_str().unwrap();
    assert!(message.contains("refused|refused|refused"), "{message}");
}

/// Starts the double and waits until `cadmill` reports that its library is loaded.
fn start(bench: &Bench, behaviour: &str) -> (std::process::Child, u32) {
    let mut command = bench.command(&arguments(bench, behaviour, &[]));
    let mut child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let loaded = stderr.lines().map_while(Result::ok).any(|line| line.starts_with("engine double"));
    let hosts = children_of(child.id());
    if !loaded || hosts.len() != 1 {
        child.kill().unwrap();
        panic!("no engine process: {:?}", child.wait_with_output());
    }
    (child, hosts[0])
}

fn signal(child: &std::process::Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

#[test]
fn cancelling_ends_in_a_dead_process_and_an_empty_place() {
    use rustix::process::Signal;
    for (behaviour, with) in
        [("loop", Signal::INT), ("stubborn", Signal::TERM), ("fill-commands", Signal::INT)]
    {
        let bench = Bench::new();
        let (child, host) = start(&bench, behaviour);
        signal(&child, with);
        let asked = Instant::now();
        let run = Run::from(child.wait_with_output().unwrap());
        assert!(asked.elapsed() < 2 * SECOND, "{behaviour}: {:?}", asked.elapsed());
        run.failed(130, "job.cancelled");
        assert!(!is_alive(host), "{behaviour}: the engine process is left");
        bench.assert_no_plaintext_left();
        assert!(!bench.path("out.stl").exists());
    }
}

#[test]
fn the_engine_dies_with_a_supervisor_that_was_killed() {
    let bench = Bench::new();
    let (mut child, host) = start(&bench, "stubborn");
    signal(&child, rustix::process::Signal::KILL);
    child.wait().unwrap();
    let deadline = Instant::now() + 5 * SECOND;
    while is_alive(host) {
        assert!(Instant::now() < deadline, "the engine process lives on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_pinned_library_is_loaded_only_if_it_is_the_one() {
    let bench = Bench::new();
    let arguments = arguments(&bench, "ok", &[]);
    let digest = Command::new("sha256sum").arg(double()).output().unwrap().stdout;
    let digest = String::from_utf8(digest).unwrap()[..64].to_owned();
    engines_file(&bench, double(), &format!("sha256 = \"{digest}\"\n"));
    let json = bench.run(&arguments).succeeded().json();
    // Loaded through a descriptor, but reported by its path.
    assert_eq!(json["engine"]["path"].as_str().unwrap(), double().to_str().unwrap());
    engines_file(&bench, double(), &format!("sha256 = \"{}\"\n", "0".repeat(64)));
    let json = bench.run(&arguments).failed(11, "engine.pin_mismatch");
    assert!(json["error"]["message"].as_str().unwrap().contains(&digest), "{json}");
}

#[test]
fn a_library_that_is_missing_incomplete_or_of_another_version_is_named() {
    let bench = Bench::new();
    let arguments = arguments(&bench, "ok", &[]);
    let message = |json: Value| json["error"]["message"].as_str().unwrap().to_owned();

    engines_file(&bench, Path::new("/nonexistent/libassimp.so"), "");
    let text = message(bench.run(&arguments).failed(11, "engine.library_missing"));
    assert!(text.contains("/nonexistent/libassimp.so"), "{text}");

    let partial = compile("double-without-export", &["-DDOUBLE_WITHOUT_EXPORT"]);
    engines_file(&bench, &partial, "");
    let text = message(bench.run(&arguments).failed(11, "engine.symbol_missing"));
    assert!(text.contains("aiExportSceneEx") && text.contains("double-without-export.so"), "{text}");

    let old = compile("double-of-version-4", &["-DDOUBLE_MAJOR=4", "-Wl,-soname,libassimp.so.4"]);
    engines_file(&bench, &old, "");
    let text = message(bench.run(&arguments).failed(11, "engine.version"));
    assert!(text.contains("4.99.0") && text.contains("5.0 to 5.x"), "{text}");

    // A version that the file does not show is only the library's own claim, so only the library is
    // blamed.
    let claimed = compile("double-that-says-4", &["-DDOUBLE_MAJOR=4"]);
    engines_file(&bench, &claimed, "");
    let text = message(bench.run(&arguments).failed(17, "engine.misbehaved"));
    assert!(text.contains("4.99.0") && text.contains("5.0 to 5.x"), "{text}");
}

#[test]
fn an_absurd_number_of_formats_is_bounded() {
    let bench = Bench::new();
    let many = compile("double-of-many-formats", &["-DDOUBLE_FORMATS=(size_t)-1"]);
    engines_file(&bench, &many, "");
    bench.run(&arguments(&bench, "ok", &[])).succeeded();
}

#[test]
fn a_real_library_that_crashes_on_a_real_file_is_an_outcome() {
    let bench = Bench::new();
    // Assimp 5.2 has a double free here, after it has written a complete-looking output. Where it
    // is detected depends on the rest of memory: SIGABRT or SIGSEGV.
    let input = real("hostile/moon_aborts_assimp.3mf");
    let json = bench
        .run(&["convert", input.to_str().unwrap(), "--to", "glb", "-o", "out.glb", "--json"])
        .failed(14, "engine.crashed");
    assert!(json["error"]["signal"] == 6 || json["error"]["signal"] == 11, "{json}");
    assert!(!bench.path("out.glb").exists());
    // And here it dereferences a null pointer.
    let input = real("mesh/gear_scene.dae");
    let json = bench
        .run(&["convert", input.to_str().unwrap(), "--to", "x3d", "-o", "out.x3d", "--json"])
        .failed(14, "engine.crashed");
    assert_eq!(json["error"]["signal"], 11);
}
