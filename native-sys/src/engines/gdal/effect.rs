//! Options that GDAL or its drivers would refuse or ignore: they are refused before the input is
//! touched.

use super::drawing::DRAWING;
use super::values::{self, Values};
use super::{Gdal, is_input_driver, options};
use crate::bindings::gdal as ffi;
use crate::engine::{EngineError, Events, Request};
use std::ffi::CStr;
use std::sync::Arc;

impl Gdal {
    /// Checks all of the order that does not depend on the content of the input, which is not touched.
    /// An option is blamed only if an engine without the input blames it too, so whatever blames one
    /// comes before the first look at the input.
    pub(super) fn check_order(
        &self,
        request: &Request<'_>,
        output: &CStr,
        options: &options::Options,
        events: &Arc<dyn Events>,
    ) -> Result<(), EngineError> {
        self.check_effect(request, output, options)?;
        self.check_reference_systems(&options.translate)?;
        let settings = self.settings(&options.translate, events)?;
        // SAFETY: made by `GDALVectorTranslateOptionsNew`, freed once.
        unsafe { self.api.GDALVectorTranslateOptionsFree(settings) };
        Ok(())
    }

    /// Refuses options that neither the input's nor the output's drivers know.
    fn check_effect(
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
        // What the drivers that have the option say about its values.
        let known = |of: &[ffi::GDALDriverH], list: &[u8], key: &str| -> Vec<Values> {
            let lists = of.iter().filter_map(|driver| self.metadata(*driver, list));
            lists.filter_map(|xml| values::listed(&xml, key)).collect()
        };
        if let Some(name) = options.drawing.given.first().filter(|_| output != DRAWING) {
            return Err(EngineError::Option(format!("option '{name}' has no effect on this output format")));
        }
        if output == DRAWING && options.drawing.is_ours() {
            let of_config = options.config.iter().find(|(name, _)| *name == c"DXF_WRITE_HATCH");
            let of_writer =
                options.given.iter().find(|(name, ..)| !name.to_ascii_lowercase().starts_with("oo."));
            let is_blocks = |text: &str| text.to_ascii_uppercase().contains("INLINE_BLOCKS=NO");
            let keeps_blocks = options.open.iter().any(|open| is_blocks(&open.to_string_lossy()))
                || options.config.iter().any(|(name, value)| {
                    is_blocks(&format!("{}={}", name.to_string_lossy(), value.to_string_lossy()))
                });
            if keeps_blocks {
                let text = "blocks that are not inlined are drawn by GDAL's own writer alone, which --opt dxf.writer=gdal asks for";
                return Err(EngineError::Option(format!("option 'INLINE_BLOCKS': {text}")));
            }
            let named = of_config.map(|(name, _)| format!("cfg.{}", name.to_string_lossy()));
            if let Some(name) = named.or(of_writer.map(|(name, ..)| name.clone())) {
                return Err(EngineError::Option(format!(
                    "option '{name}': it is one of GDAL's own writer, which --opt dxf.writer=gdal asks for; of cadmill's writer dxf.polygon chooses how areas are drawn"
                )));
            }
        }
        let of_others = options.config.iter().find(|(name, _)| !values::has_effect(name, &extension, output));
        if let Some((name, _)) = of_others.filter(|_| !readers.is_empty()) {
            let name = name.to_string_lossy();
            return Err(EngineError::Option(format!("option 'cfg.{name}' has no effect on these formats")));
        }
        for (name, key, value) in &options.given {
            let (drivers, list, of): (_, &[u8], _) =
                match name.split_once('.').map(|(prefix, _)| prefix.to_ascii_lowercase()).as_deref() {
                    Some("oo") => (&readers, ffi::GDAL_DMD_OPENOPTIONLIST, "this input format"),
                    Some("dsco") => (&writer, ffi::GDAL_DMD_CREATIONOPTIONLIST, "this output format"),
                    _ => (&writer, ffi::GDAL_DS_LAYER_CREATIONOPTIONLIST, "this output format"),
                };
            // The content alone tells the driver of a file whose name does not.
            if drivers.is_empty() {
                continue;
            }
            let known = known(drivers, list, key);
            let mut checked = known.iter().map(|values| values.check(value));
            match checked.next() {
                None => return Err(EngineError::Option(format!("option '{name}' has no effect on {of}"))),
                Some(Err(text)) if !checked.any(|checked| checked.is_ok()) => {
                    return Err(EngineError::Option(format!("option '{name}': {text}")));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}
