//! Well-known binary (ISO/IEC 13249-3, 5.1.46) in little-endian order, in which geometries come from
//! GDAL.

use super::Gdal;
use crate::bindings::gdal as ffi;

/// Levels of geometries in one another.
pub(super) const MAX_DEPTH: u32 = 64;

/// Bytes that are still to be read.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
}

/// The beginning of a geometry.
pub(super) struct Head {
    /// Its kind, without its dimensions.
    pub(super) kind: u32,
    pub(super) has_heights: bool,
    pub(super) has_measures: bool,
}

impl Reader<'_> {
    /// Reads the beginning of a geometry; `None` if it has another order of bytes.
    pub(super) fn head(&mut self) -> Option<Head> {
        if self.take::<1>()? != [1] {
            return None;
        }
        let code = self.number()?;
        let dimensions = code / 1000;
        Some(Head { kind: code % 1000, has_heights: dimensions & 1 == 1, has_measures: dimensions & 2 == 2 })
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*taken)
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn real(&mut self) -> Option<f64> {
        self.take().map(f64::from_le_bytes)
    }
}

impl Gdal {
    /// A geometry in this form; empty if GDAL does not write it.
    pub(super) fn exported(&self, geometry: ffi::OGRGeometryH) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.export_into(geometry, &mut bytes);
        bytes
    }

    /// The same, in place of what the bytes were.
    pub(super) fn export_into(&self, geometry: ffi::OGRGeometryH, bytes: &mut Vec<u8>) {
        bytes.clear();
        // SAFETY: a live geometry.
        let size = usize::try_from(unsafe { self.api.OGR_G_WkbSize(geometry) }).unwrap_or_default();
        bytes.resize(size, 0);
        let order = ffi::OGRwkbByteOrder_wkbNDR;
        // SAFETY: a live geometry, and as many bytes as it takes.
        let failed = unsafe { self.api.OGR_G_ExportToIsoWkb(geometry, order, bytes.as_mut_ptr()) } != 0;
        if failed {
            bytes.clear();
        }
    }
}
