//! A feature, as far as the drawing has it: all that is read of it. Nothing of GDAL is in it, so that it
//! can wait, and be written by any thread.

use super::choice::Change;
use super::geometry::{self, Lacks, Part};
use super::order::{self, Areas, Attributes, Value};
use super::pen::{self, Label};
use super::plan::Plan;
use super::source::Source;
use super::treat::{Held, Treatment};
use crate::bindings::gdal as ffi;
use crate::engine::EngineError;
use crate::engines::exact_string;
use crate::engines::gdal::Gdal;
use crate::engines::gdal::listener::{blamed, warn_of_loss};
use cadmill_dxf::{Color, LayerId, Lineweight};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int};

/// Kinds of geometries whose parts are features of their own, if that is asked for.
const COLLECTIONS: &[ffi::OGRwkbGeometryType] = &[
    ffi::OGRwkbGeometryType_wkbMultiPoint,
    ffi::OGRwkbGeometryType_wkbMultiLineString,
    ffi::OGRwkbGeometryType_wkbMultiPolygon,
    ffi::OGRwkbGeometryType_wkbGeometryCollection,
    ffi::OGRwkbGeometryType_wkbMultiCurve,
    ffi::OGRwkbGeometryType_wkbMultiSurface,
];

/// A feature that was read.
#[derive(Clone)]
pub(super) struct Item {
    /// The number of its layer in the input.
    pub(super) source: usize,
    pub(super) layer: LayerId,
    /// The colour of lines, points and text.
    pub(super) color: Color,
    /// The colour of filled areas.
    pub(super) fill: Color,
    /// The thickness of its lines in the input.
    pub(super) lineweight: Option<Lineweight>,
    /// It is not shown in the input.
    pub(super) is_hidden: bool,
    pub(super) parts: Vec<Part>,
    /// The text that the feature is.
    pub(super) own_text: Option<Label>,
    /// The values of its fields, if they are drawn.
    pub(super) values: Vec<String>,
    pub(super) caption: Option<Caption>,
    /// What of its geometry is not in the parts.
    pub(super) lacks: Lacks,
    /// Values of colours, heights and rotations that are none.
    pub(super) ignored: u64,
}

/// A label that an option asks for.
#[derive(Clone)]
pub(super) struct Caption {
    pub(super) text: String,
    pub(super) height: f64,
    pub(super) degrees: f64,
}

impl Item {
    /// Handles that its entities take, or more, if some of them are refused.
    pub(super) fn handles(&self, plan: &Plan<'_>) -> u64 {
        let has_block = plan.sources.get(self.source).is_some_and(|kept| kept.block.is_some());
        let of_part = |part: &Part| -> u64 {
            let of_rings = |rings: &[geometry::Path]| rings.iter().map(geometry::Path::handles).sum::<u64>();
            match part {
                Part::Point { .. } if has_block => match self.values.len() {
                    0 => 1,
                    attributes => attributes as u64 + 2,
                },
                Part::Point { .. } => 1,
                Part::Line(path) => path.handles(),
                Part::Area(_) if plan.compatible => 1,
                Part::Area(rings) => match plan.order.areas {
                    Areas::Polylines => of_rings(rings),
                    Areas::Hatches => of_rings(rings).max(1),
                    Areas::Both => of_rings(rings) + 1,
                },
                Part::Face(_) if plan.compatible => 1,
                Part::Face(rings) => of_rings(rings).max(1),
            }
        };
        let parts: u64 = self.parts.iter().map(of_part).sum();
        // A text stands for the parts, unless it is refused.
        parts + u64::from(self.caption.is_some()) + u64::from(self.own_text.is_some() && !plan.compatible)
    }

    /// Bytes of memory that it takes, roughly.
    pub(super) fn weight(&self) -> usize {
        let points: usize = self.parts.iter().flat_map(Part::paths).map(|path| path.points.len()).sum();
        points * size_of::<geometry::Point>() + self.values.iter().map(String::len).sum::<usize>() + 256
    }
}

