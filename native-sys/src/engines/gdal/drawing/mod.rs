//! Drawings: GDAL reads, and `cadmill-dxf` writes.
//!
//! The features are read twice if names of layers or labels are in them: what the tables of a drawing
//! have precedes its entities. Memory does not grow with the drawing: a feature is written before the
//! next one is read.
//!
//! Options for GDAL's translation that are more than a choice of features are applied by GDAL itself,
//! into a FlatGeobuf in the engine's scratch directory, which is then read as any other input.

mod geometry;
mod labels;
pub(super) mod order;
mod pen;
mod survey;
mod template;
mod write;

use super::Gdal;
use super::listener::with_listener;
use super::options::Options;
use crate::bindings::gdal as ffi;
use crate::engine::{EngineError, Events, Request, Stage};
use crate::engines::string;
use cadmill_dxf::{
    ApplicationId, AttributeDefinition, Block, BlockId, CodePage, Color, Drawing, Layer, LayerId, LinetypeId,
    Lineweight, Settings, Setup, Shape, ShapeGeometry, TextStyle, TextStyleId, Units, Version,
};
use order::{Attributes, LINETYPES, Order, Value};
use pen::Label;
use std::ffi::{CStr, CString, c_int};
use std::path::PathBuf;
use std::sync::Arc;
use survey::{MAX_LAYERS, Survey};

/// The driver whose files are drawings.
pub(super) const DRAWING: &CStr = c"DXF";

/// What an option that is not applied here is written into.
const BETWEEN: &CStr = c"FlatGeobuf";

/// The field by which features have had layers ever since: in GDAL, in ArcGIS, and in drawings.
const LAYER: &str = "Layer";

/// Drivers whose features have styles that a drawing can show: colours and texts.
const STYLED: &[&str] = &["CAD", "DGN", "DXF", "KML", "LIBKML", "MapInfo File"];

/// The application whose extended data attributes become.
const APPLICATION: &str = "CADMILL";

/// Labels have this part of the drawing's extent as their height, if none is given.
const HEIGHT: f64 = 1.0 / 200.0;

/// How the drawing is made.
struct Plan<'a> {
    order: &'a Order,
    drawing: Drawing,
    /// Features' styles are looked at.
    styled: bool,
    linetype: LinetypeId,
    lineweight: Lineweight,
    application: ApplicationId,
    style: TextStyleId,
    /// Height of labels and of symbols.
    height: f64,
    /// For each layer of the input, the block that points insert.
    blocks: Vec<BlockId>,
}

impl Plan<'_> {
    fn block_of(&self, source: usize) -> Option<BlockId> {
        self.blocks.get(source).copied()
    }
}

/// What one feature looks like.
struct Look {
    layer: LayerId,
    color: Color,
    /// The text that the feature is.
    own_text: Option<Label>,
}

/// A layer of the input, and the places of the fields that the options name.
struct Source {
    handle: ffi::OGRLayerH,
    name: String,
    fields: Vec<String>,
}

impl Source {
    /// The place of a field, in whatever case.
    fn field(&self, name: &str) -> Option<c_int> {
        let exact = self.fields.iter().position(|field| field == name);
        let any = || self.fields.iter().position(|field| field.to_lowercase() == name.to_lowercase());
        exact.or_else(any).and_then(|at| c_int::try_from(at).ok())
    }
}

/// A choice of features that is made here.
#[derive(Default)]
struct Choice {
    condition: Option<CString>,
    rectangle: Option<[f64; 4]>,
    limit: Option<u64>,
}

impl Choice {
    /// The choice that the arguments are; `None` if they are more than that.
    fn of(options: &Options) -> Option<Self> {
        let mut choice = Self::default();
        let mut arguments = options.translate.iter().map(|argument| argument.to_string_lossy());
        while let Some(argument) = arguments.next() {
            match argument.as_ref() {
                "-where" => choice.condition = Some(CString::new(arguments.next()?.as_bytes()).ok()?),
                "-limit" => choice.limit = Some(arguments.next()?.parse().ok()?),
                "-spat" => {
                    let mut numbers = [0.0; 4];
                    for number in &mut numbers {
                        *number = arguments.next()?.parse().ok()?;
                    }
                    choice.rectangle = Some(numbers);
                }
                // The name of a layer.
                name if !name.starts_with('-') => {}
                _ => return None,
            }
        }
        Some(choice)
    }
}

