//! Plugins: a library behind `cadmill_plugin.h` converts as any other engine does, and whatever it does
//! wrong is named.
//!
//! The plugins are the examples (`examples`), those that `cadmill engines new` writes (`begun`), and
//! `tests/fixtures/doubles/plugin_double.c`, which does what its input says.

mod begun;
mod dwg;
mod examples;

use crate::support::{Bench, Run, compile_c, repository};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

fn include() -> String {
    format!("-I{}", repository().join("native-sys/include").display())
}

/// The double. Compiled once: a file that is replaced while a process starts is not the one that it may
/// read.
fn double() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| wrong(None))
}

/// The double, compiled with a macro.
fn wrong(with: Option<&str>) -> PathBuf {
    let name = with.unwrap_or("plain").to_lowercase();
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("plugin_{name}.so"));
    let define = with.map(|name| format!("-D{name}"));
    let usual = ["-shared".to_owned(), "-fPIC".to_owned(), "-O1".to_owned(), include()];
    let arguments: Vec<String> = usual.into_iter().chain(define).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    compile_c(&library, &arguments, "plugin_double.c");
    library
}

/// The example, compiled as its head says, and strictly.
fn points() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(compiled_points)
}

fn compiled_points() -> PathBuf {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libpoints.so");
    let include = include();
    let strict = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fvisibility=hidden"];
    let arguments = [&strict[..], &["-O2", "-shared", "-fPIC", include.as_str()]].concat();
    compile_c(&library, &arguments, "../../../native-sys/plugins/examples/c/points.c");
    library
}

/// Converts a file by the plugin.
fn convert(bench: &Bench, library: &Path, (name, content): (&str, &str), to: &str, more: &[&str]) -> Run {
    std::fs::write(bench.path(name), content).unwrap();
    let engines = bench.path("engines.toml");
    std::fs::write(
        &engines,
        format!("[[engine]]\nname = \"own\"\nkind = \"plugin\"\nlibrary = {library:?}\n"),
    )
    .unwrap();
    let engines = engines.to_str().unwrap();
    let output = format!("result.{to}");
    let usual =
        ["convert", name, "--to", to, "--engine", "own", "--engines-file", engines, "-o", &output, "--json"];
    bench.run(&[&usual[..], more].concat())
}

/// Has the double do what a word says.
fn does(word: &str, more: &[&str]) -> (Bench, Run) {
    let bench = Bench::new();
    let run = convert(&bench, double(), ("in.txt", word), "out", more);
    (bench, run)
}

#[test]
fn options_are_those_that_the_plugin_describes() {
    for (option, said) in [
        ("scale=0", "a number from 0.000000001 to 1000000000"),
        ("scale=x", "a number"),
        ("header=maybe", "yes or no"),
        ("colour=red", "known are: scale, header"),
    ] {
        let bench = Bench::new();
        let run = convert(&bench, points(), ("a.xyz", "0 0 0\n"), "csv", &["--opt", option]);
        let json = run.failed(2, "usage.option");
        let message = json["error"]["message"].as_str().unwrap();
        assert!(message.contains(said), "{option}: {message}");
    }
}

#[test]
fn engines_are_shown_with_formats_and_options() {
    let bench = Bench::new();
    convert(&bench, points(), ("a.xyz", "0 0 0\n"), "csv", &[]).succeeded();
    let engines = bench.path("engines.toml");
    let arguments = ["engines", "--engines-file", engines.to_str().unwrap(), "--json"];
    let json = bench.run(&arguments).succeeded().json();
    let own = json["engines"].as_array().unwrap().iter().find(|engine| engine["name"] == "own").unwrap();
    assert_eq!(
        (&own["kind"], &own["available"], &own["library"]),
        (&json!("plugin"), &json!(true), &json!("points"))
    );
    assert_eq!(own["reads_when_named"], json!(["xyz", "pts"]));
    assert_eq!(own["writes"], json!([{"id": "csv", "extension": "csv"}, {"id": "obj", "extension": "obj"}]));
    let names: Vec<&Value> =
        own["options"].as_array().unwrap().iter().map(|option| &option["name"]).collect();
    assert_eq!(names, ["scale", "header"]);
    assert_eq!(own["options"][0]["preset"], "1");
    let text = bench.run(&arguments[..3]).succeeded().stdout;
    assert!(text.contains("scale=1") && text.contains("Factor for all coordinates."), "{text}");
}

