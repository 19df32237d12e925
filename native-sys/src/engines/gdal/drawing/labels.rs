//! Where a label of a feature is placed.

use super::geometry::{Part, Path, Point};
use cadmill_dxf::{Horizontal, Vertical};

/// A place, and which point of the text lies there if nothing else is asked for.
pub(super) type Place = (Point, (Horizontal, Vertical));

/// The place of a label: at a point, at the middle of a line, in the middle of an area. Of several parts
/// the largest counts.
pub(super) fn place(parts: &[Part]) -> Option<Place> {
    const MIDDLE: (Horizontal, Vertical) = (Horizontal::Center, Vertical::Middle);
    let of_part = |part: &Part| -> Option<(f64, Place)> {
        match part {
            Part::Point { at, .. } => Some((0.0, (*at, (Horizontal::Left, Vertical::Baseline)))),
            Part::Line(path) => middle_of(path).map(|(length, at)| (length, (at, MIDDLE))),
            Part::Area(rings) | Part::Face(rings) => {
                let (area, at) = centre_of(rings.first()?)?;
                Some((area, (at, MIDDLE)))
            }
        }
    };
    let mut best: Option<(f64, Place)> = None;
    for found in parts.iter().filter_map(of_part) {
        if best.is_none_or(|(size, _)| found.0 > size) {
            best = Some(found);
        }
    }
    best.map(|(_, place)| place)
}

/// The length of a line, and the point half way along it.
fn middle_of(path: &Path) -> Option<(f64, Point)> {
    let lengths: Vec<f64> =
        path.points.windows(2).map(|pair| (pair[1][0] - pair[0][0]).hypot(pair[1][1] - pair[0][1])).collect();
    let length: f64 = lengths.iter().sum();
    let mut left = length / 2.0;
    for (pair, part) in path.points.windows(2).zip(&lengths) {
        if left <= *part && *part > 0.0 {
            let along = left / part;
            let at = [0, 1, 2].map(|axis| pair[0][axis] + (pair[1][axis] - pair[0][axis]) * along);
            return Some((length, at));
        }
        left -= part;
    }
    path.start().map(|start| (length, start))
}

/// The area of a ring and its centre of gravity, at the height of its first point. If that lies outside
/// of the ring, a point within on the same height of the page.
fn centre_of(ring: &Path) -> Option<(f64, Point)> {
    let start = ring.start()?;
    // From the first point, so that large coordinates do not cost digits.
    let (mut doubled, mut x, mut y) = (0.0, 0.0, 0.0);
    for pair in ring.points.windows(2) {
        let [a, b] = [pair[0], pair[1]].map(|point| [point[0] - start[0], point[1] - start[1]]);
        let cross = a[0] * b[1] - b[0] * a[1];
        doubled += cross;
        x += (a[0] + b[0]) * cross;
        y += (a[1] + b[1]) * cross;
    }
    if doubled == 0.0 {
        return Some((0.0, start));
    }
    let centre = [start[0] + x / (3.0 * doubled), start[1] + y / (3.0 * doubled), start[2]];
    let area = doubled.abs() / 2.0;
    let crossings = crossings(ring, centre[1]);
    let is_within = crossings.iter().filter(|at| **at < centre[0]).count() % 2 == 1;
    if is_within {
        return Some((area, centre));
    }
    let widest = crossings.chunks_exact(2).max_by(|a, b| (a[1] - a[0]).total_cmp(&(b[1] - b[0])));
    Some((area, widest.map_or(centre, |pair| [f64::midpoint(pair[0], pair[1]), centre[1], centre[2]])))
}

/// Where a ring crosses a horizontal line, from left to right.
fn crossings(ring: &Path, y: f64) -> Vec<f64> {
    let mut found: Vec<f64> = ring
        .points
        .windows(2)
        .filter(|pair| (pair[0][1] > y) != (pair[1][1] > y))
        .map(|pair| pair[0][0] + (y - pair[0][1]) / (pair[1][1] - pair[0][1]) * (pair[1][0] - pair[0][0]))
        .collect();
    found.sort_by(f64::total_cmp);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(points: &[[f64; 2]]) -> Path {
        Path { points: points.iter().map(|[x, y]| [*x, *y, 0.0]).collect(), ..Path::default() }
    }

    #[test]
    fn lines_are_labelled_half_way() {
        let line = Part::Line(path(&[[0.0, 0.0], [1.0, 0.0], [1.0, 3.0]]));
        assert_eq!(place(&[line]).unwrap().0, [1.0, 1.0, 0.0]);
    }

    #[test]
    fn areas_are_labelled_within() {
        let square = Part::Area(vec![path(&[[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0], [0.0, 0.0]])]);
        assert_eq!(place(std::slice::from_ref(&square)).unwrap().0, [1.0, 1.0, 0.0]);
        // A U, whose centre of gravity lies between its arms.
        let arms = [
            [0.0, 0.0],
            [10.0, 0.0],
            [10.0, 10.0],
            [9.0, 10.0],
            [9.0, 1.0],
            [1.0, 1.0],
            [1.0, 10.0],
            [0.0, 10.0],
            [0.0, 0.0],
        ];
        let (at, _) = place(&[square, Part::Area(vec![path(&arms)])]).unwrap();
        assert!((0.0..1.0).contains(&at[0]) || (9.0..10.0).contains(&at[0]), "{at:?}");
    }

    #[test]
    fn nothing_has_no_place() {
        assert_eq!(place(&[]), None);
        let line = Part::Line(path(&[[3.0, 4.0], [3.0, 4.0]]));
        assert_eq!(place(&[line]).unwrap().0, [3.0, 4.0, 0.0]);
    }
}