impl Gdal {
    /// Writes a drawing of the input.
    pub(super) fn draw(
        &self,
        request: &Request<'_>,
        options: &Options,
        events: &Arc<dyn Events>,
    ) -> Result<(), EngineError> {
        if let Some(choice) = Choice::of(options) {
            let source = self.open_input(request.input, &options.open)?;
            let drawn = self.draw_from(source, &options.layers, &choice, request, options, events);
            // SAFETY: open, closed once; its layers are not used afterwards.
            unsafe { self.api.GDALClose(source) };
            return drawn;
        }
        let between = PathBuf::from("drawing");
        std::fs::create_dir(&between)
            .map_err(|e| EngineError::Rejected(format!("making a directory for the features: {e}")))?;
        let translated = self.translate(request, &between.join("features"), BETWEEN, options, events);
        let drawn = translated.and_then(|()| {
            let path = crate::engines::c_path(&between.join("features"))?;
            let source = self.open(&path, &[BETWEEN], &[])?;
            let drawn = self.draw_from(source, &[], &Choice::default(), request, options, events);
            // SAFETY: open, closed once; its layers are not used afterwards.
            unsafe { self.api.GDALClose(source) };
            drawn
        });
        // It has the input's content; what is left is removed with the workspace.
        let _ = std::fs::remove_dir_all(&between);
        drawn
    }

    fn draw_from(
        &self,
        source: ffi::GDALDatasetH,
        names: &[CString],
        choice: &Choice,
        request: &Request<'_>,
        options: &Options,
        events: &Arc<dyn Events>,
    ) -> Result<(), EngineError> {
        let order = &options.drawing;
        let sources: Vec<Source> =
            self.layers(source, names).into_iter().map(|handle| self.source(handle)).collect();
        check_fields(&sources, order)?;
        for layer in &sources {
            self.choose(layer.handle, choice)?;
        }
        let styled = STYLED.contains(&self.driver_of(source).as_str());
        let survey = self.survey(&sources, order, styled, choice.limit, events)?;
        let plan = self.plan(&sources, order, styled, &survey)?;
        self.write_drawing(&sources, &plan, choice.limit, request, events)?.report(plan.drawing.renamed());
        if order.attributes == Attributes::None {
            let is_used =
                |field: &str| field == LAYER || order.fields().any(|used| used.eq_ignore_ascii_case(field));
            let lost =
                sources.iter().flat_map(|source| &source.fields).filter(|field| !is_used(field)).cloned();
            with_listener(|l| l.lose_fields(lost));
        }
        events.progress(Stage::Translate, 1.0);
        Ok(())
    }

    fn source(&self, handle: ffi::OGRLayerH) -> Source {
        let api = &self.api;
        // SAFETY: a live layer; its name is copied, and its definition lives as long as it.
        let (name, definition) =
            unsafe { (string(api.OGR_L_GetName(handle)), api.OGR_L_GetLayerDefn(handle)) };
        // SAFETY: a live definition.
        let count = unsafe { api.OGR_FD_GetFieldCount(definition) };
        let fields = (0..count).map(|index| {
            // SAFETY: a number below the count of the fields; the name is copied.
            unsafe { string(api.OGR_Fld_GetNameRef(api.OGR_FD_GetFieldDefn(definition, index))) }
        });
        Source {
            handle,
            name: name.unwrap_or_default(),
            fields: fields.map(Option::unwrap_or_default).collect(),
        }
    }

    fn choose(&self, layer: ffi::OGRLayerH, choice: &Choice) -> Result<(), EngineError> {
        if let Some(condition) = &choice.condition {
            // SAFETY: a live layer, and a C string that the callee copies.
            let failed = unsafe { self.api.OGR_L_SetAttributeFilter(layer, condition.as_ptr()) } != 0;
            if failed {
                return Err(super::listener::failure("GDAL refused the condition"));
            }
        }
        if let Some([xmin, ymin, xmax, ymax]) = choice.rectangle {
            // SAFETY: a live layer.
            unsafe { self.api.OGR_L_SetSpatialFilterRect(layer, xmin, ymin, xmax, ymax) };
        }
        Ok(())
    }

    /// Calls for each feature of a layer, of no more than so many.
    fn each(
        &self,
        layer: ffi::OGRLayerH,
        limit: Option<u64>,
        events: &Arc<dyn Events>,
        call: &mut dyn FnMut(ffi::OGRFeatureH) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        // SAFETY: a live layer.
        unsafe { self.api.OGR_L_ResetReading(layer) };
        for _ in 0..limit.unwrap_or(u64::MAX) {
            if events.cancelled() {
                return Err(EngineError::Cancelled);
            }
            // SAFETY: a live layer; the feature is ours.
            let feature = unsafe { self.api.OGR_L_GetNextFeature(layer) };
            if feature.is_null() {
                break;
            }
            let called = call(feature);
            // SAFETY: ours, destroyed once.
            unsafe { self.api.OGR_F_Destroy(feature) };
            called?;
        }
        Ok(())
    }