/// Reads features of the layers of a dataset.
pub(super) struct Reader<'a> {
    gdal: &'a Gdal,
    plan: &'a Plan<'a>,
    change: &'a Change,
    /// What becomes of the geometries of each layer.
    treatments: Vec<Treatment<'a>>,
    /// Layers of the drawing by the names that features have for them.
    layers: HashMap<String, LayerId>,
    bytes: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// # Errors
    /// If coordinates cannot be transformed.
    pub(super) fn new(
        gdal: &'a Gdal,
        plan: &'a Plan<'a>,
        sources: &[Source],
        change: &'a Change,
    ) -> Result<Self, EngineError> {
        let treatments = sources.iter().map(|source| Treatment::new(gdal, source, change));
        let treatments = treatments.collect::<Result<_, _>>()?;
        Ok(Self { gdal, plan, change, treatments, layers: HashMap::new(), bytes: Vec::new() })
    }

    /// Reads a feature of the layer of this number; several if its parts are features.
    ///
    /// # Errors
    /// If it cannot be transformed, and nobody asked for leaving such features out.
    pub(super) fn items(
        &mut self,
        number: usize,
        source: &Source,
        feature: ffi::OGRFeatureH,
    ) -> Result<Vec<Item>, EngineError> {
        let api = &self.gdal.api;
        // SAFETY: a live feature, which owns its geometry.
        let whole = unsafe { api.OGR_F_GetGeometryRef(feature) };
        let mut parts = vec![whole];
        if self.change.explodes && !whole.is_null() {
            // SAFETY: a live geometry, and no pointers.
            let kind = unsafe { api.OGR_GT_Flatten(api.OGR_G_GetGeometryType(whole)) };
            // SAFETY: a live geometry, and numbers below the count of its parts, which it owns.
            let members = || unsafe {
                (0..api.OGR_G_GetGeometryCount(whole)).map(|n| api.OGR_G_GetGeometryRef(whole, n)).collect()
            };
            if COLLECTIONS.contains(&kind) {
                parts = members();
            }
            if parts.is_empty() {
                parts.push(whole);
            }
        }
        let looks = self.look(number, source, feature);
        let mut items = Vec::with_capacity(parts.len());
        for geometry in parts {
            let mut item = looks.clone();
            self.take_geometry(number, source, feature, geometry, &mut item)?;
            items.push(item);
        }
        Ok(items)
    }

    /// What a feature looks like, without its geometry.
    fn look(&mut self, number: usize, source: &Source, feature: ffi::OGRFeatureH) -> Item {
        let (gdal, plan) = (self.gdal, self.plan);
        let order = plan.order;
        let style = if plan.styled { gdal.style_of(source, feature) } else { pen::Style::default() };
        let mut ignored = 0;
        let chosen = match &order.color {
            Some(Value::Of(color)) => Some(*color),
            Some(Value::Field(name)) => {
                let text = gdal.text_of(source, feature, name);
                let color = order::color(&text);
                ignored += u64::from(color.is_none() && !text.trim().is_empty());
                Some(color.unwrap_or_default())
            }
            None => None,
        };
        // What GDAL draws has the colour of its own tool, or none.
        let (line, fill) = match plan.compatible {
            true => (style.line, style.fill),
            false => (style.line.or(style.fill), style.fill.or(style.line)),
        };
        let values = match order.attributes {
            Attributes::None => Vec::new(),
            _ => source.fields.iter().map(|(_, place)| gdal.text_at(feature, *place)).collect(),
        };
        let mut real = |value: &Option<Value<f64>>, otherwise: f64, is_right: fn(f64) -> bool| match value {
            Some(Value::Of(number)) => *number,
            Some(Value::Field(name)) => {
                let text = gdal.text_of(source, feature, name);
                let number =
                    text.trim().parse().ok().filter(|number: &f64| number.is_finite() && is_right(*number));
                ignored += u64::from(number.is_none() && !text.trim().is_empty());
                number.unwrap_or(otherwise)
            }
            None => otherwise,
        };
        let caption = order.label.as_ref().map(|label| Caption {
            text: label.text(|field| gdal.text_of(source, feature, field)),
            height: real(&order.height, plan.height, |height| height > 0.0),
            degrees: real(&order.rotation, 0.0, |_| true),
        });
        Item {
            source: number,
            layer: self.layer(number, source, feature),
            color: chosen.or(line).unwrap_or_default(),
            fill: chosen.or(fill).unwrap_or_default(),
            is_hidden: style.is_hidden,
            parts: Vec::new(),
            own_text: style.label,
            values,
            caption,
            lineweight: style.weight,
            lacks: Lacks::default(),
            ignored,
        }
    }

    fn layer(&mut self, number: usize, source: &Source, feature: ffi::OGRFeatureH) -> LayerId {
        let plan = self.plan;
        if let Some(layer) = plan.sources.get(number).and_then(|kept| kept.layer) {
            return layer;
        }
        let name = self.gdal.layer_of(source, feature, plan.order);
        if let Some(layer) = self.layers.get(&name) {
            return *layer;
        }
        // All of them were declared, as each feature was seen before.
        let layer = plan.drawing.layer(&name).unwrap_or(LayerId::ZERO);
        self.layers.insert(name, layer);
        layer
    }

    /// Gives an item the parts of a geometry of its feature.
    fn take_geometry(
        &mut self,
        number: usize,
        source: &Source,
        feature: ffi::OGRFeatureH,
        geometry: ffi::OGRGeometryH,
        item: &mut Item,
    ) -> Result<(), EngineError> {
        let (gdal, api) = (self.gdal, &self.gdal.api);
        if geometry.is_null() {
            return Ok(());
        }
        let mut held = Held::of_feature(gdal, geometry);
        if self.treatments.get(number).is_some_and(|treatment| !treatment.treat(&mut held)) {
            if self.change.skips {
                item.lacks.place = true;
                return Ok(());
            }
            // SAFETY: a live feature.
            let identifier = unsafe { api.OGR_F_GetFID(feature) };
            return Err(blamed(&format!(
                "Failed to reproject feature {identifier} (geometry probably out of source or destination SRS)."
            )));
        }
        let (mut parts, mut lacks) = self.parts_in(held.handle);
        let is_filled = self.plan.order.areas != Areas::Polylines;
        lacks.arcs = geometry::has_arcs_in_space(&parts)
            || (self.plan.compatible && geometry::has_arcs(&parts))
            // A hatch has straight lines.
            || (is_filled && geometry::has_arcs_around_areas(&parts));
        if lacks.arcs {
            // SAFETY: a live geometry, the default step, and no options; the copy is ours.
            held.replace(unsafe { api.OGR_G_GetLinearGeometry(held.handle, 0.0, std::ptr::null_mut()) });
            parts = self.parts_in(held.handle).0;
        }
        if let Some(place) = source.height {
            // SAFETY: a live feature and a number below the count of its fields.
            let height = unsafe {
                match api.OGR_F_IsFieldSetAndNotNull(feature, place) {
                    0 => None,
                    _ => Some(api.OGR_F_GetFieldAsDouble(feature, place)),
                }
            };
            parts.iter_mut().for_each(|part| part.lift(height.unwrap_or(0.0)));
        }
        (item.parts, item.lacks) = (parts, lacks);
        Ok(())
    }

    fn parts_in(&mut self, geometry: ffi::OGRGeometryH) -> (Vec<Part>, Lacks) {
        self.gdal.export_into(geometry, &mut self.bytes);
        geometry::parts(&self.bytes).unwrap_or_default()
    }
}

