//! What the options say of a drawing (`dxf.NAME`).

use super::template::Template;
use cadmill_dxf::{CodePage, Color, Horizontal, Lineweight, Units, Version, Vertical};
use std::path::{Component, Path, PathBuf};

/// Names of the options, without `dxf.`.
const NAMES: &[&str] = &[
    "attributes",
    "codepage",
    "color",
    "compatible",
    "geodata",
    "height",
    "label",
    "layer",
    "linetype",
    "lineweight",
    "point",
    "polygon",
    "position",
    "prj",
    "rotation",
    "style",
    "styles",
    "units",
    "version",
    "writer",
];

/// How areas are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::engines::gdal) enum Areas {
    /// As closed polylines, which CAD users expect.
    #[default]
    Polylines,
    /// As filled hatches.
    Hatches,
    Both,
}

/// How attributes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::engines::gdal) enum Attributes {
    #[default]
    None,
    /// As extended data.
    Data,
    /// As attributes of a block that is inserted.
    Block,
}

/// A value of a field, or one for all features.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engines::gdal) enum Value<T> {
    Of(T),
    Field(String),
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::engines::gdal) struct Order {
    /// GDAL's own writer writes the drawing.
    pub(in crate::engines::gdal) by_gdal: bool,
    /// The options as they were given.
    pub(in crate::engines::gdal) given: Vec<String>,
    /// The release; by the text if there is none.
    pub(super) version: Option<Version>,
    pub(super) code_page: Option<CodePage>,
    /// Whether its entities are those of ogr2ogr; by the other options if it is not said.
    pub(super) compatible: Option<bool>,
    pub(super) layer: Option<Template>,
    pub(super) label: Option<Template>,
    /// Height of labels in units; by the extent if there is none.
    pub(super) height: Option<Value<f64>>,
    /// Degrees anticlockwise.
    pub(super) rotation: Option<Value<f64>>,
    pub(super) position: Option<(Horizontal, Vertical)>,
    /// The font of labels, and that of Asian letters.
    pub(super) style: Option<(String, String)>,
    /// The file of the input with styles of layers.
    pub(super) styles: Option<PathBuf>,
    pub(super) color: Option<Value<Color>>,
    pub(super) linetype: Option<String>,
    pub(super) lineweight: Option<Lineweight>,
    pub(super) areas: Areas,
    /// Points are insertions of a block.
    pub(super) points_as_blocks: bool,
    pub(super) attributes: Attributes,
    /// A `.prj` file names the reference system.
    pub(super) names_reference: bool,
    /// The drawing names the reference system.
    pub(super) geodata: bool,
    /// The unit; that of the reference system if there is none.
    pub(super) units: Option<Units>,
}

/// Line types by name: the description, and dashes in units of the plotted drawing.
pub(super) const LINETYPES: &[(&str, &str, &[f64])] = &[
    ("DASHED", "__ __ __ __", &[12.7, -6.35]),
    ("DOT", ". . . . . .", &[0.0, -6.35]),
    ("DASHDOT", "__ . __ . __", &[12.7, -6.35, 0.0, -6.35]),
    ("CENTER", "____ _ ____ _", &[31.75, -6.35, 6.35, -6.35]),
    ("HIDDEN", "_ _ _ _ _ _", &[6.35, -3.175]),
];

const UNITS: &[(&str, Units)] = &[
    ("none", Units::None),
    ("in", Units::Inches),
    ("ft", Units::Feet),
    ("mm", Units::Millimetres),
    ("cm", Units::Centimetres),
    ("m", Units::Metres),
    ("km", Units::Kilometres),
    ("us-ft", Units::UsSurveyFeet),
];

const POSITIONS: &[(&str, Horizontal)] =
    &[("left", Horizontal::Left), ("center", Horizontal::Center), ("right", Horizontal::Right)];
const LEVELS: &[(&str, Vertical)] = &[
    ("baseline", Vertical::Baseline),
    ("bottom", Vertical::Bottom),
    ("middle", Vertical::Middle),
    ("top", Vertical::Top),
];

