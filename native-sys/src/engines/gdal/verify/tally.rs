//! Sums over the features of a dataset, which do not depend on their order, and what two of them say
//! about a conversion.
//!
//! The names and the number of layers and fields may differ, as formats differ. What is compared is
//! what both sides have.

use super::shape::Shape;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

/// Names that one warning has.
const MAX_NAMES: usize = 10;

/// Formats round real numbers to 15 digits, and some of them to those of 32 bits.
const REAL_TOLERANCE: f64 = 1e-7;

/// Lists of nothing, and of an empty text, as the library and JSON write them.
const EMPTY_LISTS: &[&str] = &["(0:)", "(1:)", "[]", "[ ]"];

/// Of the largest coordinate: that of 15 digits, and of the extent: that of tables with whole numbers.
const COORDINATE_TOLERANCE: f64 = 1e-9;
const EXTENT_TOLERANCE: f64 = 1e-5;

/// The beginning of what is said of coordinates.
pub(super) const MOVED: &str = "the coordinates are not the same";

/// The kinds of values that are compared in ways of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Real,
    Text,
    /// A time of day, with or without a date.
    Time,
    /// Dates, lists, bytes: how many there are.
    Other,
}

/// The values of one field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Field {
    pub(super) kind: Kind,
    /// Values that are not null and not empty.
    values: u64,
    /// Sum of hashes of the values as text.
    text: u64,
    /// Sums of the values that are numbers, and of their magnitudes.
    sum: f64,
    magnitude: f64,
    /// Values with a time of day other than midnight.
    times: u64,
}

/// What the features have.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) features: u64,
    /// Geometries that have vertices, and those of them with heights and measures.
    shapes: u64,
    with_heights: u64,
    with_measures: u64,
    vertices: u64,
    has_curves: bool,
    bounds: Option<([f64; 3], [f64; 3])>,
    system: System,
    fields: BTreeMap<String, Field>,
    /// The names of the fields of the only layer, in its order.
    order: Vec<String>,
}

/// The reference systems of the layers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct System {
    pub(super) geographic: bool,
    pub(super) other: bool,
}

/// What a format keeps by its nature, and what was reported before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Expected {
    /// Coordinates stay: no other reference system, no format that has its own.
    pub(super) coordinates: bool,
    /// Every vertex stays.
    pub(super) vertices: bool,
    /// Fields of the output are those of the input in their order, if their names are not the same.
    pub(super) order: bool,
    /// It was reported how many features the output has.
    pub(super) features_told: bool,
    /// It was reported that there are no geometries, heights or measures.
    pub(super) no_geometries: bool,
    pub(super) no_heights: bool,
    pub(super) no_measures: bool,
}

impl Tally {
    pub(super) fn layer(&mut self, fields: &[(String, Kind)], is_only: bool) {
        for (name, kind) in fields {
            self.fields.entry(name.clone()).or_insert(Field {
                kind: *kind,
                values: 0,
                text: 0,
                sum: 0.0,
                magnitude: 0.0,
                times: 0,
            });
        }
        if is_only {
            self.order = fields.iter().map(|(name, _)| name.clone()).collect();
        }
    }

    pub(super) fn system(&mut self, is_geographic: bool) {
        self.system.geographic |= is_geographic;
        self.system.other |= !is_geographic;
    }

    pub(super) fn shape(&mut self, shape: &Shape) {
        self.has_curves |= shape.has_curves;
        if shape.vertices == 0 {
            return;
        }
        self.shapes += 1;
        self.vertices += shape.vertices;
        self.with_heights += u64::from(shape.has_heights);
        self.with_measures += u64::from(shape.has_measures);
        let (low, high) = self.bounds.get_or_insert((shape.low, shape.high));
        for at in 0..3 {
            low[at] = low[at].min(shape.low[at]);
            high[at] = high[at].max(shape.high[at]);
        }
    }

