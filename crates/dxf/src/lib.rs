//! Writing of DXF drawings.
//!
//! ```text
//! Settings -> Setup    layers, line types, text styles, blocks, applications   => Drawing
//! Drawing  -> Writer   header, tables, blocks | entities | objects             => Finished
//!          -> Chunk    entities that another thread formats                    => Writer::append
//! ```
//!
//! A drawing is set up whole before its first entity is written, because all of it precedes the
//! entities in the file. Entities then stream to any [`std::io::Write`]. What the header needs and
//! only the end knows has a fixed width, and [`Finished::patches`] says what replaces it.
//!
//! AutoCAD discards a whole drawing for one wrong group, so nothing is written that it is known to
//! refuse: entities with such values are refused one by one ([`Refusal`]), names are made legal
//! ([`Drawing::renamed`]), and texts are escaped, split and counted ([`Report`]). No AutoCAD was at
//! hand: what it refuses is known from reports of its users, and `lint` has it as rules.
//!
//! ```
//! use cadmill_dxf::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut setup = Setup::new(Settings { code_page: CodePage::KOREAN, ..Settings::default() });
//! let buildings = setup.layer("건물", Layer { color: Color::Index(1), ..Layer::default() });
//! let drawing = setup.finish()?;
//! let mut writer = Writer::new(Vec::new(), &drawing)?;
//! let ring = [[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]];
//! writer.entities().polyline(&Properties::on(buildings), &Polyline::new(&ring, true))?;
//! let mut finished = writer.finish()?;
//! for patch in &finished.patches {
//!     patch.apply_to(&mut finished.out);
//! }
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod chunk;
mod code_page;
mod color;
mod dialect;
mod drawing;
mod entities;
mod error;
mod extents;
mod geodata;
mod handles;
mod header;
#[cfg(feature = "lint")]
pub mod lint;
mod name;
mod number;
mod objects;
mod pairs;
mod properties;
mod report;
mod setup;
mod sink;
mod tables;
mod text;
mod units;
mod version;
mod vertex;
mod writer;

pub use chunk::Chunk;
pub use code_page::CodePage;
pub use color::{Color, Lineweight};
pub use dialect::Dialect;
pub use drawing::Drawing;
pub use entities::{Attachment, Entities, Horizontal, Insert, MText, Polyline, Text, Vertical};
pub use error::{Error, Refusal, SetupError};
pub use extents::Extents;
pub use geodata::Georeference;
pub use header::Patch;
pub use name::{NameKind, Renamed};
pub use properties::{DataValue, ExtendedData, Properties};
pub use report::Report;
pub use setup::{
    ApplicationId, AttributeDefinition, Block, BlockId, Layer, LayerId, LinetypeId, Settings, Setup, Shape,
    ShapeGeometry, TextStyle, TextStyleId,
};
pub use units::Units;
pub use version::Version;
pub use vertex::Vertex;
pub use writer::{Finished, Writer};
