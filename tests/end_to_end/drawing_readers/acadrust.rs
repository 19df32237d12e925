//! acadrust as a reader, in a program of its own: `tests/readers`, which is built when it is asked first.

use super::shapes::{Shape, What};
use super::wkt::Vertex;
use crate::support::repository;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The entities of a drawing's model space.
pub(super) fn shapes(drawing: &Path) -> Vec<Shape> {
    let run = Command::new(program()).arg(drawing).output().expect("the reader starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let text = String::from_utf8(run.stdout).expect("UTF-8");
    text.split('\n')
        .filter(|line| !line.is_empty())
        .map(|line| shape(&serde_json::from_str(line).unwrap()))
        .collect()
}

fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let manifest = repository().join("tests/readers/Cargo.toml");
        let target = repository().join("target/readers");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--manifest-path"])
            .arg(manifest)
            .arg("--target-dir")
            .arg(&target)
            // Lints are those of the workspace.
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .status()
            .expect("cargo starts");
        assert!(built.success(), "the reader is built");
        target.join("debug/cadmill-readers")
    })
}

fn shape(facts: &Value) -> Shape {
    let layer = facts["layer"].as_str().unwrap();
    let what = match facts["what"].as_str().unwrap() {
        "point" => What::Point,
        "line" => What::Line,
        "area" => What::Area,
        _ => What::Text(facts["text"].as_str().unwrap().to_owned()),
    };
    let rings = facts["rings"].as_array().into_iter().flatten();
    Shape::new(layer, what, rings.map(vertices).collect())
}

fn vertices(points: &Value) -> Vec<Vertex> {
    let real = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    let points = points.as_array().expect("points").iter();
    points.map(|point| [real(&point[0]), real(&point[1]), real(&point[2])]).collect()
}
