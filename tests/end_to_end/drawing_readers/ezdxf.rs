//! ezdxf as a reader: strict, and with its audit.

use super::shapes::{Shape, What};
use super::wkt::Vertex;
use crate::support::repository;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// What ezdxf says of a drawing.
#[derive(Debug, Default)]
pub(super) struct Drawing {
    /// The release, the encoding and the unit.
    pub(super) header: Value,
    pub(super) entities: Vec<Value>,
}

/// Reads all drawings of a folder, by their names. Its audit must find nothing.
pub(super) fn read(folder: &Path) -> BTreeMap<String, Drawing> {
    let python = repository().join("target/tools/bin/python3");
    assert!(python.exists(), "ezdxf is not installed; run `make setup`, which puts it into target/tools");
    let run = Command::new(python)
        .arg(repository().join("crates/dxf/tests/oracle.py"))
        .arg("both")
        .arg(folder)
        // Its caches are no business of the home directory.
        .env("XDG_CACHE_HOME", folder)
        .env("XDG_CONFIG_HOME", folder)
        .env("PYTHONUTF8", "1")
        .output()
        .expect("python starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let text = String::from_utf8(run.stdout).expect("UTF-8");
    let mut drawings: BTreeMap<String, Drawing> = BTreeMap::new();
    for line in text.split('\n').filter(|line| !line.is_empty()) {
        let facts: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("the audit found {line}"));
        let drawing = drawings.entry(facts["file"].as_str().unwrap().to_owned()).or_default();
        match facts["kind"].as_str() {
            Some("HEADER") => drawing.header = facts,
            _ => drawing.entities.push(facts),
        }
    }
    drawings
}

/// An entity as a shape.
pub(super) fn shape(facts: &Value) -> Shape {
    let layer = facts["layer"].as_str().unwrap();
    let points = || vec![vertices(&facts["points"])];
    let kind = facts["kind"].as_str().unwrap();
    let mut shape = match kind {
        "POINT" | "INSERT" => Shape::new(layer, What::Point, points()),
        "LINE" | "LWPOLYLINE" | "POLYLINE" => Shape::new(layer, What::Line, points()),
        "3DFACE" => Shape::new(layer, What::Area, points()),
        "HATCH" => {
            let rings = facts["rings"].as_array().unwrap().iter().map(vertices).collect();
            Shape::new(layer, What::Area, rings)
        }
        "TEXT" | "MTEXT" => {
            Shape::new(layer, What::Text(facts["text"].as_str().unwrap().to_owned()), Vec::new())
        }
        other => panic!("{other} was not written"),
    };
    let data = facts["data"]["CADMILL"].as_array().into_iter().flatten();
    shape.attributes = data.map(|tag| tag[1].as_str().unwrap().to_owned()).collect();
    if let Some(attributes) = facts["attributes"].as_object().filter(|all| !all.is_empty()) {
        let of = |(tag, value): (&String, &Value)| format!("{tag}={}", value.as_str().unwrap());
        shape.attributes = attributes.iter().map(of).collect();
    }
    shape
}

fn vertices(points: &Value) -> Vec<Vertex> {
    let points = points.as_array().expect("points").iter();
    points.map(|point| [real(&point[0]), real(&point[1]), real(&point[2])]).collect()
}

/// A real, which is text so that none of its digits is lost.
pub(super) fn real(value: &Value) -> f64 {
    match &value["real"] {
        Value::String(text) => text.parse().unwrap(),
        _ => value.as_f64().unwrap(),
    }
}