    /// Adds a value of a field as text, and as a number if the field has numbers.
    pub(super) fn value(&mut self, field: &str, text: &str, number: Option<f64>) {
        let Some(field) = self.fields.get_mut(field) else { return };
        let text = text.trim();
        let is_list = field.kind == Kind::Other;
        if text.is_empty() || (is_list && EMPTY_LISTS.contains(&text)) {
            return;
        }
        field.values += 1;
        let number = number.or_else(|| text.parse().ok());
        if let Some(number) = number.filter(|number| number.is_finite()) {
            field.sum += number;
            field.magnitude += number.abs();
        }
        let mut hasher = DefaultHasher::new();
        match number.and_then(whole) {
            // As each side may write it in its own way.
            Some(whole) if text.parse::<i64>().is_err() => hasher.write(whole.to_string().as_bytes()),
            // Writers of JSON embed a text that is JSON, with spaces and escapes of their own.
            _ if is_json(text) => {
                let letters: String = text.chars().filter(|c| c.is_alphanumeric()).collect();
                hasher.write(letters.as_bytes());
            }
            _ => text.split("\r\n").enumerate().for_each(|(at, line)| {
                if at > 0 {
                    hasher.write(b"\n");
                }
                hasher.write(line.as_bytes());
            }),
        }
        field.text = field.text.wrapping_add(hasher.finish());
        field.times += u64::from(has_time(text));
    }

    /// What the output lacks of this input, one sentence each.
    pub(super) fn lacks(&self, output: &Self, expected: Expected) -> Vec<String> {
        let mut losses = Vec::new();
        if output.features < self.features {
            if !expected.features_told {
                let missing = self.features - output.features;
                losses.push(format!("{missing} of {} features are not in the output", self.features));
            }
            // What they had is not there either.
            return losses;
        }
        if output.shapes < self.shapes && !expected.no_geometries {
            let missing = self.shapes - output.shapes;
            losses.push(format!("{missing} of {} geometries are not in the output", self.shapes));
        }
        if output.shapes > 0 {
            self.lacks_coordinates(output, expected, &mut losses);
        }
        self.lacks_values(output, expected, &mut losses);
        losses
    }

    fn lacks_coordinates(&self, output: &Self, expected: Expected, losses: &mut Vec<String>) {
        let (Some((low, high)), Some((low_out, high_out))) = (self.bounds, output.bounds) else { return };
        let is_flat = low[2] > high[2] || (low[2] == 0.0 && high[2] == 0.0);
        if !is_flat && output.with_heights == 0 && !expected.no_heights {
            losses.push("the heights (Z) are not in the output".to_owned());
        }
        if self.with_measures > 0 && output.with_measures == 0 && !expected.no_measures {
            losses.push("the measures (M) are not in the output".to_owned());
        }
        if !expected.coordinates {
            return;
        }
        let is_lost = self.system.other && !output.system.other;
        if is_lost || self.system.geographic && !output.system.geographic && !output.system.other {
            losses.push("the reference system is not in the output".to_owned());
        }
        if expected.vertices
            && !self.has_curves
            && output.vertices < self.vertices
            && output.shapes == self.shapes
        {
            let missing = self.vertices - output.vertices;
            losses.push(format!("{missing} of {} vertices are not in the output", self.vertices));
        }
        let moved = |at: usize| {
            let extent = high[at] - low[at];
            let largest = low[at].abs().max(high[at].abs());
            let most = (COORDINATE_TOLERANCE * largest).max(EXTENT_TOLERANCE * extent);
            // Rounding may lie just above what is counted as none.
            (low[at] - low_out[at]).abs().max((high[at] - high_out[at]).abs()) > most
        };
        let is_whole = output.shapes >= self.shapes;
        if is_whole && !self.has_curves && (moved(0) || moved(1)) {
            losses.push(format!(
                "{MOVED}: from {} {} to {} {} in the input, from {} {} to {} {} in the output",
                low[0], low[1], high[0], high[1], low_out[0], low_out[1], high_out[0], high_out[1]
            ));
        }
        if is_whole && !is_flat && output.with_heights > 0 && moved(2) {
            losses.push(format!(
                "the heights (Z) are not the same: from {} to {} in the input, from {} to {} in the output",
                low[2], high[2], low_out[2], high_out[2]
            ));
        }
    }

    fn lacks_values(&self, output: &Self, expected: Expected, losses: &mut Vec<String>) {
        let [mut fewer, mut more, mut other, mut times] = [const { Vec::new() }; 4];
        for (name, field) in &self.fields {
            let Some(written) = self.counterpart(output, name, expected) else { continue };
            let (is_fewer, is_more) = (written.values < field.values, written.values > field.values);
            if is_fewer {
                fewer.push(format!("{name} ({} of {})", field.values - written.values, field.values));
                continue;
            }
            // A feature of several parts has become one for each.
            if output.features > self.features {
                continue;
            }
            if is_more {
                more.push(format!("{name} ({})", written.values - field.values));
            } else if field.kind == Kind::Time && written.times < field.times {
                times.push(format!("{name} ({} of {})", field.times - written.times, field.times));
            } else if !field.equals(written) {
                other.push(name.clone());
            }
        }
        for (names, text) in [
            (fewer, "values of fields are not in the output"),
            (more, "empty values of fields became others in the output"),
            (times, "times of day are not in the output, in fields"),
            (other, "values of fields are not the same in the output"),
        ] {
            if !names.is_empty() {
                losses.push(format!("{text}: {}", listed(&names)));
            }
        }
    }

