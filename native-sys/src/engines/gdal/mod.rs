//! GDAL/OGR: translation of GIS and CAD vector data, equivalent to `ogr2ogr`.
//!
//! The conversion is `GDALVectorTranslate`, the function behind `ogr2ogr`, so that the output is
//! identical to it, byte for byte, with the encodings that [`text`] determines.
//!
//! Input is opened with a fixed list of drivers. Excluded are drivers that connect to servers and
//! drivers whose files refer to others (VRT): the input is untrusted. SQLite files are checked
//! before they are opened ([`sqlite`]), and XML is not read by a parser that follows external
//! references ([`prolog`]).

mod advice;
mod compare;
mod complete;
mod controls;
mod effect;
mod ffi_sqlite;
mod fields;
mod inspect;
mod kinds;
mod listener;
mod options;
mod prolog;
mod retry;
mod rows;
mod schema;
mod sqlite;
mod tab;
mod text;
mod values;
mod vsi;

use crate::bindings::gdal as ffi;
use crate::engine::{
    Converted, Description, Engine, EngineError, Events, Inspection, Output, Request, Stage,
};
use crate::engines::{c_path, string};
use crate::image;
use crate::library::{self, LoadError, Wanted};
use cadmill_core::domain::contents::Contents;
use listener::{failure, on_error, reason, with_listener};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SUPPORTED: &str = "3.4 to 3.x";

pub(crate) const WANTED: Wanted = Wanted {
    library: "GDAL",
    names: &[
        "libgdal.so.32",
        "libgdal.so.30",
        "libgdal.so.31",
        "libgdal.so.33",
        "libgdal.so.34",
        "libgdal.so.35",
        "libgdal.so.36",
        "libgdal.so.37",
        "libgdal.so",
    ],
    functions: ffi::FUNCTIONS,
    supported: SUPPORTED,
    // GDAL 3.4 is `libgdal.so.30`.
    is_old: |name| image::number(name, "libgdal.so.").map(|number| number < 30),
};

/// See [`crate::check_options`].
pub(crate) fn check_options(options: &[(String, String)]) -> Result<(), String> {
    options::parse(options).map(drop)
}

/// Drivers that may open the input, by short name.
const INPUT_DRIVERS: &[&CStr] = &[
    c"ESRI Shapefile",
    c"GeoJSON",
    c"GeoJSONSeq",
    c"ESRIJSON",
    c"TopoJSON",
    c"GPKG",
    c"FlatGeobuf",
    c"DXF",
    c"CAD",
    c"DGN",
    c"MapInfo File",
    c"GML",
    c"KML",
    c"LIBKML",
    c"GPX",
    c"CSV",
    c"OpenFileGDB",
    c"SQLite",
    c"S57",
    c"JML",
    c"OGR_GMT",
    c"Geoconcept",
    c"Idrisi",
    c"SVG",
    c"AVCE00",
    c"SXF",
];

/// Drivers for SQLite files. Here they open nothing else, and no other driver opens such files: a
/// file with the SQLite header is always treated as a database.
const SQLITE_DRIVERS: &[&CStr] = &[c"GPKG", c"SQLite"];

/// The driver that writes MapInfo tables.
const MAPINFO: &CStr = c"MapInfo File";

/// Drivers that know how many features they have written.
const COUNTING: &[&CStr] = &[c"ESRI Shapefile", c"FlatGeobuf", c"GPKG"];

/// Drivers that write files, but by running another program.
const REFUSED_OUTPUT_DRIVERS: &[&str] = &["GPSBabel"];

/// A loaded GDAL.
pub(crate) struct Gdal {
    api: ffi::GdalApi,
    path: PathBuf,
    version: String,
    /// The SQLite library that GDAL is linked with; none if GDAL hides its copy.
    sqlite: Option<ffi_sqlite::Api>,
}