    /// Looks at names and text, if the features have them.
    fn survey(
        &self,
        sources: &[Source],
        order: &Order,
        styled: bool,
        limit: Option<u64>,
        events: &Arc<dyn Events>,
    ) -> Result<Survey, EngineError> {
        let mut survey = Survey::new();
        let too_many = || {
            EngineError::Unfit(format!(
                "the drawing would have more than {MAX_LAYERS} layers: dxf.layer names another field"
            ))
        };
        for source in sources {
            let names_layers = order.layer.is_some() || source.field(LAYER).is_some();
            let has_text = order.label.is_some() || order.attributes != Attributes::None || styled;
            if !names_layers && !survey.layer(&source.name) {
                return Err(too_many());
            }
            if !names_layers && !has_text {
                continue;
            }
            self.each(source.handle, limit, events, &mut |feature| {
                if names_layers && !survey.layer(&self.layer_of(source, feature, order)) {
                    return Err(too_many());
                }
                if let Some(label) = &order.label {
                    survey.text(&label.text(|field| self.text_of(source, feature, field)));
                }
                if order.attributes != Attributes::None {
                    for (name, value) in self.values_of(source, feature) {
                        survey.text(&name);
                        survey.text(&value);
                    }
                }
                if let Some(label) = styled.then(|| self.style_of(feature).label).flatten() {
                    survey.text(&label.text);
                }
                Ok(())
            })?;
        }
        Ok(survey)
    }

    /// Sets the drawing up.
    fn plan<'a>(
        &self,
        sources: &[Source],
        order: &'a Order,
        styled: bool,
        survey: &Survey,
    ) -> Result<Plan<'a>, EngineError> {
        let page = order.code_page.or(survey.page());
        // The release that most readers decode by its header alone, if one page has all of the text.
        let version = order.version.unwrap_or(if page.is_some() { Version::R2004 } else { Version::R2007 });
        let code_page = page.unwrap_or(CodePage::KOREAN);
        let units = order.units.unwrap_or_else(|| self.units(sources));
        let mut setup = Setup::new(Settings { version, code_page, units, ..Settings::default() });
        for name in &survey.layers {
            setup.layer(name, Layer::default());
        }
        let linetype = match &order.linetype {
            None => LinetypeId::BY_LAYER,
            Some(name) => match LINETYPES.iter().find(|(known, ..)| known == name) {
                Some((name, description, dashes)) => setup.linetype(name, description, dashes),
                None => LinetypeId::CONTINUOUS,
            },
        };
        let (font, big_font) = order.style.clone().unwrap_or_else(|| fonts(version, code_page));
        let style = setup.text_style("LABELS", TextStyle::new(&font, &big_font));
        let application = setup.application(APPLICATION);
        let height = match order.height {
            Some(Value::Of(height)) => height,
            _ => self.extent(sources).filter(|extent| *extent > 0.0).map_or(1.0, |extent| extent * HEIGHT),
        };
        let has_blocks = order.points_as_blocks || order.attributes == Attributes::Block;
        let blocks = sources.iter().filter(|_| has_blocks).map(|source| {
            let attributes = match order.attributes {
                Attributes::Block => attributes_of(source, height, style),
                _ => Vec::new(),
            };
            let circle =
                Shape { color: Color::ByBlock, geometry: ShapeGeometry::Circle([0.0; 3], height / 2.0) };
            let block = Block { base: [0.0; 3], shapes: vec![circle], attributes };
            setup.block(&source.name, block)
        });
        let blocks: Vec<BlockId> = blocks.collect();
        let drawing = setup
            .finish()
            .map_err(|error| EngineError::Unfit(format!("the drawing cannot be set up: {error}")))?;
        let lineweight = order.lineweight.unwrap_or_default();
        Ok(Plan { order, drawing, styled, linetype, lineweight, application, style, height, blocks })
    }

    /// The unit of the first reference system that has one.
    fn units(&self, sources: &[Source]) -> Units {
        for source in sources {
            // SAFETY: a live layer, which owns its reference system.
            let system = unsafe { self.api.OGR_L_GetSpatialRef(source.handle) };
            // SAFETY: a live reference system; its unit's name is not asked for.
            if !system.is_null() && unsafe { self.api.OSRIsGeographic(system) } == 0 {
                // SAFETY: as above.
                return Units::of_metres(unsafe { self.api.OSRGetLinearUnits(system, std::ptr::null_mut()) });
            }
        }
        Units::None
    }

    /// The longer side of the box around all layers.
    fn extent(&self, sources: &[Source]) -> Option<f64> {
        let mut all: Option<[f64; 4]> = None;
        for source in sources {
            let mut of = ffi::OGREnvelope { MinX: 0.0, MaxX: 0.0, MinY: 0.0, MaxY: 0.0 };
            // SAFETY: a live layer, and a box that is valid for writes.
            if unsafe { self.api.OGR_L_GetExtent(source.handle, &mut of, 1) } == 0 {
                let [x, y, right, top] = all.get_or_insert([of.MinX, of.MinY, of.MaxX, of.MaxY]);
                (*x, *y) = (x.min(of.MinX), y.min(of.MinY));
                (*right, *top) = (right.max(of.MaxX), top.max(of.MaxY));
            }
        }
        all.map(|[x, y, right, top]| (right - x).max(top - y)).filter(|side| side.is_finite())
    }

    fn look_of(&self, source: &Source, feature: ffi::OGRFeatureH, plan: &Plan<'_>) -> Look {
        let order = plan.order;
        let style = if plan.styled { self.style_of(feature) } else { pen::Style::default() };
        let name = match order.layer.is_some() || source.field(LAYER).is_some() {
            true => self.layer_of(source, feature, order),
            false => source.name.clone(),
        };
        let color = match &order.color {
            Some(Value::Of(color)) => *color,
            Some(Value::Field(name)) => {
                order::color(&self.text_of(source, feature, name)).unwrap_or_default()
            }
            None => style.color.unwrap_or_default(),
        };
        Look { layer: plan.drawing.layer(&name).unwrap_or(LayerId::ZERO), color, own_text: style.label }
    }

    /// The name of the layer that a feature is on; that of the input's layer if it is empty.
    fn layer_of(&self, source: &Source, feature: ffi::OGRFeatureH, order: &Order) -> String {
        let name = match &order.layer {
            Some(template) => template.text(|field| self.text_of(source, feature, field)),
            None => self.text_of(source, feature, LAYER),
        };
        if name.trim().is_empty() { source.name.clone() } else { name }
    }

    /// The value of a field as text; empty if there is none.
    fn text_of(&self, source: &Source, feature: ffi::OGRFeatureH, field: &str) -> String {
        source.field(field).map(|index| self.text_at(feature, index)).unwrap_or_default()
    }

    fn text_at(&self, feature: ffi::OGRFeatureH, index: c_int) -> String {
        // SAFETY: a live feature and a number below the count of its fields; the text is copied.
        unsafe {
            match self.api.OGR_F_IsFieldSetAndNotNull(feature, index) {
                0 => String::new(),
                _ => string(self.api.OGR_F_GetFieldAsString(feature, index)).unwrap_or_default(),
            }
        }
    }

    /// All fields and their values.
    fn values_of(&self, source: &Source, feature: ffi::OGRFeatureH) -> Vec<(String, String)> {
        (0..).zip(&source.fields).map(|(index, name)| (name.clone(), self.text_at(feature, index))).collect()
    }

    fn style_of(&self, feature: ffi::OGRFeatureH) -> pen::Style {
        // SAFETY: a live feature; the text is copied.
        let text = unsafe { string(self.api.OGR_F_GetStyleString(feature)) };
        text.map(|text| pen::style(&text)).unwrap_or_default()
    }
}

