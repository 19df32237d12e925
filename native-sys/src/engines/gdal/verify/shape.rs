//! What a geometry has.

use super::super::wkb::{Head, MAX_DEPTH, Reader};

/// What a geometry has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    /// Points of all its parts; 0 for an empty geometry.
    pub(super) vertices: u64,
    pub(super) has_heights: bool,
    pub(super) has_measures: bool,
    pub(super) has_curves: bool,
    /// Bounds of x, y and z. Without vertices, and without heights, nothing: low above high.
    pub(super) low: [f64; 3],
    pub(super) high: [f64; 3],
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            vertices: 0,
            has_heights: false,
            has_measures: false,
            has_curves: false,
            low: [f64::INFINITY; 3],
            high: [f64::NEG_INFINITY; 3],
        }
    }
}

/// Reads a geometry; `None` if the bytes are none.
pub(super) fn shape(bytes: &[u8]) -> Option<Shape> {
    let mut shape = Shape::default();
    let mut reader = Reader { bytes };
    reader.measure(&mut shape, 0)?;
    reader.bytes.is_empty().then_some(shape)
}

impl Reader<'_> {
    fn measure(&mut self, shape: &mut Shape, depth: u32) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        let Head { kind, has_heights: has_z, has_measures: has_m } = self.head()?;
        shape.has_heights |= has_z;
        shape.has_measures |= has_m;
        match kind {
            1 => self.points(1, has_z, has_m, shape),
            2 | 8 => {
                shape.has_curves |= kind == 8;
                let points = self.number()?;
                self.points(points, has_z, has_m, shape)
            }
            // Rings of a polygon, or of a triangle.
            3 | 17 => {
                for _ in 0..self.number()? {
                    let points = self.number()?;
                    self.points(points, has_z, has_m, shape)?;
                }
                Some(())
            }
            // Collections of all kinds, curves of curves and surfaces of surfaces.
            4..=7 | 9..=12 | 15 | 16 => {
                for _ in 0..self.number()? {
                    self.measure(shape, depth + 1)?;
                }
                Some(())
            }
            _ => None,
        }
    }

    fn points(&mut self, count: u32, has_z: bool, has_m: bool, shape: &mut Shape) -> Option<()> {
        for _ in 0..count {
            let (x, y) = (self.real()?, self.real()?);
            let z = if has_z { self.real()? } else { f64::NAN };
            if has_m {
                self.real()?;
            }
            // An empty point has coordinates that are no numbers.
            if x.is_nan() && y.is_nan() {
                continue;
            }
            shape.vertices += 1;
            for (at, value) in [x, y, z].into_iter().enumerate() {
                // The smaller and the larger of a number and none is the number.
                shape.low[at] = shape.low[at].min(value);
                shape.high[at] = shape.high[at].max(value);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(code: u32) -> Vec<u8> {
        [&[1][..], &code.to_le_bytes()].concat()
    }

    fn reals(values: &[f64]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn a_point_with_height() {
        let shape = shape(&[head(1001), reals(&[1.0, 2.0, 3.0])].concat()).unwrap();
        assert_eq!((shape.vertices, shape.has_heights, shape.has_measures), (1, true, false));
        assert_eq!((shape.low, shape.high), ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]));
    }

    #[test]
    fn empty_geometries_have_no_vertices() {
        for empty in [
            [head(1), reals(&[f64::NAN, f64::NAN])].concat(),
            [head(3), vec![0; 4]].concat(),
            [head(7), vec![0; 4]].concat(),
        ] {
            assert_eq!(shape(&empty).unwrap(), Shape::default());
        }
    }

    #[test]
    fn collections_are_read_to_the_last_part() {
        let line =
            [head(2008), 2_u32.to_le_bytes().to_vec(), reals(&[0.0, 0.0, 9.0, 5.0, 6.0, 9.0])].concat();
        let ring = [head(3), 1_u32.to_le_bytes().to_vec(), 1_u32.to_le_bytes().to_vec(), reals(&[-1.0, 7.0])]
            .concat();
        let all = [head(7), 2_u32.to_le_bytes().to_vec(), line, ring].concat();
        let found = shape(&all).unwrap();
        assert_eq!((found.vertices, found.has_curves, found.has_measures), (3, true, true));
        assert_eq!((found.low[0], found.high[1]), (-1.0, 7.0));
        assert!(found.low[2] > found.high[2]);
    }

    #[test]
    fn what_is_no_geometry_is_refused() {
        let nested = [head(7), 1_u32.to_le_bytes().to_vec()].concat().repeat(80);
        let point = [head(1), reals(&[1.0, 2.0])].concat();
        for bad in [&b""[..], &[1, 1], &head(99), &nested, &[point.clone(), vec![0]].concat(), &point[..20]] {
            assert_eq!(shape(bad), None);
        }
        assert_eq!(shape(&[vec![0], point[1..].to_vec()].concat()), None, "another order of bytes");
    }
}
