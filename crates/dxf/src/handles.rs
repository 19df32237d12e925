//! Handles, by which objects refer to each other.
//!
//! Those below 100 (hexadecimal) are the ones of what every drawing has, as AutoCAD and GDAL number
//! them. What is declared comes next, then blocks, then entities.

pub(crate) const BLOCK_RECORD_TABLE: u64 = 0x1;
pub(crate) const LAYER_TABLE: u64 = 0x2;
pub(crate) const STYLE_TABLE: u64 = 0x3;
pub(crate) const LTYPE_TABLE: u64 = 0x5;
pub(crate) const VIEW_TABLE: u64 = 0x6;
pub(crate) const UCS_TABLE: u64 = 0x7;
pub(crate) const VPORT_TABLE: u64 = 0x8;
pub(crate) const APPID_TABLE: u64 = 0x9;
pub(crate) const DIMSTYLE_TABLE: u64 = 0xA;
pub(crate) const ROOT: u64 = 0xC;
pub(crate) const GROUPS: u64 = 0xD;
pub(crate) const PLOT_STYLES: u64 = 0xE;
pub(crate) const PLOT_STYLE: u64 = 0xF;
pub(crate) const LAYER_ZERO: u64 = 0x10;
pub(crate) const STYLE_STANDARD: u64 = 0x11;
pub(crate) const APPID_ACAD: u64 = 0x12;
pub(crate) const LTYPE_BY_BLOCK: u64 = 0x14;
pub(crate) const LTYPE_BY_LAYER: u64 = 0x15;
pub(crate) const LTYPE_CONTINUOUS: u64 = 0x16;
pub(crate) const MLINE_STYLES: u64 = 0x17;
pub(crate) const MLINE_STYLE: u64 = 0x18;
pub(crate) const PLOT_SETTINGS: u64 = 0x19;
pub(crate) const LAYOUTS: u64 = 0x1A;
pub(crate) const PAPER_SPACE: u64 = 0x1B;
pub(crate) const PAPER_SPACE_BEGIN: u64 = 0x1C;
pub(crate) const PAPER_SPACE_END: u64 = 0x1D;
pub(crate) const PAPER_LAYOUT: u64 = 0x1E;
pub(crate) const MODEL_SPACE: u64 = 0x1F;
pub(crate) const MODEL_SPACE_BEGIN: u64 = 0x20;
pub(crate) const MODEL_SPACE_END: u64 = 0x21;
pub(crate) const MODEL_LAYOUT: u64 = 0x22;
pub(crate) const DIMSTYLE_STANDARD: u64 = 0x27;
pub(crate) const VPORT_ACTIVE: u64 = 0x29;
pub(crate) const MODEL_EXTENSION: u64 = 0x2A;
pub(crate) const GEODATA: u64 = 0x2B;
/// The first of what is declared.
pub(crate) const FIRST_DECLARED: u64 = 0x100;
/// The first of an entity in GDAL's drawings.
pub(crate) const FIRST_OF_OGR: u64 = 0x2_0000;
/// The last that eight digits have, but for one that `$HANDSEED` needs above it.
pub(crate) const LAST: u64 = 0xFFFF_FFFE;
