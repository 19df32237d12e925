//! The box around a drawing.

/// The box around all points of a drawing, in its units.
///
/// Of texts and blocks only the points that place them are counted, and of circles and arcs of their
/// own the whole circle: programs compute the exact box when they open the drawing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extents {
    /// The smallest coordinates.
    pub min: [f64; 3],
    /// The largest coordinates. Less than the smallest while it is empty.
    pub max: [f64; 3],
}

impl Extents {
    /// Those of a drawing without points. The numbers are the ones by which AutoCAD writes it.
    pub const EMPTY: Self = Self { min: [1e20; 3], max: [-1e20; 3] };

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        (0..3).any(|axis| self.min[axis] > self.max[axis])
    }

    /// Takes a point in.
    #[inline]
    pub fn add(&mut self, point: [f64; 3]) {
        for (axis, value) in point.into_iter().enumerate() {
            self.min[axis] = self.min[axis].min(value);
            self.max[axis] = self.max[axis].max(value);
        }
    }

    /// Takes another box in.
    pub fn merge(&mut self, other: &Self) {
        if !other.is_empty() {
            self.add(other.min);
            self.add(other.max);
        }
    }

    /// The middle in the plane, and the height of a view of it all; a view is 1.5 times as wide as it
    /// is high.
    pub(crate) fn view(&self) -> ([f64; 2], f64) {
        if self.is_empty() {
            return ([0.0; 2], 1.0);
        }
        let middle = |axis: usize| self.min[axis] / 2.0 + self.max[axis] / 2.0;
        let size = |axis: usize| self.max[axis] - self.min[axis];
        let height = size(1).max(size(0) / VIEW_ASPECT) * 1.05;
        let usable = height.is_finite() && height > 0.0;
        ([middle(0), middle(1)], if usable { height } else { 1.0 })
    }
}

/// Width of the first view in its heights.
pub(crate) const VIEW_ASPECT: f64 = 1.5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes() {
        let mut extents = Extents::EMPTY;
        assert!(extents.is_empty());
        extents.merge(&Extents::EMPTY);
        assert!(extents.is_empty());
        extents.add([10.0, 20.0, 0.0]);
        assert_eq!(extents.view(), ([10.0, 20.0], 1.0));
        extents.add([40.0, 30.0, -1.0]);
        assert_eq!((extents.min, extents.max), ([10.0, 20.0, -1.0], [40.0, 30.0, 0.0]));
        assert_eq!(extents.view(), ([25.0, 25.0], 21.0));
    }
}
