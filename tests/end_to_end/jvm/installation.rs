//! If Java, a jar or a class is missing, the error says which and what to do. Both routes to one
//! library load the same library.

use super::{Double, direct, jars, message};
use crate::support::{Bench, real};
use std::path::Path;

fn rabbit(bench: &Bench) -> crate::support::Run {
    let input = real("mesh/rabbit.obj");
    bench.run(&[
        "convert",
        input.to_str().unwrap(),
        "--to",
        "glb2",
        "--engine",
        "assimp-jvm",
        "-o",
        "r.glb",
        "--json",
    ])
}

#[test]
fn the_jar_converts_without_any_engines_file() {
    let bench = Bench::new();
    let json = rabbit(&bench).succeeded().json();
    assert_eq!(json["engine"]["name"], "assimp-jvm");
    assert_eq!(json["engine"]["library"], "Assimp");
    assert_eq!(&std::fs::read(bench.path("r.glb")).unwrap()[..4], b"glTF");
}

#[test]
fn without_a_jvm_the_answer_says_where_it_was_looked_for() {
    for name in ["CADMILL_JAVA_HOME", "JAVA_HOME"] {
        let bench = Bench::new().with(name, "/nonexistent/jdk");
        let json = rabbit(&bench).failed(11, "engine.library_missing");
        assert!(message(&json).contains(name) && message(&json).contains("/nonexistent/jdk"), "{json}");
        assert!(json["error"]["hint"].as_str().unwrap().contains("default-jre-headless"), "{json}");
    }
    // The other engines need no JVM.
    let bench = Bench::new().with("CADMILL_JAVA_HOME", "/nonexistent/jdk");
    let input = real("mesh/rabbit.obj");
    bench.run(&["convert", input.to_str().unwrap(), "--to", "glb", "-o", "r.glb"]).succeeded();
}

#[test]
fn a_java_that_is_named_is_the_one_that_runs() {
    // A symbolic link to the real directory: the resolved path is reported and allowed.
    let java = std::fs::canonicalize("/usr/bin/java").expect("a JDK: run `make setup`");
    let home = java.ancestors().nth(2).unwrap();
    let bench = Bench::new();
    std::os::unix::fs::symlink(home, bench.path("jdk")).unwrap();
    let path = bench.path("jdk");
    let bench = bench.with("CADMILL_JAVA_HOME", &path).with("JAVA_HOME", "/nonexistent");
    rabbit(&bench).succeeded();
}

#[test]
fn without_the_jars_the_answer_says_what_to_run() {
    let bench = Bench::new().with("CADMILL_JARS", "/nonexistent/jars");
    let json = rabbit(&bench).failed(11, "engine.library_missing");
    assert!(message(&json).contains("/nonexistent/jars"), "{json}");
}

/// An engine that does not declare its formats is asked for them. If it fails to answer, that is
/// the reported reason, not an unsupported output format.
#[test]
fn an_engine_that_cannot_be_asked_says_why() {
    let bench = Bench::new().with("CADMILL_JAVA_HOME", "/nonexistent/jdk");
    let (engines, input) = (bench.path("engines.toml"), real("mesh/cube_binary.ply"));
    std::fs::write(&engines, "[[engine]]\nname = 'vendor'\nkind = 'jvm'\nlibrary = '/opt/vendor.jar'\n")
        .unwrap();
    let arguments = ["convert", input.to_str().unwrap(), "--to", "stl", "--engine", "vendor", "--json"];
    let json = bench
        .run(&[&arguments[..], &["--engines-file", engines.to_str().unwrap()]].concat())
        .failed(11, "engine.library_missing");
    assert!(message(&json).contains("/nonexistent/jdk"), "{json}");
}

#[test]
fn a_class_path_without_a_converter_is_told() {
    let double = Double::new().keys("converter = \"com.example.Absent\"");
    let json = double.watch("ok").run.failed(11, "engine.library_missing");
    assert!(message(&json).contains("com.example.Absent"), "{json}");
    let double = Double::new().keys("class_path = [\"/nonexistent/more.jar\"]");
    let json = double.watch("ok").run.failed(11, "engine.library_missing");
    assert!(message(&json).contains("/nonexistent/more.jar"), "{json}");
}

#[test]
fn a_pinned_jar_is_checked() {
    let jar = jars().join("assimp/cadmill-assimp.jar");
    let bench = Bench::new();
    let engines = bench.path("engines.toml");
    let declare = |pin: &str, formats: &str| {
        let lwjgl =
            ["lwjgl-3.3.6.jar", "lwjgl-assimp-3.3.6.jar"].map(|name| jars().join("assimp").join(name));
        let text = format!(
            "[[engine]]\nname = \"pinned\"\nkind = \"jvm\"\nlibrary = {jar:?}\nsha256 = \"{pin}\"\n[engine.jvm]\n\
             class_path = {lwjgl:?}\nnatives = {:?}\n{formats}",
            jars().join("assimp/natives")
        );
        std::fs::write(&engines, text).unwrap();
    };
    let formats = "inputs = [\"ply\"]\noutputs = [{ id = \"stl\", extension = \"stl\" }]\n";
    let input = real("mesh/cube_binary.ply");
    let convert = || {
        let arguments = ["convert", input.to_str().unwrap(), "--to", "stl", "--engine", "pinned"];
        let more = ["--engines-file", engines.to_str().unwrap(), "-o", "out.stl", "--json"];
        bench.run(&[&arguments[..], &more[..]].concat())
    };
    declare(&"0".repeat(64), formats);
    let json = convert().failed(11, "engine.pin_mismatch");
    let found = message(&json).split("SHA-256 ").nth(1).unwrap()[..64].to_owned();
    declare(&found, formats);
    convert().succeeded();
    std::fs::remove_file(bench.path("out.stl")).unwrap();
    // If formats are not declared, the converter is asked for them before it converts.
    declare(&found, "");
    convert().succeeded();
    assert!(bench.path("out.stl").is_file());
}

#[test]
fn both_roads_load_the_library_out_of_the_jar() {
    let bench = Bench::new();
    let json =
        bench.run(&["engines", "--engines-file", direct().to_str().unwrap(), "--json"]).succeeded().json();
    let told = |name: &str| {
        let engine = json["engines"].as_array().unwrap().iter().find(|e| e["name"] == name).unwrap();
        assert_eq!(engine["available"], true, "{engine}");
        engine.clone()
    };
    let (jvm, ffi, debian) = (told("assimp-jvm"), told("assimp-ffi"), told("assimp"));
    assert_eq!(jvm["version"], ffi["version"]);
    assert_ne!(ffi["version"], debian["version"], "the jar has another version than Debian");
    assert_eq!((&jvm["writes"], &jvm["reads"]), (&ffi["writes"], &ffi["reads"]));
    let library = Path::new(ffi["path"].as_str().unwrap());
    assert_eq!(library, jars().join("assimp/natives/libassimp.so"));
    // It is not a default for any format: it runs only when it is named.
    assert!(json["defaults"].as_array().unwrap().iter().all(|row| row["engine"] != "assimp-jvm"), "{json}");
}
