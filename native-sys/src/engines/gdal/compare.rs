//! What the output cannot have of the input, as far as the layers of both tell: GDAL leaves it out
//! without a message.

use super::listener::{self, warn_of_loss, with_listener};
use super::{Gdal, options};
use crate::bindings::gdal as ffi;
use crate::engines::string;
use std::ffi::{CStr, CString};

/// Drivers that write no heights.
const FLAT: &[&CStr] = &[c"MapInfo File"];

/// Drivers that write heights if the first feature or the layer has them.
const FLAT_AT_TIMES: &[&CStr] = &[c"ESRI Shapefile", c"FlatGeobuf"];

/// Drivers that write measures.
const MEASURED: &[&CStr] = &[c"CSV", c"ESRI Shapefile", c"FlatGeobuf", c"GPKG", c"PGDUMP", c"SQLite"];

/// Drivers that write curves as curves.
const CURVED: &[&CStr] = &[c"CSV", c"FlatGeobuf", c"GML", c"GPKG", c"PGDUMP", c"SQLite"];

/// Drivers whose features have no measures and no curves.
const PLAIN_SOURCES: &[&CStr] =
    &[c"CAD", c"DGN", c"DXF", c"ESRIJSON", c"GeoJSON", c"GeoJSONSeq", c"GPX", c"KML", c"LIBKML", c"TopoJSON"];

/// What the features of a layer have.
#[derive(Debug, Clone, Copy, Default)]
struct Has {
    geometry: bool,
    heights: bool,
    measures: bool,
    curves: bool,
}

/// Two datasets between which features were translated.
struct Translated<'a> {
    source: ffi::GDALDatasetH,
    destination: ffi::GDALDatasetH,
    driver: &'a CStr,
    options: &'a options::Options,
}

impl Gdal {
    /// Warns of what the output does not have.
    pub(super) fn compare(
        &self,
        [source, destination]: [ffi::GDALDatasetH; 2],
        driver: &CStr,
        options: &options::Options,
    ) {
        let of = &Translated { source, destination, driver, options };
        let chooses_geometry =
            of.options.translate.iter().any(|a| [c"-nlt", c"-dim"].contains(&a.as_c_str()))
                || of.options.given.iter().any(|(_, key, _)| *key == "GEOMETRY");
        if chooses_geometry {
            return;
        }
        let written = self.layers(of.destination, &[]);
        if written.is_empty() {
            return;
        }
        let mut has = Has::default();
        for layer in self.layers(of.source, &of.options.layers) {
            let of_layer = self.has(layer, of);
            has.geometry |= of_layer.geometry;
            has.heights |= of_layer.heights;
            has.measures |= of_layer.measures;
            has.curves |= of_layer.curves;
        }
        // SAFETY: live layers.
        let kinds: Vec<_> =
            written.iter().map(|layer| unsafe { self.api.OGR_L_GetGeomType(*layer) }).collect();
        if has.geometry && kinds.iter().all(|kind| *kind == ffi::OGRwkbGeometryType_wkbNone) {
            let advice = match of.driver == c"CSV" {
                true => "--opt lco.GEOMETRY=AS_WKT writes it as text",
                false => "choose a format that has it",
            };
            with_listener(|l| l.lacking.geometries = true);
            warn_of_loss(&format!("the geometry was left out, as the output format has none: {advice}"));
            return;
        }
        // SAFETY: no pointers.
        let is_flat = |kind: &ffi::OGRwkbGeometryType| unsafe { self.api.OGR_GT_HasZ(*kind) } == 0;
        let drops =
            FLAT.contains(&of.driver) || (FLAT_AT_TIMES.contains(&of.driver) && kinds.iter().all(is_flat));
        if has.heights && drops {
            let advice = match FLAT.contains(&of.driver) {
                true => "the output format has none",
                false => {
                    "the output has none unless its first feature has one, or --opt nlt= asks for them, e.g. GEOMETRYZ"
                }
            };
            with_listener(|l| l.lacking.heights = true);
            warn_of_loss(&format!("the heights (Z) were left out: {advice}"));
        }
        if has.measures && !MEASURED.contains(&of.driver) {
            with_listener(|l| l.lacking.measures = true);
            warn_of_loss("the measures (M) were left out: the output format has none");
        }
        if has.curves && !CURVED.contains(&of.driver) {
            warn_of_loss("curves were replaced by short lines: the output format has no curves");
        }
    }

