//! The translation itself, and the numbers of what it read and wrote.

use super::drawing::DRAWING;
use super::listener::{failure, reason, with_listener};
use super::{Gdal, advice, options};
use crate::bindings::gdal as ffi;
use crate::engine::{EngineError, Events, Request, Stage};
use crate::engines::{c_path, string};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::sync::Arc;

/// Drivers that know how many features they have written.
const COUNTING: &[&CStr] = &[c"ESRI Shapefile", c"FlatGeobuf", c"GPKG"];

impl Gdal {
    /// Writes the output: a drawing by our own writer, anything else by a translation.
    pub(super) fn write_output(
        &self,
        request: &Request<'_>,
        driver: &CStr,
        options: &options::Options,
        events: &Arc<dyn Events>,
    ) -> Result<(), EngineError> {
        if driver == DRAWING && options.drawing.is_ours() {
            return self.draw(request, options, events);
        }
        self.translate(request, request.output, driver, options, events, &mut |_| Ok(()))
    }

    /// Translates the input, and calls with the output before it is closed.
    pub(super) fn translate(
        &self,
        request: &Request<'_>,
        output: &Path,
        driver: &CStr,
        options: &options::Options,
        events: &Arc<dyn Events>,
        made_one: &mut dyn FnMut(ffi::GDALDatasetH) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let output_path = output;
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
        let mut called = Ok(());
        if made {
            let is_counting = COUNTING.contains(&driver);
            let written = self
                .sum_of_layers(destination, &|layer| self.features_of(layer))
                .filter(|_| is_counting && !is_update);
            let read = self.features_read(source, &options.layers);
            self.compare([source, destination], driver, options);
            // What is written in between counts later.
            let is_between = output_path != request.output;
            with_listener(|l| l.count(read, written.filter(|_| !is_between), options.selects()));
            self.name_lost_fields(source, &options.layers);
            called = made_one(destination);
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
        called?;
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
    pub(super) fn features_of(&self, layer: ffi::OGRLayerH) -> Option<u64> {
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

    pub(super) fn settings(
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
