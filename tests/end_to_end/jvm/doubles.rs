//! The Java doubles and their native libraries, compiled once per run. Without a compiler, as in a
//! container, the results of an earlier run elsewhere are used.

use super::jars;
use crate::support::{builds_with, compile_c, repository};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The classes of `Misbehaving.java`.
pub(super) fn classes() -> &'static Path {
    static CLASSES: OnceLock<PathBuf> = OnceLock::new();
    CLASSES.get_or_init(|| {
        compiled("java", "Misbehaving", &["Misbehaving.java", "Ordinary.java", "Newer.java"], |fresh| {
            std::fs::remove_file(fresh.join("Misbehaving$Absent.class")).unwrap();
            // The major version of a class file is its bytes 6 and 7 (JVM specification, 4.1).
            let newer = fresh.join("Newer.class");
            let mut bytes = std::fs::read(&newer).unwrap();
            bytes[6..8].copy_from_slice(&999u16.to_be_bytes());
            std::fs::write(&newer, bytes).unwrap();
        })
    })
}

/// The classes of `Attack.java`, which loads the libraries of the attacks.
pub(crate) fn attacking() -> &'static Path {
    static CLASSES: OnceLock<PathBuf> = OnceLock::new();
    CLASSES.get_or_init(|| compiled("java-attack", "Attack", &["Attack.java"], |_| ()))
}

/// Compiles sources into a directory with this name, used as a class path with one converter.
fn compiled(name: &str, converter: &str, sources: &[&str], change: impl FnOnce(&Path)) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if !builds_with("javac") && place.is_dir() {
        return place;
    }
    let fresh = place.with_extension(std::process::id().to_string());
    let directory = repository().join("tests/fixtures/doubles/java");
    let mut command = Command::new("javac");
    command.args(["--release", "17", "-d"]).arg(&fresh).arg("-cp").arg(jars().join("cadmill-bridge.jar"));
    let output = command.args(sources.iter().map(|source| directory.join(source))).output();
    let output = output.expect("a Java compiler: run `make setup`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let services = fresh.join("META-INF/services");
    std::fs::create_dir_all(&services).unwrap();
    std::fs::write(services.join("io.cadmill.Converter"), format!("{converter}\n")).unwrap();
    change(&fresh);
    let _ = std::fs::remove_dir_all(&place);
    std::fs::rename(&fresh, &place).unwrap();
    place
}

/// A Java engine for an engines file, with additional lines in its `jvm` section.
pub(crate) fn declared(name: &str, library: &Path, keys: &str) -> String {
    format!(
        "[[engine]]\nname = {name:?}\nkind = \"jvm\"\nlibrary = {library:?}\n[engine.jvm]\n\
         inputs = [\"obj\"]\noutputs = [{{ id = \"stl\", extension = \"stl\" }}, \
         {{ id = \"glb2\", extension = \"glb\" }}]\n{keys}\n"
    )
}

/// What the double's native library can do when it is called.
pub(super) const NATIVES: [(&str, &str); 4] = [
    ("segv", "*(volatile int *)0 = 1"),
    ("abort", "abort()"),
    ("trap", "__builtin_trap()"),
    ("leave", "_exit(7)"),
];

/// A directory with the double's native library, built with this behaviour.
pub(super) fn natives(name: &str) -> PathBuf {
    let (_, crash) = NATIVES.iter().find(|(known, _)| *known == name).expect("a library of the table");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("java-natives").join(name);
    let library = place.join("libmisbehaving.so");
    if !builds_with("cc") && library.is_file() {
        return place;
    }
    let does = format!("-DCRASH={crash}");
    compile_c(&library, &["-shared", "-fPIC", "-w", &does], "java/misbehaving.c");
    place
}

/// Run on its own, this test builds what a container without compilers needs.
#[test]
fn every_double_is_built() {
    assert!(classes().join("Misbehaving.class").is_file() && attacking().join("Attack.class").is_file());
    for (name, _) in NATIVES {
        assert!(natives(name).join("libmisbehaving.so").is_file());
    }
}
