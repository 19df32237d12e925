//! Parts of the entities, which threads format beside each other.

use crate::extents::Extents;
use crate::report::Report;

/// A part of the entities, formatted.
///
/// ```
/// # use cadmill_dxf::*;
/// # fn main() -> Result<(), Error> {
/// let drawing = Setup::new(Settings::default()).finish().unwrap();
/// let mut chunk = drawing.chunk(drawing.first_handle(), Vec::new());
/// chunk.point(&Properties::default(), [1.0, 2.0])?;
/// let mut writer = Writer::new(Vec::new(), &drawing)?;
/// writer.append(&chunk.into_chunk()?)?;
/// writer.finish()?;
/// # Ok(())
/// # }
/// ```
pub struct Chunk {
    pub(crate) pairs: Vec<u8>,
    pub(crate) first: u64,
    pub(crate) next: u64,
    pub(crate) extents: Extents,
    pub(crate) report: Report,
}

impl Chunk {
    /// Bytes of the drawing that it is.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether it has no entity.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Its memory, for another one.
    pub fn into_buffer(self) -> Vec<u8> {
        self.pairs
    }

    /// The handle after its last.
    pub fn next_handle(&self) -> u64 {
        self.next
    }
}
