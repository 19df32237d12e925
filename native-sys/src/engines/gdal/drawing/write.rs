//! The second reading: features become entities.

use super::geometry::{self, Part, Path, Point};
use super::order::{Areas, Attributes, Value};
use super::pen::Label;
use super::{Plan, Source, labels};
use crate::bindings::gdal as ffi;
use crate::engine::{EngineError, Events, Request, Stage};
use crate::engines::gdal::Gdal;
use crate::engines::gdal::listener::{warn, warn_of_loss, with_listener};
use cadmill_dxf::{
    DataValue, Entities, Error, ExtendedData, Finished, Insert, Polyline, Properties, Refusal, Report, Text,
    Writer,
};
use std::fs::File;
use std::io::Write;
use std::sync::Arc;

/// Features between which progress is told.
const STEP: u64 = 1024;

/// What was written, and what was not.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) read: u64,
    pub(super) written: u64,
    without_geometry: u64,
    /// Parts that no reader takes, and why the first of them was refused.
    refused: u64,
    first_refusal: Option<String>,
    /// Faces of more than four corners, or with holes.
    outlines: u64,
    /// Areas that no hatch has, because they are not flat.
    sloped: u64,
    /// Features whose attributes have no room.
    without_attributes: u64,
    unlabelled: u64,
    format: Report,
}

impl Written {
    /// Tells what the drawing lacks, and what it has in another way.
    pub(super) fn report(&self, renamed: &[cadmill_dxf::Renamed]) {
        with_listener(|l| l.set_counts(self.read, self.written, self.read - self.written));
        let loss = |count: u64, text: &str| {
            if count > 0 {
                warn_of_loss(&format!("{count} {text}"));
            }
        };
        loss(self.without_geometry, "features without geometry were left out");
        if let Some(why) = &self.first_refusal {
            loss(self.refused, &format!("parts of geometries were left out, the first because {why}"));
        }
        let format = &self.format;
        loss(
            self.without_attributes,
            "features were drawn without their attributes, which have no room in the drawing",
        );
        loss(self.unlabelled, "labels were left out: they are empty or have no place");
        loss(format.dropped_controls, "control characters were left out: the format has none");
        loss(format.cut_attributes, "values of attributes were cut at 255 bytes, which the format allows");
        loss(format.dropped_rings, "holes of fewer than three vertices were left out");
        let tell = |count: u64, text: &str| {
            if count > 0 {
                warn(&format!("{count} {text}"));
            }
        };
        tell(self.outlines, "faces of more than four corners, or with holes, were drawn as their outlines");
        tell(self.sloped, "areas that are not flat were drawn as outlines: no hatch has them");
        tell(
            format.escaped_characters,
            "characters are not in the code page of the drawing, and were written as \\U+XXXX, which not all readers read: --opt dxf.version=R2007 has them all",
        );
        tell(
            format.indexed_colors,
            "colours were replaced by the nearest of the colour index: R2000 has no others",
        );
        if !renamed.is_empty() {
            let shown: Vec<String> =
                renamed.iter().take(10).map(|name| format!("'{}' is '{}'", name.from, name.to)).collect();
            let more =
                if renamed.len() > 10 { format!(" and {} more", renamed.len() - 10) } else { String::new() };
            warn(&format!("names that the format does not allow were changed: {}{more}", shown.join(", ")));
        }
    }
}

/// A feature that was read.
struct Feature<'a> {
    source: &'a Source,
    handle: ffi::OGRFeatureH,
}

impl Gdal {
    /// Writes the drawing into the output of the request.
    pub(super) fn write_drawing(
        &self,
        sources: &[Source],
        plan: &Plan<'_>,
        limit: Option<u64>,
        request: &Request<'_>,
        events: &Arc<dyn Events>,
    ) -> Result<Written, EngineError> {
        let failed = |error: Error| EngineError::Rejected(format!("writing the drawing failed: {error}"));
        let unwritable =
            |error: std::io::Error| EngineError::Rejected(format!("writing the drawing failed: {error}"));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(request.output)
            .map_err(unwritable)?;
        let mut writer = Writer::new(file, &plan.drawing).map_err(failed)?;
        let mut written = Written::default();
        let total: u64 = sources.iter().filter_map(|source| self.features_of(source.handle)).sum();
        for (number, source) in sources.iter().enumerate() {
            self.each(source.handle, limit, events, &mut |handle| {
                let feature = Feature { source, handle };
                self.write_feature(&feature, number, plan, writer.entities(), &mut written)
                    .map_err(failed)?;
                if written.read % STEP == 0 && total > 0 {
                    events.progress(Stage::Translate, written.read as f64 / total.max(written.read) as f64);
                }
                Ok(())
            })?;
        }
        let Finished { mut out, patches, report, .. } = writer.finish().map_err(failed)?;
        for patch in &patches {
            patch.apply(&mut out).map_err(unwritable)?;
        }
        out.flush().map_err(unwritable)?;
        written.format = report;
        Ok(written)
    }