    pub(super) fn layers(&self, dataset: ffi::GDALDatasetH, names: &[CString]) -> Vec<ffi::OGRLayerH> {
        let api = &self.api;
        // SAFETY: an open dataset.
        let count = unsafe { api.GDALDatasetGetLayerCount(dataset) };
        (0..count)
            // SAFETY: an open dataset, and a number below its count; the layer belongs to it.
            .map(|number| unsafe { api.GDALDatasetGetLayer(dataset, number) })
            .filter(|layer| {
                // SAFETY: not null; the name is copied.
                let name = || unsafe { string(api.OGR_L_GetName(*layer)) }.unwrap_or_default();
                !layer.is_null()
                    && (names.is_empty()
                        || names.iter().any(|n| n.to_bytes().eq_ignore_ascii_case(name().as_bytes())))
            })
            .collect()
    }

    /// What a layer says that its features have; if it says nothing and it matters, the features are
    /// read.
    fn has(&self, layer: ffi::OGRLayerH, of: &Translated<'_>) -> Has {
        // SAFETY: a live layer.
        let kind = unsafe { self.api.OGR_L_GetGeomType(layer) };
        // SAFETY: no pointers.
        if unsafe { self.api.OGR_GT_Flatten(kind) } != ffi::OGRwkbGeometryType_wkbUnknown {
            return self.of_kind(kind);
        }
        let source = self.driver_of(of.source);
        let is_plain = PLAIN_SOURCES.iter().any(|known| known.to_bytes() == source.as_bytes());
        if is_plain && !FLAT.contains(&of.driver) && !FLAT_AT_TIMES.contains(&of.driver) {
            return Has { geometry: true, ..Has::default() };
        }
        let api = &self.api;
        let mut has = Has::default();
        // Their messages were heard before.
        listener::mute(true);
        // SAFETY: a live layer.
        unsafe { api.OGR_L_ResetReading(layer) };
        loop {
            // SAFETY: a live layer; the feature is ours.
            let feature = unsafe { api.OGR_L_GetNextFeature(layer) };
            if feature.is_null() {
                break;
            }
            // SAFETY: a live feature, which owns its geometry.
            let geometry = unsafe { api.OGR_F_GetGeometryRef(feature) };
            if !geometry.is_null() {
                // SAFETY: a live geometry.
                let of_feature = self.of_kind(unsafe { api.OGR_G_GetGeometryType(geometry) });
                has.geometry = true;
                has.heights |= of_feature.heights;
                has.measures |= of_feature.measures;
                has.curves |= of_feature.curves;
            }
            // SAFETY: ours, destroyed once.
            unsafe { api.OGR_F_Destroy(feature) };
        }
        listener::mute(false);
        has
    }

    fn of_kind(&self, kind: ffi::OGRwkbGeometryType) -> Has {
        // SAFETY: no pointers.
        unsafe {
            Has {
                geometry: kind != ffi::OGRwkbGeometryType_wkbNone,
                heights: self.api.OGR_GT_HasZ(kind) != 0,
                measures: self.api.OGR_GT_HasM(kind) != 0,
                curves: self.api.OGR_GT_IsNonLinear(kind) != 0,
            }
        }
    }

    /// The short name of the driver that opened a dataset.
    pub(super) fn driver_of(&self, dataset: ffi::GDALDatasetH) -> String {
        // SAFETY: an open dataset, whose driver lives as long as the library; the name is copied.
        unsafe { string(self.api.GDALGetDriverShortName(self.api.GDALGetDatasetDriver(dataset))) }
            .unwrap_or_default()
    }
}
