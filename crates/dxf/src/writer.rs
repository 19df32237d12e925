//! A whole drawing, from its header to its end.

use crate::chunk::Chunk;
use crate::drawing::Drawing;
use crate::entities::Entities;
use crate::error::Error;
use crate::extents::Extents;
use crate::header::{self, Patch, Patchable};
use crate::objects;
use crate::report::Report;
use crate::tables;
use std::io::Write;

/// Writes a drawing. Memory does not grow with it.
///
/// A drawing that is not [finished](Self::finish) is no drawing.
pub struct Writer<'d, W> {
    drawing: &'d Drawing,
    entities: Entities<'d, W>,
    patchable: Patchable,
}

/// A drawing that was written.
#[derive(Debug)]
pub struct Finished<W> {
    /// The output.
    pub out: W,
    /// Bytes that were written.
    pub length: u64,
    /// What must be replaced near the beginning, because it was not known or not right before. Readers
    /// show a drawing without these at another place, or complain about its handles.
    pub patches: Vec<Patch>,
    /// The box around the entities.
    pub extents: Extents,
    /// What was written and what was changed.
    pub report: Report,
}

impl<'d, W: Write> Writer<'d, W> {
    /// Writes all that precedes the entities.
    ///
    /// # Errors
    ///
    /// If the output fails, or if a block shows what cannot be written.
    pub fn new(out: W, drawing: &'d Drawing) -> Result<Self, Error> {
        let mut entities = Entities::new(drawing, out, drawing.first_handle());
        let mut patchable = Patchable::default();
        header::write(entities.sink(), drawing, &mut patchable);
        tables::write(entities.sink(), drawing, &mut patchable)?;
        tables::write_blocks(&mut entities, drawing)?;
        entities.sink().pairs.section("ENTITIES");
        Ok(Self { drawing, entities, patchable })
    }

    /// Writes entities.
    pub fn entities(&mut self) -> &mut Entities<'d, W> {
        &mut self.entities
    }

    /// Appends entities that another thread formatted.
    ///
    /// # Errors
    ///
    /// If the output fails, or if the chunk has handles that are in use.
    pub fn append(&mut self, chunk: &Chunk) -> Result<(), Error> {
        self.entities.append(chunk)
    }

    /// Writes all that follows the entities.
    ///
    /// # Errors
    ///
    /// If the output fails.
    pub fn finish(mut self) -> Result<Finished<W>, Error> {
        let found = self.entities.extents();
        // What is known before is believed.
        let extents = self.drawing.settings.extents.unwrap_or(found);
        let seed = self.entities.next_handle();
        let seed = self.drawing.settings.handle_seed.filter(|given| *given >= seed).unwrap_or(seed);
        let sink = self.entities.sink();
        sink.pairs.str(0, "ENDSEC");
        objects::write(&mut sink.pairs, &self.drawing.settings, &extents);
        sink.pairs.str(0, "EOF");
        let mut report = self.entities.report();
        report += self.drawing.report();
        Ok(Finished {
            length: self.entities.sink().position(),
            patches: self.patchable.patches(&extents, seed),
            extents: found,
            report,
            out: self.entities.finish()?,
        })
    }
}