    /// The field of the output that has the values of this one.
    fn counterpart<'a>(&self, output: &'a Self, name: &str, expected: Expected) -> Option<&'a Field> {
        let lower = name.to_lowercase();
        // Names that differ in case only may have been exchanged for others.
        let twins = || self.fields.keys().filter(|field| field.to_lowercase() == lower);
        if !twins().all(|twin| output.fields.contains_key(twin)) && twins().count() > 1 {
            return None;
        }
        let by_name = output.fields.get(name);
        let by_place = || {
            let is_same = expected.order && !self.order.is_empty() && self.order.len() == output.order.len();
            let place = self.order.iter().position(|field| field == name).filter(|_| is_same)?;
            output.fields.get(output.order.get(place)?)
        };
        let by_case = || {
            let mut found = output.fields.iter().filter(|(field, _)| field.to_lowercase() == lower);
            let (_, field) = found.next()?;
            found.next().is_none().then_some(field)
        };
        by_name.or_else(by_place).or_else(by_case)
    }
}

impl Field {
    /// Whether as many values are the same.
    fn equals(&self, written: &Self) -> bool {
        match self.kind {
            Kind::Integer | Kind::Text => self.text == written.text,
            Kind::Real => {
                (self.sum - written.sum).abs() <= REAL_TOLERANCE * self.magnitude.max(written.magnitude)
            }
            Kind::Time | Kind::Other => true,
        }
    }
}

/// The whole number that this is, if 64 bits have it.
fn whole(number: f64) -> Option<i64> {
    let is_whole = number.fract() == 0.0 && number.abs() < 9_223_372_036_854_775_808.0;
    is_whole.then_some(number as i64)
}

fn is_json(text: &str) -> bool {
    [('{', '}'), ('[', ']')].iter().any(|(start, end)| text.starts_with(*start) && text.ends_with(*end))
}

/// Whether the text has a time of day that is not midnight: digits around a colon.
fn has_time(text: &str) -> bool {
    let Some(colon) = text.find(':') else { return false };
    let start = text[..colon].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    let time = &text[start..];
    let end = time.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(time.len());
    time[..end].contains(|c: char| c.is_ascii_digit() && c != '0')
}

