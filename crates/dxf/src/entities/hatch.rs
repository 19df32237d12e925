//! HATCH: filled areas.

use super::polyline::open;
use super::{Entities, STRIDE, check, check_numbers};
use crate::error::{Error, Refusal};
use crate::properties::Properties;
use crate::vertex::Vertex;
use std::io::Write;

/// Kinds of boundary paths (group 92).
const EXTERNAL: i64 = 1;
const POLYLINE: i64 = 2;
const OUTERMOST: i64 = 16;

impl<W: Write> Entities<'_, W> {
    /// Writes a filled area in a plane. The first ring is its outline, others are holes, in either
    /// direction. Areas that do not touch are better several hatches: programs of Autodesk draw one
    /// with several outlines wrongly (LibreCAD#1739).
    ///
    /// # Errors
    ///
    /// If the outline has fewer than three vertices. A hole with fewer is left out and counted. See
    /// [`Entities`].
    pub fn hatch<V: Vertex, R: AsRef<[V]>>(
        &mut self,
        properties: &Properties<'_>,
        rings: &[R],
        elevation: f64,
    ) -> Result<(), Error> {
        let ogr = self.is_ogr();
        let ring = |ring: &R| -> usize {
            let ring = ring.as_ref();
            if ogr { ring.len() } else { open(ring).len() }
        };
        // GDAL writes what it is given.
        let least = if ogr { 1 } else { 3 };
        check_numbers(&[elevation])?;
        for ring in rings {
            check(ring.as_ref())?;
        }
        if rings.first().is_none_or(|outline| ring(outline) < least) {
            return Err(Refusal::TooFewVertices.into());
        }
        let count = rings.iter().filter(|hole| ring(hole) >= least).count();
        self.begin("HATCH", properties, 1)?;
        self.report.dropped_rings += (rings.len() - count) as u64;
        let pairs = &mut self.sink.pairs;
        pairs.str(100, "AcDbHatch");
        pairs.point3(10, [0.0, 0.0, elevation]);
        pairs.point3(210, [0.0, 0.0, 1.0]);
        pairs.str(2, "SOLID");
        // Filled, and not associative.
        pairs.int(70, 1);
        pairs.int(71, 0);
        if ogr {
            self.look(properties);
        }
        self.sink.pairs.int(91, count as i64);
        for (number, ring) in rings.iter().enumerate().filter(|(_, hole)| ring(hole) >= least) {
            let ring = ring.as_ref();
            let kind = match number {
                _ if ogr => POLYLINE,
                0 => EXTERNAL | POLYLINE,
                _ => POLYLINE | OUTERMOST,
            };
            self.path(kind, if ogr { ring } else { open(ring) }, elevation)?;
        }
        let pairs = &mut self.sink.pairs;
        // Odd parity, so that rings within rings are holes; a predefined pattern.
        pairs.int(75, 0);
        pairs.int(76, 1);
        if ogr {
            pairs.int(98, 0);
        } else {
            pairs.int(98, 1);
            let seed = rings[0].as_ref()[0];
            pairs.point2(10, seed.x(), seed.y());
        }
        self.end()
    }

    fn path<V: Vertex>(&mut self, kind: i64, ring: &[V], elevation: f64) -> Result<(), Error> {
        let pairs = &mut self.sink.pairs;
        pairs.int(92, kind);
        // Without bulges, and closed.
        pairs.int(72, 0);
        pairs.int(73, 1);
        pairs.int(93, ring.len() as i64);
        for part in ring.chunks(STRIDE) {
            for vertex in part {
                let (x, y) = (vertex.x(), vertex.y());
                self.sink.pairs.point2(10, x, y);
                self.grow([x, y, elevation]);
            }
            self.sink.spill()?;
        }
        // No objects that the path came from.
        self.sink.pairs.int(97, 0);
        Ok(())
    }
}
