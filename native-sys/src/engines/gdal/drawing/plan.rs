//! How the drawing is made: what precedes its entities, and what they look like.

use super::order::{Attributes, LINETYPES, Order, Value};
use super::source::{LAYER, Opened, Source};
use super::survey::{MAX_LAYERS, Survey};
use crate::bindings::gdal as ffi;
use crate::engine::{EngineError, Events};
use crate::engines::gdal::Gdal;
use crate::engines::gdal::options::Options;
use cadmill_dxf::{
    ApplicationId, AttributeDefinition, Block, BlockId, CodePage, Color, Dialect, Drawing, Layer, LayerId,
    LinetypeId, Lineweight, Settings, Setup, Shape, ShapeGeometry, TextStyle, TextStyleId, Version,
};
use std::sync::Arc;

/// The application whose extended data attributes become.
const APPLICATION: &str = "CADMILL";

/// Labels have this part of the drawing's extent as their height, if none is given.
const HEIGHT: f64 = 1.0 / 200.0;

/// How the drawing is made.
pub(super) struct Plan<'a> {
    pub(super) order: &'a Order,
    pub(super) drawing: Drawing,
    /// Features' styles are looked at.
    pub(super) styled: bool,
    /// The drawing is that of ogr2ogr.
    pub(super) compatible: bool,
    pub(super) linetype: LinetypeId,
    /// The thickness of lines, if an option says it.
    pub(super) lineweight: Option<Lineweight>,
    pub(super) application: ApplicationId,
    pub(super) style: TextStyleId,
    /// Height of labels and of symbols.
    pub(super) height: f64,
    /// For each layer of the input.
    pub(super) sources: Vec<Kept>,
}

/// What is known of a layer of the input.
pub(super) struct Kept {
    /// The layer that its features are on, if they do not say it themselves.
    pub(super) layer: Option<LayerId>,
    /// The block that its points insert.
    pub(super) block: Option<BlockId>,
    pub(super) fields: Vec<String>,
}

