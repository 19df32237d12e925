//! Entities: what a drawing shows.
//!
//! An entity is refused before any of it is written. What may fail after that is the output alone,
//! and then the drawing is lost. Long entities are written out while they are formatted.

mod data;
mod face;
mod hatch;
mod insert;
mod mesh;
mod point;
mod polyline;
mod text;

pub use insert::Insert;
pub use polyline::Polyline;
pub use text::{Attachment, Horizontal, MText, Text, Vertical};

use crate::chunk::Chunk;
use crate::dialect::Dialect;
use crate::drawing::Drawing;
use crate::error::{Error, Refusal};
use crate::extents::Extents;
use crate::handles;
use crate::pairs::Pairs;
use crate::properties::Properties;
use crate::report::Report;
use crate::setup::LinetypeId;
use crate::sink::Sink;
use crate::vertex::Vertex;
use std::io::Write;

/// Vertices between which the output is not looked at.
const STRIDE: usize = 1024;

/// Writes entities of a drawing: of the whole one as [`Writer::entities`](crate::Writer::entities), or
/// of a part as [`Drawing::chunk`].
///
/// Each method writes one entity. [`Error::Refused`] means that the entity was not written, and that
/// the next one can be; any other error ends the drawing.
///
/// # Panics
///
/// Methods panic at an identifier of another drawing that this one does not have.
pub struct Entities<'d, W> {
    drawing: &'d Drawing,
    sink: Sink<W>,
    first: u64,
    next: u64,
    /// The block record that has the entities.
    owner: u64,
    extents: Extents,
    report: Report,
    /// An encoded text.
    scratch: Vec<u8>,
    /// Extended data of the entity.
    data: Pairs,
}

impl<'d, W: Write> Entities<'d, W> {
    pub(crate) fn new(drawing: &'d Drawing, out: W, first: u64) -> Self {
        let dialect = drawing.settings.dialect;
        Self {
            drawing,
            sink: Sink::new(out, dialect),
            first,
            next: first,
            owner: handles::MODEL_SPACE,
            extents: Extents::EMPTY,
            report: Report::default(),
            scratch: Vec::new(),
            data: Pairs::new(dialect),
        }
    }

    /// The handle that the next entity gets.
    pub fn next_handle(&self) -> u64 {
        self.next
    }

    /// The box around what was written.
    pub fn extents(&self) -> Extents {
        self.extents
    }

    /// What was written and what was changed.
    pub fn report(&self) -> Report {
        self.report
    }

    pub(crate) fn sink(&mut self) -> &mut Sink<W> {
        &mut self.sink
    }

    /// Makes what follows the contents of a block, or of the model space.
    pub(crate) fn set_owner(&mut self, owner: u64, next: u64) {
        (self.owner, self.next) = (owner, next);
    }

