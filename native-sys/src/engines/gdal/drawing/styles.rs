//! `dxf.styles`: colours, line types and lineweights of layers, from a file of the input.
//!
//! ```toml
//! [default]                   # of layers, and of what a layer below does not say
//! lineweight = 0.13
//!
//! [layer."건물"]
//! color = 1                   # of the colour index, or "#rrggbb"
//! linetype = "DASHED"
//! lineweight = 0.25           # millimetres
//! ```
//!
//! The file is as untrusted as the rest of the input: it lies within the input's directory, no link
//! leads to it, and its size is bounded.

use super::order::{LINETYPES, Order, color};
use crate::engine::{EngineError, Request};
use crate::engines::gdal::listener::warn;
use crate::files::{Directory, Stream};
use cadmill_dxf::{Color, Layer, LinetypeId, Lineweight, Setup, Version};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;
use toml::{Spanned, Value};

/// Most bytes of a file.
const MAX_BYTES: usize = 1 << 20;

/// What layers look like.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::engines::gdal) struct Styles {
    default: Style,
    layers: BTreeMap<String, Style>,
    /// Names in lower case, with those that the file has.
    names: HashMap<String, String>,
}

/// What a layer looks like, as far as the file says.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Style {
    color: Option<Color>,
    /// A name of [`LINETYPES`], or another for a line without gaps.
    linetype: Option<&'static str>,
    lineweight: Option<Lineweight>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    default: Entry,
    #[serde(default)]
    layer: BTreeMap<String, Entry>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    color: Option<Spanned<Value>>,
    linetype: Option<Spanned<Value>>,
    lineweight: Option<Spanned<Value>>,
}

/// Reads the file that the option names, if there is one: by its path within the input, or else
/// beside the file that is converted.
///
/// # Errors
/// [`EngineError::Unfit`], with the line and the key.
pub(in crate::engines::gdal) fn read(
    request: &Request<'_>,
    order: &Order,
) -> Result<Option<Styles>, EngineError> {
    let Some(path) = &order.styles else { return Ok(None) };
    let fail = |text: String| EngineError::Unfit(format!("dxf.styles: '{}': {text}", path.display()));
    let beside = request.input.strip_prefix(request.input_dir).ok().and_then(Path::parent);
    let mut text = text_of(request.input_dir, path);
    if let (Err(error), Some(beside)) = (&text, beside)
        && error.kind() == io::ErrorKind::NotFound
    {
        text = text_of(request.input_dir, &beside.join(path));
    }
    let text = text.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => fail("the input has no such file".to_owned()),
        _ => fail(error.to_string()),
    })?;
    Styles::parse(&text).map(Some).map_err(fail)
}

/// The text of a file beneath a directory.
fn text_of(directory: &Path, path: &Path) -> io::Result<String> {
    // Nothing is opened outside of the directory, whatever links there are; within it, a link would
    // give a file another name than the input has for it.
    let mut place = directory.to_owned();
    for part in path {
        place.push(part);
        if place.symlink_metadata()?.is_symlink() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a link, or lies behind one"));
        }
    }
    let mut bytes = vec![0; MAX_BYTES + 1];
    let length = Stream::open(&Directory::open(directory)?, path, "rb")?.read(&mut bytes)?;
    if length > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 MiB"));
    }
    bytes.truncate(length);
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

