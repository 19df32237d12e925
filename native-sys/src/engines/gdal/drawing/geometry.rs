//! The parts of a geometry that become entities.

use super::super::wkb::{Head, MAX_DEPTH, Reader};
use cadmill_dxf::Vertex;

/// A point; without a height it has the height 0.
pub(super) type Point = [f64; 3];

/// A line through points, of which some parts may be arcs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Path {
    pub(super) points: Vec<Point>,
    /// For each point the tangent of a quarter of the angle of the arc to the next; empty if there are
    /// no arcs.
    pub(super) bulges: Vec<f64>,
    pub(super) has_heights: bool,
}

/// A part of a geometry.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Point {
        at: Point,
        has_height: bool,
    },
    Line(Path),
    /// An outline and its holes.
    Area(Vec<Path>),
    /// A flat face of a surface in space.
    Face(Vec<Path>),
}

impl Path {
    /// The height, if it is the same everywhere.
    pub(super) fn elevation(&self) -> Option<f64> {
        let first = self.points.first().map_or(0.0, |point| point[2]);
        self.points.iter().all(|point| point[2] == first).then_some(first)
    }

    /// Handles that its polylines take: that of one in space has one for each vertex.
    pub(super) fn handles(&self) -> u64 {
        if self.elevation().is_some() { 1 } else { self.points.len() as u64 + 2 }
    }

    /// A point on the line: the first.
    pub(super) fn start(&self) -> Option<Point> {
        self.points.first().copied()
    }

    fn push(&mut self, point: Point, bulge_before: f64) {
        if self.bulges.is_empty() && bulge_before != 0.0 {
            self.bulges = vec![0.0; self.points.len()];
        }
        if let Some(last) = self.bulges.last_mut() {
            *last = bulge_before;
        }
        self.points.push(point);
        if !self.bulges.is_empty() {
            self.bulges.push(0.0);
        }
    }
}

/// What of a geometry is not in its parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lacks {
    /// It has measures.
    pub(super) measures: bool,
    /// It has arcs, which are short lines in the parts.
    pub(super) arcs: bool,
    /// It could not be transformed.
    pub(super) place: bool,
}

/// The parts of a geometry, in its order, and what they lack; `None` if the bytes are none.
pub(super) fn parts(bytes: &[u8]) -> Option<(Vec<Part>, Lacks)> {
    let mut parts = Vec::new();
    let measures = Reader { bytes }.head()?.has_measures;
    let mut reader = Reader { bytes };
    reader.geometry(&mut parts, 0)?;
    reader.bytes.is_empty().then_some((parts, Lacks { measures, ..Lacks::default() }))
}

/// Whether a geometry has arcs.
pub(super) fn has_arcs(parts: &[Part]) -> bool {
    parts.iter().flat_map(Part::paths).any(|path| !path.bulges.is_empty())
}

/// Whether an area has arcs in its outline or its holes.
pub(super) fn has_arcs_around_areas(parts: &[Part]) -> bool {
    let areas = parts.iter().filter(|part| matches!(part, Part::Area(_)));
    areas.flat_map(Part::paths).any(|path| !path.bulges.is_empty())
}

/// Whether a geometry has arcs that leave the plane, which no polyline has.
pub(super) fn has_arcs_in_space(parts: &[Part]) -> bool {
    let paths = parts.iter().flat_map(Part::paths);
    paths.into_iter().any(|path| !path.bulges.is_empty() && path.elevation().is_none())
}

impl Part {
    /// Gives all of its points a height.
    pub(super) fn lift(&mut self, height: f64) {
        let paths = match self {
            Self::Point { at, has_height } => {
                (at[2], *has_height) = (height, true);
                return;
            }
            Self::Line(path) => std::slice::from_mut(path),
            Self::Area(paths) | Self::Face(paths) => paths,
        };
        for path in paths {
            path.has_heights = true;
            path.points.iter_mut().for_each(|point| point[2] = height);
        }
    }

    /// Its lines, outlines and holes.
    pub(super) fn paths(&self) -> &[Path] {
        match self {
            Self::Point { .. } => &[],
            Self::Line(path) => std::slice::from_ref(path),
            Self::Area(paths) | Self::Face(paths) => paths,
        }
    }
}