impl Gdal {
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, LoadError> {
        let (library, path) = library::open(&WANTED, path)?;
        let sqlite = ffi_sqlite::Api::of(&library);
        // SAFETY: every function of the struct was just found in this library. Their types match
        // the header, which the version check below ensures; `GDALVersionInfo` has had its type
        // since GDAL 1.
        let api = unsafe { ffi::GdalApi::from_library(library) }.map_err(|error| LoadError::Missing {
            library: WANTED.library,
            tried: vec![path.display().to_string()],
            reason: error.to_string(),
        })?;
        let mut this = Self { version: version(&api), api, path, sqlite };
        if !is_supported(&this.version) {
            return Err(LoadError::Version {
                library: WANTED.library,
                path: this.path,
                found: this.version,
                supported: SUPPORTED,
            });
        }
        // Some drivers fetch schemas or resources by HTTP, and some write files beside the input.
        // Both are disabled.
        this.configure(c"GDAL_HTTP_TIMEOUT", c"1");
        this.configure(c"GML_DOWNLOAD_SCHEMA", c"NO");
        this.configure(c"GDAL_PAM_ENABLED", c"NO");
        // Names of fields stay as they are, Korean ones too.
        this.configure(c"LIBKML_LAUNDER_FIELD_NAMES", c"NO");
        // Only the drivers built into the library are used.
        this.configure(c"GDAL_DRIVER_PATH", c"disable");
        // SAFETY: no arguments; called once, before any other thread uses GDAL.
        unsafe { this.api.GDALAllRegister() };
        vsi::install(&this.api);
        this.sqlite = this.sqlite.filter(ffi_sqlite::harden_all);
        Ok(this)
    }

    fn configure(&self, key: &CStr, value: &CStr) {
        // SAFETY: two C strings that the callee copies.
        unsafe { self.api.CPLSetConfigOption(key.as_ptr(), value.as_ptr()) };
    }

    /// One metadata item of a driver, e.g. its extensions.
    fn metadata(&self, driver: ffi::GDALDriverH, key: &[u8]) -> Option<String> {
        // SAFETY: `driver` came from `GDALGetDriver`, and `key` is a NUL-terminated constant of the
        // binding. Returns null or a string that the driver owns and that is copied here.
        unsafe { string(self.api.GDALGetMetadataItem(driver, key.as_ptr().cast(), std::ptr::null())) }
    }

    /// The extensions of a driver's files, in lower case, without a dot.
    fn extensions(&self, driver: ffi::GDALDriverH) -> Vec<String> {
        let extensions = self
            .metadata(driver, ffi::GDAL_DMD_EXTENSIONS)
            .or_else(|| self.metadata(driver, ffi::GDAL_DMD_EXTENSION))
            .unwrap_or_default();
        extensions.split_whitespace().map(|e| e.trim_start_matches('.').to_ascii_lowercase()).collect()
    }

    /// Whether a driver creates new vector files without running another program.
    fn writes(&self, driver: ffi::GDALDriverH, name: &str) -> bool {
        self.metadata(driver, ffi::GDAL_DCAP_VECTOR).is_some()
            && self.metadata(driver, ffi::GDAL_DCAP_CREATE).is_some()
            && !self.extensions(driver).is_empty()
            && !REFUSED_OUTPUT_DRIVERS.contains(&name)
    }

    fn drivers(&self) -> Vec<(ffi::GDALDriverH, String)> {
        // SAFETY: no arguments; drivers were registered in `load`.
        let count = unsafe { self.api.GDALGetDriverCount() };
        (0..count)
            .filter_map(|index| {
                // SAFETY: `index` is below the count; drivers are never deregistered.
                let driver = unsafe { self.api.GDALGetDriver(index) };
                // SAFETY: a registered driver; its name is copied.
                let name = unsafe { string(self.api.GDALGetDriverShortName(driver)) };
                name.map(|name| (driver, name))
            })
            .collect()
    }
}

impl Engine for Gdal {
    fn describe(&self) -> Description {
        let mut inputs: Vec<String> = Vec::new();
        let mut outputs = Vec::new();
        for (driver, name) in self.drivers() {
            if self.metadata(driver, ffi::GDAL_DCAP_VECTOR).is_none() {
                continue;
            }
            let extensions = self.extensions(driver);
            if is_input_driver(&name) && self.metadata(driver, ffi::GDAL_DCAP_OPEN).is_some() {
                inputs.extend(extensions.iter().cloned());
            }
            // A driver that writes to a service instead of a file has no extension.
            if self.writes(driver, &name) {
                for extension in extensions {
                    outputs.push(Output { id: name.clone(), extension });
                }
            }
        }
        inputs.sort();
        inputs.dedup();
        Description {
            library: WANTED.library.to_owned(),
            version: self.version.clone(),
            path: self.path.clone(),
            inputs,
            outputs,
        }
    }

