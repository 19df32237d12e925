//! `cadmill engines new`: what it writes builds as its README says, exports one function and converts.

use crate::support::{Bench, Run, repository};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A name of which no language takes every letter.
const NAME: &str = "3d-parts";

/// The lines of the code blocks of the README in a language, as the reader copies them.
fn blocks(readme: &str, language: &str) -> Vec<String> {
    let blocks = readme.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(language)).map(|block| block.trim().to_owned()).collect()
}

/// Runs a command of the README. Cargo gets nothing of the build of cadmill, and no network.
fn run(command: &str, directory: &Path) -> String {
    let ours = [
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET_DIR",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
    ];
    let mut shell = Command::new("sh");
    let ours_first = Path::new(env!("CARGO_BIN_EXE_cadmill")).parent().unwrap().display();
    let path = format!("{ours_first}:{}", std::env::var("PATH").unwrap());
    shell.args(["-euc", command]).current_dir(directory).env("CARGO_NET_OFFLINE", "true").env("PATH", path);
    for name in ours {
        shell.env_remove(name);
    }
    let output = shell.output().expect("a shell");
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{command}: {text}");
    text
}

/// A plugin, written and built, and the engines file of its README.
fn begun(language: &str) -> (Bench, PathBuf) {
    let bench = Bench::new();
    let report = bench.run(&["engines", "new", NAME, "--lang", language, "--json"]).succeeded().json();
    let directory = bench.path(NAME);
    assert_eq!(report["directory"], NAME);
    for file in report["files"].as_array().unwrap() {
        let text = std::fs::read_to_string(directory.join(file.as_str().unwrap())).unwrap();
        assert!(!text.contains("@NAME") && !text.contains("@VERSION@"), "{file}: {text}");
    }
    let readme = std::fs::read_to_string(directory.join("README.md")).unwrap();
    let commands = blocks(&readme, "sh");
    let built = run(&commands[0], &directory);
    assert!(!built.contains("warning"), "{built}");
    let exported = run(&commands[1], &directory);
    let names: Vec<&str> = exported.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert_eq!(names, ["cadmill_plugin_entry_v1"], "{exported}");
    let library = directory.join(report["library"].as_str().unwrap());
    assert!(library.is_file(), "{}", library.display());
    // It passes its check, is added and converts.
    let checked = run(&commands[2], &directory);
    assert!(checked.contains("\npassed, with 1 warning\n"), "{checked}");
    assert!(directory.join("sample.obj").is_file(), "{checked}");
    let declared = blocks(&readme, "toml")[0].replace(&format!("/opt/{NAME}"), directory.to_str().unwrap());
    std::fs::write(bench.path("engines.toml"), declared).unwrap();
    (bench, library)
}

fn convert(bench: &Bench, input: &str, more: &[&str]) -> Run {
    let usual = ["convert", input, "--to", "obj", "--engines-file", "engines.toml", "--engine", NAME];
    bench.run(&[&usual[..], &["-o", "out.obj", "--json"], more].concat())
}

fn begins_and_converts(language: &str) {
    let (bench, _) = begun(language);
    let sample = format!("{NAME}/sample.xyz");
    let report = convert(&bench, &sample, &["--opt", "scale=2"]).succeeded().json();
    assert_eq!(std::fs::read_to_string(bench.path("out.obj")).unwrap(), "v 0 0 3\nv -2000 4 6\n");
    assert_eq!((&report["facts"], &report["losses"]), (&json!({"points": "2"}), &json!(1)));
    assert_eq!(report["warnings"][0], "labels left out, which OBJ does not have: 1");
    convert(&bench, &sample, &["--strict"]).failed(28, "engine.incomplete");
    convert(&bench, &sample, &["--opt", "scale=0"]).failed(2, "usage.option");
    for (content, exit, code, said) in [
        ("0 0 0\n1 2 x\n", 15, "engine.rejected", "line 2: expected three numbers"),
        ("1 2 nan\n", 15, "engine.rejected", "line 1: expected three numbers"),
        ("# nothing\n\n", 15, "engine.rejected", "it has no points"),
        ("1e308 0 0\n", 27, "engine.unfit", "point 1 is too large for the scale"),
    ] {
        std::fs::write(bench.path("bad.xyz"), content).unwrap();
        let failure = convert(&bench, "bad.xyz", &["--opt", "scale=1000"]).failed(exit, code);
        let message = failure["error"]["message"].as_str().unwrap();
        assert!(message.contains(said), "{content:?}: {message}");
    }
}