impl Order {
    /// The fields that the options name.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        let numbers = [&self.height, &self.rotation].into_iter().filter_map(|value| match value {
            Some(Value::Field(name)) => Some(name.as_str()),
            _ => None,
        });
        let color = match &self.color {
            Some(Value::Field(name)) => Some(name.as_str()),
            _ => None,
        };
        let templates = [&self.layer, &self.label].into_iter().flatten().flat_map(Template::fields);
        templates.chain(numbers).chain(color)
    }

    /// Whether it is written here.
    pub(in crate::engines::gdal) fn is_ours(&self) -> bool {
        !self.by_gdal
    }

    /// Whether its entities are those of ogr2ogr: if the release and the areas of ogr2ogr are asked for,
    /// and nothing else.
    pub(super) fn is_compatible(&self) -> bool {
        self.compatible.unwrap_or_else(|| {
            self.version == Some(Version::R2004)
                && self.areas == Areas::Hatches
                && self.given.len() == 2 + usize::from(self.names_reference)
        })
    }

    /// Whether values of all fields are drawn.
    pub(super) fn draws_attributes(&self) -> bool {
        self.attributes != Attributes::None
    }

    /// Whether there is something whose size depends on the drawing's.
    pub(super) fn has_symbols(&self) -> bool {
        self.label.is_some() || self.points_as_blocks || self.attributes == Attributes::Block
    }

    /// Checks which options are given together.
    ///
    /// # Errors
    /// Which exclude each other, or need another one.
    pub(in crate::engines::gdal) fn check(&self) -> Result<(), String> {
        let is = |name: &str, key: &str| name.len() > 4 && name[4..].eq_ignore_ascii_case(key);
        if let Some(name) = self.given.iter().find(|name| self.by_gdal && !is(name, "writer")) {
            return Err(format!("option '{name}': it has no effect with dxf.writer=gdal"));
        }
        let of_labels = |name: &&String| is(name, "rotation") || is(name, "position");
        if let Some(name) = self.given.iter().find(of_labels).filter(|_| self.label.is_none()) {
            return Err(format!("option '{name}': it has an effect together with 'dxf.label' only"));
        }
        match self.version {
            Some(version) if self.geodata && !version.has_georeference() => Err(format!(
                "option 'dxf.geodata': {version} has no reference system; write dxf.version=R2010 or later"
            )),
            _ => Ok(()),
        }
    }

    /// Takes an option.
    ///
    /// # Errors
    /// What values it takes.
    pub(in crate::engines::gdal) fn take(
        &mut self,
        name: &str,
        key: &str,
        value: &str,
    ) -> Result<(), String> {
        let key = NAMES.iter().find(|known| known.eq_ignore_ascii_case(key)).ok_or_else(|| {
            format!("the engine has no option '{name}'; of dxf. these are: {}", NAMES.join(", "))
        })?;
        self.given.push(name.to_owned());
        let wrong = |takes: &str| format!("option '{name}': write {takes}, not '{value}'");
        let is_auto = value.eq_ignore_ascii_case("auto");
        match *key {
            "version" if is_auto => self.version = None,
            "version" => {
                let names: Vec<_> = Version::ALL.iter().map(ToString::to_string).collect();
                let takes = format!("auto or one of {}", names.join(", "));
                self.version = Some(Version::of_name(value).ok_or_else(|| wrong(&takes))?);
            }
            "codepage" if is_auto => self.code_page = None,
            "codepage" => {
                let by_number = value.parse().ok().and_then(CodePage::new);
                let pages: Vec<_> = CodePage::NUMBERS.iter().map(ToString::to_string).collect();
                let takes = format!("auto, or the number of a code page: {}", pages.join(", "));
                self.code_page =
                    Some(by_number.or_else(|| CodePage::of_name(value)).ok_or_else(|| wrong(&takes))?);
            }
            "layer" => {
                self.layer = Some(Template::parse(value).map_err(|text| format!("option '{name}': {text}"))?)
            }
            "compatible" => {
                self.compatible = match value {
                    "yes" | "true" | "1" => Some(true),
                    "no" | "false" | "0" => Some(false),
                    "auto" => None,
                    _ => return Err(wrong("auto, yes or no")),
                }
            }
            "label" => {
                self.label = Some(Template::parse(value).map_err(|text| format!("option '{name}': {text}"))?)
            }
            "height" => {
                let of = number_or_field(value);
                if of == Value::Of(0.0) || matches!(of, Value::Of(number) if number < 0.0) {
                    return Err(wrong("a number above zero, or the name of a field"));
                }
                self.height = Some(of);
            }
            "rotation" => self.rotation = Some(number_or_field(value)),
            "position" => {
                let find = |word: &str| POSITIONS.iter().find(|(name, _)| *name == word).map(|(_, at)| *at);
                let level = |word: &str| LEVELS.iter().find(|(name, _)| *name == word).map(|(_, at)| *at);
                let (first, second) =
                    value.split_once(' ').or_else(|| value.split_once('-')).unwrap_or((value, ""));
                let both =
                    find(first).zip(if second.is_empty() { Some(Vertical::Baseline) } else { level(second) });
                let takes = "left, center or right, and then baseline, bottom, middle or top: center-middle";
                self.position = Some(both.ok_or_else(|| wrong(takes))?);
            }
            "style" => {
                let (font, big) = value.split_once(',').unwrap_or((value, ""));
                if font.trim().is_empty() {
                    return Err(wrong(
                        "the name of a font, and that of one for Asian letters: txt,whgtxt.shx",
                    ));
                }
                self.style = Some((font.trim().to_owned(), big.trim().to_owned()));
            }
            "styles" => {
                let path = Path::new(value);
                let is_within = path.components().all(|part| matches!(part, Component::Normal(_)));
                if value.is_empty() || !is_within {
                    return Err(wrong("the path of a file within the input"));
                }
                self.styles = Some(path.to_owned());
            }
            "color" => {
                self.color = Some(color(value).map_or_else(|| Value::Field(value.to_owned()), Value::Of))
            }
            "linetype" => {
                let is_known = value.eq_ignore_ascii_case("continuous")
                    || LINETYPES.iter().any(|(known, ..)| known.eq_ignore_ascii_case(value));
                if !is_known {
                    let names: Vec<_> = LINETYPES.iter().map(|(known, ..)| *known).collect();
                    return Err(wrong(&format!("CONTINUOUS, {}", names.join(", "))));
                }
                self.linetype = Some(value.to_ascii_uppercase());
            }
            "lineweight" => {
                let weight = value.parse::<f64>().ok().filter(|weight| (0.0..=2.11).contains(weight));
                let weight = weight.ok_or_else(|| wrong("millimetres from 0 to 2.11"))?;
                self.lineweight = Some(Lineweight::Hundredths((weight * 100.0).round() as u16));
            }
            "polygon" => {
                self.areas = match value {
                    "polyline" => Areas::Polylines,
                    "hatch" => Areas::Hatches,
                    "both" => Areas::Both,
                    _ => return Err(wrong("polyline, hatch or both")),
                }
            }
            "point" => {
                self.points_as_blocks = match value {
                    "point" => false,
                    "block" => true,
                    _ => return Err(wrong("point or block")),
                }
            }
            "attributes" => {
                self.attributes = match value {
                    "none" => Attributes::None,
                    "xdata" => Attributes::Data,
                    "attribs" => Attributes::Block,
                    _ => return Err(wrong("none, xdata or attribs")),
                }
            }
            "prj" => {
                self.names_reference = match value {
                    "yes" | "true" | "1" => true,
                    "no" | "false" | "0" => false,
                    _ => return Err(wrong("yes or no")),
                }
            }
            "geodata" => {
                self.geodata = match value {
                    "yes" | "true" | "1" => true,
                    "no" | "false" | "0" => false,
                    _ => return Err(wrong("yes or no")),
                }
            }
            "units" if is_auto => self.units = None,
            "units" => {
                let known = UNITS.iter().find(|(known, _)| known.eq_ignore_ascii_case(value));
                let names: Vec<_> = UNITS.iter().map(|(known, _)| *known).collect();
                self.units = Some(known.ok_or_else(|| wrong(&format!("auto, {}", names.join(", "))))?.1);
            }
            // The last of the names.
            _ => {
                self.by_gdal = match value {
                    "cadmill" => false,
                    "gdal" => true,
                    _ => return Err(wrong("cadmill or gdal")),
                }
            }
        }
        Ok(())
    }
}