/// The double cannot be described any more, but its file is the same, by its times.
#[test]
fn a_plugin_is_asked_once_for_its_formats_and_options() {
    let bench = Bench::new();
    // On the disk of the build: the times of files in memory are not trusted, nor is a fresh file.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let library = directory.path().join("own.so");
    std::fs::copy(points(), &library).unwrap();
    std::thread::sleep(Duration::from_millis(3200));
    let processes = |option: &str| {
        let bench = &bench;
        let run = convert(bench, &library, ("a.xyz", "0 0 0\n"), "csv", &["--opt", option]);
        run.failed(2, "usage.option");
        let cached = bench.cache().join("cadmill/descriptions.json");
        std::fs::read_to_string(cached).unwrap()
    };
    let first = processes("scale=x");
    assert!(first.contains("Factor for all coordinates."), "{first}");
    assert!(!first.contains("a.xyz"), "{first}");
    // From the cache: an entry that says something else is believed.
    let path = bench.cache().join("cadmill/descriptions.json");
    std::fs::write(&path, first.replace("\"scale\"", "\"size\"")).unwrap();
    let run = convert(&bench, &library, ("a.xyz", "0 0 0\n"), "csv", &["--opt", "scale=2"]);
    let json = run.failed(2, "usage.option");
    assert!(json["error"]["message"].as_str().unwrap().contains("size, header"), "{json}");
    // `cadmill engines` queries again, and caches the answer.
    let engines = bench.path("engines.toml");
    bench.run(&["engines", "--engines-file", engines.to_str().unwrap()]).succeeded();
    assert!(std::fs::read_to_string(&path).unwrap().contains("\"scale\""));
}

#[test]
fn a_plugin_with_declared_formats_is_chosen_by_them() {
    let bench = Bench::new();
    std::fs::write(bench.path("a.xyz"), "0 0 0\n").unwrap();
    let engines = bench.path("engines.toml");
    let text = format!(
        "[[engine]]\nname = \"own\"\nkind = \"plugin\"\nlibrary = {:?}\n[engine.plugin]\ninputs = [\"xyz\"]\n\
         outputs = [{{ id = \"csv\", extension = \"csv\" }}]\n",
        points()
    );
    std::fs::write(&engines, text).unwrap();
    let engines = engines.to_str().unwrap();
    bench.run(&["convert", "a.xyz", "--to", "csv", "--engines-file", engines, "-o", "b.csv"]).succeeded();
    assert_eq!(std::fs::read_to_string(bench.path("b.csv")).unwrap(), "x,y,z\n0,0,0\n");
}

#[test]
fn results_have_the_codes_of_every_engine() {
    for (word, exit, code) in [
        ("rejected", 15, "engine.rejected"),
        ("no-memory", 12, "limit.memory"),
        ("unfit", 27, "engine.unfit"),
        ("text-lost", 26, "engine.text_lost"),
        ("failed", 17, "engine.misbehaved"),
        ("unknown", 17, "engine.misbehaved"),
        ("negative", 17, "engine.misbehaved"),
        ("unusable", 15, "engine.rejected"),
    ] {
        let (_bench, run) = does(word, &[]);
        let json = run.failed(exit, code);
        let message = json["error"]["message"].as_str().unwrap();
        // The cap is named instead, for an engine that ran out of memory.
        assert!(word == "no-memory" || message.contains("the reason of the double"), "{word}: {message}");
    }
}

#[test]
fn what_a_plugin_does_wrong_is_named() {
    for (word, exit, code) in [
        // It got no option that could be invalid, and no request to stop.
        ("bad-option", 17, "engine.misbehaved"),
        ("stopped", 17, "engine.misbehaved"),
        ("nothing", 17, "engine.no_answer"),
        ("crash", 14, "engine.crashed"),
        ("exit", 17, "engine.no_answer"),
        ("program", 18, "engine.violation"),
        ("outside", 17, "engine.misbehaved"),
    ] {
        let (bench, run) = does(word, &[]);
        run.failed(exit, code);
        assert!(!bench.path("result.out").exists(), "{word}");
    }
    // It accepts the option without the input.
    let (_bench, run) = does("bad-option", &["--opt", "count=3"]);
    let failed = run.failed(27, "engine.unfit");
    assert!(failed["error"]["message"].as_str().unwrap().contains("does not fit this input"), "{failed}");
    let (_bench, run) = does("hang", &["--timeout", "1s"]);
    run.failed(13, "limit.time");
}

#[test]
fn what_a_plugin_may_do_does_not_disturb() {
    for word in ["good", "prints", "scratch", "thread"] {
        let (bench, run) = does(word, &[]);
        run.succeeded();
        assert_eq!(std::fs::read_to_string(bench.path("result.out")).unwrap(), "words\n", "{word}");
    }
}

