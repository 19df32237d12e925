//! Names of fields that a driver refuses by their type.

use super::Gdal;
use super::listener::with_listener;
use crate::bindings::gdal as ffi;
use crate::engines::string;
use std::ffi::CString;

impl Gdal {
    /// Adds the names of the fields whose types the output does not have to those that are reported.
    pub(super) fn name_lost_fields(&self, source: ffi::GDALDatasetH, layers: &[CString]) {
        let kinds = with_listener(|l| std::mem::take(&mut l.field_types));
        if kinds.is_empty() {
            return;
        }
        // SAFETY: an open dataset.
        let count = unsafe { self.api.GDALDatasetGetLayerCount(source) };
        for number in 0..count {
            // SAFETY: an open dataset, and a number below its count; the layer belongs to it.
            let layer = unsafe { self.api.GDALDatasetGetLayer(source, number) };
            if layer.is_null() {
                continue;
            }
            // SAFETY: a live layer; its name is copied.
            let name = unsafe { string(self.api.OGR_L_GetName(layer)) }.unwrap_or_default();
            if layers.is_empty() || layers.iter().any(|wanted| wanted.as_bytes() == name.as_bytes()) {
                let lost = self.fields_of_types(layer, &kinds);
                with_listener(|l| l.fields.extend(lost));
            }
        }
    }

    /// The names of a layer's fields of these types, by name or number; of all, if one has no name.
    fn fields_of_types(&self, layer: ffi::OGRLayerH, kinds: &[String]) -> Vec<String> {
        let api = &self.api;
        // SAFETY: a live layer, which owns its definition.
        let definition = unsafe { api.OGR_L_GetLayerDefn(layer) };
        // SAFETY: a live definition.
        let count = unsafe { api.OGR_FD_GetFieldCount(definition) };
        (0..count)
            .filter_map(|index| {
                // SAFETY: a live definition, and an index below its count; the texts are copied.
                let (name, number, kind) = unsafe {
                    let field = api.OGR_FD_GetFieldDefn(definition, index);
                    let kind = api.OGR_Fld_GetType(field);
                    (string(api.OGR_Fld_GetNameRef(field))?, kind, string(api.OGR_GetFieldTypeName(kind)))
                };
                let is_of = |wanted: &String| {
                    wanted.is_empty() || *wanted == number.to_string() || Some(wanted) == kind.as_ref()
                };
                kinds.iter().any(is_of).then_some(name)
            })
            .collect()
    }
}