impl Styles {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let file: File = toml::from_str(text).map_err(|error| {
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            match error.span() {
                Some(span) => format!("line {}: {message}", line_of(text, span.start)),
                None => message,
            }
        })?;
        let default = file.default.style(text)?;
        let layers = file.layer.into_iter().map(|(name, entry)| Ok((name, entry.style(text)?)));
        let layers: BTreeMap<_, _> = layers.collect::<Result<_, String>>()?;
        let names = layers.keys().map(|name| (name.to_lowercase(), name.clone())).collect();
        Ok(Self { default, layers, names })
    }

    /// Gives layers of a drawing, which are declared, the look that the file says.
    pub(super) fn apply(&self, setup: &mut Setup, version: Version, layers: &[String]) {
        let (mut found, mut indexed) = (HashSet::new(), 0_u64);
        for name in layers {
            let id = setup.layer(name, Layer::default());
            let own = self.find(&[name, setup.layer_name(id)]);
            let style = own.map_or(self.default, |(_, style)| style.or(self.default));
            found.extend(own.map(|(name, _)| name));
            indexed += u64::from(matches!(style.color, Some(Color::Rgb(..))) && !version.has_true_color());
            let linetype = style.linetype.map(|name| linetype(setup, name));
            let otherwise = Layer::default();
            let layer = Layer {
                color: style.color.unwrap_or(otherwise.color),
                linetype: linetype.unwrap_or(otherwise.linetype),
                lineweight: style.lineweight.unwrap_or(otherwise.lineweight),
                ..otherwise
            };
            setup.set_layer(id, layer);
        }
        let mut lacking = self.layers.keys().filter(|name| !found.contains(name.as_str()));
        if let Some(first) = lacking.next() {
            let count = 1 + lacking.count();
            warn(&format!("{count} layers of dxf.styles are not in the drawing, the first is '{first}'"));
        }
        if indexed > 0 {
            warn(&format!(
                "colours of {indexed} layers were replaced by the nearest of the colour index: R2000 has no others"
            ));
        }
    }

    /// The style of a layer with one of these names, in whatever case.
    fn find(&self, names: &[&str]) -> Option<(&str, Style)> {
        let exact = names.iter().find_map(|name| self.layers.get_key_value(*name));
        let in_any_case = |name: &&str| self.names.get(&name.to_lowercase());
        let any = || names.iter().find_map(in_any_case).and_then(|name| self.layers.get_key_value(name));
        exact.or_else(any).map(|(name, style)| (name.as_str(), *style))
    }
}

impl Style {
    fn or(self, other: Self) -> Self {
        Self {
            color: self.color.or(other.color),
            linetype: self.linetype.or(other.linetype),
            lineweight: self.lineweight.or(other.lineweight),
        }
    }
}

impl Entry {
    fn style(&self, text: &str) -> Result<Style, String> {
        Ok(Style {
            color: value(text, "color", "a number from 1 to 255, or \"#rrggbb\"", &self.color, |value| {
                let number = |number: &i64| u8::try_from(*number).ok().filter(|number| *number > 0);
                match value {
                    Value::Integer(index) => number(index).map(Color::Index),
                    Value::String(text) => color(text).filter(|color| matches!(color, Color::Rgb(..))),
                    _ => None,
                }
            })?,
            linetype: {
                let names = LINETYPES.iter().map(|(name, ..)| *name).chain(["CONTINUOUS"]);
                let takes = names.clone().collect::<Vec<_>>().join(", ");
                value(text, "linetype", &takes, &self.linetype, |value| {
                    names.clone().find(|name| value.as_str().is_some_and(|v| v.eq_ignore_ascii_case(name)))
                })?
            },
            lineweight: value(text, "lineweight", "millimetres from 0 to 2.11", &self.lineweight, |value| {
                let weight = value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
                let weight = weight.filter(|weight| (0.0..=2.11).contains(weight))?;
                Some(Lineweight::Hundredths((weight * 100.0).round() as u16))
            })?,
        })
    }
}