/// Fields that an option names, and no layer has.
fn check_fields(sources: &[Source], order: &Order) -> Result<(), EngineError> {
    let missing = order.fields().find(|field| !sources.iter().any(|source| source.field(field).is_some()));
    let Some(missing) = missing else { return Ok(()) };
    let mut names: Vec<&str> = sources.iter().flat_map(|source| &source.fields).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let shown = names.iter().take(20).copied().collect::<Vec<_>>().join(", ");
    let there = if names.is_empty() { "it has none".to_owned() } else { format!("there are {shown}") };
    Err(EngineError::Unfit(format!(
        "an option of dxf. names the field '{missing}', which the input does not have: {there}"
    )))
}

/// A font with the letters of a code page, and one with those of Asian languages.
fn fonts(version: Version, page: CodePage) -> (String, String) {
    let (font, big_font) = match (version.is_utf8(), page.number()) {
        (true, _) => ("malgun.ttf", ""),
        (false, 949) => ("txt.shx", "whgtxt.shx"),
        (false, 932) => ("txt.shx", "bigfont.shx"),
        (false, 936) => ("txt.shx", "gbcbig.shx"),
        (false, 950) => ("txt.shx", "chineset.shx"),
        _ => ("txt.shx", ""),
    };
    (font.to_owned(), big_font.to_owned())
}

/// Attributes of a block: the fields, one below the other.
fn attributes_of(source: &Source, height: f64, style: TextStyleId) -> Vec<AttributeDefinition> {
    let of = |(number, name): (usize, &String)| AttributeDefinition {
        tag: name.clone(),
        at: [height, -1.5 * height * number as f64, 0.0],
        height,
        style,
        visible: false,
    };
    source.fields.iter().enumerate().map(of).collect()
}