impl Gdal {
    /// The value of a field as text; empty if there is none.
    pub(super) fn text_of(&self, source: &Source, feature: ffi::OGRFeatureH, field: &str) -> String {
        source.field(field).map(|index| self.text_at(feature, index)).unwrap_or_default()
    }

    pub(super) fn text_at(&self, feature: ffi::OGRFeatureH, index: c_int) -> String {
        // SAFETY: a live feature and a number below the count of its fields.
        if unsafe { self.api.OGR_F_IsFieldSetAndNotNull(feature, index) } == 0 {
            return String::new();
        }
        // SAFETY: as above; the text is the feature's.
        let text = unsafe { self.api.OGR_F_GetFieldAsString(feature, index) };
        if text.is_null() {
            return String::new();
        }
        // SAFETY: a C string, which is copied. Blanks at its end are the value's.
        let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
        if matches!(text, Cow::Owned(_)) {
            warn_of_loss("text of the input is not valid UTF-8: what is not was replaced");
        }
        text.into_owned()
    }

    pub(super) fn style_of(&self, source: &Source, feature: ffi::OGRFeatureH) -> pen::Style {
        // SAFETY: a live feature; the text is copied.
        let text = unsafe { exact_string(self.api.OGR_F_GetStyleString(feature)) };
        let text = match text.as_deref().and_then(|text| text.strip_prefix('@')) {
            // The name of a style that several features have.
            Some(name) => self.shared_style(source, name),
            None => text,
        };
        text.map(|text| pen::style(&text)).unwrap_or_default()
    }

    fn shared_style(&self, source: &Source, name: &str) -> Option<String> {
        let name = CString::new(name).ok()?;
        // SAFETY: a live layer, which owns its table; the text is copied.
        unsafe {
            let table = self.api.OGR_L_GetStyleTable(source.handle);
            if table.is_null() { None } else { exact_string(self.api.OGR_STBL_Find(table, name.as_ptr())) }
        }
    }
}