/// A value, or what it should have been, and where.
fn value<T>(
    text: &str,
    key: &str,
    takes: &str,
    found: &Option<Spanned<Value>>,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Option<T>, String> {
    let Some(found) = found else { return Ok(None) };
    let line = line_of(text, found.span().start);
    read(found.get_ref()).map(Some).ok_or_else(|| format!("line {line}: {key}: write {takes}"))
}

/// Declares a line type by its name.
fn linetype(setup: &mut Setup, name: &str) -> LinetypeId {
    match LINETYPES.iter().find(|(known, ..)| *known == name) {
        Some((name, description, dashes)) => setup.linetype(name, description, dashes),
        None => LinetypeId::CONTINUOUS,
    }
}

/// The line of a byte, from 1.
fn line_of(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|b| *b == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const FILE: &str = "[default]\nlineweight = 1\n[layer.\"건물\"]\ncolor = 1\nlinetype = 'dashed'\n[layer.road]\ncolor = '#ff8000'\nlineweight = 0.25\n";

    #[test]
    fn layers_have_what_the_file_says() {
        let styles = Styles::parse(FILE).unwrap();
        let of = |name: &str| styles.find(&[name]).map(|(_, style)| style.or(styles.default)).unwrap();
        let building = Style {
            color: Some(Color::Index(1)),
            linetype: Some("DASHED"),
            lineweight: Some(Lineweight::Hundredths(100)),
        };
        assert_eq!(of("건물"), building);
        assert_eq!(of("ROAD").color, Some(Color::Rgb(255, 128, 0)));
        assert_eq!(of("road").lineweight, Some(Lineweight::Hundredths(25)));
        assert_eq!(styles.find(&["water", "w"]), None);
        assert_eq!(Styles::parse("\u{feff}").unwrap(), Styles::default());
    }

    #[test]
    fn mistakes_have_their_line_and_key() {
        for (text, says) in [
            ("[layer.a]\ncolour = 1", "line 2: unknown field `colour`"),
            ("[layers.a]", "line 1: unknown field `layers`"),
            ("[layer.a]\n\ncolor = 256", "line 3: color: write a number from 1 to 255"),
            ("[layer.a]\ncolor = 0", "line 2: color"),
            ("[layer.a]\ncolor = '3'", "line 2: color"),
            ("[layer.a]\ncolor = 'bylayer'", "line 2: color"),
            ("[layer.a]\nlinetype = 'wavy'", "line 2: linetype: write DASHED"),
            ("[layer.a]\nlineweight = 3", "line 2: lineweight: write millimetres"),
            ("[layer.a]\nlineweight = nan", "line 2: lineweight"),
            ("[default]\nlineweight = '0.25'", "line 2: lineweight"),
            ("[layer.a]\n[layer.a]", "line 2: "),
            ("layer = 3", "line 1: "),
            ("= 3", "line 1: "),
        ] {
            let error = Styles::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    /// The file that an option names, of an input with a root file in a directory.
    fn found(directory: &Path, name: &str) -> Result<Option<Styles>, String> {
        let order = Order { styles: Some(PathBuf::from(name)), ..Order::default() };
        let input = directory.join("sub/map.geojson");
        let request = Request {
            input: &input,
            input_dir: directory,
            output: Path::new("out.dxf"),
            output_dir: Path::new("."),
            format_id: "DXF",
            layer: None,
            options: &[],
            strict: false,
        };
        read(&request, &order).map_err(|error| match error {
            EngineError::Unfit(text) => text,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn the_file_is_one_of_the_input() {
        let place = tempfile::tempdir().unwrap();
        let input = place.path().join("input");
        std::fs::create_dir_all(input.join("sub/deep")).unwrap();
        std::fs::write(place.path().join("outside.toml"), FILE).unwrap();
        for (name, color) in [("a.toml", 1), ("sub/a.toml", 2), ("sub/b.toml", 3), ("sub/deep/c.toml", 4)] {
            std::fs::write(input.join(name), format!("[default]\ncolor = {color}")).unwrap();
        }
        let color = |name: &str| match found(&input, name).unwrap().unwrap().default.color {
            Some(Color::Index(index)) => index,
            other => panic!("{other:?}"),
        };
        assert_eq!((color("a.toml"), color("sub/a.toml")), (1, 2), "by its path in the input");
        assert_eq!((color("b.toml"), color("deep/c.toml")), (3, 4), "beside the converted file");

        std::os::unix::fs::symlink("../outside.toml", input.join("out.toml")).unwrap();
        std::os::unix::fs::symlink("a.toml", input.join("link.toml")).unwrap();
        std::os::unix::fs::symlink("sub", input.join("way")).unwrap();
        std::fs::write(input.join("large.toml"), "#".repeat(MAX_BYTES + 1)).unwrap();
        std::fs::write(input.join("full.toml"), "#".repeat(MAX_BYTES)).unwrap();
        std::fs::write(input.join("korean.toml"), b"[layer.\"\xb0\xc7\"]").unwrap();
        for (name, says) in [
            ("out.toml", "link"),
            ("link.toml", "link"),
            ("way/b.toml", "link"),
            ("none.toml", "no such file"),
            ("large.toml", "1 MiB"),
            ("korean.toml", "not UTF-8"),
            ("sub", ""),
        ] {
            let error = found(&input, name).unwrap_err();
            assert!(error.contains(name) && error.contains(says), "{name}: {error}");
        }
        assert_eq!(found(&input, "full.toml"), Ok(Some(Styles::default())));
    }
}
