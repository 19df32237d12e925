//! A cadmill built without the feature `jvm`: Java engines are refused with a code for this case,
//! and everything else is unchanged.
//!
//! The programs are built by tests/without_jvm.sh.

use super::message;
use crate::support::{Bench, Run, real};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs that tests/without_jvm.sh built, from this revision.
fn programs() -> PathBuf {
    let programs = Path::new(env!("CARGO_BIN_EXE_cadmill")).with_file_name("../without-jvm");
    let help = "run tests/without_jvm.sh";
    assert!(programs.join("cadmill").is_file(), "{} is missing: {help}", programs.display());
    let version = |program: &Path| Command::new(program).arg("--version").output().unwrap().stdout;
    let (this, other) =
        (version(Path::new(env!("CARGO_BIN_EXE_cadmill"))), version(&programs.join("cadmill")));
    assert_eq!(this, other, "{} is of another revision: {help}", programs.display());
    programs.canonicalize().unwrap()
}

/// Runs the same command with that build of `cadmill`.
fn run(bench: &Bench, arguments: &[&str]) -> Run {
    let usual = bench.command::<&str>(&[]);
    let mut command = Command::new(programs().join("cadmill"));
    command.args(arguments).current_dir(usual.get_current_dir().unwrap()).stdin(std::process::Stdio::null());
    command.envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let run = Run::from(command.output().unwrap());
    bench.assert_no_plaintext_left();
    run
}

fn rabbit(bench: &Bench, to: &str, engine: &str) -> Run {
    let input = real("mesh/rabbit.obj");
    let input = input.to_str().unwrap();
    run(bench, &["convert", input, "--to", to, "--engine", engine, "-o", "out", "--json"])
}

#[test]
fn an_engine_in_java_is_refused_and_the_answer_says_what_to_do() {
    // No installation of Java would help, and the error asks for none.
    for java in [None, Some("/nonexistent/jdk")] {
        let bench = java.into_iter().fold(Bench::new(), |bench, home| bench.with("CADMILL_JAVA_HOME", home));
        let json = rabbit(&bench, "glb2", "assimp-jvm").failed(11, "engine.not_built");
        assert!(message(&json).contains("without the feature `jvm`"), "{json}");
        assert!(json["error"]["hint"].as_str().unwrap().contains("another engine"), "{json}");
        assert!(!bench.path("out").exists());
    }
}

/// The same for an engine from an engines file, with or without formats, with or without its jar.
#[test]
fn an_engine_of_an_engines_file_is_refused_alike() {
    let bench = Bench::new();
    let (engines, input) = (bench.path("engines.toml"), real("mesh/cube_binary.ply"));
    let jar = super::jars().join("assimp/cadmill-assimp.jar");
    let formats = "inputs = [\"ply\"]\noutputs = [{ id = \"stl\", extension = \"stl\" }]\n";
    for (library, formats) in [(jar.as_path(), ""), (&jar, formats), (Path::new("/nonexistent.jar"), formats)]
    {
        let text = format!(
            "[[engine]]\nname = \"vendor\"\nkind = \"jvm\"\nlibrary = {library:?}\n[engine.jvm]\n{formats}"
        );
        std::fs::write(&engines, text).unwrap();
        let arguments = ["convert", input.to_str().unwrap(), "--to", "stl", "--engine", "vendor", "--json"];
        let json = run(&bench, &[&arguments[..], &["--engines-file", engines.to_str().unwrap()]].concat())
            .failed(11, "engine.not_built");
        assert!(message(&json).contains("without the feature `jvm`"), "{library:?} {formats}: {json}");
    }
}

#[test]
fn the_list_of_engines_tells_it() {
    let bench = Bench::new();
    let json = run(&bench, &["engines", "--json"]).succeeded().json();
    let engines = json["engines"].as_array().unwrap();
    let told = |name: &str| engines.iter().find(|engine| engine["name"] == name).unwrap();
    assert_eq!(told("assimp-jvm")["available"], false);
    assert_eq!(told("assimp-jvm")["error"]["code"], "engine.not_built");
    assert_eq!((&told("assimp")["available"], &told("gdal")["available"]), (&true.into(), &true.into()));
    let text = run(&bench, &["engines"]).succeeded().stdout;
    assert!(text.contains("assimp-jvm: not available: this cadmill was built without"), "{text}");
}

/// The same bytes as the default build writes, and the same confinement.
#[test]
fn all_else_works() {
    for (to, engine, input) in
        [("glb", "assimp", "mesh/rabbit.obj"), ("dxf", "gdal", "gis/naturalearth_lowres.zip")]
    {
        let (with, without) = (Bench::new(), Bench::new());
        let input = real(input);
        let arguments =
            ["convert", input.to_str().unwrap(), "--to", to, "--engine", engine, "-o", "out", "--json"];
        with.run(&arguments).succeeded();
        let json = run(&without, &arguments).succeeded().json();
        assert_eq!(json["engine"]["name"], engine);
        let read = |bench: &Bench| std::fs::read(bench.path("out")).unwrap();
        assert!(read(&without).len() > 1000 && read(&with) == read(&without), "{input:?}");
    }
    let json = run(&Bench::new(), &["doctor", "--json"]).succeeded().json();
    assert_eq!(json["sufficient"], true);
}

/// The JVM support is not switched off but absent: the host that can start a JVM contains the name
/// of the function that starts it, and this host does not.
#[test]
fn the_code_that_starts_a_jvm_is_not_in_it() {
    let names_it = |host: &Path| {
        let program = std::fs::read(host).unwrap();
        memchr::memmem::find(&program, b"JNI_CreateJavaVM").is_some()
    };
    assert!(names_it(&Path::new(env!("CARGO_BIN_EXE_cadmill")).with_file_name("cadmill-engine-host")));
    assert!(!names_it(&programs().join("cadmill-engine-host")));
}
