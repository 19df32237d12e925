//! Polylines: LWPOLYLINE in a plane, and POLYLINE in space.

use super::{Entities, STRIDE, check, check_numbers};
use crate::error::{Error, Refusal};
use crate::properties::Properties;
use crate::vertex::Vertex;
use std::io::Write;

/// A line through points in a plane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Polyline<'a, V> {
    /// Its points, of which heights are not looked at.
    pub vertices: &'a [V],
    /// For each vertex, the tangent of a quarter of the angle of the arc to the next one: positive
    /// if the arc is anticlockwise, 0 for a straight line. Empty if all are straight.
    pub bulges: &'a [f64],
    /// Whether the last vertex is joined to the first. If they are the same, the last is left out.
    pub closed: bool,
    /// The height of the plane.
    pub elevation: Option<f64>,
    /// Width of the line, in units.
    pub width: Option<f64>,
}

impl<'a, V> Polyline<'a, V> {
    /// A polyline with straight lines.
    pub fn new(vertices: &'a [V], closed: bool) -> Self {
        Self { vertices, bulges: &[], closed, elevation: None, width: None }
    }
}

/// A ring without its last vertex, if that is the first again.
pub(super) fn open<V: Vertex>(ring: &[V]) -> &[V] {
    match ring {
        [first, .., last] if first.in_space() == last.in_space() => &ring[..ring.len() - 1],
        _ => ring,
    }
}

/// Arcs that bend less are as good as straight: they leave their chord by half a millionth of it.
const STRAIGHT: f64 = 1e-6;

/// The points of an arc that lie furthest along an axis, beside its ends.
fn outermost(start: [f64; 2], end: [f64; 2], bulge: f64) -> impl Iterator<Item = [f64; 2]> {
    use std::f64::consts::{FRAC_PI_2, TAU};
    let (dx, dy) = (end[0] - start[0], end[1] - start[1]);
    // The centre lies on the bisector of the chord, from its middle by this part of its length.
    let along = (1.0 - bulge * bulge) / (4.0 * bulge);
    let centre = [(start[0] + end[0]) / 2.0 - dy * along, (start[1] + end[1]) / 2.0 + dx * along];
    let radius = (start[0] - centre[0]).hypot(start[1] - centre[1]);
    let from = (start[1] - centre[1]).atan2(start[0] - centre[0]);
    let turn = 4.0 * bulge.atan();
    (0..4).filter_map(move |quarter| {
        let angle = f64::from(quarter) * FRAC_PI_2;
        let passed = if turn > 0.0 { (angle - from).rem_euclid(TAU) } else { (from - angle).rem_euclid(TAU) };
        let at = [centre[0] + radius * angle.cos(), centre[1] + radius * angle.sin()];
        (passed < turn.abs() && at.iter().all(|value| value.is_finite())).then_some(at)
    })
}

