//! What a file contains: its layers, fields and features, read once and not converted.

use super::listener::warn;
use super::{Gdal, options, text};
use crate::bindings::gdal as ffi;
use crate::engine::{EngineError, Events, Inspection, Stage};
use crate::engines::string;
use cadmill_core::domain::contents::{Contents, Layer, Reference};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_int};
use std::path::Path;
use std::sync::Arc;

/// The driver whose features are on the layers of a drawing, and the field that names them.
const DRAWING: &str = "DXF";
const ON_LAYER: &CStr = c"Layer";

/// Names of layers of a drawing that are counted each.
const MAX_DRAWING_LAYERS: usize = 10_000;

/// Layers that are read.
const MAX_LAYERS: usize = 1000;

/// Features between two looks at a wish to cancel.
const FEATURES: u64 = 1024;

/// Files of a shapefile beside the geometry, of which conversions make use.
const SHAPEFILE: &[&str] = &["shx", "dbf", "prj", "cpg"];

/// An open dataset, closed when dropped.
struct Source<'a> {
    gdal: &'a Gdal,
    dataset: ffi::GDALDatasetH,
}

impl Drop for Source<'_> {
    fn drop(&mut self) {
        // SAFETY: opened by `open_input`, closed once.
        unsafe { self.gdal.api.GDALClose(self.dataset) };
    }
}

impl Gdal {
    /// Reads all of the file.
    pub(super) fn contents(
        &self,
        request: &Inspection<'_>,
        mut options: options::Options,
        events: &Arc<dyn Events>,
    ) -> Result<Contents, EngineError> {
        let prepared = text::prepare(request.input, options.encoding)?;
        prepared.warnings.iter().for_each(|line| warn(line));
        options.open.extend(prepared.open);
        for (name, value) in prepared.config.iter().chain(&options.config) {
            self.configure(name, value);
        }
        let input = prepared.instead.as_deref().unwrap_or(request.input);
        let contents = self.read(request, input, &options.open, events)?;
        Ok(Contents { encoding: prepared.charset.map(|charset| charset.to_string()), ..contents })
    }

    /// Reads all of `input`, which stands for that of the request.
    pub(super) fn read(
        &self,
        request: &Inspection<'_>,
        input: &Path,
        open: &[CString],
        events: &Arc<dyn Events>,
    ) -> Result<Contents, EngineError> {
        let source = Source { gdal: self, dataset: self.open_input(input, open)? };
        let mut contents =
            Contents { driver: source.driver(), references: source.files(request), ..Contents::default() };
        contents.references_total = contents.references.len() as u64;
        // SAFETY: an open dataset.
        let layers = unsafe { self.api.GDALDatasetGetLayerCount(source.dataset) };
        contents.layers_total = u64::try_from(layers).unwrap_or(0);
        for number in 0..layers.min(MAX_LAYERS as c_int) {
            // SAFETY: an open dataset, and a number below its count; the layer belongs to it.
            let layer = unsafe { self.api.GDALDatasetGetLayer(source.dataset, number) };
            if !layer.is_null() {
                contents.layers.push(self.layer(layer, contents.driver == DRAWING, events));
            }
            events.progress(Stage::Read, f64::from(number + 1) / f64::from(layers));
        }
        Ok(contents)
    }

    fn layer(&self, layer: ffi::OGRLayerH, is_drawing: bool, events: &Arc<dyn Events>) -> Layer {
        let api = &self.api;
        // SAFETY: a live layer; the results are copied.
        let (name, kind) = unsafe {
            let kind = api.OGR_L_GetGeomType(layer);
            (string(api.OGR_L_GetName(layer)), string(api.OGRGeometryTypeToName(kind)))
        };
        // SAFETY: a live layer, which owns its definition and reference system.
        let (definition, system) = unsafe { (api.OGR_L_GetLayerDefn(layer), api.OGR_L_GetSpatialRef(layer)) };
        let mut told = Layer {
            name: name.unwrap_or_default(),
            geometry: kind.unwrap_or_default(),
            fields: self.fields(definition),
            reference_system: self.reference_system(system),
            ..Layer::default()
        };
        told.fields_total = told.fields.len() as u64;
        // SAFETY: a live definition and a C string.
        let on_layer = unsafe { api.OGR_FD_GetFieldIndex(definition, ON_LAYER.as_ptr()) };
        let on_layer = Some(on_layer).filter(|index| is_drawing && *index >= 0);
        self.count(layer, on_layer, &mut told, events);
        told
    }

    fn fields(&self, definition: ffi::OGRFeatureDefnH) -> Vec<(String, String)> {
        let api = &self.api;
        // SAFETY: a live definition.
        let count = unsafe { api.OGR_FD_GetFieldCount(definition) };
        (0..count)
            .filter_map(|index| {
                // SAFETY: a live definition, and an index below its count; the texts are copied.
                unsafe {
                    let field = api.OGR_FD_GetFieldDefn(definition, index);
                    let kind = string(api.OGR_GetFieldTypeName(api.OGR_Fld_GetType(field)));
                    Some((string(api.OGR_Fld_GetNameRef(field))?, kind.unwrap_or_default()))
                }
            })
            .collect()
    }

    fn reference_system(&self, system: ffi::OGRSpatialReferenceH) -> Option<String> {
        if system.is_null() {
            return None;
        }
        let (api, whole) = (&self.api, std::ptr::null());
        // SAFETY: a live reference system; null stands for the whole of it; the texts are copied.
        let (authority, code, name) = unsafe {
            (
                string(api.OSRGetAuthorityName(system, whole)),
                string(api.OSRGetAuthorityCode(system, whole)),
                string(api.OSRGetName(system)),
            )
        };
        authority.zip(code).map(|(authority, code)| format!("{authority}:{code}")).or(name)
    }

