//! The linter of the project as a reader: it must find nothing wrong.

use super::shapes::{Shape, What};
use cadmill_dxf::lint::{self, Entity, Profile, plain};

/// The entities of a drawing, which has no fault.
pub(super) fn shapes(drawing: &[u8]) -> Vec<Shape> {
    let findings = lint::check(drawing, Profile::Strict);
    assert!(findings.is_empty(), "{findings:?}");
    lint::read(drawing).unwrap().iter().map(shape).collect()
}

pub(super) fn shape(entity: &Entity) -> Shape {
    let layer = entity.layer();
    let at = || vec![entity.points(10)];
    let mut shape = match entity.kind.as_str() {
        "POINT" | "INSERT" => Shape::new(&layer, What::Point, at()),
        "LWPOLYLINE" => {
            let height = entity.real(38).unwrap_or(0.0);
            let points = entity.points(10).into_iter().map(|[x, y, _]| [x, y, height]).collect();
            Shape::new(&layer, What::Line, vec![points])
        }
        "POLYLINE" => {
            let points = entity.parts.iter().flat_map(|vertex| vertex.points(10)).collect();
            Shape::new(&layer, What::Line, vec![points])
        }
        "3DFACE" => {
            let points = (10..14).flat_map(|code| entity.points(code)).collect();
            Shape::new(&layer, What::Area, vec![points])
        }
        "HATCH" => Shape::new(&layer, What::Area, rings(entity)),
        "TEXT" | "MTEXT" => Shape::new(&layer, What::Text(entity.text()), Vec::new()),
        other => panic!("{other} was not written"),
    };
    shape.attributes = entity.all(1000).map(plain).collect();
    if entity.kind == "INSERT" && !entity.parts.is_empty() {
        let of = |part: &Entity| format!("{}={}", plain(part.get(2).unwrap()), part.text());
        shape.attributes = entity.parts.iter().map(of).collect();
        shape.attributes.sort();
    }
    shape
}

/// The first point of a hatch is its elevation, and the last its seed.
fn rings(entity: &Entity) -> Vec<Vec<[f64; 3]>> {
    let points = entity.points(10);
    let (height, mut rest) = (points[0][2], &points[1..]);
    let counts = entity.all(93).map(|count| count.trim().parse::<usize>().unwrap());
    counts
        .map(|count| {
            let (ring, after) = rest.split_at(count);
            rest = after;
            ring.iter().map(|[x, y, _]| [*x, *y, height]).collect()
        })
        .collect()
}