    fn write_feature(
        &self,
        feature: &Feature<'_>,
        number: usize,
        plan: &Plan<'_>,
        entities: &mut Entities<'_, File>,
        written: &mut Written,
    ) -> Result<(), Error> {
        written.read += 1;
        let parts = self.parts_of(feature.handle);
        if parts.is_empty() {
            written.without_geometry += 1;
            return Ok(());
        }
        let look = self.look_of(feature.source, feature.handle, plan);
        let values = match plan.order.attributes {
            Attributes::None => Vec::new(),
            _ => self.values_of(feature.source, feature.handle),
        };
        let texts: Vec<String> = match plan.order.attributes {
            Attributes::Data => values.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            _ => Vec::new(),
        };
        let data: Vec<DataValue<'_>> = texts.iter().map(|text| DataValue::Text(text)).collect();
        let extended = [ExtendedData { application: plan.application, values: &data }];
        let mut properties = Properties {
            color: look.color,
            linetype: plan.linetype,
            lineweight: plan.lineweight,
            data: if data.is_empty() { &[] } else { &extended },
            ..Properties::on(look.layer)
        };
        let before = entities.report().entities;
        if let Some(label) = &look.own_text {
            // The feature is a text.
            let at = parts.iter().find_map(|part| if let Part::Point(at) = part { Some(*at) } else { None });
            if let Some(at) = at
                && self.write_own_text(label, at, &properties, plan, entities, written)?
            {
                written.written += 1;
                return Ok(());
            }
        }
        let block = plan.block_of(number);
        let attributes: Vec<&str> = match plan.order.attributes {
            Attributes::Block => values.iter().map(|(_, value)| value.as_str()).collect(),
            _ => Vec::new(),
        };
        let has_point = parts.iter().any(|part| matches!(part, Part::Point(_)));
        if plan.order.attributes == Attributes::Block && !has_point && !attributes.is_empty() {
            written.without_attributes += 1;
        }
        for part in &parts {
            let mut outcome = match (part, block) {
                (Part::Point(at), Some(block)) => {
                    let insert =
                        Insert { block, at: *at, scale: [1.0; 3], rotation: 0.0, attributes: &attributes };
                    entities.insert(&properties, &insert)
                }
                _ => write_part(part, &properties, plan, entities, written),
            };
            if let Err(Error::Refused(Refusal::ExtendedData)) = outcome {
                written.without_attributes += 1;
                properties.data = &[];
                outcome = write_part(part, &properties, plan, entities, written);
            }
            match outcome {
                Err(Error::Refused(refusal)) => {
                    written.refused += 1;
                    written.first_refusal.get_or_insert_with(|| refusal.to_string());
                }
                other => other?,
            }
        }
        written.written += u64::from(entities.report().entities > before);
        if let Some(label) = plan.order.label.as_ref() {
            let text = label.text(|field| self.text_of(feature.source, feature.handle, field));
            properties.data = &[];
            self.write_label(feature, &text, &parts, &properties, plan, entities, written)?;
        }
        Ok(())
    }

