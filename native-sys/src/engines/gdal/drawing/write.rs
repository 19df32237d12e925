//! Writing a drawing, and the account of it.

use super::geometry::{Part, Path, Point};
use super::item::Item;
use super::labels;
use super::order::{Areas, Attributes};
use super::pen::Label;
use super::plan::Plan;
use crate::engines::gdal::advice;
use crate::engines::gdal::listener::{warn, warn_of_loss, with_listener};
use cadmill_dxf::{
    Color, DataValue, Entities, Error, ExtendedData, Insert, Polyline, Properties, Refusal, Renamed, Report,
    Text,
};
use std::io::Write;
use std::ops::AddAssign;

/// Names that are told, and letters of each.
const NAMES: usize = 10;
const NAME: usize = 40;

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
    /// Features that the input does not show.
    hidden: u64,
    /// Features with measures, and with arcs that became short lines.
    measured: u64,
    straightened: u64,
    /// Areas whose heights became one.
    flattened: u64,
    /// Features that could not be transformed.
    displaced: u64,
    /// Values of colours, heights and rotations that are none.
    ignored: u64,
    pub(super) format: Report,
}

impl Written {
    /// Why nothing was drawn of what was read.
    pub(super) fn nothing(&self) -> Option<String> {
        let reason = match &self.first_refusal {
            Some(why) => format!("no feature can be drawn, the first because {why}"),
            None => advice::NO_GEOMETRY.to_owned(),
        };
        (self.read > 0 && self.written == 0).then_some(reason)
    }

    /// Tells what the drawing lacks, and what it has in another way.
    pub(super) fn report(&self, renamed: &[Renamed]) {
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
        loss(
            self.flattened,
            "areas are not flat, and lie half way between their heights, as ogr2ogr draws them",
        );
        loss(self.measured, "features had measures (M), which were left out: the output format has none");
        loss(format.dropped_controls, "control characters were left out: the format has none");
        loss(format.cut_attributes, "values of attributes were cut at 255 bytes, which the format allows");
        loss(format.dropped_rings, "holes of fewer than three vertices were left out");
        let tell = |count: u64, text: &str| {
            if count > 0 {
                warn(&format!("{count} {text}"));
            }
        };
        tell(self.outlines, "faces of more than four corners, or with holes, were drawn as their outlines");
        tell(
            self.straightened,
            "features had curves that were replaced by short lines: a polyline has arcs in its plane alone, and a hatch has none",
        );
        tell(self.hidden, "features that the input has and does not show were drawn");
        tell(self.sloped, "areas that are not flat were drawn as outlines: no hatch has them");
        tell(
            format.escaped_characters,
            "characters are not in the code page of the drawing, and were written as \\U+XXXX, which not all readers read: --opt dxf.version=R2007 has them all",
        );
        tell(
            format.indexed_colors,
            "colours were replaced by the nearest of the colour index: R2000 has no others",
        );
        tell(
            format.joined_lines,
            "line breaks of names or attributes were replaced by blanks: these have one line in the format",
        );
        tell(
            format.escaped_escapes,
            "texts have \\U+XXXX as such, whose backslash was written as \\U+005C, which not all readers read",
        );
        if !renamed.is_empty() {
            let short = |name: &str| match name.char_indices().nth(NAME) {
                Some((end, _)) => format!("{}…", &name[..end]),
                None => name.to_owned(),
            };
            let of = |name: &Renamed| format!("'{}' is '{}'", short(&name.from), short(&name.to));
            let shown: Vec<String> = renamed.iter().take(NAMES).map(of).collect();
            let more = match renamed.len().saturating_sub(NAMES) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            warn(&format!(
                "{} names that the format does not allow, or that differ in case alone, were changed: {}{more}",
                renamed.len(),
                shown.join(", ")
            ));
        }
    }
}

impl AddAssign for Written {
    fn add_assign(&mut self, other: Self) {
        let Self {
            read,
            written,
            without_geometry,
            refused,
            first_refusal,
            outlines,
            sloped,
            without_attributes,
            unlabelled,
            hidden,
            measured,
            straightened,
            flattened,
            displaced,
            ignored,
            format,
        } = other;
        self.read += read;
        self.written += written;
        self.without_geometry += without_geometry;
        self.refused += refused;
        self.first_refusal = self.first_refusal.take().or(first_refusal);
        self.outlines += outlines;
        self.sloped += sloped;
        self.without_attributes += without_attributes;
        self.unlabelled += unlabelled;
        self.hidden += hidden;
        self.measured += measured;
        self.straightened += straightened;
        self.flattened += flattened;
        self.displaced += displaced;
        self.ignored += ignored;
        self.format += format;
    }
}

/// Writes features.
pub(super) struct Drafter<'a> {
    plan: &'a Plan<'a>,
    pub(super) written: Written,
}

