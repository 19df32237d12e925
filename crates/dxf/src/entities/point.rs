//! POINT, LINE, CIRCLE and ARC.

use super::{Entities, check, check_numbers, check_size};
use crate::error::Error;
use crate::properties::Properties;
use crate::vertex::Vertex;
use std::io::Write;

impl<W: Write> Entities<'_, W> {
    /// Writes a point.
    ///
    /// # Errors
    ///
    /// See [`Entities`].
    pub fn point(&mut self, properties: &Properties<'_>, at: impl Vertex) -> Result<(), Error> {
        check(&[at])?;
        self.begin("POINT", properties, 1)?;
        self.sink.pairs.str(100, "AcDbPoint");
        if self.is_ogr() {
            self.look(properties);
        }
        let ogr = self.is_ogr();
        let pairs = &mut self.sink.pairs;
        pairs.point2(10, at.x(), at.y());
        if let Some(z) = at.z().or((!ogr).then_some(0.0)) {
            pairs.real(30, z);
        }
        self.grow(at.in_space());
        self.end()
    }

    /// Writes a line.
    ///
    /// # Errors
    ///
    /// See [`Entities`].
    pub fn line(
        &mut self,
        properties: &Properties<'_>,
        from: impl Vertex,
        to: impl Vertex,
    ) -> Result<(), Error> {
        let ends = [from.in_space(), to.in_space()];
        check(&ends)?;
        self.begin("LINE", properties, 1)?;
        let pairs = &mut self.sink.pairs;
        pairs.str(100, "AcDbLine");
        pairs.point3(10, ends[0]);
        pairs.point3(11, ends[1]);
        ends.into_iter().for_each(|end| self.grow(end));
        self.end()
    }

    /// Writes a circle.
    ///
    /// # Errors
    ///
    /// If the radius is not positive; see [`Entities`].
    pub fn circle(
        &mut self,
        properties: &Properties<'_>,
        center: impl Vertex,
        radius: f64,
    ) -> Result<(), Error> {
        self.begin_circle("CIRCLE", properties, center, radius)?;
        self.end()
    }

    /// Writes an arc, anticlockwise from one angle to another, in degrees from the first axis.
    ///
    /// # Errors
    ///
    /// If the radius is not positive; see [`Entities`].
    pub fn arc(
        &mut self,
        properties: &Properties<'_>,
        center: impl Vertex,
        radius: f64,
        from: f64,
        to: f64,
    ) -> Result<(), Error> {
        check_numbers(&[from, to])?;
        self.begin_circle("ARC", properties, center, radius)?;
        let pairs = &mut self.sink.pairs;
        pairs.str(100, "AcDbArc");
        pairs.real(50, from);
        pairs.real(51, to);
        self.end()
    }

    fn begin_circle(
        &mut self,
        kind: &str,
        properties: &Properties<'_>,
        center: impl Vertex,
        radius: f64,
    ) -> Result<(), Error> {
        check(&[center])?;
        check_size(radius)?;
        self.begin(kind, properties, 1)?;
        let [x, y, z] = center.in_space();
        let pairs = &mut self.sink.pairs;
        pairs.str(100, "AcDbCircle");
        pairs.point3(10, [x, y, z]);
        pairs.real(40, radius);
        self.grow([x - radius, y - radius, z]);
        self.grow([x + radius, y + radius, z]);
        Ok(())
    }
}