impl<W: Write> Entities<'_, W> {
    /// Writes a polyline in a plane (LWPOLYLINE).
    ///
    /// # Errors
    ///
    /// If it has fewer than two vertices, or bulges for some of them only; see [`Entities`].
    pub fn polyline<V: Vertex>(
        &mut self,
        properties: &Properties<'_>,
        polyline: &Polyline<'_, V>,
    ) -> Result<(), Error> {
        let ogr = self.is_ogr();
        let Polyline { mut vertices, bulges, closed, elevation, width } = *polyline;
        check(vertices)?;
        check_numbers(bulges)?;
        check_numbers(&[elevation.unwrap_or(0.0), width.unwrap_or(0.0)])?;
        if !bulges.is_empty() && bulges.len() != vertices.len() {
            return Err(Refusal::Lengths.into());
        }
        if closed && !ogr {
            vertices = open(vertices);
        }
        if vertices.len() < 2 {
            return Err(Refusal::TooFewVertices.into());
        }
        self.begin("LWPOLYLINE", properties, 1)?;
        let pairs = &mut self.sink.pairs;
        pairs.str(100, "AcDbPolyline");
        if ogr {
            pairs.int(70, closed.into());
            pairs.int(90, vertices.len() as i64);
            self.look(properties);
        } else {
            // AutoCAD takes a polyline as open if the number of its vertices does not come first.
            pairs.int(90, vertices.len() as i64);
            // The pattern runs through all vertices.
            pairs.int(70, 128 | i64::from(closed));
        }
        let pairs = &mut self.sink.pairs;
        if let Some(width) = width {
            pairs.real(43, width);
        }
        if let Some(elevation) = elevation {
            pairs.real(38, elevation);
        }
        let elevation = elevation.unwrap_or(0.0);
        let mut bulges = bulges.iter();
        for part in vertices.chunks(STRIDE) {
            for vertex in part {
                let (x, y) = (vertex.x(), vertex.y());
                self.sink.pairs.point2(10, x, y);
                if let Some(bulge) = bulges.next()
                    && *bulge != 0.0
                {
                    self.sink.pairs.real(42, *bulge);
                }
                self.grow([x, y, elevation]);
            }
            self.sink.spill()?;
        }
        self.grow_by_arcs(vertices, polyline.bulges, closed, elevation);
        self.end()
    }

    /// Adds what arcs reach beyond their ends to the extents.
    fn grow_by_arcs<V: Vertex>(&mut self, vertices: &[V], bulges: &[f64], closed: bool, elevation: f64) {
        let next = |at: usize| match vertices.get(at + 1) {
            None if closed => vertices.first(),
            next => next,
        };
        for (at, (start, bulge)) in vertices.iter().zip(bulges).enumerate() {
            let Some(end) = next(at).filter(|_| bulge.abs() > STRAIGHT) else { continue };
            for [x, y] in outermost([start.x(), start.y()], [end.x(), end.y()], *bulge) {
                self.grow([x, y, elevation]);
            }
        }
    }

    /// Writes a polyline in space (POLYLINE), which may be closed.
    ///
    /// # Errors
    ///
    /// If it has fewer than two vertices; see [`Entities`].
    pub fn polyline_in_space<V: Vertex>(
        &mut self,
        properties: &Properties<'_>,
        mut vertices: &[V],
        closed: bool,
    ) -> Result<(), Error> {
        let ogr = self.is_ogr();
        check(vertices)?;
        if closed && !ogr {
            vertices = open(vertices);
        }
        if vertices.len() < 2 {
            return Err(Refusal::TooFewVertices.into());
        }
        let handle = self.begin("POLYLINE", properties, vertices.len() as u64 + 2)?;
        let flags = 8 | i64::from(closed);
        let pairs = &mut self.sink.pairs;
        pairs.str(100, "AcDb3dPolyline");
        if !ogr {
            pairs.int(66, 1);
        }
        pairs.point3(10, [0.0; 3]);
        pairs.int(70, flags);
        if ogr {
            pairs.int(66, 1);
            self.look(properties);
        }
        self.put_data();
        let mut child = handle;
        for part in vertices.chunks(STRIDE) {
            for vertex in part {
                child += 1;
                self.child("VERTEX", child, handle, properties);
                let pairs = &mut self.sink.pairs;
                pairs.str(100, "AcDbVertex");
                pairs.str(100, "AcDb3dPolylineVertex");
                pairs.point3(10, vertex.in_space());
                pairs.int(70, 32);
                self.grow(vertex.in_space());
            }
            self.sink.spill()?;
        }
        self.end_of_parts(child + 1, handle, properties)
    }
}

#[cfg(test)]
mod tests {
    use super::outermost;

    #[test]
    fn arcs_reach_beyond_their_ends() {
        let of = |start: [f64; 2], end: [f64; 2], bulge| -> [f64; 4] {
            let points = outermost(start, end, bulge).chain([start, end]);
            let all = points.fold([f64::MAX, f64::MAX, f64::MIN, f64::MIN], |[a, b, c, d], [x, y]| {
                [a.min(x), b.min(y), c.max(x), d.max(y)]
            });
            all.map(|value| (value * 1e3).round() / 1e3 + 0.0)
        };
        // Halves of a circle around 2 0, anticlockwise from the left and back.
        assert_eq!(of([0.0, 0.0], [4.0, 0.0], 1.0), [0.0, -2.0, 4.0, 0.0]);
        assert_eq!(of([0.0, 0.0], [4.0, 0.0], -1.0), [0.0, 0.0, 4.0, 2.0]);
        // A quarter that begins and ends on the axes, one across an axis, and three quarters.
        let quarter = (std::f64::consts::PI / 8.0).tan();
        assert_eq!(of([1.0, 0.0], [0.0, 1.0], quarter), [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(of([0.6, -0.8], [0.6, 0.8], 0.5), [0.6, -0.8, 1.0, 0.8]);
        let most = (3.0 * std::f64::consts::PI / 8.0).tan();
        assert_eq!(of([1.0, 0.0], [0.0, -1.0], most), [-1.0, -1.0, 1.0, 1.0]);
    }
}
