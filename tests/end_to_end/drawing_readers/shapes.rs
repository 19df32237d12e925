//! What a drawing shows, in whatever words a reader has for it: a closed polyline is a line whose last
//! point is its first one, a face and a hatch are areas, and a line of text and a paragraph are texts.

use super::wkt::{Geometry, Vertex};
use std::fmt;

/// What an entity is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    Point,
    Line,
    Area,
    Text(String),
}

/// An entity.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) layer: String,
    pub(super) what: What,
    /// Its point, its line, or its rings; nothing for a text.
    pub(super) paths: Vec<Vec<Vertex>>,
    /// Attributes, if they were looked at.
    pub(super) attributes: Vec<String>,
}

/// How areas are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Areas {
    Polylines,
    Hatches,
    Both,
}

impl fmt::Display for Shape {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:?} on '{}' {:?} {:?}", self.what, self.layer, self.attributes, self.paths);
        out.write_str(&text.chars().take(600).collect::<String>())
    }
}

impl Shape {
    pub(super) fn new(layer: &str, what: What, paths: Vec<Vec<Vertex>>) -> Self {
        let paths = match what {
            What::Text(_) => Vec::new(),
            What::Point => paths,
            What::Line => paths.into_iter().map(without_ends).collect(),
            What::Area => {
                // A ring without an area is none to some readers.
                let mut rings: Vec<_> =
                    paths.into_iter().map(canonical).filter(|ring| ring.len() > 2).collect();
                rings.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
                rings
            }
        };
        Self { layer: layer.to_owned(), what, paths, attributes: Vec::new() }
    }

    /// Whether it is the same, but for the last digits of its coordinates.
    fn is_like(&self, other: &Self) -> bool {
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
        let points = |shape: &Self| shape.paths.iter().flatten().flatten().copied().collect::<Vec<f64>>();
        let lengths = |shape: &Self| shape.paths.iter().map(Vec::len).collect::<Vec<_>>();
        self.layer == other.layer
            && self.what == other.what
            && self.attributes == other.attributes
            && lengths(self) == lengths(other)
            && points(self).into_iter().zip(points(other)).all(|(a, b)| near(a, b))
    }
}

/// Compares what a reader found with what is wanted. What differs first is an error.
pub(super) fn compare(wanted: &[Shape], found: &[Shape]) -> Result<(), String> {
    for (number, (wanted, found)) in wanted.iter().zip(found).enumerate() {
        if !wanted.is_like(found) {
            let points = |shape: &Shape| shape.paths.concat();
            let (ours, theirs) = (points(wanted), points(found));
            let at =
                ours.iter().zip(&theirs).position(|(a, b)| a != b).unwrap_or(ours.len().min(theirs.len()));
            let first = format!("point {at} is {:?} instead of {:?}", theirs.get(at), ours.get(at));
            return Err(format!("number {number} is\n  {found}\ninstead of\n  {wanted}\n{first}"));
        }
    }
    if wanted.len() == found.len() {
        return Ok(());
    }
    let next = wanted.get(found.len()).or(found.get(wanted.len())).expect("one has more");
    Err(format!("there are {} instead of {}, and the next is\n  {next}", found.len(), wanted.len()))
}

/// The shapes that a geometry becomes.
pub(super) fn of_geometry(geometry: &Geometry, layer: &str, areas: Areas) -> Vec<Shape> {
    let points = geometry.points.clone();
    match geometry.kind.as_str() {
        "POINT" if points.is_empty() => Vec::new(),
        "POINT" => vec![Shape::new(layer, What::Point, vec![points])],
        "MULTIPOINT" => {
            let inner = geometry.parts.iter().map(|part| part.points.clone());
            let all = points.into_iter().map(|point| vec![point]).chain(inner);
            all.map(|point| Shape::new(layer, What::Point, vec![point])).collect()
        }
        "LINESTRING" => of_line(points, layer),
        "MULTILINESTRING" => {
            geometry.parts.iter().flat_map(|part| of_line(part.points.clone(), layer)).collect()
        }
        "POLYGON" => of_polygon(geometry, layer, areas),
        "MULTIPOLYGON" => geometry.parts.iter().flat_map(|part| of_polygon(part, layer, areas)).collect(),
        "TIN" | "POLYHEDRALSURFACE" => geometry.parts.iter().flat_map(|part| of_face(part, layer)).collect(),
        "TRIANGLE" => of_face(geometry, layer),
        "GEOMETRYCOLLECTION" => {
            geometry.parts.iter().flat_map(|part| of_geometry(part, layer, areas)).collect()
        }
        other => panic!("nothing is known of {other}"),
    }
}

fn of_line(points: Vec<Vertex>, layer: &str) -> Vec<Shape> {
    // A single point is no line.
    if points.len() < 2 { Vec::new() } else { vec![Shape::new(layer, What::Line, vec![points])] }
}

fn of_polygon(polygon: &Geometry, layer: &str, areas: Areas) -> Vec<Shape> {
    let rings: Vec<Vec<Vertex>> =
        polygon.parts.iter().map(|ring| ring.points.clone()).filter(|ring| !ring.is_empty()).collect();
    let Some(outline) = rings.first() else { return Vec::new() };
    let is_flat = rings.iter().flatten().all(|point| point[2] == outline[0][2]);
    let corners = |ring: &Vec<Vertex>| without_end(ring.clone()).len();
    let mut shapes = Vec::new();
    if areas != Areas::Polylines && is_flat && corners(outline) >= 3 {
        let rings = rings.iter().filter(|ring| corners(ring) >= 3).cloned().collect();
        shapes.push(Shape::new(layer, What::Area, rings));
    }
    if areas != Areas::Hatches || !is_flat {
        let rings = rings.into_iter().filter(|ring| corners(ring) >= 2);
        shapes.extend(rings.map(|ring| Shape::new(layer, What::Line, vec![ring])));
    }
    shapes
}

fn of_face(face: &Geometry, layer: &str) -> Vec<Shape> {
    let rings: Vec<Vec<Vertex>> = face.parts.iter().map(|ring| ring.points.clone()).collect();
    let corners = rings.first().map_or(0, |ring| without_end(ring.clone()).len());
    if rings.len() == 1 && (3..=4).contains(&corners) {
        return vec![Shape::new(layer, What::Area, rings)];
    }
    rings.into_iter().map(|ring| Shape::new(layer, What::Line, vec![ring])).collect()
}

/// A line without its last point, if that is its first one.
fn without_end(mut points: Vec<Vertex>) -> Vec<Vertex> {
    if points.len() > 1 && points.first() == points.last() {
        points.pop();
    }
    points
}

/// A line that ends where it begins, without these ends: readers close what is closed once more.
fn without_ends(mut points: Vec<Vertex>) -> Vec<Vertex> {
    while points.len() > 1 && points.first() == points.last() {
        points.pop();
    }
    points
}

/// A ring from its least point on, towards the lesser of that one's neighbours.
fn canonical(ring: Vec<Vertex>) -> Vec<Vertex> {
    let mut ring = ring;
    ring.dedup();
    let mut ring = without_ends(ring);
    let least = (0..ring.len()).min_by(|a, b| ring[*a].partial_cmp(&ring[*b]).expect("numbers"));
    ring.rotate_left(least.unwrap_or(0));
    if ring.len() > 2 && ring[ring.len() - 1].partial_cmp(&ring[1]).is_some_and(std::cmp::Ordering::is_lt) {
        ring[1..].reverse();
    }
    ring
}
