//! Runs the writers. Those that are libraries are driven by a program for each language, which writes
//! all archives in one process; command lines run once for each archive.

use crate::cell::{Cell, Method, Names, Output, Zip64};
use crate::member;
use crate::writer::{Driver, Writer};
use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Writes these archives of one driver and returns their bytes.
///
/// A writer that fails ends the test.
pub(crate) fn write(driver: Driver, archives: &[(&'static Writer, Cell)]) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    member::put_trees(folder.path());
    let paths: Vec<PathBuf> = (0..archives.len()).map(|n| folder.path().join(format!("{n}.zip"))).collect();
    if driver == Driver::CommandLine {
        for ((writer, cell), path) in archives.iter().zip(&paths) {
            run_command_line(writer, *cell, folder.path(), path);
        }
    } else {
        let mut list = String::new();
        for (number, (writer, cell)) in archives.iter().enumerate() {
            writeln!(list, "{}\t{}\t{number}.zip", writer.name, cell.words().join("\t")).unwrap();
        }
        std::fs::write(folder.path().join("archives.tsv"), list).unwrap();
        std::fs::write(folder.path().join("members.tsv"), member::list()).unwrap();
        run(program(driver, folder.path()));
    }
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn program(driver: Driver, folder: &Path) -> Command {
    let sources = repository().join("tests/fixtures/writers");
    match driver {
        Driver::Node => {
            let mut node = Command::new("node");
            node.arg(sources.join("archives.mjs")).arg(tool("tools-node"));
            node.arg(folder);
            node
        }
        Driver::Python => {
            let mut python = Command::new(tool("tools/bin/python3"));
            python.arg(sources.join("archives.py")).arg(folder);
            python
        }
        Driver::Java => {
            let mut java = Command::new("java");
            // It compiles the source and runs it, both briefly.
            java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "--class-path"]);
            java.arg(tool("tools-java").join("*")).arg(sources.join("Archives.java")).arg(folder);
            java
        }
        Driver::CommandLine => unreachable!("command lines have no program"),
    }
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// What `make setup` puts into `target`.
fn tool(name: &str) -> PathBuf {
    let path = repository().join("target").join(name);
    assert!(path.exists(), "target/{name} is missing; run `make setup`");
    path
}

/// Runs it to its end, and returns what it wrote into its standard output, a pipe.
fn run(mut command: Command) -> Vec<u8> {
    let run = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(run.status.success(), "{command:?}: {}", String::from_utf8_lossy(&run.stderr));
    run.stdout
}

/// Streams go through a pipe; the program names the file itself otherwise.
fn run_command_line(writer: &Writer, cell: Cell, folder: &Path, path: &Path) {
    let stream = cell.output == Output::Stream;
    let (program, mut arguments) = match writer.name {
        "zip" => zip(cell),
        "7z" => seven_zip(cell),
        "bsdtar" => bsdtar(cell),
        other => unreachable!("{other} is not a command-line writer"),
    };
    // `bsdtar` converts the names; the others take them from the file system as they are.
    let converts = program == "bsdtar" && cell.names == Names::Cp949;
    let names = if converts { Names::Utf8 } else { cell.names };
    arguments.push(match (stream, program) {
        // 7-Zip wants a name of the archive all the same.
        (true, "7z") => "out".into(),
        (true, _) => "-".into(),
        (false, _) => path.as_os_str().to_owned(),
    });
    arguments.extend(member::members().iter().map(|m| OsString::from_vec(m.bytes(names).to_owned())));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(member::tree(folder, names));
    command.env("LC_ALL", if names == Names::Cp949 { "C" } else { "C.UTF-8" });
    let output = run(command);
    if stream {
        std::fs::write(path, output).unwrap();
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.into_iter().filter(|word| !word.is_empty()).map(OsString::from).collect()
}

fn zip(cell: Cell) -> (&'static str, Vec<OsString>) {
    let stored = if cell.method == Method::Stored { "-0" } else { "" };
    let wide = if cell.zip64 == Zip64::Always { "-fz" } else { "" };
    ("zip", words(["-q", stored, wide]))
}

fn seven_zip(cell: Cell) -> (&'static str, Vec<OsString>) {
    let stored = if cell.method == Method::Stored { "-mx0" } else { "" };
    let piped = if cell.output == Output::Stream { "-so" } else { "" };
    ("7z", words(["a", "-bd", "-tzip", stored, piped]))
}

fn bsdtar(cell: Cell) -> (&'static str, Vec<OsString>) {
    let method =
        if cell.method == Method::Stored { "zip:compression=store" } else { "zip:compression=deflate" };
    let wide = if cell.zip64 == Zip64::Always { ",zip:zip64" } else { "" };
    let names = if cell.names == Names::Cp949 { ",zip:hdrcharset=CP949" } else { "" };
    // -n: no member of a directory that is not named.
    ("bsdtar", words(["--format", "zip", "--options", &[method, wide, names].concat(), "-cnf"]))
}
