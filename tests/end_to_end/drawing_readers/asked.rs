//! What the options ask for, said once more and without the engine's words: what a drawing must show.

use super::gdal::Table;
use super::shapes::{Areas, Shape, What, of_geometry};
use super::wkt::{self, Geometry, Vertex};

/// Options, by their names without `dxf.`.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked(pub(super) Vec<(&'static str, String)>);

/// A shape that is wanted, and the points of the feature that it is of.
pub(super) struct Wanted {
    pub(super) shape: Shape,
    pub(super) of: Vec<Vertex>,
}

impl Asked {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// As arguments of `cadmill convert`.
    pub(super) fn arguments(&self) -> Vec<String> {
        self.0.iter().flat_map(|(name, value)| ["--opt".to_owned(), format!("dxf.{name}={value}")]).collect()
    }

    pub(super) fn areas(&self) -> Areas {
        match self.get("polygon") {
            Some("hatch") => Areas::Hatches,
            Some("both") => Areas::Both,
            _ => Areas::Polylines,
        }
    }

    /// What a table of features must become, on the layer of that name if no field has another.
    pub(super) fn wanted(&self, table: &Table, name: &str) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for row in &table.rows {
            let value = |field: &str| table.value(row, field);
            let layer = match self.get("layer") {
                Some(template) => filled(template, value),
                None => value("Layer").to_owned(),
            };
            let layer = if layer.trim().is_empty() { name } else { &layer };
            let geometry = if row[0].is_empty() { Geometry::default() } else { wkt::read(&row[0]) };
            if geometry.kind.is_empty() {
                continue;
            }
            let of = points(&geometry);
            let mut shapes = of_geometry(&geometry, layer, self.areas());
            for shape in &mut shapes {
                shape.attributes = self.attributes(table, row, &shape.what);
            }
            if let Some(template) = self.get("label") {
                let text = filled(template, value);
                let is_blank = text.chars().all(|c| c.is_whitespace() || c.is_control());
                if !is_blank && !of.is_empty() {
                    shapes.push(Shape::new(layer, What::Text(text), Vec::new()));
                }
            }
            wanted.extend(shapes.into_iter().map(|shape| Wanted { shape, of: of.clone() }));
        }
        wanted
    }

    fn attributes(&self, table: &Table, row: &[String], what: &What) -> Vec<String> {
        let columns = table.columns.iter().zip(row).skip(1);
        let mut all: Vec<String> = columns.map(|(name, value)| format!("{name}={value}")).collect();
        match self.get("attributes") {
            Some("xdata") => {}
            Some("attribs") if *what == What::Point => all.sort(),
            _ => all.clear(),
        }
        all
    }
}

/// A field, or a template with fields in braces.
fn filled<'a>(template: &str, value: impl Fn(&str) -> &'a str) -> String {
    if !template.contains('{') {
        return value(template).to_owned();
    }
    let mut text = String::new();
    for (number, part) in template.split('{').enumerate() {
        match part.split_once('}').filter(|_| number > 0) {
            Some((field, after)) => text += &(value(field).to_owned() + after),
            None => text += part,
        }
    }
    text
}

fn points(geometry: &Geometry) -> Vec<Vertex> {
    geometry.parts.iter().flat_map(points).chain(geometry.points.iter().copied()).collect()
}
