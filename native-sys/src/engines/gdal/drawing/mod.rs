//! Drawings: GDAL reads, and `cadmill-dxf` writes.
//!
//! The features are read twice if names of layers or labels are in them: what the tables of a drawing
//! have precedes its entities. Memory does not grow with the drawing: a feature is written before the
//! next one is read, or few of them by each thread.
//!
//! Options for GDAL's translation that are more than a choice of features are applied by GDAL itself,
//! into FlatGeobufs in the engine's scratch directory, which are then read as any other input. Features
//! with styles, which that format does not have, go through memory.

mod choice;
mod geometry;
mod georeference;
mod item;
mod labels;
pub(super) mod order;
mod pen;
mod plan;
mod reference;
mod source;
pub(super) mod styles;
mod survey;
mod template;
mod threads;
mod write;

use super::Gdal;
use super::listener::{warn_of_loss, with_listener};
use super::options::Options;
use crate::bindings::gdal as ffi;
use crate::engine::{EngineError, Events, Request, Stage};
use crate::engines::string;
use choice::Choice;
use order::{Attributes, Order};
use source::{BETWEEN, IN_MEMORY, LAYER, Opened, Origin};
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use write::Written;

/// The driver whose files are drawings.
pub(super) const DRAWING: &CStr = c"DXF";

impl Gdal {
    /// Writes a drawing of the input.
    pub(super) fn draw(
        &self,
        request: &Request<'_>,
        options: &Options,
        events: &Arc<dyn Events>,
    ) -> Result<(), EngineError> {
        if let Some(choice) = Choice::of(options) {
            let origin = Origin::Input { path: request.input, open: &options.open, names: &options.layers };
            let opened = self.open_origin(&origin, &options.drawing)?;
            return self.draw_from(&opened, Some(&origin), &choice, 0, request, options, events);
        }
        let source = self.open_input(request.input, &options.open)?;
        let (driver, names) = (self.driver_of(source), self.names(source));
        // SAFETY: open, closed once.
        unsafe { self.api.GDALClose(source) };
        let all = Choice::default();
        if driver.as_bytes() == super::MAPINFO.to_bytes() {
            // Its styles are made when they are asked for, and a translation does not ask.
            warn_of_loss(
                "the colours and the texts of MapInfo's objects were left out: without the options that change geometries, fields or the reference system they are kept",
            );
        } else if source::is_styled(&driver) {
            return self.translate(request, Path::new(""), IN_MEMORY, options, events, &mut |translated| {
                let opened = self.opened(translated, &options.drawing);
                self.draw_from(&opened, None, &all, 0, request, options, events)
            });
        }
        let left_out = self.without_geometry(request, options, events)?;
        let between = PathBuf::from("drawing");
        std::fs::create_dir(&between)
            .map_err(|e| EngineError::Rejected(format!("making a directory for the features: {e}")))?;
        let mut unsorted = options.clone();
        // Without an index the features stay in their order.
        unsorted.translate.extend([c"-lco".to_owned(), c"SPATIAL_INDEX=NO".to_owned()]);
        if !options.names_kind() {
            // A layer of this format has one kind of geometry otherwise.
            unsorted.translate.extend([c"-nlt".to_owned(), c"GEOMETRY".to_owned()]);
        }
        let place = between.join("features");
        let drawn = self
            .translate(request, &place, BETWEEN, &unsorted, events, &mut |_| Ok(()))
            .and_then(|()| self.files_of(&place, &names))
            .and_then(|files| {
                let origin = Origin::Files(files);
                let opened = self.open_origin(&origin, &options.drawing)?;
                self.draw_from(&opened, Some(&origin), &all, left_out, request, options, events)
            });
        // It has the input's content; what is left is removed with the workspace.
        let _ = std::fs::remove_dir_all(&between);
        drawn
    }