    fn convert(&self, request: &Request<'_>, events: &Arc<dyn Events>) -> Result<Converted, EngineError> {
        let driver = self.output_driver(request.format_id)?;
        let options = options::parse(request.options).map_err(EngineError::Option)?;
        listener::begin(events);
        // SAFETY: `on_error` has the handler's type and is valid for the whole process.
        unsafe { self.api.CPLSetErrorHandler(Some(on_error)) };
        let outcome = self
            .check_order(request, &driver, &options, events)
            .and_then(|()| self.convert_text(request, &driver, options, events));
        let converted = listener::end();
        if events.cancelled() {
            return Err(EngineError::Cancelled);
        }
        outcome.map(|()| converted)
    }

    fn inspect(&self, request: &Inspection<'_>, events: &Arc<dyn Events>) -> Result<Contents, EngineError> {
        let options = options::parse(request.options).map_err(EngineError::Option)?;
        listener::begin(events);
        // SAFETY: `on_error` has the handler's type and is valid for the whole process.
        unsafe { self.api.CPLSetErrorHandler(Some(on_error)) };
        let contents = self.contents(request, options, events);
        listener::end();
        if events.cancelled() {
            return Err(EngineError::Cancelled);
        }
        contents
    }
}

impl Gdal {
    /// The registered name of a driver; the lookup is case-insensitive.
    fn output_driver(&self, id: &str) -> Result<CString, EngineError> {
        let found = self
            .drivers()
            .into_iter()
            .find(|(driver, name)| name.eq_ignore_ascii_case(id) && self.writes(*driver, name));
        let (_, name) = found.ok_or_else(|| {
            EngineError::Option(format!("this build of GDAL {} cannot write format '{id}'", self.version))
        })?;
        CString::new(name).map_err(|_| EngineError::Option(format!("'{id}' is not a format")))
    }

    /// Translates. Writers that benefit from it write through our own files.
    fn translate_through_files(
        &self,
        request: &Request<'_>,
        driver: &CStr,
        options: &options::Options,
        events: &Arc<dyn Events>,
    ) -> Result<(), EngineError> {
        let ours = vsi::FORMATS.iter().any(|format| format.as_bytes() == driver.to_bytes());
        let (Some(name), true) = (request.output.file_name(), ours) else {
            return self.translate(request, request.output, driver, options, events);
        };
        let rejected = |error: String| EngineError::Rejected(format!("writing the output failed: {error}"));
        let prefix = vsi::begin(request.output_dir).map_err(|e| rejected(e.to_string()))?;
        let outcome = self.translate(request, &Path::new(prefix).join(name), driver, options, events);
        match (vsi::end(request.output), outcome) {
            (_, Err(error)) => Err(error),
            (Ok(Some(error)), Ok(())) => Err(rejected(error)),
            (Err(error), Ok(())) => Err(rejected(error.to_string())),
            (Ok(None), Ok(())) => Ok(()),
        }
    }

