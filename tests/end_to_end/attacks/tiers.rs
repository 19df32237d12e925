//! The second locks, where the host gives them. Each test first sees whether it does:
//! in a container without privileges there is nothing to show.

use super::rig::{library_of, without_landlock, wrapped};
use crate::support::{Bench, Run, real};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A bench whose place others may enter.
fn open_bench() -> Bench {
    let bench = Bench::new().with("CADMILL_MIN_POSTURE", "syscalls");
    std::fs::set_permissions(bench.place(), std::fs::Permissions::from_mode(0o711)).unwrap();
    bench
}

fn engine(bench: &Bench) -> serde_json::Value {
    bench.run(&["doctor", "--json"]).succeeded().json()["engine"].clone()
}

/// An archive that holds one file.
fn archive(bench: &Bench, content: &str) -> PathBuf {
    let path = bench.path("input.zip");
    let mut writer = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    writer.start_file("model.obj", zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(content.as_bytes()).unwrap();
    writer.finish().unwrap();
    path
}

/// With a user id of its own the engine cannot read another job's files even where
/// Landlock is missing.
#[test]
fn an_own_user_keeps_other_jobs_apart_without_landlock() {
    let bench = open_bench();
    if engine(&bench)["own_uid"].is_null() {
        println!("skipped: this host gives no user id");
        return;
    }
    let other = tempfile::Builder::new().prefix("cadmill-other-").tempdir_in("/dev/shm").unwrap();
    std::fs::set_permissions(other.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let secret = other.path().join("model.obj");
    std::fs::write(&secret, "secret").unwrap();
    let input = archive(&bench, &format!("{}\n", secret.display()));
    let attack = super::ATTACKS.iter().find(|attack| attack.name == "read_given").unwrap();
    let library = library_of(attack);
    // The id may read what others may.
    let readable = bench.place().join("library.so");
    std::fs::copy(&library, &readable).unwrap();
    std::fs::set_permissions(&readable, std::fs::Permissions::from_mode(0o644)).unwrap();
    let engines = crate::misbehaviour::engines_file(&bench, &readable, "");
    let arguments = ["convert", input.to_str().unwrap(), "--to", "stl", "--engine", "double", "--json"];
    let arguments =
        [&arguments[..], &["--engines-file", engines.to_str().unwrap(), "-o", "out.stl"]].concat();
    let run = Run::from(wrapped(&without_landlock(), &bench.command(&arguments)).output().unwrap());
    std::fs::remove_file(&readable).unwrap();
    bench.assert_no_plaintext_left();
    let json = run.failed(15, "engine.rejected");
    assert!(json["error"]["message"].as_str().unwrap().contains("Permission denied"), "{json}");
}

/// Real libraries work under a user id of their own, and nothing is left that this
/// user could not remove.
#[test]
fn an_own_user_converts() {
    let bench = open_bench();
    if engine(&bench)["own_uid"].is_null() {
        println!("skipped: this host gives no user id");
        return;
    }
    let bench = bench.with("CADMILL_MIN_POSTURE", "isolated");
    for (input, format) in [("gis/naturalearth_lowres.zip", "gpkg"), ("mesh/wuson_ply.zip", "glb")] {
        let out = format!("out.{format}");
        let input = real(input);
        bench.run(&["convert", input.to_str().unwrap(), "--to", format, "-o", &out]).succeeded();
        assert!(bench.path(&out).metadata().unwrap().len() > 1000);
    }
}

/// An input that is read where it lies may be anyone's: the user id stays.
#[test]
fn an_input_of_the_user_is_read_as_the_user() {
    let bench = open_bench().with("CADMILL_MIN_POSTURE", "files");
    let input = bench.path("private.obj");
    std::fs::copy(real("mesh/rabbit.obj"), &input).unwrap();
    std::fs::set_permissions(&input, std::fs::Permissions::from_mode(0o600)).unwrap();
    bench.run(&["convert", input.to_str().unwrap(), "--to", "stl", "-o", "out.stl"]).succeeded();
}
