//! acadrust as a reader: it must read every record, and find nothing to report or to mend.

use super::shapes::{Shape, What};
use super::wkt::Vertex;
use ::acadrust::entities::{BoundaryEdge, BoundaryPath, EntityType};
use ::acadrust::types::Vector3;
use std::io::Cursor;

/// The entities of a drawing's model space.
pub(super) fn shapes(drawing: &[u8]) -> Vec<Shape> {
    let reader = ::acadrust::DxfReader::from_reader(Cursor::new(drawing.to_vec())).expect("a drawing");
    let read = reader.read_with_stats().expect("a drawing that is read");
    let stats = &read.stats;
    assert!(stats.stream_completed && stats.skipped_source_records == 0, "{stats:?}");
    assert!(stats.recovered_errors == 0 && stats.diagnostics.is_empty(), "{stats:?}");
    read.document.model_space_entities().map(shape).collect()
}

fn shape(entity: &EntityType) -> Shape {
    let layer = entity.common().layer.as_str();
    let of = |what, points: Vec<Vertex>| Shape::new(layer, what, vec![points]);
    match entity {
        EntityType::Point(point) => of(What::Point, vec![vertex(&point.location)]),
        EntityType::Insert(insert) => of(What::Point, vec![vertex(&insert.insert_point)]),
        EntityType::LwPolyline(line) => {
            let points = line.vertices.iter();
            of(What::Line, points.map(|v| [v.location.x, v.location.y, line.elevation]).collect())
        }
        EntityType::Polyline3D(line) => {
            of(What::Line, line.vertices.iter().map(|v| vertex(&v.position)).collect())
        }
        EntityType::Face3D(face) => {
            let corners = [&face.first_corner, &face.second_corner, &face.third_corner, &face.fourth_corner];
            of(What::Area, corners.map(vertex).to_vec())
        }
        EntityType::Hatch(hatch) => {
            let rings = hatch.paths.iter().map(|path| ring(path, hatch.elevation)).collect();
            Shape::new(layer, What::Area, rings)
        }
        // It leaves the escapes of percent signs.
        EntityType::Text(text) => Shape::new(layer, What::Text(text.value.replace("%%%", "%")), Vec::new()),
        EntityType::MText(text) => Shape::new(layer, What::Text(paragraphs(&text.value)), Vec::new()),
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