/// A colour: a number of the index, `#rrggbb`, or by layer.
pub(super) fn color(text: &str) -> Option<Color> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("bylayer") {
        return Some(Color::ByLayer);
    }
    match text.parse::<u16>() {
        Ok(0) => None,
        Ok(256) => Some(Color::ByLayer),
        Ok(index) => u8::try_from(index).ok().map(Color::Index),
        Err(_) => Color::of_hex(text),
    }
}

fn number_or_field(value: &str) -> Value<f64> {
    let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
    number.map_or_else(|| Value::Field(value.to_owned()), Value::Of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &[(&str, &str)]) -> Result<Order, String> {
        let mut order = Order::default();
        options.iter().try_for_each(|(key, value)| order.take(&format!("dxf.{key}"), key, value))?;
        Ok(order)
    }

    #[test]
    fn options_have_the_values_that_they_say() {
        let order = of(&[
            ("version", "2010"),
            ("codepage", "ANSI_949"),
            ("color", "#ff0000"),
            ("polygon", "hatch"),
            ("lineweight", "0.25"),
            ("height", "2.5"),
            ("rotation", "angle"),
            ("position", "center-middle"),
            ("units", "MM"),
        ])
        .unwrap();
        assert_eq!((order.version, order.code_page), (Some(Version::R2010), Some(CodePage::KOREAN)));
        assert_eq!(order.color, Some(Value::Of(Color::Rgb(255, 0, 0))));
        assert_eq!((order.areas, order.units), (Areas::Hatches, Some(Units::Millimetres)));
        assert_eq!(order.lineweight, Some(Lineweight::Hundredths(25)));
        assert_eq!(
            (order.height, order.rotation),
            (Some(Value::Of(2.5)), Some(Value::Field("angle".to_owned())))
        );
        assert_eq!(order.position, Some((Horizontal::Center, Vertical::Middle)));
        assert_eq!(of(&[("color", "3")]).unwrap().color, Some(Value::Of(Color::Index(3))));
        assert_eq!(of(&[("color", "farbe")]).unwrap().color, Some(Value::Field("farbe".to_owned())));
    }

    #[test]
    fn the_writer_of_gdal_takes_no_other_option() {
        let check = |writer: &str| of(&[("styles", "a.toml"), ("writer", writer)]).unwrap().check();
        assert_eq!(check("cadmill"), Ok(()));
        assert!(check("gdal").unwrap_err().contains("'dxf.styles': it has no effect"));
    }

    #[test]
    fn a_reference_system_needs_a_release_that_has_it() {
        let check = |version: &str| of(&[("version", version), ("geodata", "yes")]).unwrap().check();
        assert_eq!((check("auto"), check("R2010")), (Ok(()), Ok(())));
        assert!(check("R2007").unwrap_err().contains("R2010 or later"));
        assert_eq!(of(&[("version", "R2007"), ("geodata", "no")]).unwrap().check(), Ok(()));
    }

    #[test]
    fn others_are_refused_with_the_values_there_are() {
        for (key, value, says) in [
            ("version", "R12", "R2000, R2004"),
            ("codepage", "437", "949"),
            ("height", "0", "above zero"),
            ("height", "-1", "above zero"),
            ("position", "up", "center-middle"),
            ("linetype", "wavy", "DASHED"),
            ("lineweight", "3", "2.11"),
            ("polygon", "region", "polyline, hatch or both"),
            ("units", "yards", "us-ft"),
            ("geodata", "maybe", "yes or no"),
            ("writer", "me", "cadmill or gdal"),
            ("layer", "{a", "brace"),
            ("styles", "", "within the input"),
            ("styles", "/etc/passwd", "within the input"),
            ("styles", "a/../../b.toml", "within the input"),
            ("styles", "./b.toml", "within the input"),
            ("frozen", "yes", "of dxf. these are: attributes"),
        ] {
            let error = of(&[(key, value)]).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
