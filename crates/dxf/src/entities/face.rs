//! 3DFACE: a triangle or a quadrangle in space.

use super::{Entities, check};
use crate::error::{Error, Refusal};
use crate::properties::Properties;
use crate::vertex::Vertex;
use std::io::Write;

impl<W: Write> Entities<'_, W> {
    /// Writes a face with three or four corners. A last one that is the first again is left out.
    ///
    /// # Errors
    ///
    /// If it has other than three or four corners; see [`Entities`].
    pub fn face<V: Vertex>(&mut self, properties: &Properties<'_>, corners: &[V]) -> Result<(), Error> {
        check(corners)?;
        let corners = super::polyline::open(corners);
        let (a, b, c, d) = match corners {
            [a, b, c] => (a, b, c, c),
            [a, b, c, d] => (a, b, c, d),
            [] | [_] | [_, _] => return Err(Refusal::TooFewVertices.into()),
            _ => return Err(Refusal::Face.into()),
        };
        self.begin("3DFACE", properties, 1)?;
        let pairs = &mut self.sink.pairs;
        pairs.str(100, "AcDbFace");
        for (code, corner) in (10..).zip([a, b, c, d]) {
            pairs.point3(code, corner.in_space());
        }
        corners.iter().for_each(|corner| self.grow(corner.in_space()));
        self.end()
    }
}
