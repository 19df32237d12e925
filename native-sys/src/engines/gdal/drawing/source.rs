//! Layers that are read, of one dataset or of several.

use super::choice::{Change, Choice};
use super::order::Order;
use crate::bindings::gdal as ffi;
use crate::engine::{EngineError, Events};
use crate::engines::gdal::Gdal;
use crate::engines::gdal::listener::{blamed, failure};
use crate::engines::{exact_string, string};
use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;
use std::sync::Arc;

/// The field by which features have had layers ever since: in GDAL, in ArcGIS, and in drawings.
pub(super) const LAYER: &str = "Layer";

/// What an option that is not applied here is written into.
pub(super) const IN_MEMORY: &CStr = c"Memory";

/// Drivers whose features have styles that a drawing can show: colours and texts.
const STYLED: &[&str] = &["CAD", "DGN", "DXF", "KML", "LIBKML", "MapInfo File"];

/// A layer of the input, and the places of the fields that the options name.
pub(super) struct Source {
    pub(super) handle: ffi::OGRLayerH,
    pub(super) name: String,
    /// Names of the fields that are read, and their places.
    pub(super) fields: Vec<(String, c_int)>,
    /// The reference system of its coordinates, or null.
    pub(super) system: ffi::OGRSpatialReferenceH,
    /// The one that they are transformed into, or null.
    pub(super) target: ffi::OGRSpatialReferenceH,
    /// The field that has the heights.
    pub(super) height: Option<c_int>,
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
        let place = |is: &dyn Fn(&str) -> bool| {
            self.fields.iter().find(|(field, _)| is(field)).map(|(_, place)| *place)
        };
        place(&|field| field == name).or_else(|| place(&|field| field.to_lowercase() == name.to_lowercase()))
    }

    /// The reference system of the drawing's coordinates, or null.
    pub(super) fn drawn_in(&self) -> ffi::OGRSpatialReferenceH {
        if self.target.is_null() { self.system } else { self.target }
    }
}

/// A reference system that an option names.
struct System<'g> {
    gdal: &'g Gdal,
    handle: ffi::OGRSpatialReferenceH,
}

impl Drop for System<'_> {
    fn drop(&mut self) {
        // SAFETY: made by us, destroyed once.
        unsafe { self.gdal.api.OSRDestroySpatialReference(self.handle) };
    }
}

/// Where features come from, so that each thread can read them.
pub(super) struct Origin<'a> {
    pub(super) path: &'a Path,
    pub(super) open: &'a [CString],
    /// Which layers; all if there are none.
    pub(super) names: &'a [CString],
}

