//! Coordinates, with or without a height.

/// A point in the plane or in space.
pub trait Vertex: Copy {
    /// Its first coordinate.
    fn x(self) -> f64;
    /// Its second coordinate.
    fn y(self) -> f64;
    /// Its height; `None` in the plane.
    fn z(self) -> Option<f64>;

    /// All three, with a height of zero in the plane.
    fn in_space(self) -> [f64; 3] {
        [self.x(), self.y(), self.z().unwrap_or(0.0)]
    }

    /// Whether all of them are finite.
    fn is_finite(self) -> bool {
        self.x().is_finite() && self.y().is_finite() && self.z().is_none_or(f64::is_finite)
    }
}

impl Vertex for [f64; 2] {
    fn x(self) -> f64 {
        self[0]
    }

    fn y(self) -> f64 {
        self[1]
    }

    fn z(self) -> Option<f64> {
        None
    }
}

impl Vertex for [f64; 3] {
    fn x(self) -> f64 {
        self[0]
    }

    fn y(self) -> f64 {
        self[1]
    }

    fn z(self) -> Option<f64> {
        Some(self[2])
    }
}
