//! STEP, IGES and BREP by the engine `occt`: nothing of a model is lost in silence.
//!
//! The models are those of the npm package that `tests/fixtures/models` pins (of the CAx Implementor
//! Forum), and of Debian's `occt-misc`. What a conversion keeps is read from its result (`kept`, `texts`,
//! `written`), also by programs of others (`exchange`, `readers`). Damaged files are refused, or lose
//! nothing (`broken`, `damage`). A conversion can be stopped at any moment (`cancelled`), and models come
//! through the server as they come from `cadmill convert` (`submitted`).

mod broken;
mod cancelled;
mod damage;
mod exchange;
mod kept;
mod readers;
mod submitted;
mod texts;
mod written;

use crate::support::{Bench, Run, zipped};
use serde_json::Value;
use std::path::{Path, PathBuf};
use zip::CompressionMethod::Deflated;

/// The target directory of the build.
fn target() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_cadmill")).parent().unwrap().parent().unwrap()
}

/// A model of the npm package.
fn model(name: &str) -> PathBuf {
    let path = target().join("models-node/node_modules/occt-import-js/test/testfiles").join(name);
    assert!(path.exists(), "{} is missing: run `make setup`", path.display());
    path
}

/// A model of Debian's package.
fn sample(name: &str) -> PathBuf {
    let path = Path::new("/usr/share/opencascade/data").join(name);
    assert!(path.exists(), "{} is missing: run `make setup`", path.display());
    path
}

fn convert(bench: &Bench, input: &Path, output: &str, more: &[&str]) -> Run {
    let format = output.rsplit_once('.').unwrap().1;
    let usual = ["convert", input.to_str().unwrap(), "--to", format, "-o", output, "--json"];
    bench.run(&[&usual[..], more].concat())
}

/// A fact of the report, as a number.
fn fact(json: &Value, name: &str) -> u64 {
    json["facts"][name]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("{name}: {json}"))
}

fn solids_and_faces(json: &Value) -> (u64, u64) {
    (fact(json, "solids"), fact(json, "faces"))
}

/// The files of an assembly that refers to others.
fn assembly_files() -> Vec<(String, Vec<u8>)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(model("cax-if/s1-c5-214"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "stp"))
        .collect();
    paths.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}

fn archived(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    zipped(&files.iter().map(|(name, bytes)| (name.as_str(), Deflated, &bytes[..])).collect::<Vec<_>>())
}

/// These files as an archive, without one and with another.
fn assembly(without: &str, with: Option<(&str, &[u8])>) -> Vec<u8> {
    let mut files = assembly_files();
    files.retain(|(name, _)| name != without);
    files.extend(with.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())));
    archived(&files)
}