    fn names(&self, dataset: ffi::GDALDatasetH) -> Vec<String> {
        let of = |layer: ffi::OGRLayerH| {
            // SAFETY: a live layer; its name is copied.
            unsafe { string(self.api.OGR_L_GetName(layer)) }.unwrap_or_default()
        };
        self.layers(dataset, &[]).into_iter().map(of).collect()
    }

    /// The files of a directory, of one layer each, in the order of the layers' names.
    fn files_of(&self, directory: &Path, names: &[String]) -> Result<Vec<PathBuf>, EngineError> {
        let unreadable = |error| EngineError::Rejected(format!("reading the features again: {error}"));
        let mut files = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if std::fs::metadata(&path).map_err(unreadable)?.len() == 0 {
                // It would have a head if there were a feature.
                continue;
            }
            let dataset = self.open(&crate::engines::c_path(&path)?, &[BETWEEN], &[])?;
            let name = self.names(dataset).pop().unwrap_or_default();
            // SAFETY: open, closed once.
            unsafe { self.api.GDALClose(dataset) };
            files.push((names.iter().position(|other| *other == name), name, path));
        }
        files.sort();
        Ok(files.into_iter().map(|(_, _, path)| path).collect())
    }

    /// Features that the files between do not have, because they have no geometry.
    fn without_geometry(
        &self,
        request: &Request<'_>,
        options: &Options,
        events: &Arc<dyn Events>,
    ) -> Result<u64, EngineError> {
        let choice = Choice::in_passing(options);
        // Those have no place in a rectangle.
        if choice.rectangle.is_some() {
            return Ok(0);
        }
        let origin = Origin::Input { path: request.input, open: &options.open, names: &options.layers };
        let opened = self.open_origin(&origin, &options.drawing)?;
        let mut count = 0;
        for source in &opened.sources {
            self.choose(source, &choice, false, true)?;
            self.each(source.handle, choice.limit, events, &mut |feature| {
                // SAFETY: a live feature, which owns its geometry.
                let geometry = unsafe { self.api.OGR_F_GetGeometryRef(feature) };
                // SAFETY: a live geometry.
                count += u64::from(geometry.is_null() || unsafe { self.api.OGR_G_IsEmpty(geometry) } != 0);
                Ok(true)
            })?;
        }
        Ok(count)
    }

    #[expect(clippy::too_many_arguments, reason = "all that a drawing depends on")]
    fn draw_from(
        &self,
        opened: &Opened<'_>,
        origin: Option<&Origin<'_>>,
        choice: &Choice,
        left_out: u64,
        request: &Request<'_>,
        options: &Options,
        events: &Arc<dyn Events>,
    ) -> Result<(), EngineError> {
        let order = &options.drawing;
        plan::check_fields(&opened.sources, order)?;
        for source in &opened.sources {
            self.choose(source, choice, order.draws_attributes(), false)?;
        }
        self.compare_references(&opened.sources);
        let survey = self.survey(opened, order, choice.limit, events)?;
        let plan = self.plan(opened, options, &survey)?;
        let mut written = Written::without_geometry(left_out);
        written += self.write_drawing(opened, origin, &plan, choice, request, events)?;
        if let Some(reason) = written.nothing() {
            return Err(EngineError::Unfit(reason));
        }
        if order.names_reference {
            self.write_reference(&opened.sources, request)?;
        }
        written.report(plan.drawing.renamed());
        if order.attributes == Attributes::None {
            lose_fields(opened, order);
        }
        events.progress(Stage::Translate, 1.0);
        Ok(())
    }
}

/// Tells of fields that are not in the drawing.
fn lose_fields(opened: &Opened<'_>, order: &Order) {
    let is_used = |field: &str| field == LAYER || order.fields().any(|used| used.eq_ignore_ascii_case(field));
    let lost = opened.sources.iter().flat_map(|source| &source.fields).filter(|field| !is_used(field));
    with_listener(|l| l.lose_fields(lost.cloned()));
}
