//! What a drawing (.dxf) has that GDAL does not read: it passes over such entities without a message.
//!
//! GDAL draws the entities of the section ENTITIES, and those of a block where one of them inserts it.
//! The file is read once, as it is written; of each block, only numbers are kept.

mod pairs;
mod tally;

use crate::engine::EngineError;
use pairs::Pairs;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use tally::{Content, Entity, Tally};

pub(super) use tally::Found;

/// The first bytes of a binary drawing.
const BINARY: &[u8] = b"AutoCAD Binary DXF";

/// Looks through a drawing; other files are left alone.
///
/// # Errors
/// [`EngineError::Rejected`] for a binary drawing.
pub(super) fn check(input: &Path) -> Result<Found, EngineError> {
    if !input.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("dxf")) {
        return Ok(Found::default());
    }
    // A file that cannot be read is left to GDAL, which says why.
    if is_binary(input).unwrap_or(false) {
        let text = "it is a binary drawing, which GDAL does not read: save it as DXF text (ASCII)";
        return Err(EngineError::Rejected(text.to_owned()));
    }
    Ok(scan(input).map(|tally| tally.found()).unwrap_or_default())
}

fn is_binary(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(BINARY.len() as u64).read_to_end(&mut head)?;
    Ok(head == BINARY)
}

/// Where in the drawing the next pair lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between sections, or in one without entities.
    Outside,
    /// After the beginning of a section, before its name.
    Section,
    Entities,
    /// In the section of blocks, between two of them.
    Blocks,
    /// In the head of a block, which has its name.
    Head,
    Block,
}

/// Group codes (DXF reference, "Group Code Value Types").
mod code {
    pub(super) const TYPE: u32 = 0;
    pub(super) const NAME: u32 = 2;
    pub(super) const BULGE: u32 = 42;
    pub(super) const FLAGS: u32 = 70;
}

/// Bits of the flags of a block.
const IS_EXTERNAL: u32 = 4 | 8;

fn scan(path: &Path) -> io::Result<Tally> {
    let mut pairs = Pairs::new(BufReader::with_capacity(1 << 18, File::open(path)?));
    let mut tally = Tally::default();
    let mut place = Place::Outside;
    let mut entity = Entity::default();
    let mut block: (Vec<u8>, Content) = Default::default();
    while let Some((code, value)) = pairs.next()? {
        match (code, place) {
            (code::NAME, Place::Section) => {
                place = match value.trim_ascii().to_ascii_uppercase().as_slice() {
                    b"ENTITIES" => Place::Entities,
                    b"BLOCKS" => Place::Blocks,
                    _ => Place::Outside,
                };
            }
            (code::TYPE, _) => {
                let kind = String::from_utf8_lossy(value.trim_ascii()).to_ascii_uppercase();
                match place {
                    Place::Entities => tally.drawn.add(std::mem::take(&mut entity)),
                    Place::Block => block.1.add(std::mem::take(&mut entity)),
                    _ => {}
                }
                let is_end = kind == "ENDSEC";
                place = match place {
                    Place::Entities if !is_end => Place::Entities,
                    Place::Head | Place::Block if kind == "ENDBLK" || is_end => {
                        let (name, content) = std::mem::take(&mut block);
                        tally.add_block(&name, content);
                        if is_end { Place::Outside } else { Place::Blocks }
                    }
                    Place::Head | Place::Block => Place::Block,
                    Place::Blocks if kind == "BLOCK" => Place::Head,
                    Place::Blocks if !is_end => Place::Blocks,
                    _ if kind == "SECTION" => Place::Section,
                    _ => Place::Outside,
                };
                if matches!(place, Place::Entities | Place::Block) {
                    entity.kind = kind;
                }
            }
            (code::NAME, Place::Head) => block.0 = value.to_vec(),
            (code::FLAGS, Place::Head) => block.1.is_external = number(value) & IS_EXTERNAL != 0,
            (code::NAME, Place::Entities | Place::Block) => {
                entity.name.get_or_insert_with(|| value.to_vec());
            }
            (code::FLAGS, Place::Entities | Place::Block) => entity.flags = number(value),
            (code::BULGE, Place::Entities | Place::Block) => {
                entity.has_bulge |= value.iter().any(|byte| (b'1'..=b'9').contains(byte));
            }
            _ => {}
        }
    }
    if place == Place::Entities {
        tally.drawn.add(entity);
    }
    Ok(tally)
}

fn number(value: &[u8]) -> u32 {
    std::str::from_utf8(value.trim_ascii()).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
