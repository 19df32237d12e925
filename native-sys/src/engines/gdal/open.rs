//! Opening the input, with the drivers that may open it.

use super::listener::failure;
use super::{Gdal, INPUT_DRIVERS, prolog, sqlite, tab};
use crate::bindings::gdal as ffi;
use crate::engine::EngineError;
use crate::engines::c_path;
use std::ffi::{CStr, CString, c_char};
use std::path::Path;

/// Drivers for SQLite files. Here they open nothing else, and no other driver opens such files: a
/// file with the SQLite header is always treated as a database.
const SQLITE_DRIVERS: &[&CStr] = &[c"GPKG", c"SQLite"];

impl Gdal {
    /// Opens the input with the drivers that may open it. The caller closes it.
    pub(super) fn open_input(
        &self,
        input: &Path,
        options: &[CString],
    ) -> Result<ffi::GDALDatasetH, EngineError> {
        let name = c_path(input)?;
        // The parser that reads all encodings also follows external references.
        if !prolog::is_harmless(input) {
            self.configure(c"GML_PARSER", c"EXPAT");
        }
        let drivers = self.drivers_for(input)?;
        self.open(&name, &drivers, options)
    }

    /// The drivers that may open this file, by its content.
    pub(super) fn drivers_for(&self, input: &Path) -> Result<Vec<&'static CStr>, EngineError> {
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

    pub(super) fn open(
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
}