    /// Appends entities that were written elsewhere.
    pub(crate) fn append(&mut self, chunk: &Chunk) -> Result<(), Error> {
        if chunk.first < self.next {
            return Err(Error::Order { first: chunk.first, next: self.next });
        }
        self.sink.append(&chunk.pairs)?;
        self.next = chunk.next;
        self.extents.merge(&chunk.extents);
        self.report += chunk.report;
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<W, Error> {
        Ok(self.sink.finish()?)
    }

    fn is_ogr(&self) -> bool {
        self.drawing.settings.dialect == Dialect::Ogr
    }

    /// Begins an entity that takes so many handles; returns the first. Nothing is refused after it.
    fn begin(&mut self, kind: &str, properties: &Properties<'_>, handles: u64) -> Result<u64, Error> {
        let scale = properties.linetype_scale;
        if !scale.is_finite() || scale <= 0.0 {
            return Err(Refusal::NotPositive.into());
        }
        self.prepare_data(properties)?;
        let handle = self.next;
        let next = handle.checked_add(handles).filter(|next| next - 1 <= handles::LAST);
        self.next = next.ok_or(Error::Handles)?;
        self.head(kind, handle, self.owner, properties);
        if !self.is_ogr() {
            self.look(properties);
        }
        if self.owner == handles::MODEL_SPACE {
            self.report.entities += 1;
        }
        Ok(handle)
    }

    /// The groups that all entities have.
    fn head(&mut self, kind: &str, handle: u64, owner: u64, properties: &Properties<'_>) {
        let ogr = self.is_ogr();
        let pairs = &mut self.sink.pairs;
        pairs.str(0, kind);
        pairs.handle(5, handle);
        if !ogr {
            pairs.handle(330, owner);
        }
        pairs.str(100, "AcDbEntity");
        pairs.bytes(8, &self.drawing.layers[properties.layer.0 as usize].name);
    }

    /// What is not by layer. GDAL has it later than others.
    fn look(&mut self, properties: &Properties<'_>) {
        let true_color = self.drawing.settings.version.has_true_color();
        let ogr = self.is_ogr();
        let pairs = &mut self.sink.pairs;
        let linetype = &self.drawing.linetypes[properties.linetype.0 as usize].name;
        let by_layer = properties.linetype == LinetypeId::BY_LAYER;
        if !by_layer && !ogr {
            pairs.bytes(6, linetype);
        }
        if properties.color != Default::default() {
            pairs.int(62, properties.color.index());
        }
        if properties.lineweight != Default::default() {
            pairs.int(370, properties.lineweight.value());
        }
        if ogr {
            if !by_layer {
                pairs.bytes(6, linetype);
            }
            return;
        }
        if properties.linetype_scale != 1.0 {
            pairs.real(48, properties.linetype_scale);
        }
        match properties.color.rgb() {
            Some(rgb) if true_color => pairs.int(420, rgb),
            Some(_) => self.report.indexed_colors += 1,
            None => {}
        }
        if properties.opacity < 255 && true_color {
            pairs.int(440, 0x0200_0000 | i64::from(properties.opacity));
        }
    }

    /// Begins a part of an entity, a vertex or an attribute, which has a handle of its own.
    fn child(&mut self, kind: &str, handle: u64, parent: u64, properties: &Properties<'_>) {
        self.head(kind, handle, parent, properties);
    }

    /// Ends an entity without parts.
    fn end(&mut self) -> Result<(), Error> {
        self.put_data();
        Ok(self.sink.spill()?)
    }

    /// Ends an entity with parts.
    fn end_of_parts(&mut self, handle: u64, parent: u64, properties: &Properties<'_>) -> Result<(), Error> {
        self.child("SEQEND", handle, parent, properties);
        Ok(self.sink.spill()?)
    }

    fn grow(&mut self, point: [f64; 3]) {
        if self.owner == handles::MODEL_SPACE {
            self.extents.add(point);
        }
    }
}

impl Drawing {
    /// Begins a part of the entities, to be written by another thread and appended by
    /// [`Writer::append`](crate::Writer::append). Its handles begin with the one given. Chunks are
    /// appended by rising handles, between which some may be left out.
    ///
    /// `buffer` is room for it, perhaps [that of an earlier one](Chunk::into_buffer); its contents go.
    pub fn chunk(&self, first_handle: u64, mut buffer: Vec<u8>) -> Entities<'_, Vec<u8>> {
        buffer.clear();
        Entities::new(self, buffer, first_handle)
    }
}

impl Entities<'_, Vec<u8>> {
    /// Ends a part of the entities.
    ///
    /// # Errors
    ///
    /// Only [`Error::Io`], which memory does not give.
    pub fn into_chunk(self) -> Result<Chunk, Error> {
        let Self { first, next, extents, report, .. } = self;
        Ok(Chunk { pairs: self.sink.finish()?, first, next, extents, report })
    }
}

fn check(points: &[impl Vertex]) -> Result<(), Refusal> {
    if points.iter().all(|point| point.is_finite()) { Ok(()) } else { Err(Refusal::NotFinite) }
}

fn check_numbers(numbers: &[f64]) -> Result<(), Refusal> {
    if numbers.iter().all(|number| number.is_finite()) { Ok(()) } else { Err(Refusal::NotFinite) }
}

fn check_size(size: f64) -> Result<(), Refusal> {
    match size {
        size if !size.is_finite() => Err(Refusal::NotFinite),
        size if size <= 0.0 => Err(Refusal::NotPositive),
        _ => Ok(()),
    }
}