    /// Writes a text that the input has as such; whether it could be.
    fn write_own_text(
        &self,
        label: &Label,
        at: Point,
        properties: &Properties<'_>,
        plan: &Plan<'_>,
        entities: &mut Entities<'_, File>,
        written: &mut Written,
    ) -> Result<bool, Error> {
        let (horizontal, vertical) = label.at;
        let text = Text {
            at,
            height: label.height.filter(|height| *height > 0.0).unwrap_or(plan.height),
            text: &label.text,
            style: plan.style,
            rotation: label.degrees,
            horizontal,
            vertical,
        };
        match entities.text(properties, &text) {
            Ok(()) => Ok(true),
            Err(Error::Refused(Refusal::EmptyText)) => Ok(false),
            Err(Error::Refused(refusal)) => {
                written.refused += 1;
                written.first_refusal.get_or_insert_with(|| refusal.to_string());
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all that a label depends on")]
    fn write_label(
        &self,
        feature: &Feature<'_>,
        text: &str,
        parts: &[Part],
        properties: &Properties<'_>,
        plan: &Plan<'_>,
        entities: &mut Entities<'_, File>,
        written: &mut Written,
    ) -> Result<(), Error> {
        let number = |value: &Option<Value<f64>>, otherwise: f64| match value {
            Some(Value::Of(number)) => *number,
            Some(Value::Field(name)) => {
                self.text_of(feature.source, feature.handle, name).trim().parse().unwrap_or(otherwise)
            }
            None => otherwise,
        };
        let Some((at, usual)) = labels::place(parts).filter(|_| !text.trim().is_empty()) else {
            written.unlabelled += u64::from(!text.trim().is_empty());
            return Ok(());
        };
        let (horizontal, vertical) = plan.order.position.unwrap_or(usual);
        let height = number(&plan.order.height, plan.height);
        let text = Text {
            at,
            height: if height > 0.0 { height } else { plan.height },
            text,
            style: plan.style,
            rotation: number(&plan.order.rotation, 0.0),
            horizontal,
            vertical,
        };
        match entities.text(properties, &text) {
            Err(Error::Refused(_)) => written.unlabelled += 1,
            other => other?,
        }
        Ok(())
    }

    /// The parts of a feature's geometry.
    fn parts_of(&self, feature: ffi::OGRFeatureH) -> Vec<Part> {
        let api = &self.api;
        // SAFETY: a live feature, which owns its geometry.
        let geometry = unsafe { api.OGR_F_GetGeometryRef(feature) };
        if geometry.is_null() {
            return Vec::new();
        }
        let parts = self.parts_in(geometry);
        if !geometry::has_arcs_in_space(&parts) {
            return parts;
        }
        // SAFETY: a live geometry, the default step, and no options; the copy is ours.
        let straight = unsafe { api.OGR_G_GetLinearGeometry(geometry, 0.0, std::ptr::null_mut()) };
        if straight.is_null() {
            return Vec::new();
        }
        let parts = self.parts_in(straight);
        // SAFETY: ours, destroyed once.
        unsafe { api.OGR_G_DestroyGeometry(straight) };
        parts
    }

    fn parts_in(&self, geometry: ffi::OGRGeometryH) -> Vec<Part> {
        geometry::parts(&self.exported(geometry)).unwrap_or_default()
    }
}

fn write_part(
    part: &Part,
    properties: &Properties<'_>,
    plan: &Plan<'_>,
    entities: &mut Entities<'_, File>,
    written: &mut Written,
) -> Result<(), Error> {
    match part {
        Part::Point(at) => entities.point(properties, *at),
        Part::Line(path) => write_path(path, false, properties, entities),
        Part::Area(rings) => write_area(rings, properties, plan, entities, written),
        Part::Face(rings) => {
            let corners = rings.first().map_or(&[][..], |ring| &ring.points);
            let open = corners.len() - usize::from(corners.len() > 1 && corners.first() == corners.last());
            if rings.len() == 1 && (3..=4).contains(&open) {
                return entities.face(properties, corners);
            }
            written.outlines += 1;
            rings.iter().try_for_each(|ring| write_path(ring, true, properties, entities))
        }
    }
}

fn write_area(
    rings: &[Path],
    properties: &Properties<'_>,
    plan: &Plan<'_>,
    entities: &mut Entities<'_, File>,
    written: &mut Written,
) -> Result<(), Error> {
    let level = rings.first().and_then(Path::elevation);
    let is_flat =
        level.is_some() && rings.iter().all(|ring| ring.elevation() == level && ring.bulges.is_empty());
    let wants_hatch = plan.order.areas != Areas::Polylines;
    if wants_hatch && is_flat {
        let rings: Vec<&[Point]> = rings.iter().map(|ring| ring.points.as_slice()).collect();
        entities.hatch(properties, &rings, level.unwrap_or(0.0))?;
    }
    written.sloped += u64::from(wants_hatch && !is_flat);
    if !wants_hatch || !is_flat || plan.order.areas == Areas::Both {
        return rings.iter().try_for_each(|ring| write_path(ring, true, properties, entities));
    }
    Ok(())
}

fn write_path(
    path: &Path,
    closed: bool,
    properties: &Properties<'_>,
    entities: &mut Entities<'_, File>,
) -> Result<(), Error> {
    match path.elevation() {
        Some(height) => {
            let elevation = (path.has_heights && height != 0.0).then_some(height);
            let polyline =
                Polyline { bulges: &path.bulges, elevation, ..Polyline::new(&path.points, closed) };
            entities.polyline(properties, &polyline)
        }
        None => entities.polyline_in_space(properties, &path.points, closed),
    }
}