    fn translate(
        &self,
        request: &Request<'_>,
        output: &Path,
        driver: &CStr,
        options: &options::Options,
        events: &Arc<dyn Events>,
    ) -> Result<(), EngineError> {
        let output = c_path(output)?;
        let mut arguments = vec![c"-f".to_owned(), driver.to_owned()];
        arguments.extend(options.translate.iter().cloned());
        let source = self.open_input(request.input, &options.open)?;
        let is_update = request.layer.is_some() && request.output.exists();
        if let Some(name) = request.layer {
            arguments.extend(self.layer_arguments(source, name, options, is_update)?);
        }
        let settings = match self.settings(&arguments, events) {
            Ok(settings) => settings,
            Err(error) => {
                // SAFETY: open, closed once.
                unsafe { self.api.GDALClose(source) };
                return Err(error);
            }
        };
        let mut usage_error: c_int = 0;
        let mut sources = [source];
        // SAFETY: `output` is a C string; the destination handle is null, as required when a name
        // is given; `sources` holds one open dataset; `settings` came from the matching
        // constructor; `usage_error` is valid for writes. The callee keeps none of them.
        let destination = unsafe {
            self.api.GDALVectorTranslate(
                output.as_ptr(),
                std::ptr::null_mut(),
                1,
                sources.as_mut_ptr(),
                settings,
                &mut usage_error,
            )
        };
        // SAFETY: made by `GDALVectorTranslateOptionsNew`, freed once.
        unsafe { self.api.GDALVectorTranslateOptionsFree(settings) };
        let made = !destination.is_null();
        if made {
            let is_counting = COUNTING.contains(&driver);
            let written = self
                .sum_of_layers(destination, &|layer| self.features_of(layer))
                .filter(|_| is_counting && !is_update);
            let read = self.features_read(source, &options.layers);
            self.compare([source, destination], driver, options);
            with_listener(|l| l.count(read, written, options.selects()));
            self.name_lost_fields(source, &options.layers);
            // Closing flushes buffered data, so its errors count. Earlier errors are reset, so that
            // they are not mistaken for errors of closing.
            // SAFETY: no arguments.
            unsafe { self.api.CPLErrorReset() };
            // SAFETY: open, closed once, not used afterwards.
            unsafe { self.api.GDALClose(destination) };
        }
        // SAFETY: no arguments.
        let closing = unsafe { self.api.CPLGetLastErrorType() };
        // A format of one layer may refuse the second without a word.
        // SAFETY: an open dataset.
        let has_several = unsafe { self.api.GDALDatasetGetLayerCount(source) } > 1;
        let otherwise = match has_several && options.layers.len() != 1 {
            true => advice::SEVERAL_LAYERS,
            false => "GDAL gave no reason",
        };
        // SAFETY: open, closed once, after the destination that may still refer to it.
        unsafe { self.api.GDALClose(source) };
        if usage_error != 0 {
            return Err(EngineError::Unfit(reason("GDAL refused the options")));
        }
        if !made || closing == ffi::CPLErr_CE_Failure || closing == ffi::CPLErr_CE_Fatal {
            return Err(failure(otherwise));
        }
        events.progress(Stage::Translate, 1.0);
        Ok(())
    }

    /// The arguments for writing a layer of this name into an output that may have others. Several
    /// layers keep their names.
    fn layer_arguments(
        &self,
        source: ffi::GDALDatasetH,
        name: &str,
        options: &options::Options,
        is_update: bool,
    ) -> Result<Vec<CString>, EngineError> {
        // SAFETY: an open dataset.
        let layers = unsafe { self.api.GDALDatasetGetLayerCount(source) };
        let is_named = options.translate.iter().any(|argument| argument.as_c_str() == c"-nln");
        let mut arguments = Vec::new();
        if (layers == 1 || options.layers.len() == 1) && !is_named {
            let name =
                CString::new(name).map_err(|_| EngineError::Option("a name has a NUL byte".to_owned()))?;
            arguments.extend([c"-nln".to_owned(), name]);
        }
        // Without `-append`: a layer that is there already ends the conversion.
        arguments.extend(is_update.then(|| c"-update".to_owned()));
        Ok(arguments)
    }

    /// The features that were read from the layers of these names, or from all layers; `None` if a
    /// driver does not know.
    fn features_read(&self, dataset: ffi::GDALDatasetH, names: &[CString]) -> Option<u64> {
        self.sum_of_layers(dataset, &|layer| {
            // SAFETY: a live layer; its name is copied.
            let (read, name) =
                unsafe { (self.api.OGR_L_GetFeaturesRead(layer), string(self.api.OGR_L_GetName(layer))) };
            let name = name.unwrap_or_default();
            let is_chosen = names.is_empty() || names.iter().any(|n| n.as_bytes() == name.as_bytes());
            // Drivers that keep the features in memory do not count what they hand out.
            match (is_chosen, read) {
                (false, _) => Some(0),
                (true, 0) => self.features_of(layer),
                (true, read) => u64::try_from(read).ok(),
            }
        })
    }

