//! Programs of others that read models: gmsh, and OpenCASCADE 8 by its Python binding, OCP.
//! `tests/plugins/occt_oracle.py` runs them; `make setup` installs them into `target/oracle-tools`.

use crate::support::repository;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a program finds in a file. Lengths are in millimetres.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Found {
    pub(super) file: PathBuf,
    pub(super) reader: String,
    pub(super) error: Option<String>,
    pub(super) solids: u64,
    pub(super) faces: u64,
    pub(super) colours: u64,
    pub(super) triangles: u64,
    /// Of the solids, or enclosed by triangles.
    pub(super) volume: f64,
    /// Of the faces.
    pub(super) area: f64,
    /// Of one solid of a large file, which is a copy of each other; from OCP only. There the sums are less
    /// exact.
    pub(super) one_volume: f64,
    /// The lower and the upper corner.
    #[serde(rename = "box")]
    pub(super) corners: [f64; 6],
    /// Whether triangles have no border; from gmsh only.
    pub(super) closes: bool,
}

impl Found {
    /// The diagonal of the bounding box.
    pub(super) fn diagonal(&self) -> f64 {
        (0..3).map(|axis| (self.corners[axis + 3] - self.corners[axis]).powi(2)).sum::<f64>().sqrt()
    }
}

fn oracle(arguments: &[&str]) -> Command {
    let python = repository().join("target/oracle-tools/bin/python3");
    assert!(python.exists(), "gmsh and OCP are not installed; run `make setup`");
    let mut command = Command::new(python);
    command.arg("-I").arg(repository().join("tests/plugins/occt_oracle.py")).args(arguments);
    command.stdin(Stdio::null());
    command
}

fn lines(command: &mut Command) -> Vec<Found> {
    let output = command.output().expect("python starts");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let found: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    found.into_iter().map(|line| serde_json::from_value(line).unwrap()).collect()
}

/// What each of the two finds in these files, in their order. They run beside one another.
pub(super) fn both(files: &[&Path]) -> [Vec<Found>; 2] {
    let names: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
    std::thread::scope(|scope| {
        ["gmsh", "ocp"]
            .map(|reader| {
                let arguments = [&[reader][..], &names].concat();
                scope.spawn(move || {
                    let found = lines(&mut oracle(&arguments));
                    assert_eq!(found.len(), arguments.len() - 1, "{reader} ended early");
                    for (each, file) in found.iter().zip(&arguments[1..]) {
                        assert_eq!((each.file.as_path(), each.reader.as_str()), (Path::new(file), reader));
                        assert_eq!(each.error, None, "{reader}: {file}");
                    }
                    found
                })
            })
            .map(|thread| thread.join().expect("the reader ends well"))
    })
}

/// Writes a large model, as STEP and as BREP: copies of a model in BREP that share nothing.
pub(super) fn write_copies(model: &Path, count: u32, step: &Path, brep: &Path) {
    let [model, step, brep] = [model, step, brep].map(|path| path.to_str().unwrap());
    let output = oracle(&["copies", model, &count.to_string(), step, brep]).output().expect("python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