impl Reader<'_> {
    fn geometry(&mut self, parts: &mut Vec<Part>, depth: u32) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        let Head { kind, has_heights: has_z, has_measures: has_m } = self.head()?;
        match kind {
            1 => {
                let point = self.point(has_z, has_m)?;
                // An empty point has coordinates that are no numbers.
                if !(point[0].is_nan() && point[1].is_nan()) {
                    parts.push(Part::Point { at: point, has_height: has_z });
                }
            }
            2 | 8 | 9 => {
                let path = self.curve(kind, has_z, has_m, depth)?;
                if !path.points.is_empty() {
                    parts.push(Part::Line(path));
                }
            }
            3 | 17 => {
                let rings =
                    (0..self.number()?).map(|_| self.line(has_z, has_m)).collect::<Option<Vec<_>>>()?;
                push_area(parts, rings, kind == 17);
            }
            10 => {
                let mut rings = Vec::new();
                for _ in 0..self.number()? {
                    let Head { kind, has_heights: has_z, has_measures: has_m } = self.head()?;
                    rings.push(self.curve(kind, has_z, has_m, depth + 1)?);
                }
                push_area(parts, rings, false);
            }
            15 | 16 => {
                let before = parts.len();
                for _ in 0..self.number()? {
                    self.geometry(parts, depth + 1)?;
                }
                for part in &mut parts[before..] {
                    if let Part::Area(rings) = part {
                        *part = Part::Face(std::mem::take(rings));
                    }
                }
            }
            4..=7 | 11 | 12 => {
                for _ in 0..self.number()? {
                    self.geometry(parts, depth + 1)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn curve(&mut self, kind: u32, has_z: bool, has_m: bool, depth: u32) -> Option<Path> {
        match kind {
            2 => self.line(has_z, has_m),
            8 => Some(arcs(self.line(has_z, has_m)?)),
            9 if depth < MAX_DEPTH => {
                let mut whole = Path { has_heights: has_z, ..Path::default() };
                for _ in 0..self.number()? {
                    let Head { kind, has_heights: has_z, has_measures: has_m } = self.head()?;
                    let path = self.curve(kind, has_z, has_m, depth + 1)?;
                    for (at, point) in path.points.iter().enumerate() {
                        let bulge = at.checked_sub(1).and_then(|before| path.bulges.get(before));
                        // Each begins where the last one ends.
                        if at > 0 || whole.points.last() != Some(point) {
                            whole.push(*point, bulge.copied().unwrap_or(0.0));
                        }
                    }
                }
                Some(whole)
            }
            _ => None,
        }
    }

    fn line(&mut self, has_z: bool, has_m: bool) -> Option<Path> {
        let count = self.number()? as usize;
        let each = 8 * (2 + usize::from(has_z) + usize::from(has_m));
        // No more room than there are bytes for.
        let mut points = Vec::with_capacity(count.min(self.bytes.len() / each));
        for _ in 0..count {
            points.push(self.point(has_z, has_m)?);
        }
        Some(Path { points, bulges: Vec::new(), has_heights: has_z })
    }

    fn point(&mut self, has_z: bool, has_m: bool) -> Option<Point> {
        let (x, y) = (self.real()?, self.real()?);
        let z = if has_z { self.real()? } else { 0.0 };
        if has_m {
            self.real()?;
        }
        Some([x, y, z])
    }
}

fn push_area(parts: &mut Vec<Part>, rings: Vec<Path>, is_face: bool) {
    // A ring without points is none; without its outline there is no area.
    if rings.first().is_none_or(|outline| outline.points.is_empty()) {
        return;
    }
    let rings = rings.into_iter().filter(|ring| !ring.points.is_empty()).collect();
    parts.push(if is_face { Part::Face(rings) } else { Part::Area(rings) });
}

/// A line of which every second point lies on an arc between its neighbours.
fn arcs(line: Path) -> Path {
    let mut path = Path { has_heights: line.has_heights, ..Path::default() };
    let Some(first) = line.points.first() else { return path };
    path.push(*first, 0.0);
    for pair in line.points[1..].chunks(2) {
        let [middle, end] = *pair else {
            path.push(pair[0], 0.0);
            continue;
        };
        let start = path.points.last().copied().unwrap_or(*first);
        if start[..2] == end[..2] && middle[..2] != start[..2] {
            // A whole circle: two halves, as no bulge is that of a full turn.
            path.push(middle, 1.0);
            path.push(end, 1.0);
        } else {
            path.push(end, bulge(start, middle, end));
        }
    }
    path
}

/// The tangent of a quarter of the angle of the arc through three points, positive anticlockwise; 0 if
/// they lie on a straight line.
fn bulge(start: Point, middle: Point, end: Point) -> f64 {
    // The angle at the middle and half the angle of the arc make 180 degrees.
    let (ax, ay) = (start.x() - middle.x(), start.y() - middle.y());
    let (bx, by) = (end.x() - middle.x(), end.y() - middle.y());
    let (cross, dot) = (ax * by - ay * bx, ax * bx + ay * by);
    let at_middle = cross.atan2(dot);
    if cross == 0.0 {
        return 0.0;
    }
    // Clockwise arcs have a positive angle there.
    let half = std::f64::consts::PI - at_middle.abs();
    (half / 2.0).tan() * -at_middle.signum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(code: u32) -> Vec<u8> {
        [&[1][..], &code.to_le_bytes()].concat()
    }

    fn line(code: u32, points: &[&[f64]]) -> Vec<u8> {
        let values = points.iter().flat_map(|point| point.iter()).flat_map(|value| value.to_le_bytes());
        [head(code), (points.len() as u32).to_le_bytes().to_vec(), values.collect()].concat()
    }

    fn of(code: u32, geometries: &[Vec<u8>]) -> Vec<u8> {
        [head(code), (geometries.len() as u32).to_le_bytes().to_vec(), geometries.concat()].concat()
    }

    fn path(points: &[Point], bulges: &[f64], has_heights: bool) -> Path {
        Path { points: points.to_vec(), bulges: bulges.to_vec(), has_heights }
    }

    #[test]
    fn an_arc_has_the_bulge_of_its_angle() {
        // A quarter of a circle around 0 0, anticlockwise and back.
        let (middle, quarter) = (0.5_f64.sqrt(), (std::f64::consts::PI / 8.0).tan());
        let there = bulge([1.0, 0.0, 0.0], [middle, middle, 0.0], [0.0, 1.0, 0.0]);
        let back = bulge([0.0, 1.0, 0.0], [middle, middle, 0.0], [1.0, 0.0, 0.0]);
        assert!((there - quarter).abs() < 1e-12 && (back + quarter).abs() < 1e-12, "{there} {back}");
        // More than half.
        let most = bulge([1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]);
        assert!((most - (3.0 * std::f64::consts::PI / 8.0).tan()).abs() < 1e-12, "{most}");
        assert_eq!(bulge([0.0; 3], [1.0, 1.0, 0.0], [2.0, 2.0, 0.0]), 0.0);
    }

    #[test]
    fn compound_curves_are_one_path() {
        let straight = line(2, &[&[0.0, 0.0], &[1.0, 0.0]]);
        let arc = line(8, &[&[1.0, 0.0], &[2.0, 1.0], &[1.0, 2.0]]);
        let (parts, _) = parts(&of(9, &[straight, arc])).unwrap();
        let [Part::Line(path)] = parts.as_slice() else { panic!("{parts:?}") };
        assert_eq!(path.points, [[0.0; 3], [1.0, 0.0, 0.0], [1.0, 2.0, 0.0]]);
        assert!((path.bulges[1] - 1.0).abs() < 1e-12 && path.bulges[0] == 0.0 && path.bulges.len() == 3);
    }

    #[test]
    fn a_circle_is_two_halves() {
        let circle = line(8, &[&[1.0, 0.0], &[-1.0, 0.0], &[1.0, 0.0]]);
        let (parts, _) = parts(&of(10, &[circle])).unwrap();
        assert_eq!(
            parts,
            [Part::Area(vec![path(
                &[[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]],
                &[1.0, 1.0, 0.0],
                false
            )])]
        );
    }

    #[test]
    fn heights_measures_and_empty_parts() {
        let point =
            [head(3001), [1.0, 2.0, 3.0, 4.0_f64].iter().flat_map(|v| v.to_le_bytes()).collect()].concat();
        let nothing = [head(1), [f64::NAN; 2].iter().flat_map(|v| v.to_le_bytes()).collect()].concat();
        let measured = line(2002, &[&[1.0, 2.0, 9.0], &[3.0, 4.0, 9.0]]);
        let all = of(7, &[point, nothing, measured, of(3, &[]), line(2, &[])]);
        assert_eq!(
            parts(&all).unwrap().0,
            [
                Part::Point { at: [1.0, 2.0, 3.0], has_height: true },
                Part::Line(path(&[[1.0, 2.0, 0.0], [3.0, 4.0, 0.0]], &[], false))
            ]
        );
    }

    #[test]
    fn surfaces_are_faces() {
        let ring = line(1002, &[&[0.0, 0.0, 1.0], &[1.0, 0.0, 2.0], &[1.0, 1.0, 3.0], &[0.0, 0.0, 1.0]]);
        let triangle = [head(1017), 1_u32.to_le_bytes().to_vec(), ring[5..].to_vec()].concat();
        let polygon = [head(1003), 1_u32.to_le_bytes().to_vec(), ring[5..].to_vec()].concat();
        let (parts, _) = parts(&of(
            7,
            &[of(1016, std::slice::from_ref(&triangle)), of(1015, std::slice::from_ref(&polygon)), polygon],
        ))
        .unwrap();
        assert!(matches!(parts.as_slice(), [Part::Face(_), Part::Face(_), Part::Area(_)]), "{parts:?}");
        let Part::Area(rings) = &parts[2] else { unreachable!() };
        assert_eq!((rings[0].elevation(), rings[0].has_heights), (None, true));
    }

    #[test]
    fn what_is_no_geometry_is_none() {
        let many = [head(2), u32::MAX.to_le_bytes().to_vec()].concat();
        for bad in
            [&b""[..], &head(99), &many, &of(9, &[of(3, &[])]), &[line(2, &[&[0.0, 0.0]]), vec![0]].concat()]
        {
            assert_eq!(parts(bad), None);
        }
    }
}
