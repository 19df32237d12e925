//! Options that neither the input's nor the output's driver has: GDAL ignores them with a warning, and
//! they are refused.

use super::{Gdal, is_input_driver, options};
use crate::bindings::gdal as ffi;
use crate::engine::{EngineError, Request};
use std::ffi::CStr;

impl Gdal {
    /// Refuses options that neither the input's nor the output's drivers know.
    pub(super) fn check_effect(
        &self,
        request: &Request<'_>,
        output: &CStr,
        options: &options::Options,
    ) -> Result<(), EngineError> {
        let extension = request.input.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let drivers = self.drivers();
        let handles = |which: &dyn Fn(ffi::GDALDriverH, &str) -> bool| -> Vec<_> {
            drivers.iter().filter(|(driver, name)| which(*driver, name)).map(|(driver, _)| *driver).collect()
        };
        let readers =
            handles(&|driver, name| is_input_driver(name) && self.extensions(driver).contains(&extension));
        let writer = handles(&|_, name| name.as_bytes() == output.to_bytes());
        let known = |of: &[ffi::GDALDriverH], list: &[u8], key: &str| {
            of.is_empty()
                || of.iter().any(|driver| {
                    self.metadata(*driver, list).is_some_and(|xml| options::is_listed(&xml, key))
                })
        };
        for (name, key) in &options.given {
            let has_effect = match name.split_once('.').map(|(prefix, _)| prefix) {
                Some("oo") => known(&readers, ffi::GDAL_DMD_OPENOPTIONLIST, key),
                Some("dsco") => known(&writer, ffi::GDAL_DMD_CREATIONOPTIONLIST, key),
                Some("lco") => known(&writer, ffi::GDAL_DS_LAYER_CREATIONOPTIONLIST, key),
                _ => true,
            };
            if !has_effect {
                let of = if name.starts_with("oo.") { "this input format" } else { "this output format" };
                return Err(EngineError::Option(format!("option '{name}' has no effect on {of}")));
            }
        }
        Ok(())
    }
}