#[test]
fn a_plugin_in_c_begins_with_one_command() {
    begins_and_converts("c");
}

#[test]
fn a_plugin_in_cpp_begins_with_one_command() {
    begins_and_converts("cpp");
}

#[test]
fn a_plugin_in_rust_begins_with_one_command() {
    begins_and_converts("rust");
}

#[test]
fn people_are_told_what_comes_next() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("of vendor")).unwrap();
    let run = bench.run(&["engines", "new", "parts", "--lang", "cpp", "--dir", "of vendor"]).succeeded();
    let next = "next:\n  cd 'of vendor/parts'\n  cmake -B build && cmake --build build\n  cadmill engines check \
                build/libparts.so --sample sample.xyz --without-counts\n  cadmill engines add build/libparts.so \
                --name parts --sample sample.xyz --without-counts --engines-file engines.toml\n";
    assert!(run.stdout.starts_with("of vendor/parts: plugin.cpp, CMakeLists.txt,"), "{}", run.stdout);
    assert!(run.stdout.contains(next), "{}", run.stdout);
}

#[test]
fn a_plugin_is_not_begun_where_something_is() {
    let bench = Bench::new();
    let new = |more: &[&str]| bench.run(&[&["engines", "new", "--json"], more].concat());
    for (arguments, code) in [
        (&["Parts", "--lang", "c"][..], "usage.invalid"),
        (&["a/b", "--lang", "c"], "usage.invalid"),
        (&["", "--lang", "c"], "usage.invalid"),
        (&["--lang", "c", "--", "-parts"], "usage.invalid"),
        (&["parts"], "usage.invalid"),
        (&["parts", "--lang", "go"], "usage.invalid"),
        (&["parts", "--lang", "c", "--dir", "missing"], "usage.output_directory"),
    ] {
        new(arguments).failed(2, code);
    }
    assert_eq!(std::fs::read_dir(bench.path("")).unwrap().count(), 0, "nothing was written");
    // An empty directory may be somebody's, and so may a link that leads nowhere.
    std::fs::create_dir(bench.path("parts")).unwrap();
    std::os::unix::fs::symlink("nowhere", bench.path("linked")).unwrap();
    for name in ["parts", "linked"] {
        let failure = new(&[name, "--lang", "c"]).failed(2, "usage.invalid");
        assert!(failure["error"]["message"].as_str().unwrap().contains("exists already"), "{failure}");
    }
    assert_eq!(std::fs::read_dir(bench.path("")).unwrap().count(), 2);
    assert_eq!(std::fs::read_dir(bench.path("parts")).unwrap().count(), 0);
}

/// As on a full disk: no file may have more than 1024 bytes.
#[test]
fn a_plugin_that_cannot_be_written_leaves_nothing() {
    let bench = Bench::new();
    let cadmill = bench.command(&[""]).get_program().to_owned();
    let mut shell = Command::new("sh");
    let limited = "trap '' XFSZ; ulimit -f 2; exec \"$0\" engines new parts --lang c --json";
    shell.args(["-c", limited]).arg(cadmill).current_dir(bench.path(""));
    Run::from(shell.output().unwrap()).failed(20, "infra.io");
    assert_eq!(std::fs::read_dir(bench.path("")).unwrap().count(), 0);
}

/// The crate that is written is the one of this repository.
#[test]
fn the_crate_in_a_plugin_in_rust_is_whole() {
    let bench = Bench::new();
    bench.run(&["engines", "new", "parts", "--lang", "rust"]).succeeded();
    let names = |directory: PathBuf| {
        let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<(String, String)> = files
            .map(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, std::fs::read_to_string(&path).unwrap())
            })
            .collect();
        files.sort();
        files
    };
    let written = names(bench.path("parts/cadmill-plugin/src"));
    assert!(written.len() > 4);
    assert_eq!(written, names(repository().join("crates/plugin/src")));
    let manifest = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    let (written, ours) =
        (manifest(bench.path("parts/cadmill-plugin/Cargo.toml")), manifest(repository().join("Cargo.toml")));
    for key in ["version", "edition", "rust-version", "license"] {
        let line = |text: &str| {
            let found = text.lines().find(|line| line.starts_with(&format!("{key} = ")));
            found.unwrap_or_else(|| panic!("no {key} in {text}")).to_owned()
        };
        assert_eq!(line(&written), line(&ours));
    }
}