#[test]
fn what_a_plugin_reports_reaches_the_report() {
    let (bench, run) = does("reports", &[]);
    let json = run.succeeded().json();
    let facts = json["facts"].as_object().unwrap();
    assert_eq!((facts.len(), &facts["unit"], &facts["f62"]), (64, &json!("mm"), &json!("1")));
    let lines = json["warnings"].as_array().unwrap();
    let lines: Vec<&str> = lines.iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(lines[..2], ["one is lost", "one is odd [31m"]);
    assert!(lines[2].contains("a fact"), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("not for the owner")), "{lines:?}");
    assert_eq!(json["losses"], 1);
    drop(bench);
    let (_bench, run) = does("reports", &["--strict"]);
    run.failed(28, "engine.incomplete");
}

/// The first lines say what is missing.
#[test]
fn a_loss_is_shown_however_many_warnings_come_before_it() {
    let (_bench, run) = does("warns", &[]);
    assert!(run.stderr.contains("the last is lost"), "{}", run.stderr);
    let json = run.succeeded().json();
    assert_eq!((&json["warnings"][0], &json["losses"]), (&json!("the last is lost"), &json!(1)));
    assert_eq!(json["warnings"].as_array().unwrap().len(), 20);
}

#[test]
fn a_plugin_that_asks_is_cancelled_by_itself() {
    let bench = Bench::new();
    convert(&bench, double(), ("good.txt", "good"), "out", &[]).succeeded();
    std::fs::write(bench.path("in.txt"), "asks").unwrap();
    let arguments = [
        "convert",
        "in.txt",
        "--to",
        "out",
        "--engine",
        "own",
        "--engines-file",
        "engines.toml",
        "-o",
        "o.out",
    ];
    let mut child = bench.command(&arguments).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    // A host that must be killed gets 2 s before.
    assert_eq!(status.code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(20));
    bench.assert_no_plaintext_left();
}

#[test]
fn a_library_that_is_no_usable_plugin_is_named() {
    for (with, exit, code, said) in [
        ("NO_ENTRY", 11, "engine.symbol_missing", "cadmill_plugin_entry_v1"),
        ("ABI_2", 17, "engine.misbehaved", "version 2"),
        ("NOT_SERVED", 17, "engine.misbehaved", "does not serve"),
        ("SMALL_SIZE", 17, "engine.misbehaved", "size"),
        ("NO_DESCRIPTION", 17, "engine.misbehaved", "null"),
        ("BAD_DEFAULT", 17, "engine.misbehaved", "its own default"),
        ("TWO_IDS", 17, "engine.misbehaved", "two outputs"),
        ("CRASH_DESCRIBE", 14, "engine.crashed", "crashed"),
        ("NOT_LICENSED", 15, "engine.rejected", "licence has expired"),
    ] {
        let bench = Bench::new();
        let library = wrong(Some(with));
        let engines = bench.path("engines.toml");
        let text = format!(
            "[[engine]]\nname = \"own\"\nkind = \"plugin\"\nlibrary = {library:?}\n[engine.plugin]\n\
             inputs = [\"txt\"]\noutputs = [{{ id = \"out\", extension = \"out\" }}]\n"
        );
        std::fs::write(&engines, text).unwrap();
        std::fs::write(bench.path("in.txt"), "good").unwrap();
        let engines = engines.to_str().unwrap();
        let run = bench.run(&["convert", "in.txt", "--to", "out", "--engines-file", engines, "--json"]);
        let json = run.failed(exit, code);
        let message = json["error"]["message"].as_str().unwrap();
        assert!(message.contains(said), "{with}: {message}");
    }
    // Of a later version of the interface, with members that this one does not know.
    let bench = Bench::new();
    convert(&bench, &wrong(Some("LARGE_SIZE")), ("in.txt", "good"), "out", &[]).succeeded();
}

/// The header means the same to every compiler: names, offsets and sizes.
#[test]
fn the_header_compiles_as_every_standard_says() {
    let header = repository().join("native-sys/include/cadmill_plugin.h");
    for (compiler, language, standards) in
        [("cc", "c", &["c99", "c11"][..]), ("c++", "c++", &["c++11", "c++17", "c++20"])]
    {
        for standard in standards {
            let mut command = Command::new(compiler);
            command.arg(format!("-std={standard}")).args(["-Wall", "-Wextra", "-pedantic", "-Werror"]);
            let output = command.args(["-fsyntax-only", "-x", language]).arg(&header).output().unwrap();
            assert!(output.status.success(), "{standard}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