    /// The features of a layer, if the driver knows the number without reading them.
    fn features_of(&self, layer: ffi::OGRLayerH) -> Option<u64> {
        // SAFETY: a live layer; nothing is counted that is not known.
        u64::try_from(unsafe { self.api.OGR_L_GetFeatureCount(layer, 0) }).ok()
    }

    fn sum_of_layers(
        &self,
        dataset: ffi::GDALDatasetH,
        of: &dyn Fn(ffi::OGRLayerH) -> Option<u64>,
    ) -> Option<u64> {
        // SAFETY: an open dataset.
        let layers = unsafe { self.api.GDALDatasetGetLayerCount(dataset) };
        (0..layers)
            .map(|number| {
                // SAFETY: an open dataset, and a number below its count; the layer belongs to it.
                let layer = unsafe { self.api.GDALDatasetGetLayer(dataset, number) };
                if layer.is_null() { Some(0) } else { of(layer) }
            })
            .sum()
    }

    /// Opens the input with the drivers that may open it. The caller closes it.
    fn open_input(&self, input: &Path, options: &[CString]) -> Result<ffi::GDALDatasetH, EngineError> {
        let name = c_path(input)?;
        // The parser that reads all encodings also follows external references.
        if !prolog::is_harmless(input) {
            self.configure(c"GML_PARSER", c"EXPAT");
        }
        let drivers = self.drivers_for(input)?;
        self.open(&name, &drivers, options)
    }

