//! GDAL/OGR: translation of GIS and CAD vector data, equivalent to `ogr2ogr`.
//!
//! The conversion is `GDALVectorTranslate`, the function behind `ogr2ogr`, so that the output is
//! identical to it, byte for byte, with the encodings that [`text`] determines. Drawings in DXF have a
//! writer of their own: [`drawing`].
//!
//! Input is opened with a fixed list of drivers. Excluded are drivers that connect to servers and
//! drivers whose files refer to others (VRT): the input is untrusted. SQLite files are checked
//! before they are opened ([`sqlite`]), and XML is not read by a parser that follows external
//! references ([`prolog`]).

mod advice;
mod compare;
mod complete;
mod dbase;
mod drawing;
mod effect;
mod ffi_sqlite;
mod fields;
mod inspect;
mod kinds;
mod listener;
mod numbers;
mod open;
mod options;
mod prolog;
mod retry;
mod rows;
mod schema;
mod sqlite;
mod tab;
mod text;
mod translate;
mod unread;
mod values;
mod verify;
mod wkb;

use crate::bindings::gdal as ffi;
use crate::engine::{Converted, Description, Engine, EngineError, Events, Inspection, Output, Request};
use crate::engines::string;
use crate::image;
use crate::library::{self, LoadError, Wanted};
use cadmill_core::domain::contents::Contents;
use listener::on_error;
use std::ffi::{CStr, CString};
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

/// The driver that writes MapInfo tables.
const MAPINFO: &CStr = c"MapInfo File";

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
        this.sqlite = this.sqlite.filter(ffi_sqlite::harden_all);
        Ok(this)
    }

    fn configure(&self, key: &CStr, value: &CStr) {
        // SAFETY: two C strings that the callee copies.
        unsafe { self.api.CPLSetConfigOption(key.as_ptr(), value.as_ptr()) };
    }

    fn unconfigure(&self, key: &CStr) {
        // SAFETY: a C string that the callee copies; null removes the setting.
        unsafe { self.api.CPLSetConfigOption(key.as_ptr(), std::ptr::null()) };
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
            options: Vec::new(),
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
