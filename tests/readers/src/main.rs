//! Reads drawings with acadrust, which must read every record, and find nothing to report or to mend:
//! `cadmill-readers DRAWING`. Prints an entity of the model space on each line, as JSON.

use acadrust::entities::{BoundaryEdge, BoundaryPath, EntityType};
use acadrust::types::Vector3;
use serde_json::{Value, json};
use std::io::Cursor;

type Vertex = [f64; 3];

fn main() {
    let path = std::env::args().nth(1).expect("a drawing");
    let bytes = std::fs::read(path).expect("a readable drawing");
    let reader = acadrust::DxfReader::from_reader(Cursor::new(bytes)).expect("a drawing");
    let read = reader.read_with_stats().expect("a drawing that is read");
    let stats = &read.stats;
    assert!(stats.stream_completed && stats.skipped_source_records == 0, "{stats:?}");
    assert!(stats.recovered_errors == 0 && stats.diagnostics.is_empty(), "{stats:?}");
    read.document.model_space_entities().for_each(|entity| println!("{}", facts(entity)));
}

fn facts(entity: &EntityType) -> Value {
    let layer = entity.common().layer.as_str();
    // Reals as text, because not every reader of JSON reads them exactly.
    let rings = |rings: Vec<Vec<Vertex>>| -> Value {
        let of = |ring: Vec<Vertex>| -> Value {
            ring.into_iter().map(|at| Value::from(at.map(|value| format!("{value:e}")).to_vec())).collect()
        };
        rings.into_iter().map(of).collect()
    };
    let of =
        |what: &str, points: Vec<Vertex>| json!({"layer": layer, "what": what, "rings": rings(vec![points])});
    let said = |text: String| json!({"layer": layer, "what": "text", "text": text});
    match entity {
        EntityType::Point(point) => of("point", vec![vertex(&point.location)]),
        EntityType::Insert(insert) => of("point", vec![vertex(&insert.insert_point)]),
        EntityType::LwPolyline(line) => {
            let points = line.vertices.iter();
            of("line", points.map(|v| [v.location.x, v.location.y, line.elevation]).collect())
        }
        EntityType::Polyline3D(line) => {
            of("line", line.vertices.iter().map(|v| vertex(&v.position)).collect())
        }
        EntityType::Face3D(face) => {
            let corners = [&face.first_corner, &face.second_corner, &face.third_corner, &face.fourth_corner];
            of("area", corners.map(vertex).to_vec())
        }
        EntityType::Hatch(hatch) => {
            let all = hatch.paths.iter().map(|path| ring(path, hatch.elevation)).collect();
            json!({"layer": layer, "what": "area", "rings": rings(all)})
        }
        // It leaves the escapes of percent signs.
        EntityType::Text(text) => said(text.value.replace("%%%", "%")),
        EntityType::MText(text) => said(paragraphs(&text.value)),
        other => panic!("{other:?} was not written"),
    }
}

fn ring(path: &BoundaryPath, height: f64) -> Vec<Vertex> {
    let [BoundaryEdge::Polyline(line)] = path.edges.as_slice() else { panic!("{path:?} was not written") };
    line.vertices.iter().map(|vertex| [vertex.x, vertex.y, height]).collect()
}

fn vertex(point: &Vector3) -> Vertex {
    [point.x, point.y, point.z]
}

/// What the value of an MTEXT says. The escapes of all strings are resolved; formatting there is none
/// but an empty group.
fn paragraphs(value: &str) -> String {
    let (mut said, mut letters) = (String::new(), value.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '{' | '}' => {}
            '\\' => match letters.next() {
                Some('P') => said.push('\n'),
                Some('~') => said.push('\u{a0}'),
                other => said.extend(other),
            },
            other => said.push(other),
        }
    }
    said
}