    /// Counts the features of a layer, and takes their extent.
    fn count(
        &self,
        layer: ffi::OGRLayerH,
        on_layer: Option<c_int>,
        told: &mut Layer,
        events: &Arc<dyn Events>,
    ) {
        let api = &self.api;
        let mut kinds: BTreeMap<ffi::OGRwkbGeometryType, u64> = BTreeMap::new();
        let mut drawn: BTreeMap<String, u64> = BTreeMap::new();
        let mut without = 0;
        // SAFETY: a live layer.
        unsafe { api.OGR_L_ResetReading(layer) };
        loop {
            // SAFETY: a live layer; the feature is the caller's.
            let feature = unsafe { api.OGR_L_GetNextFeature(layer) };
            if feature.is_null() {
                break;
            }
            told.features += 1;
            // SAFETY: a live feature, which owns its geometry.
            let geometry = unsafe { api.OGR_F_GetGeometryRef(feature) };
            if geometry.is_null() {
                without += 1;
            } else {
                // SAFETY: a live geometry.
                *kinds.entry(unsafe { api.OGR_G_GetGeometryType(geometry) }).or_default() += 1;
                self.extend(&mut told.extent, geometry);
            }
            if let Some(index) = on_layer {
                // SAFETY: a live feature, and an index of its definition; the text is copied.
                let name = unsafe { string(api.OGR_F_GetFieldAsString(feature, index)) }.unwrap_or_default();
                if drawn.len() < MAX_DRAWING_LAYERS || drawn.contains_key(&name) {
                    *drawn.entry(name).or_default() += 1;
                }
            }
            // SAFETY: returned by `OGR_L_GetNextFeature`, destroyed once.
            unsafe { api.OGR_F_Destroy(feature) };
            if told.features.is_multiple_of(FEATURES) && events.cancelled() {
                break;
            }
        }
        let name = |kind| {
            // SAFETY: any number; the text is copied.
            unsafe { string(api.OGRGeometryTypeToName(kind)) }.unwrap_or_default()
        };
        told.geometries = kinds.into_iter().map(|(kind, count)| (name(kind), count)).collect();
        if without > 0 {
            told.geometries.push(("None".to_owned(), without));
        }
        told.drawing_layers_total = drawn.len() as u64;
        told.drawing_layers = drawn.into_iter().collect();
    }

    fn extend(&self, extent: &mut Option<[[f64; 3]; 2]>, geometry: ffi::OGRGeometryH) {
        let mut of = ffi::OGREnvelope3D { MinX: 0.0, MaxX: 0.0, MinY: 0.0, MaxY: 0.0, MinZ: 0.0, MaxZ: 0.0 };
        // SAFETY: a live geometry, and a struct that is valid for writes.
        let is_empty = unsafe {
            self.api.OGR_G_GetEnvelope3D(geometry, &mut of);
            self.api.OGR_G_IsEmpty(geometry) != 0
        };
        let (least, most) = ([of.MinX, of.MinY, of.MinZ], [of.MaxX, of.MaxY, of.MaxZ]);
        // JSON has no other numbers.
        if is_empty || !least.iter().chain(&most).all(|number| number.is_finite()) {
            return;
        }
        let [all_least, all_most] = extent.get_or_insert([least, most]);
        for axis in 0..3 {
            all_least[axis] = all_least[axis].min(least[axis]);
            all_most[axis] = all_most[axis].max(most[axis]);
        }
    }
}

impl Source<'_> {
    fn driver(&self) -> String {
        let api = &self.gdal.api;
        // SAFETY: an open dataset; its driver is never deregistered, and the name is copied.
        unsafe { string(api.GDALGetDriverShortName(api.GDALGetDatasetDriver(self.dataset))) }
            .unwrap_or_default()
    }

    /// The files that belong to the input, and those that a shapefile lacks.
    fn files(&self, request: &Inspection<'_>) -> Vec<Reference> {
        let api = &self.gdal.api;
        // SAFETY: an open dataset; the list is null or null-terminated, and freed below.
        let list = unsafe { api.GDALGetFileList(self.dataset) };
        let mut references = Vec::new();
        for index in 0.. {
            // SAFETY: not null, and all entries before this one are not null.
            let Some(path) = (!list.is_null()).then(|| unsafe { string(*list.add(index)) }).flatten() else {
                break;
            };
            let path = Path::new(&path);
            if path == request.input {
                continue;
            }
            // What is made for the conversion lies elsewhere.
            if let Ok(inside) = path.strip_prefix(request.input_dir) {
                let name = inside.to_string_lossy().into_owned();
                references.push(Reference { name: name.clone(), file: Some(name) });
            }
        }
        // SAFETY: null or a list that `GDALGetFileList` returned, freed once.
        unsafe { api.CSLDestroy(list) };
        if request.input.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("shp")) {
            references.extend(SHAPEFILE.iter().filter_map(|extension| missing(request, extension)));
        }
        references
    }
}

/// A part that a shapefile lacks.
fn missing(request: &Inspection<'_>, extension: &str) -> Option<Reference> {
    let is_there = [extension.to_owned(), extension.to_ascii_uppercase()]
        .into_iter()
        .any(|extension| request.input.with_extension(extension).is_file());
    let name = request.input.with_extension(extension);
    let name = name.strip_prefix(request.input_dir).unwrap_or(&name).to_string_lossy().into_owned();
    (!is_there).then_some(Reference { name, file: None })
}
