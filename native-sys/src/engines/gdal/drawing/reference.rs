//! The reference system of a drawing: its unit, and a `.prj` file that names it.

use super::source::Source;
use crate::bindings::gdal as ffi;
use crate::engine::{EngineError, Request};
use crate::engines::gdal::Gdal;
use crate::engines::gdal::listener::warn;
use crate::engines::string;
use cadmill_dxf::Units;
use std::ffi::c_char;

impl Gdal {
    /// The reference system of the first layer that has one.
    fn reference(sources: &[Source]) -> Option<ffi::OGRSpatialReferenceH> {
        sources.iter().map(Source::drawn_in).find(|system| !system.is_null())
    }

    /// The unit of the reference system; none if it has degrees.
    pub(super) fn units(&self, sources: &[Source]) -> Units {
        let Some(system) = Self::reference(sources) else { return Units::None };
        // SAFETY: a live reference system.
        if unsafe { self.api.OSRIsGeographic(system) } != 0 {
            return Units::None;
        }
        // SAFETY: a live reference system; its unit's name is not asked for.
        Units::of_metres(unsafe { self.api.OSRGetLinearUnits(system, std::ptr::null_mut()) })
    }

    /// Warns of layers that do not lie where they seem to, beside others.
    pub(super) fn compare_references(&self, sources: &[Source]) {
        let Some(first) = Self::reference(sources) else { return };
        let differs = |source: &Source| {
            let system = source.drawn_in();
            // SAFETY: two live reference systems.
            !system.is_null() && unsafe { self.api.OSRIsSame(first, system) } == 0
        };
        let others = sources.iter().filter(|source| differs(source)).count();
        if others > 0 {
            warn(&format!(
                "{others} layers have another reference system than the first: their coordinates were drawn as they are; --opt t_srs=EPSG:CODE gives all of them one"
            ));
        }
    }

    /// Writes the reference system beside the output, in the form that GIS programs look for there.
    pub(super) fn write_reference(
        &self,
        sources: &[Source],
        request: &Request<'_>,
    ) -> Result<(), EngineError> {
        let Some(system) = Self::reference(sources) else {
            warn(
                "the input does not say its reference system, so there is no .prj file: --opt a_srs=EPSG:CODE names it",
            );
            return Ok(());
        };
        let mut text: *mut c_char = std::ptr::null_mut();
        let format = [c"FORMAT=WKT1_ESRI".as_ptr(), std::ptr::null()];
        // SAFETY: a live reference system, a place for the text, which is ours, and a null-terminated
        // list of C strings.
        let failed = unsafe { self.api.OSRExportToWktEx(system, &mut text, format.as_ptr()) } != 0;
        // SAFETY: null or a C string, which is copied.
        let copied = unsafe { string(text) };
        // SAFETY: null or ours, freed once.
        unsafe { self.api.VSIFree(text.cast()) };
        let Some(copied) = copied.filter(|_| !failed) else {
            warn("the reference system cannot be written in the form of a .prj file, so there is none");
            return Ok(());
        };
        std::fs::write(request.output.with_extension("prj"), copied)
            .map_err(|error| EngineError::Rejected(format!("writing the .prj file failed: {error}")))
    }
}
