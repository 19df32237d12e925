//! GDAL as a reader: of the source, and of the drawing.

use super::shapes::{Areas, Shape, What, of_geometry};
use super::wkt::{Geometry, Vertex};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Lines of a table: the values by the names of columns.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// A value by the name of its column; empty if there is none.
    pub(super) fn value<'a>(&self, row: &'a [String], column: &str) -> &'a str {
        let same = |name: &String| name == column;
        let other = |name: &String| name.eq_ignore_ascii_case(column);
        let at = self.columns.iter().position(same).or_else(|| self.columns.iter().position(other));
        at.and_then(|at| row.get(at)).map_or("", String::as_str)
    }
}

/// The features of a file as GDAL reads them, with the geometry in the first column.
pub(super) fn features(input: &Path, layer: &[&str]) -> Table {
    let precise = ["--config", "OGR_WKT_PRECISION", "17"];
    let run = run(input, &precise, &[&["CSV"], layer, &["-lco", "GEOMETRY=AS_WKT"]].concat());
    table(&String::from_utf8_lossy(&run))
}

/// The shapes of a drawing. Blocks are not inlined: an insertion is a point.
pub(super) fn shapes(drawing: &Path, utf8: bool) -> Vec<Shape> {
    let inline = ["--config", "DXF_INLINE_BLOCKS", "FALSE"];
    let encoding: &[&str] = if utf8 { &["--config", "DXF_ENCODING", "UTF-8"] } else { &[] };
    let configuration = [&inline[..], encoding].concat();
    // Coordinates by GeoJSON, as GDAL 3.6 cuts the zero at the end of exponents in well-known text, and
    // the rest by a table, as it writes text that looks like JSON as such.
    let json = run(drawing, &configuration, &["GeoJSON", "entities", "-lco", "SIGNIFICANT_FIGURES=17"]);
    let json: Value = serde_json::from_str(&String::from_utf8_lossy(&json)).expect("JSON");
    let geometries = json["features"].as_array().expect("features");
    let table = table(&String::from_utf8_lossy(&run(drawing, &configuration, &["CSV", "entities"])));
    assert_eq!(geometries.len(), table.rows.len());
    geometries
        .iter()
        .zip(&table.rows)
        .flat_map(|(json, row)| shapes_of(&json["geometry"], &table, row))
        .collect()
}

/// What ogr2ogr writes: in a format, of layers, with options.
fn run(input: &Path, configuration: &[&str], arguments: &[&str]) -> Vec<u8> {
    let (format, rest) = arguments.split_first().expect("a format");
    let run = Command::new("ogr2ogr")
        .args(configuration)
        .args(["-f", format, "/vsistdout/"])
        .arg(input)
        .args(rest)
        .output()
        .expect("ogr2ogr starts");
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && !told.contains("ERROR"), "{}: {told}", input.display());
    run.stdout
}

fn shapes_of(json: &Value, table: &Table, row: &[String]) -> Vec<Shape> {
    let (layer, text) = (table.value(row, "Layer"), table.value(row, "Text"));
    match table.value(row, "SubClasses").rsplit(':').next() {
        // It leaves the escapes of percent signs.
        Some("AcDbText") => return vec![Shape::new(layer, What::Text(text.replace("%%%", "%")), Vec::new())],
        Some("AcDbMText") => return vec![Shape::new(layer, What::Text(text.to_owned()), Vec::new())],
        _ => {}
    }
    let geometry = geometry(json);
    let found = of_geometry(&geometry, layer, Areas::Hatches);
    // An area that is not flat is a face.
    if geometry.kind == "POLYGON" && found.iter().all(|shape| shape.what == What::Line) {
        let rings = geometry.parts.into_iter().map(|ring| ring.points).collect();
        return vec![Shape::new(layer, What::Area, rings)];
    }
    found
}

fn geometry(json: &Value) -> Geometry {
    let kind = json["type"].as_str().unwrap_or_default().to_uppercase();
    let list = |name: &str| json[name].as_array().into_iter().flatten();
    let mut geometry = match kind.as_str() {
        "POINT" => Geometry { points: vec![vertex(&json["coordinates"])], ..Geometry::default() },
        "LINESTRING" | "MULTIPOINT" => {
            Geometry { points: list("coordinates").map(vertex).collect(), ..Geometry::default() }
        }
        "GEOMETRYCOLLECTION" => {
            Geometry { parts: list("geometries").map(self::geometry).collect(), ..Geometry::default() }
        }
        _ => nested(&json["coordinates"]),
    };
    geometry.kind = kind;
    geometry
}

/// Rings, or areas of them.
fn nested(json: &Value) -> Geometry {
    let list = json.as_array().map_or(&[][..], Vec::as_slice);
    match list.first() {
        Some(first) if first[0].is_number() => {
            Geometry { points: list.iter().map(vertex).collect(), ..Geometry::default() }
        }
        _ => Geometry { parts: list.iter().map(nested).collect(), ..Geometry::default() },
    }
}

fn vertex(json: &Value) -> Vertex {
    [0, 1, 2].map(|axis| json[axis].as_f64().unwrap_or(0.0))
}

/// Reads comma-separated values, of which some are quoted.
fn table(text: &str) -> Table {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let (mut row, mut value, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                value.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut value)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut value));
                rows.push(std::mem::take(&mut row));
            }
            letter => value.push(letter),
        }
    }
    let columns = if rows.is_empty() { Vec::new() } else { rows.remove(0) };
    Table { columns, rows }
}