impl<'a> Drafter<'a> {
    pub(super) fn new(plan: &'a Plan<'a>) -> Self {
        Self { plan, written: Written::default() }
    }

    /// Writes a feature.
    pub(super) fn item<W: Write>(
        &mut self,
        item: &Item,
        entities: &mut Entities<'_, W>,
    ) -> Result<(), Error> {
        let plan = self.plan;
        self.written.read += 1;
        self.written.ignored += item.ignored;
        if item.lacks.place {
            self.written.displaced += 1;
            return Ok(());
        }
        if item.parts.is_empty() {
            self.written.without_geometry += 1;
            return Ok(());
        }
        self.written.hidden += u64::from(item.is_hidden);
        self.written.measured += u64::from(item.lacks.measures);
        self.written.straightened += u64::from(item.lacks.arcs);
        let fields = plan.sources.get(item.source).map_or(&[][..], |kept| &kept.fields);
        let texts: Vec<String> = match plan.order.attributes {
            Attributes::Data => {
                fields.iter().zip(&item.values).map(|(name, value)| format!("{name}={value}")).collect()
            }
            _ => Vec::new(),
        };
        let data: Vec<DataValue<'_>> = texts.iter().map(|text| DataValue::Text(text)).collect();
        let extended = [ExtendedData { application: plan.application, values: &data }];
        let mut properties = Properties {
            color: item.color,
            linetype: plan.linetype,
            lineweight: plan.lineweight.or(item.lineweight).unwrap_or_default(),
            data: if data.is_empty() { &[] } else { &extended },
            ..Properties::on(item.layer)
        };
        let before = entities.report().entities;
        if let Some(label) = &item.own_text {
            // The feature is a text.
            let point = item
                .parts
                .iter()
                .find_map(|part| if let Part::Point { at, .. } = part { Some(*at) } else { None });
            if let Some(at) = point
                && self.own_text(label, at, &properties, entities)?
            {
                self.written.written += 1;
                return Ok(());
            }
        }
        let block = plan.sources.get(item.source).and_then(|kept| kept.block);
        let attributes: Vec<&str> = match plan.order.attributes {
            Attributes::Block => item.values.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        let has_point = item.parts.iter().any(|part| matches!(part, Part::Point { .. }));
        if plan.order.attributes == Attributes::Block && !has_point && !attributes.is_empty() {
            self.written.without_attributes += 1;
        }
        for part in &item.parts {
            let insert = match part {
                Part::Point { at, .. } => block.map(|block| Insert {
                    block,
                    at: *at,
                    scale: [1.0; 3],
                    rotation: 0.0,
                    attributes: &attributes,
                }),
                _ => None,
            };
            let mut write = |properties: &Properties<'_>| match &insert {
                Some(insert) => entities.insert(properties, insert),
                None => self.part(part, item.fill, properties, entities),
            };
            let mut outcome = write(&properties);
            if let Err(Error::Refused(Refusal::ExtendedData)) = outcome {
                properties.data = &[];
                outcome = write(&properties);
                self.written.without_attributes += 1;
            }
            self.refusal(outcome)?;
        }
        self.written.written += u64::from(entities.report().entities > before);
        properties.data = &[];
        self.caption(item, &properties, entities)
    }

    /// Counts what was refused.
    fn refusal(&mut self, outcome: Result<(), Error>) -> Result<(), Error> {
        match outcome {
            Err(Error::Refused(refusal)) => {
                self.written.refused += 1;
                self.written.first_refusal.get_or_insert_with(|| refusal.to_string());
                Ok(())
            }
            other => other,
        }
    }

    /// Writes a text that the input has as such; whether it could be.
    fn own_text<W: Write>(
        &mut self,
        label: &Label,
        at: Point,
        properties: &Properties<'_>,
        entities: &mut Entities<'_, W>,
    ) -> Result<bool, Error> {
        let (horizontal, vertical) = label.at;
        let text = Text {
            at,
            height: label.height.filter(|height| *height > 0.0).unwrap_or(self.plan.height),
            text: &label.text,
            style: self.plan.style,
            rotation: label.degrees,
            horizontal,
            vertical,
        };
        match entities.text(properties, &text) {
            Ok(()) => Ok(true),
            Err(Error::Refused(Refusal::EmptyText)) => Ok(false),
            other => self.refusal(other).map(|()| false),
        }
    }

