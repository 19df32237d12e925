//! Drawings: GDAL reads, and `cadmill-dxf` writes.
//!
//! The features are read twice if names of layers or labels are in them: what the tables of a drawing
//! have precedes its entities. Memory does not grow with the drawing: a feature is written before the
//! next one is read, or few of them by each thread.
//!
//! Most options of a translation are applied here, to one feature after the other. The rest is left to
//! GDAL's own translation, into memory, which then grows with the input.

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
mod treat;
mod write;

use super::Gdal;
use super::listener::{warn, warn_of_loss, with_listener};
use super::options::Options;
use crate::engine::{EngineError, Events, Request, Stage};
use choice::Choice;
use order::{Attributes, Order};
use source::{IN_MEMORY, LAYER, Opened, Origin};
use std::ffi::CStr;
use std::path::Path;
use std::sync::Arc;

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
        let order = &options.drawing;
        if let Some(choice) = Choice::of(options) {
            let origin = Origin { path: request.input, open: &options.open, names: &options.layers };
            let opened = self.open_origin(&origin, order, &choice.change)?;
            return self.draw_from(&opened, Some(&origin), &choice, request, options, events);
        }
        let source = self.open_input(request.input, &options.open)?;
        let driver = self.driver_of(source);
        // SAFETY: open, closed once.
        unsafe { self.api.GDALClose(source) };
        if driver.as_bytes() == super::MAPINFO.to_bytes() {
            // Its styles are made when they are asked for, and a translation does not ask.
            warn_of_loss(
                "the colours and the texts of MapInfo's objects were left out: an option has the features go through memory, which does not keep them",
            );
        }
        self.translate(request, Path::new(""), IN_MEMORY, options, events, &mut |translated| {
            let opened = self.opened(translated, order)?;
            self.draw_from(&opened, None, &Choice::default(), request, options, events)
        })
    }

    fn draw_from(
        &self,
        opened: &Opened<'_>,
        origin: Option<&Origin<'_>>,
        choice: &Choice,
        request: &Request<'_>,
        options: &Options,
        events: &Arc<dyn Events>,
    ) -> Result<(), EngineError> {
        let order = &options.drawing;
        plan::check_fields(&opened.sources, order)?;
        if let Some(name) = choice.change.height.as_ref()
            && opened.sources.iter().all(|source| source.height.is_none())
        {
            return Err(EngineError::Unfit(format!("--opt zfield: the input has no field '{name}'")));
        }
        for source in &opened.sources {
            self.choose(source, choice, order.draws_attributes(), false)?;
        }
        self.compare_references(&opened.sources);
        let survey = self.survey(opened, order, choice.limit, events)?;
        let plan = self.plan(opened, options, &survey)?;
        let written = self.write_drawing(opened, origin, &plan, choice, request, events)?;
        if let Some(reason) = written.nothing() {
            return Err(EngineError::Unfit(reason));
        }
        if written.read == 0 {
            warn("the drawing is empty: the input has no features, or the options choose none of them");
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
    let lost = opened.sources.iter().flat_map(|source| &source.fields).filter(|(field, _)| !is_used(field));
    with_listener(|l| l.lose_fields(lost.map(|(field, _)| field.clone())));
}