impl Gdal {
    /// Sets the drawing up.
    pub(super) fn plan<'a>(
        &self,
        opened: &Opened<'_>,
        options: &'a Options,
        survey: &Survey,
    ) -> Result<Plan<'a>, EngineError> {
        let order = &options.drawing;
        let sources = &opened.sources;
        let page = order.code_page.or(survey.page());
        // The release that most readers decode by its header alone, if one page has all of the text.
        let version = order.version.unwrap_or(match page {
            _ if order.geodata => Version::R2010,
            Some(_) => Version::R2004,
            None => Version::R2007,
        });
        let code_page = page.unwrap_or(CodePage::KOREAN);
        let units = order.units.unwrap_or_else(|| self.units(sources));
        let compatible = order.is_compatible();
        let dialect = if compatible { Dialect::Ogr } else { Dialect::Plain };
        let georeference = order.geodata.then(|| self.georeference(sources)).transpose()?;
        let settings = Settings { version, code_page, units, dialect, georeference, ..Settings::default() };
        let mut setup = Setup::new(settings);
        // Those that keep their names come first, so that none of them gives way to another's.
        let (kept, changed): (Vec<_>, Vec<_>) =
            survey.layers.iter().partition(|name| setup.is_layer_name(name));
        for name in kept.into_iter().chain(changed) {
            setup.layer(name, Layer::default());
        }
        if let Some(styles) = &options.styles {
            styles.apply(&mut setup, version, &survey.layers);
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
            _ if !order.has_symbols() && !opened.is_styled() => 1.0,
            _ => self.extent(sources).filter(|extent| *extent > 0.0).map_or(1.0, |extent| extent * HEIGHT),
        };
        let has_blocks = order.points_as_blocks || order.attributes == Attributes::Block;
        let blocks = sources.iter().map(|source| {
            let attributes = match order.attributes {
                Attributes::Block => attributes_of(source, height, style),
                _ => Vec::new(),
            };
            let circle =
                Shape { color: Color::ByBlock, geometry: ShapeGeometry::Circle([0.0; 3], height / 2.0) };
            let block = Block { base: [0.0; 3], shapes: vec![circle], attributes };
            has_blocks.then(|| setup.block(&source.name, block))
        });
        let blocks: Vec<Option<BlockId>> = blocks.collect();
        let drawing = setup
            .finish()
            .map_err(|error| EngineError::Unfit(format!("the drawing cannot be set up: {error}")))?;
        let kept = sources.iter().zip(blocks).map(|(source, block)| {
            let own = || drawing.layer(default_layer(source, order)).unwrap_or(LayerId::ZERO);
            let layer = (!names_layers(source, order)).then(own);
            Kept { layer, block, fields: source.fields.iter().map(|(name, _)| name.clone()).collect() }
        });
        Ok(Plan {
            order,
            styled: opened.is_styled(),
            compatible,
            linetype,
            lineweight: order.lineweight,
            application,
            style,
            height,
            sources: kept.collect(),
            drawing,
        })
    }

    /// Looks at names and text, if the features have them.
    pub(super) fn survey(
        &self,
        opened: &Opened<'_>,
        order: &Order,
        limit: Option<u64>,
        events: &Arc<dyn Events>,
    ) -> Result<Survey, EngineError> {
        let styled = opened.is_styled();
        let mut survey = Survey::new();
        let too_many = || {
            EngineError::Unfit(format!(
                "the drawing would have more than {MAX_LAYERS} layers: dxf.layer names another field"
            ))
        };
        for source in &opened.sources {
            let names_layers = names_layers(source, order);
            let has_text = order.label.is_some() || order.attributes != Attributes::None || styled;
            if !names_layers && !survey.layer(default_layer(source, order)) {
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
                    for (name, place) in &source.fields {
                        survey.text(name);
                        survey.text(&self.text_at(feature, *place));
                    }
                }
                if let Some(label) = styled.then(|| self.style_of(source, feature).label).flatten() {
                    survey.text(&label.text);
                }
                Ok(true)
            })?;
        }
        Ok(survey)
    }

    /// The name of the layer that a feature is on; that of the input's layer if it is empty.
    pub(super) fn layer_of(&self, source: &Source, feature: ffi::OGRFeatureH, order: &Order) -> String {
        let name = match &order.layer {
            Some(template) => template.text(|field| self.text_of(source, feature, field)),
            None => self.text_of(source, feature, LAYER),
        };
        if name.trim().is_empty() { default_layer(source, order).to_owned() } else { name }
    }

    /// The longer side of the box around all layers.
    fn extent(&self, sources: &[Source]) -> Option<f64> {
        let [x, y, right, top] = self.bounds(sources)?;
        Some((right - x).max(top - y))
    }

    /// The box around all layers.
    pub(super) fn bounds(&self, sources: &[Source]) -> Option<[f64; 4]> {
        let mut all: Option<[f64; 4]> = None;
        for source in sources {
            let mut of = ffi::OGREnvelope { MinX: 0.0, MaxX: 0.0, MinY: 0.0, MaxY: 0.0 };
            // SAFETY: a live layer, and a box that is valid for writes.
            let failed = unsafe { self.api.OGR_L_GetExtent(source.handle, &mut of, 1) } != 0;
            let read = (!failed).then_some([of.MinX, of.MinY, of.MaxX, of.MaxY]);
            if let Some(of) = read.and_then(|of| self.transformed(source, of)) {
                let [x, y, right, top] = all.get_or_insert(of);
                (*x, *y) = (x.min(of[0]), y.min(of[1]));
                (*right, *top) = (right.max(of[2]), top.max(of[3]));
            }
        }
        all.filter(|[x, y, right, top]| (right - x).is_finite() && (top - y).is_finite())
    }
}

/// Whether features of a layer say which layer of the drawing they are on.
fn names_layers(source: &Source, order: &Order) -> bool {
    order.layer.is_some() || source.field(LAYER).is_some()
}

/// The layer of features that do not say one; GDAL has them on the one that every drawing has.
fn default_layer<'a>(source: &'a Source, order: &Order) -> &'a str {
    if order.is_compatible() { "0" } else { &source.name }
}

/// Fields that an option names, and no layer has.
pub(super) fn check_fields(sources: &[Source], order: &Order) -> Result<(), EngineError> {
    let missing = order.fields().find(|field| !sources.iter().any(|source| source.field(field).is_some()));
    let Some(missing) = missing else { return Ok(()) };
    let mut names: Vec<&str> =
        sources.iter().flat_map(|source| &source.fields).map(|(name, _)| name.as_str()).collect();
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
    let of = |(number, (name, _)): (usize, &(String, _))| AttributeDefinition {
        tag: name.clone(),
        at: [height, -1.5 * height * number as f64, 0.0],
        height,
        style,
        visible: false,
    };
    source.fields.iter().enumerate().map(of).collect()
}