    /// The drivers that may open this file, by its content.
    fn drivers_for(&self, input: &Path) -> Result<Vec<&'static CStr>, EngineError> {
        let is_database = sqlite::is_database(input);
        let drivers = INPUT_DRIVERS.iter().filter(|d| SQLITE_DRIVERS.contains(d) == is_database).copied();
        if !is_database {
            if tab::leads_outside(input) {
                let text = "it is a table of tables that lie outside of its directory";
                return Err(EngineError::Reaches(text.to_owned()));
            }
            if prolog::is_for_xerces_alone(input) {
                let text = "it is an XML document with a document type, in an encoding other than UTF-8";
                return Err(EngineError::Reaches(text.to_owned()));
            }
            return Ok(drivers.collect());
        }
        let Some(api) = &self.sqlite else {
            let text = "SQLite files are not read with this GDAL: it hides the SQLite that would check them";
            return Err(EngineError::Rejected(text.to_owned()));
        };
        match sqlite::check(api, input) {
            Ok(()) => Ok(drivers.collect()),
            Err(sqlite::Refusal::Reaches(text)) => Err(EngineError::Reaches(text)),
            Err(sqlite::Refusal::Unreadable(text)) => {
                Err(EngineError::Rejected(format!("SQLite cannot read the file: {text}")))
            }
        }
    }

    fn open(
        &self,
        input: &CStr,
        drivers: &[&'static CStr],
        options: &[CString],
    ) -> Result<ffi::GDALDatasetH, EngineError> {
        let mut drivers: Vec<*const c_char> = drivers.iter().map(|d| d.as_ptr()).collect();
        drivers.push(std::ptr::null());
        let mut open_options: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
        // As in ogr2ogr: GeoJSON members outside of the data model are kept. The @ suppresses the
        // warning of drivers that do not know the option.
        if !options.iter().any(|o| o.to_bytes().starts_with(b"NATIVE_DATA=")) {
            open_options.push(c"@NATIVE_DATA=YES".as_ptr());
        }
        // For GML without a schema, GDAL would store the detected schema in a .gfs file beside the
        // input. Set for GML only, as other drivers warn about an unknown option.
        if input.to_bytes().to_ascii_lowercase().ends_with(b".gml") {
            open_options.push(c"WRITE_GFS=NO".as_ptr());
        }
        open_options.push(std::ptr::null());
        let flags = ffi::GDAL_OF_VECTOR | ffi::GDAL_OF_READONLY | ffi::GDAL_OF_VERBOSE_ERROR;
        // SAFETY: a C string and two null-terminated lists of C strings, all alive during the call;
        // no sibling list. The callee copies what it keeps.
        let source = unsafe {
            self.api.GDALOpenEx(
                input.as_ptr(),
                flags,
                drivers.as_ptr(),
                open_options.as_ptr(),
                std::ptr::null(),
            )
        };
        if source.is_null() {
            return Err(failure("GDAL does not recognise the file"));
        }
        Ok(source)
    }

    /// GDAL itself resolves these values during the translation, with the input open.
    fn check_reference_systems(&self, arguments: &[CString]) -> Result<(), EngineError> {
        const OPTIONS: &[&CStr] = &[c"-a_srs", c"-s_srs", c"-t_srs", c"-spat_srs"];
        for pair in arguments.windows(2).filter(|pair| OPTIONS.contains(&pair[0].as_c_str())) {
            // As in `ogr2ogr`: no reference system at all.
            let none = ["null", "none"].iter().any(|w| pair[1].as_bytes().eq_ignore_ascii_case(w.as_bytes()));
            if none {
                continue;
            }
            // SAFETY: null stands for no definition; the handle is destroyed below.
            let system = unsafe { self.api.OSRNewSpatialReference(std::ptr::null()) };
            // SAFETY: a live handle and a C string; the callee keeps neither.
            let known = unsafe { self.api.OSRSetFromUserInput(system, pair[1].as_ptr()) } == 0;
            // SAFETY: created above, destroyed once.
            unsafe { self.api.OSRDestroySpatialReference(system) };
            if !known {
                let value = pair[1].to_string_lossy();
                return Err(EngineError::Option(format!("GDAL knows no reference system '{value}'")));
            }
        }
        Ok(())
    }

    fn settings(
        &self,
        arguments: &[CString],
        events: &Arc<dyn Events>,
    ) -> Result<*mut ffi::GDALVectorTranslateOptions, EngineError> {
        let mut list: Vec<*mut c_char> = arguments.iter().map(|a| a.as_ptr().cast_mut()).collect();
        list.push(std::ptr::null_mut());
        // SAFETY: a null-terminated list of C strings that the callee reads and does not change; no
        // "for binary" part.
        let settings =
            unsafe { self.api.GDALVectorTranslateOptionsNew(list.as_mut_ptr(), std::ptr::null_mut()) };
        if settings.is_null() {
            return Err(EngineError::Option(reason("GDAL refused the options")));
        }
        // SAFETY: `settings` is live; the callback's data points to `events`, which outlives the
        // translation.
        unsafe {
            self.api.GDALVectorTranslateOptionsSetProgress(
                settings,
                Some(on_progress),
                std::ptr::from_ref(events).cast_mut().cast(),
            );
        };
        Ok(settings)
    }
}

extern "C" fn on_progress(fraction: f64, _message: *const c_char, data: *mut c_void) -> c_int {
    // SAFETY: `data` is the pointer to the events that was set together with this function; they
    // outlive the translation.
    let events = unsafe { &*data.cast::<Arc<dyn Events>>() };
    events.progress(Stage::Translate, fraction);
    c_int::from(!events.cancelled())
}

fn is_input_driver(name: &str) -> bool {
    INPUT_DRIVERS.iter().any(|driver| driver.to_bytes() == name.as_bytes())
}

fn version(api: &ffi::GdalApi) -> String {
    // SAFETY: a NUL-terminated request; returns a string that GDAL owns and that is copied.
    unsafe { string(api.GDALVersionInfo(c"RELEASE_NAME".as_ptr())) }.unwrap_or_default()
}

fn is_supported(version: &str) -> bool {
    let mut parts = version.split('.').map(|p| p.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    major == 3 && minor >= 4
}

#[cfg(test)]
mod tests {
    use super::is_supported;

    #[test]
    fn versions() {
        for good in ["3.4.0", "3.6.2", "3.11.1", "3.12.0dev"] {
            assert!(is_supported(good), "{good}");
        }
        for bad in ["2.4.4", "3.3.9", "4.0.0", "", "x"] {
            assert!(!is_supported(bad), "{bad}");
        }
    }
}
