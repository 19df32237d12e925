//! Layers that are read, of one dataset or of several.

use super::choice::Choice;
use super::order::Order;
use crate::bindings::gdal as ffi;
use crate::engine::{EngineError, Events};
use crate::engines::gdal::Gdal;
use crate::engines::gdal::listener::{blamed, failure};
use crate::engines::string;
use std::ffi::{CStr, CString, c_char, c_int};
use std::path::PathBuf;
use std::sync::Arc;

/// The field by which features have had layers ever since: in GDAL, in ArcGIS, and in drawings.
pub(super) const LAYER: &str = "Layer";

/// What an option that is not applied here is written into.
pub(super) const BETWEEN: &CStr = c"FlatGeobuf";

/// The same for features with styles.
pub(super) const IN_MEMORY: &CStr = c"Memory";

/// Drivers whose features have styles that a drawing can show: colours and texts.
const STYLED: &[&str] = &["CAD", "DGN", "DXF", "KML", "LIBKML", "MapInfo File"];

/// A layer of the input, and the places of the fields that the options name.
pub(super) struct Source {
    pub(super) handle: ffi::OGRLayerH,
    pub(super) name: String,
    pub(super) fields: Vec<String>,
    /// Fields that are looked up for each feature.
    places: Vec<(String, c_int)>,
}

impl Source {
    /// The place of a field that the options name.
    pub(super) fn field(&self, name: &str) -> Option<c_int> {
        self.places.iter().find(|(known, _)| known == name).map(|(_, place)| *place)
    }

    /// The place of a field, in whatever case.
    fn find(&self, name: &str) -> Option<c_int> {
        let exact = self.fields.iter().position(|field| field == name);
        let any = || self.fields.iter().position(|field| field.to_lowercase() == name.to_lowercase());
        exact.or_else(any).and_then(|at| c_int::try_from(at).ok())
    }
}

/// Where features come from, so that each thread can read them.
pub(super) enum Origin<'a> {
    /// The input, and which of its layers.
    Input { path: &'a std::path::Path, open: &'a [CString], names: &'a [CString] },
    /// Files of one layer each.
    Files(Vec<PathBuf>),
}

/// Layers that are open.
pub(super) struct Opened<'g> {
    gdal: &'g Gdal,
    datasets: Vec<ffi::GDALDatasetH>,
    /// In the order of the drawing.
    pub(super) sources: Vec<Source>,
    /// The driver of the first dataset.
    pub(super) driver: String,
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        for dataset in &self.datasets {
            // SAFETY: opened by us, closed once; the layers are dropped with it.
            unsafe { self.gdal.api.GDALClose(*dataset) };
        }
    }
}

impl Opened<'_> {
    /// Whether features have styles that are looked at.
    pub(super) fn is_styled(&self) -> bool {
        is_styled(&self.driver) || self.driver.as_bytes() == IN_MEMORY.to_bytes()
    }
}

/// Whether features of a driver have styles.
pub(super) fn is_styled(driver: &str) -> bool {
    STYLED.contains(&driver)
}

