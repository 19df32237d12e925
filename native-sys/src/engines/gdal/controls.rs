//! Control characters, which XML does not have (XML 1.0, 5th edition, section 2.2): GDAL leaves them
//! out of the values that it writes, without a message.

use super::listener::{self, warn_of_loss};
use super::{Gdal, options};
use crate::bindings::gdal as ffi;
use crate::written::is_character;
use std::ffi::{CStr, c_int};

/// Drivers that write XML.
const XML: &[&CStr] = &[c"GML", c"GPX", c"JML", c"KML", c"LIBKML", c"SVG"];

/// Drivers whose input is searched as text, or is XML itself.
const TEXTS: &[&str] =
    &["CSV", "ESRIJSON", "GML", "GPX", "GeoJSON", "GeoJSONSeq", "JML", "KML", "LIBKML", "SVG", "TopoJSON"];

pub(super) const LEFT_OUT: &str = "control characters were left out, as the output format has none";

/// Whether the output is XML.
pub(super) fn is_xml(driver: &CStr) -> bool {
    XML.contains(&driver)
}

impl Gdal {
    /// Warns of values that have such characters. The features are read once more, but not those of
    /// text.
    pub(super) fn warn_of_controls(
        &self,
        source: ffi::GDALDatasetH,
        driver: &CStr,
        options: &options::Options,
    ) {
        if !is_xml(driver) || TEXTS.contains(&self.driver_of(source).as_str()) {
            return;
        }
        // Their messages were heard before.
        listener::mute(true);
        let values: u64 =
            self.layers(source, &options.layers).into_iter().map(|layer| self.controls_in(layer)).sum();
        listener::mute(false);
        if values > 0 {
            warn_of_loss(&format!("{LEFT_OUT}: {values} values had some"));
        }
    }

    /// The values of a layer that have such characters.
    fn controls_in(&self, layer: ffi::OGRLayerH) -> u64 {
        let api = &self.api;
        // SAFETY: a live layer, which owns its definition.
        let fields = unsafe { api.OGR_FD_GetFieldCount(api.OGR_L_GetLayerDefn(layer)) };
        let mut values = 0;
        // SAFETY: a live layer.
        unsafe { api.OGR_L_ResetReading(layer) };
        loop {
            // SAFETY: a live layer; the feature is ours.
            let feature = unsafe { api.OGR_L_GetNextFeature(layer) };
            if feature.is_null() {
                return values;
            }
            values += (0..fields).filter(|field| self.has_controls(feature, *field)).count() as u64;
            // SAFETY: ours, destroyed once.
            unsafe { api.OGR_F_Destroy(feature) };
        }
    }

    fn has_controls(&self, feature: ffi::OGRFeatureH, field: c_int) -> bool {
        // SAFETY: a live feature and a number below the count of its fields. The text is null or
        // ends with NUL, and belongs to the feature.
        unsafe {
            let text = self.api.OGR_F_GetFieldAsString(feature, field);
            !text.is_null() && !CStr::from_ptr(text).to_bytes().iter().copied().all(is_character)
        }
    }
}