    /// Writes the label that an option asks for.
    fn caption<W: Write>(
        &mut self,
        item: &Item,
        properties: &Properties<'_>,
        entities: &mut Entities<'_, W>,
    ) -> Result<(), Error> {
        let Some(caption) = &item.caption else { return Ok(()) };
        let is_blank = caption.text.trim().is_empty();
        let Some((at, usual)) = labels::place(&item.parts).filter(|_| !is_blank) else {
            self.written.unlabelled += u64::from(!is_blank);
            return Ok(());
        };
        let (horizontal, vertical) = self.plan.order.position.unwrap_or(usual);
        let text = Text {
            at,
            height: if caption.height > 0.0 { caption.height } else { self.plan.height },
            text: &caption.text,
            style: self.plan.style,
            rotation: caption.degrees,
            horizontal,
            vertical,
        };
        match entities.text(properties, &text) {
            Err(Error::Refused(_)) => self.written.unlabelled += 1,
            other => other?,
        }
        Ok(())
    }

    fn part<W: Write>(
        &mut self,
        part: &Part,
        fill: Color,
        properties: &Properties<'_>,
        entities: &mut Entities<'_, W>,
    ) -> Result<(), Error> {
        let filled = Properties { color: fill, ..*properties };
        match part {
            Part::Point { at: [x, y, _], has_height: false } if self.plan.compatible => {
                entities.point(properties, [*x, *y])
            }
            Part::Point { at, .. } => entities.point(properties, *at),
            Part::Line(path) => self.path(path, false, properties, entities),
            Part::Area(rings) | Part::Face(rings) if self.plan.compatible => {
                // As GDAL does: half way between the lowest and the highest point.
                let heights = || rings.iter().flat_map(|ring| &ring.points).map(|point| point[2]);
                let (low, high) =
                    (heights().fold(f64::INFINITY, f64::min), heights().fold(f64::NEG_INFINITY, f64::max));
                self.written.flattened += u64::from(low != high);
                let rings: Vec<&[Point]> = rings.iter().map(|ring| ring.points.as_slice()).collect();
                entities.hatch(&filled, &rings, low + (high - low) * 0.5)
            }
            Part::Area(rings) => self.area(rings, &filled, properties, entities),
            Part::Face(rings) => {
                let corners = rings.first().map_or(&[][..], |ring| &ring.points);
                let open =
                    corners.len() - usize::from(corners.len() > 1 && corners.first() == corners.last());
                if rings.len() == 1 && (3..=4).contains(&open) {
                    return entities.face(properties, corners);
                }
                self.written.outlines += 1;
                self.rings(rings, properties, entities)
            }
        }
    }

    fn area<W: Write>(
        &mut self,
        rings: &[Path],
        filled: &Properties<'_>,
        properties: &Properties<'_>,
        entities: &mut Entities<'_, W>,
    ) -> Result<(), Error> {
        let areas = self.plan.order.areas;
        let level = rings.first().and_then(Path::elevation);
        let is_flat =
            level.is_some() && rings.iter().all(|ring| ring.elevation() == level && ring.bulges.is_empty());
        let wants_hatch = areas != Areas::Polylines;
        let mut outcome = Ok(());
        if wants_hatch && is_flat {
            let rings: Vec<&[Point]> = rings.iter().map(|ring| ring.points.as_slice()).collect();
            outcome = refused_or(entities.hatch(filled, &rings, level.unwrap_or(0.0)))?;
        }
        self.written.sloped += u64::from(wants_hatch && !is_flat);
        if !wants_hatch || !is_flat || areas == Areas::Both {
            let polylines = refused_or(self.rings(rings, properties, entities))?;
            outcome = outcome.and(polylines);
        }
        Ok(outcome?)
    }

    /// Writes each ring as a closed polyline. A ring that is refused does not take the others with it; the
    /// first refusal is returned.
    fn rings<W: Write>(
        &self,
        rings: &[Path],
        properties: &Properties<'_>,
        entities: &mut Entities<'_, W>,
    ) -> Result<(), Error> {
        let mut outcome = Ok(());
        for ring in rings {
            outcome = outcome.and(refused_or(self.path(ring, true, properties, entities))?);
        }
        Ok(outcome?)
    }

    fn path<W: Write>(
        &self,
        path: &Path,
        closed: bool,
        properties: &Properties<'_>,
        entities: &mut Entities<'_, W>,
    ) -> Result<(), Error> {
        match path.elevation() {
            Some(height) => {
                let has_elevation = path.has_heights && (height != 0.0 || self.plan.compatible);
                let polyline = Polyline {
                    bulges: &path.bulges,
                    elevation: has_elevation.then_some(height),
                    ..Polyline::new(&path.points, closed)
                };
                entities.polyline(properties, &polyline)
            }
            None => entities.polyline_in_space(properties, &path.points, closed),
        }
    }
}

/// A refusal that is of one entity alone; other errors are returned. Extended data that are too long
/// have every entity of the feature refused.
fn refused_or(outcome: Result<(), Error>) -> Result<Result<(), Refusal>, Error> {
    match outcome {
        Err(Error::Refused(refusal)) if refusal != Refusal::ExtendedData => Ok(Err(refusal)),
        other => other.map(Ok),
    }
}