impl Gdal {
    /// Opens the layers of an origin.
    pub(super) fn open_origin<'g>(
        &'g self,
        origin: &Origin<'_>,
        order: &Order,
    ) -> Result<Opened<'g>, EngineError> {
        let mut opened =
            Opened { gdal: self, datasets: Vec::new(), sources: Vec::new(), driver: String::new() };
        let mut handles = Vec::new();
        match origin {
            Origin::Input { path, open, names } => {
                let dataset = self.open_input(path, open)?;
                opened.datasets.push(dataset);
                opened.driver = self.driver_of(dataset);
                handles = self.layers(dataset, names);
                let absent = |name: &&CString| self.layers(dataset, std::slice::from_ref(*name)).is_empty();
                if let Some(name) = names.iter().find(absent) {
                    let name = name.to_string_lossy();
                    return Err(blamed(&format!("Couldn't fetch requested layer '{name}'!")));
                }
            }
            Origin::Files(paths) => {
                for path in paths {
                    let path = crate::engines::c_path(path)?;
                    let dataset = self.open(&path, &[BETWEEN], &[])?;
                    opened.datasets.push(dataset);
                    opened.driver = self.driver_of(dataset);
                    handles.extend(self.layers(dataset, &[]));
                }
            }
        }
        opened.sources = handles.into_iter().map(|handle| self.source(handle, order)).collect();
        Ok(opened)
    }

    /// The layers of a dataset that is closed elsewhere.
    pub(super) fn opened(&self, dataset: ffi::GDALDatasetH, order: &Order) -> Opened<'_> {
        let layers = self.layers(dataset, &[]);
        Opened {
            gdal: self,
            datasets: Vec::new(),
            sources: layers.into_iter().map(|handle| self.source(handle, order)).collect(),
            driver: self.driver_of(dataset),
        }
    }

    fn source(&self, handle: ffi::OGRLayerH, order: &Order) -> Source {
        let api = &self.api;
        // SAFETY: a live layer; its name is copied, and its definition lives as long as it.
        let (name, definition) =
            unsafe { (string(api.OGR_L_GetName(handle)), api.OGR_L_GetLayerDefn(handle)) };
        // SAFETY: a live definition.
        let count = unsafe { api.OGR_FD_GetFieldCount(definition) };
        let fields = (0..count).map(|index| {
            // SAFETY: a number below the count of the fields; the name is copied.
            unsafe { string(api.OGR_Fld_GetNameRef(api.OGR_FD_GetFieldDefn(definition, index))) }
        });
        let mut source = Source {
            handle,
            name: name.unwrap_or_default(),
            fields: fields.map(Option::unwrap_or_default).collect(),
            places: Vec::new(),
        };
        for name in order.fields().chain([LAYER]) {
            let place = source.find(name);
            source.places.extend(place.map(|place| (name.to_owned(), place)));
        }
        source
    }

    /// Restricts what is read of a layer to what is chosen, and to the fields that are needed.
    pub(super) fn choose(
        &self,
        source: &Source,
        choice: &Choice,
        needs_all_fields: bool,
        needs_geometry: bool,
    ) -> Result<(), EngineError> {
        let layer = source.handle;
        if let Some(condition) = &choice.condition {
            // SAFETY: a live layer, and a C string that the callee copies.
            let failed = unsafe { self.api.OGR_L_SetAttributeFilter(layer, condition.as_ptr()) } != 0;
            if failed {
                return Err(failure("GDAL refused the condition"));
            }
        } else {
            self.ignore(source, needs_all_fields, needs_geometry || choice.rectangle.is_some());
        }
        if let Some([xmin, ymin, xmax, ymax]) = choice.rectangle {
            // SAFETY: a live layer.
            unsafe { self.api.OGR_L_SetSpatialFilterRect(layer, xmin, ymin, xmax, ymax) };
        }
        Ok(())
    }

    /// Leaves fields out that are not needed, which saves their reading.
    fn ignore(&self, source: &Source, needs_all_fields: bool, needs_geometry: bool) {
        let used: Vec<c_int> = source.places.iter().map(|(_, place)| *place).collect();
        let unused =
            (0..).zip(&source.fields).filter(|(place, _)| !needs_all_fields && !used.contains(place));
        let mut names: Vec<CString> =
            unused.filter_map(|(_, name)| CString::new(name.as_str()).ok()).collect();
        names.extend((!needs_geometry).then(|| c"OGR_GEOMETRY".to_owned()));
        let mut list: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        list.push(std::ptr::null());
        if self.can(source, c"IgnoreFields") {
            // SAFETY: a live layer, and a null-terminated list of C strings that the callee reads.
            unsafe { self.api.OGR_L_SetIgnoredFields(source.handle, list.as_mut_ptr()) };
        }
    }

    /// Whether a layer has a capability.
    pub(super) fn can(&self, source: &Source, capability: &CStr) -> bool {
        // SAFETY: a live layer and a C string.
        unsafe { self.api.OGR_L_TestCapability(source.handle, capability.as_ptr()) != 0 }
    }

    /// Calls for each feature of a layer, of no more than so many, until it says that it is enough.
    pub(super) fn each(
        &self,
        layer: ffi::OGRLayerH,
        limit: Option<u64>,
        events: &Arc<dyn Events>,
        call: &mut dyn FnMut(ffi::OGRFeatureH) -> Result<bool, EngineError>,
    ) -> Result<(), EngineError> {
        // SAFETY: a live layer.
        unsafe { self.api.OGR_L_ResetReading(layer) };
        self.next_ones(layer, limit, events, call)
    }

    /// The same from where the layer is.
    pub(super) fn next_ones(
        &self,
        layer: ffi::OGRLayerH,
        limit: Option<u64>,
        events: &Arc<dyn Events>,
        call: &mut dyn FnMut(ffi::OGRFeatureH) -> Result<bool, EngineError>,
    ) -> Result<(), EngineError> {
        for _ in 0..limit.unwrap_or(u64::MAX) {
            if events.cancelled() {
                return Err(EngineError::Cancelled);
            }
            // SAFETY: no arguments.
            unsafe { self.api.CPLErrorReset() };
            // SAFETY: a live layer; the feature is ours.
            let feature = unsafe { self.api.OGR_L_GetNextFeature(layer) };
            if feature.is_null() {
                // SAFETY: no arguments.
                let last = unsafe { self.api.CPLGetLastErrorType() };
                return match last == ffi::CPLErr_CE_Failure {
                    true => Err(failure("GDAL stopped reading")),
                    false => Ok(()),
                };
            }
            let called = call(feature);
            // SAFETY: ours, destroyed once.
            unsafe { self.api.OGR_F_Destroy(feature) };
            if !called? {
                break;
            }
        }
        Ok(())
    }
}