fn listed(names: &[String]) -> String {
    let more = match names.len().saturating_sub(MAX_NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", names.iter().take(MAX_NAMES).cloned().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEPS: Expected = Expected {
        coordinates: true,
        vertices: true,
        order: false,
        features_told: false,
        no_geometries: false,
        no_heights: false,
        no_measures: false,
    };

    fn point(x: f64, y: f64, z: Option<f64>) -> Shape {
        let height = |otherwise| z.unwrap_or(otherwise);
        Shape {
            vertices: 1,
            has_heights: z.is_some(),
            low: [x, y, height(f64::INFINITY)],
            high: [x, y, height(f64::NEG_INFINITY)],
            ..Shape::default()
        }
    }

    /// Features at 1 2 with one field.
    fn of(kind: Kind, values: &[&str]) -> Tally {
        let mut tally = Tally::default();
        tally.layer(&[("a".to_owned(), kind)], true);
        for value in values {
            tally.features += 1;
            tally.shape(&point(1.0, 2.0, None));
            tally.value("a", value, (kind == Kind::Real).then(|| value.parse().unwrap()));
        }
        tally
    }

    fn at(places: &[(f64, f64, Option<f64>)]) -> Tally {
        let mut tally = Tally::default();
        for (x, y, z) in places {
            tally.features += 1;
            tally.shape(&point(*x, *y, *z));
        }
        tally
    }

    #[test]
    fn the_same_in_another_order_and_form_lacks_nothing() {
        for (input, output) in [
            (of(Kind::Text, &["가", "", "b \r\nc"]), of(Kind::Text, &["b \nc", "가", " "])),
            (of(Kind::Integer, &["12", "9007199254740992"]), of(Kind::Real, &["9007199254740992", "12.0"])),
            (of(Kind::Integer, &["12"]), of(Kind::Text, &["12"])),
            (
                of(Kind::Real, &["0.1", "1e20"]),
                of(Kind::Text, &["0.100000000000001", "100000000000000000000"]),
            ),
            (of(Kind::Other, &["(0:)", "(2:1,2)"]), of(Kind::Text, &["[1,2]"])),
            (of(Kind::Text, &[r#"{"a": "ä"}"#]), of(Kind::Text, &[r#"{ "a":"ä" }"#])),
        ] {
            let mut output = output;
            output.features = output.features.max(input.features);
            output.shapes = output.shapes.max(input.shapes);
            output.vertices = output.vertices.max(input.vertices);
            assert_eq!(input.lacks(&output, KEEPS), Vec::<String>::new());
        }
    }

    #[test]
    fn values_that_are_not_the_same_are_found() {
        for (input, output, says) in [
            (of(Kind::Text, &["가", "나"]), of(Kind::Text, &["가", "?"]), "not the same in the output: a"),
            (of(Kind::Text, &["0012"]), of(Kind::Integer, &["12"]), "not the same"),
            (of(Kind::Integer, &["9007199254740993"]), of(Kind::Real, &["9007199254740992"]), "not the same"),
            (of(Kind::Real, &["0.5", "0"]), of(Kind::Real, &["0.25", "0"]), "not the same"),
            (of(Kind::Text, &["a", "b"]), of(Kind::Text, &["a", ""]), "not in the output: a (1 of 2)"),
            (
                of(Kind::Integer, &["1", ""]),
                of(Kind::Integer, &["1", "0"]),
                "became others in the output: a (1)",
            ),
            (
                of(Kind::Time, &["2024/02/29 12:34:56", "2024/02/29 00:00:00"]),
                of(Kind::Other, &["2024/02/29", "2024/02/29"]),
                "times of day are not in the output, in fields: a (1 of 1)",
            ),
            (of(Kind::Text, &["a", "b"]), of(Kind::Text, &["a"]), "1 of 2 features"),
        ] {
            let lacks = input.lacks(&output, KEEPS);
            assert!(lacks.len() == 1 && lacks[0].contains(says), "{lacks:?}");
        }
    }

    #[test]
    fn coordinates_that_are_not_the_same_are_found() {
        let input = at(&[(127.0, 37.0, Some(1.0)), (128.0, 38.0, Some(3.0))]);
        for (output, says) in [
            (at(&[(127.0, 37.0, None), (128.0, 38.0, None)]), "the heights (Z) are not in the output"),
            (at(&[(127.0, 37.0, Some(0.0)), (128.0, 38.0, Some(0.0))]), "heights (Z) are not the same"),
            (at(&[(37.0, 127.0, Some(1.0)), (38.0, 128.0, Some(3.0))]), "coordinates are not the same"),
            (at(&[(127.0, 37.0, Some(1.0)), (128.0, 38.001, Some(3.0))]), "coordinates are not the same"),
        ] {
            let lacks = input.lacks(&output, KEEPS);
            assert!(lacks.len() == 1 && lacks[0].contains(says), "{lacks:?}");
        }
        let rounded = at(&[(127.0, 37.0, Some(1.0)), (128.0, 38.000_000_01, Some(3.0))]);
        assert!(input.lacks(&rounded, KEEPS).is_empty());
        let mut empty = at(&[(127.0, 37.0, Some(1.0))]);
        empty.features = 2;
        assert_eq!(input.lacks(&empty, KEEPS), ["1 of 2 geometries are not in the output"]);
    }

    #[test]
    fn fields_are_found_by_name_place_or_case() {
        let tally = |names: &[&str]| {
            let mut tally = Tally { features: 1, ..Tally::default() };
            let fields: Vec<_> = names.iter().map(|name| ((*name).to_owned(), Kind::Text)).collect();
            tally.layer(&fields, true);
            names.iter().for_each(|name| tally.value(name, name, None));
            tally
        };
        let input = tally(&["population_of_the_town", "b"]);
        let shortened = tally(&["population", "b"]);
        assert!(input.lacks(&shortened, KEEPS).is_empty(), "another name is another field");
        let by_place = input.lacks(&shortened, Expected { order: true, ..KEEPS });
        assert_eq!(by_place, ["values of fields are not the same in the output: population_of_the_town"]);
        let (lower, upper) = (tally(&["name"]), tally(&["NAME"]));
        assert_eq!(lower.lacks(&upper, KEEPS), ["values of fields are not the same in the output: name"]);
        let twins = tally(&["name", "Name"]);
        assert!(twins.lacks(&tally(&["name", "name2"]), KEEPS).is_empty());
    }
}