/// Layers that are open.
pub(super) struct Opened<'g> {
    gdal: &'g Gdal,
    datasets: Vec<ffi::GDALDatasetH>,
    /// Those that sources refer to.
    systems: Vec<System<'g>>,
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
        change: &Change,
    ) -> Result<Opened<'g>, EngineError> {
        let dataset = self.open_input(origin.path, origin.open)?;
        let mut opened = Opened {
            gdal: self,
            datasets: vec![dataset],
            systems: Vec::new(),
            sources: Vec::new(),
            driver: self.driver_of(dataset),
        };
        let names = origin.names;
        let handles = self.layers(dataset, names);
        let absent = |name: &&CString| self.layers(dataset, std::slice::from_ref(*name)).is_empty();
        if let Some(name) = names.iter().find(absent) {
            let name = name.to_string_lossy();
            return Err(blamed(&format!("Couldn't fetch requested layer '{name}'!")));
        }
        self.read_sources(&mut opened, handles, order, change)?;
        Ok(opened)
    }

    /// The layers of a dataset that is closed elsewhere.
    pub(super) fn opened(
        &self,
        dataset: ffi::GDALDatasetH,
        order: &Order,
    ) -> Result<Opened<'_>, EngineError> {
        let mut opened = Opened {
            gdal: self,
            datasets: Vec::new(),
            systems: Vec::new(),
            sources: Vec::new(),
            driver: self.driver_of(dataset),
        };
        self.read_sources(&mut opened, self.layers(dataset, &[]), order, &Change::default())?;
        Ok(opened)
    }

    fn read_sources<'g>(
        &'g self,
        opened: &mut Opened<'g>,
        layers: Vec<ffi::OGRLayerH>,
        order: &Order,
        change: &Change,
    ) -> Result<(), EngineError> {
        let mut named = |name: &Option<CString>| match name {
            Some(name) => {
                opened.systems.push(self.system(name)?);
                Ok(opened.systems.last().map_or(std::ptr::null_mut(), |system| system.handle))
            }
            None => Ok(std::ptr::null_mut()),
        };
        let (given, target) = (
            named(change.source.as_ref().map_or(&change.assigned, |_| &change.source))?,
            named(&change.target)?,
        );
        for layer in layers {
            let mut source = self.source(layer, order, change)?;
            if !given.is_null() {
                source.system = given;
            }
            source.target = target;
            opened.sources.push(source);
        }
        Ok(())
    }

    /// A reference system by its code. Coordinates come in the order of GIS programs: east before north.
    fn system(&self, name: &CString) -> Result<System<'_>, EngineError> {
        // SAFETY: null stands for no definition; the handle is ours.
        let handle = unsafe { self.api.OSRNewSpatialReference(std::ptr::null()) };
        let system = System { gdal: self, handle };
        // SAFETY: a live handle and a C string that the callee does not keep.
        let failed = unsafe { self.api.OSRSetFromUserInput(handle, name.as_ptr()) } != 0;
        if failed {
            let text = format!("GDAL knows no reference system '{}'", name.to_string_lossy());
            return Err(EngineError::Option(text));
        }
        let strategy = ffi::OSRAxisMappingStrategy_OAMS_TRADITIONAL_GIS_ORDER;
        // SAFETY: a live handle.
        unsafe { self.api.OSRSetAxisMappingStrategy(handle, strategy) };
        Ok(system)
    }

    fn source(&self, handle: ffi::OGRLayerH, order: &Order, change: &Change) -> Result<Source, EngineError> {
        let api = &self.api;
        // SAFETY: a live layer; its name is copied, and its definition and its reference system live as
        // long as it.
        let (name, definition, system) = unsafe {
            (
                string(api.OGR_L_GetName(handle)),
                api.OGR_L_GetLayerDefn(handle),
                api.OGR_L_GetSpatialRef(handle),
            )
        };
        // SAFETY: a live definition.
        let count = unsafe { api.OGR_FD_GetFieldCount(definition) };
        let fields = (0..count).map(|place| {
            // SAFETY: a number below the count of the fields; the name is copied.
            let name =
                unsafe { exact_string(api.OGR_Fld_GetNameRef(api.OGR_FD_GetFieldDefn(definition, place))) };
            (name.unwrap_or_default(), place)
        });
        let mut source = Source {
            handle,
            name: change.name.clone().or(name).unwrap_or_default(),
            fields: fields.collect(),
            system,
            target: std::ptr::null_mut(),
            height: None,
            places: Vec::new(),
        };
        if let Some(name) = &change.height {
            source.height = source.find(name);
        }
        if !change.fields.is_empty() {
            let found = |name: &String| {
                let place = source.find(name);
                let absent = || {
                    EngineError::Unfit(format!(
                        "--opt select: the layer '{}' has no field '{name}'",
                        source.name
                    ))
                };
                place.map(|place| (name.clone(), place)).ok_or_else(absent)
            };
            source.fields = change.fields.iter().map(found).collect::<Result<_, _>>()?;
        }
        for name in order.fields().chain([LAYER]) {
            let place = source.find(name);
            source.places.extend(place.map(|place| (name.to_owned(), place)));
        }
        Ok(source)
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
        let is_used = |place: &c_int| {
            source.height == Some(*place) || source.places.iter().any(|(_, used)| used == place)
        };
        // Fields are left out by their names, which two may share.
        let shares = |name: &String| {
            source.fields.iter().any(|(other, place)| is_used(place) && other.eq_ignore_ascii_case(name))
        };
        let unused = source.fields.iter().filter(|(name, _)| !needs_all_fields && !shares(name));
        let mut names: Vec<CString> =
            unused.filter_map(|(name, _)| CString::new(name.as_str()).ok()).collect();
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
