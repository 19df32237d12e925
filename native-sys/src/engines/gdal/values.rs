//! Values of options: GDAL takes a text that is no number for 0, and a word that it does not know for
//! the default, so both are refused here.

use std::ffi::CStr;

/// Types of geometry, with any of the suffixes of [`DIMENSIONS`].
const GEOMETRIES: &[&str] = &[
    "GEOMETRY",
    "POINT",
    "LINESTRING",
    "POLYGON",
    "MULTIPOINT",
    "MULTILINESTRING",
    "MULTIPOLYGON",
    "GEOMETRYCOLLECTION",
    "CIRCULARSTRING",
    "COMPOUNDCURVE",
    "CURVEPOLYGON",
    "MULTICURVE",
    "MULTISURFACE",
    "CURVE",
    "SURFACE",
    "TRIANGLE",
    "POLYHEDRALSURFACE",
    "TIN",
];

/// What may follow the name of a type of geometry, the longest first.
const DIMENSIONS: &[&str] = &["25D", "ZM", "Z", "M"];

/// Changes of the type of geometry.
const CHANGES: &[&str] = &["NONE", "PROMOTE_TO_MULTI", "CONVERT_TO_LINEAR", "CONVERT_TO_CURVE"];

/// Dimensions of coordinates.
const COORDINATES: &[&str] = &["XY", "XYZ", "XYM", "XYZM", "2", "3", "layer_dim"];

/// Types of fields.
const FIELDS: &[&str] = &[
    "Integer",
    "Integer64",
    "Real",
    "String",
    "Date",
    "Time",
    "DateTime",
    "Binary",
    "IntegerList",
    "Integer64List",
    "RealList",
    "StringList",
];

/// Subtypes of fields, which stand in parentheses after a type.
const SUBTYPES: &[&str] = &["None", "Boolean", "Int16", "Float32", "JSON", "UUID"];

/// Checks the value of a switch.
///
/// # Errors
/// What to write instead.
pub(super) fn check(switch: &str, value: &str) -> Result<(), String> {
    let wanted = match switch {
        "limit" => (!is_whole(value, i64::MAX.unsigned_abs())).then_some("a whole number from 0"),
        "gt" => (!is_count(value) && value != "unlimited").then_some("a whole number from 1, or unlimited"),
        "maxsubfields" => (!is_count(value)).then_some("a whole number from 1"),
        "simplify" | "segmentize" => {
            (number(value).is_none_or(|number| number <= 0.0)).then_some("a number above 0")
        }
        "datelineoffset" => number(value)
            .is_none_or(|number| !(0.0..=180.0).contains(&number))
            .then_some("a number of degrees from 0 to 180"),
        "dim" => return one_of(value, COORDINATES),
        "nlt" => return geometry(value),
        "fieldTypeToString" => return value.split(',').try_for_each(|part| one_of_or(part, FIELDS, "All")),
        "mapFieldType" => return value.split(',').try_for_each(mapped),
        "select" => {
            value.trim_matches([' ', ',']).is_empty().then_some("names of fields, with commas between them")
        }
        _ => value.trim().is_empty().then_some("a value"),
    };
    wanted.map_or(Ok(()), |wanted| Err(refusal(wanted, value)))
}

fn refusal(wanted: &str, value: &str) -> String {
    match value {
        "" => format!("write {wanted}"),
        value => format!("write {wanted}, not '{value}'"),
    }
}

/// A finite number.
pub(super) fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn is_whole(text: &str, most: u64) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u64>().is_ok_and(|number| number <= most)
}

fn is_count(text: &str) -> bool {
    is_whole(text, u64::from(i32::MAX.unsigned_abs())) && text.parse::<u64>() != Ok(0)
}

fn is_in(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

fn one_of(value: &str, words: &[&str]) -> Result<(), String> {
    if is_in(value, words) {
        return Ok(());
    }
    Err(refusal(&format!("one of {}", words.join(", ")), value))
}

fn one_of_or(value: &str, words: &[&str], other: &str) -> Result<(), String> {
    one_of(value, &[words, &[other]].concat())
}

/// A type of geometry, a change, or the two changes that GDAL does together.
fn geometry(value: &str) -> Result<(), String> {
    let upper = value.to_ascii_uppercase();
    let plain = DIMENSIONS.iter().find_map(|suffix| upper.strip_suffix(suffix)).unwrap_or(&upper);
    let parts: Vec<&str> = upper.split(',').collect();
    let is_pair = parts.len() == 2
        && parts[0] != parts[1]
        && parts.iter().all(|part| ["PROMOTE_TO_MULTI", "CONVERT_TO_LINEAR"].contains(part));
    if is_pair || is_in(&upper, CHANGES) || is_in(&upper, GEOMETRIES) || is_in(plain.trim_end(), GEOMETRIES) {
        return Ok(());
    }
    let changes = CHANGES.join(", ");
    Err(refusal(
        &format!("{changes}, or a type of geometry such as POINT, MULTIPOLYGON or LINESTRINGZ"),
        value,
    ))
}

/// `TYPE=TYPE` or `All=TYPE`, where each may have a subtype.
fn mapped(part: &str) -> Result<(), String> {
    let Some((from, to)) = part.split_once('=') else {
        return Err(refusal("pairs such as Integer64=Integer, with commas between them", part));
    };
    let plain = |name: &str| match name.strip_suffix(')').and_then(|name| name.split_once('(')) {
        Some((name, subtype)) => one_of(subtype, SUBTYPES).map(|()| name.to_owned()),
        None => Ok(name.to_owned()),
    };
    one_of_or(&plain(from)?, FIELDS, "All")?;
    one_of(&plain(to)?, FIELDS)
}

/// What a driver says about the values of one of its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Values {
    /// A text, or something that is not known here.
    Any,
    /// YES or NO, in the words that GDAL has for them.
    Boolean,
    /// The same, or 1 or 0.
    Switch,
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// One of these words.
    Words(Vec<String>),
}

impl Values {
    /// Checks a value.
    ///
    /// # Errors
    /// What to write instead.
    pub(super) fn check(&self, value: &str) -> Result<(), String> {
        const BOOLEANS: &[&str] = &["YES", "NO", "TRUE", "FALSE", "ON", "OFF"];
        let fits = match self {
            Self::Any => true,
            Self::Boolean => is_in(value, BOOLEANS),
            Self::Switch => is_in(value, BOOLEANS) || is_in(value, &["1", "0"]),
            Self::Whole => value.parse::<i32>().is_ok(),
            Self::Number => number(value).is_some(),
            Self::Words(words) => words.iter().any(|word| word.eq_ignore_ascii_case(value)),
        };
        let wanted = || match self {
            Self::Any => "a value".to_owned(),
            Self::Boolean | Self::Switch => "YES or NO".to_owned(),
            Self::Whole => "a whole number".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Words(words) => format!("one of {}", words.join(", ")),
        };
        if fits { Ok(()) } else { Err(refusal(&wanted(), value)) }
    }
}

/// The values of a configuration option, of which no driver has a list.
pub(super) fn setting(name: &CStr) -> Values {
    const WAYS: &[&str] = &["DEFAULT", "SKIP", "ONLY_CCW", "CCW_INNER_JUST_AFTER_CW_OUTER"];
    match name.to_bytes() {
        b"DXF_FEATURE_LIMIT_PER_BLOCK" | b"DXF_MAX_BSPLINE_CONTROL_POINTS" => Values::Whole,
        b"OGR_ARC_MAX_GAP" | b"OGR_ARC_STEPSIZE" | b"OGR_GEOJSON_MAX_OBJ_SIZE" => Values::Number,
        b"OGR_ORGANIZE_POLYGONS" => Values::Words(WAYS.iter().map(|&way| way.to_owned()).collect()),
        _ => Values::Switch,
    }
}

/// Whether a configuration option has an effect on an input with this extension or on the output of this
/// driver.
pub(super) fn has_effect(name: &CStr, input: &str, output: &CStr) -> bool {
    const JSON: &[&str] = &["json", "geojson", "geojsonl", "geojsons", "topojson"];
    match name.to_bytes() {
        b"DXF_WRITE_HATCH" => output == c"DXF",
        b"GPX_ELE_AS_25D" => input == "gpx",
        b"OGR_GEOJSON_MAX_OBJ_SIZE" => JSON.contains(&input),
        name => !name.starts_with(b"DXF_") || input == "dxf",
    }
}

/// The values of an option in a driver's list of options, which is XML; `None` if it is not in it.
pub(super) fn listed(xml: &str, key: &str) -> Option<Values> {
    let mut rest = xml;
    while let Some((attributes, content, after)) = element(rest, "Option") {
        if attribute(attributes, "name").is_some_and(|name| name.eq_ignore_ascii_case(key)) {
            return Some(values(attribute(attributes, "type").unwrap_or_default(), content));
        }
        rest = after;
    }
    None
}

fn values(kind: &str, content: &str) -> Values {
    match kind.to_ascii_lowercase().as_str() {
        "boolean" => Values::Boolean,
        "int" | "integer" => Values::Whole,
        "float" => Values::Number,
        "string-select" => {
            let mut words = Vec::new();
            let mut rest = content;
            while let Some((attributes, word, after)) = element(rest, "Value") {
                words.push(word.trim().to_owned());
                words.extend(attribute(attributes, "alias").map(str::to_owned));
                rest = after;
            }
            if words.is_empty() { Values::Any } else { Values::Words(words) }
        }
        _ => Values::Any,
    }
}

/// The first element of this name: its attributes, its content, and what follows it.
fn element<'a>(xml: &'a str, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let begin = format!("<{name}");
    let is_name = |rest: &str| rest.starts_with(|c: char| c.is_whitespace() || c == '>' || c == '/');
    let (at, _) = xml.match_indices(&begin).find(|(at, _)| is_name(&xml[at + begin.len()..]))?;
    let tag = &xml[at + begin.len()..];
    let mut quote = None;
    let end = tag.char_indices().find(|&(_, c)| match quote {
        Some(open) => {
            quote = quote.filter(|_| c != open);
            false
        }
        None => {
            quote = Some(c).filter(|c| ['\'', '"'].contains(c));
            c == '>'
        }
    });
    let (attributes, rest) = (&tag[..end?.0], &tag[end?.0 + 1..]);
    if let Some(attributes) = attributes.strip_suffix('/') {
        return Some((attributes, "", rest));
    }
    let close = format!("</{name}>");
    let (content, after) = rest.split_once(&close)?;
    Some((attributes, content, after))
}

fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let (at, _) = attributes.match_indices(name).find(|(at, _)| {
        attributes[..*at].ends_with(char::is_whitespace) && attributes[at + name.len()..].starts_with('=')
    })?;
    let value = &attributes[at + name.len() + 1..];
    let quote = value.chars().next().filter(|c| ['\'', '"'].contains(c))?;
    value[1..].split_once(quote).map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_switches() {
        for (switch, good, bad) in [
            ("limit", &["0", "10"][..], &["abc", "-1", "1.5", "", "+1", "1e3"][..]),
            ("gt", &["1", "65536", "unlimited"], &["0", "x", "-1", "99999999999"]),
            ("maxsubfields", &["3"], &["0", "x"]),
            ("simplify", &["0.5", "1e-3"], &["x", "0", "-1", "nan", "inf", ""]),
            ("segmentize", &["100"], &["", "1m"]),
            ("datelineoffset", &["10", "0.5"], &["x", "400"]),
            ("dim", &["XY", "xyzm", "2", "layer_dim"], &["9", "XYZZ", ""]),
            (
                "nlt",
                &[
                    "POINT",
                    "multipolygonZ",
                    "POINT25D",
                    "LINESTRINGZM",
                    "PROMOTE_TO_MULTI",
                    "NONE",
                    "PROMOTE_TO_MULTI,CONVERT_TO_LINEAR",
                    "POINT Z",
                ],
                &["FOO", "POINTS", "POINT,POLYGON", "CONVERT_TO_CURVE,PROMOTE_TO_MULTI", ""],
            ),
            ("fieldTypeToString", &["All", "integer64,Date"], &["Foo", "Integer,", ""]),
            (
                "mapFieldType",
                &["Integer64=Integer", "All=String,Date=String(JSON)", "Integer(Boolean)=String"],
                &["Foo=Bar", "Integer", "Integer=All", "Integer=String(Foo)", ""],
            ),
            ("select", &["a,b", "\"a b\""], &["", ",", "  "]),
            ("nln", &["도로"], &["", " "]),
        ] {
            for value in good {
                assert_eq!(check(switch, value), Ok(()), "{switch}={value}");
            }
            for value in bad {
                assert!(check(switch, value).is_err(), "{switch}={value}");
            }
        }
    }

    #[test]
    fn lists_of_drivers_are_searched() {
        let xml = "<LayerCreationOptionList>  <Option name='SHPT' type='string-select' description='a > b'>\
             <Value>POINT</Value><Value alias=\"LINE\">ARC</Value></Option> <Option type=\"int\" name=\"PRECISION\"/>\
             <Option name='RESIZE' type='boolean' default='NO'/><Option name='ENCODING' type='string'/>\
             <Option name='MIN' type='float'></Option></LayerCreationOptionList>";
        let words = ["POINT", "ARC", "LINE"].map(str::to_owned).to_vec();
        assert_eq!(listed(xml, "shpt"), Some(Values::Words(words)));
        assert_eq!(listed(xml, "PRECISION"), Some(Values::Whole));
        assert_eq!(listed(xml, "resize"), Some(Values::Boolean));
        assert_eq!(listed(xml, "ENCODING"), Some(Values::Any));
        assert_eq!(listed(xml, "MIN"), Some(Values::Number));
        assert_eq!((listed(xml, "SHP"), listed("<Option name='X'", "X")), (None, None));
        assert!(listed(xml, "SHPT").unwrap().check("arc").is_ok());
        assert!(listed(xml, "SHPT").unwrap().check("FOO").is_err_and(|e| e.contains("POINT, ARC")));
        assert!(Values::Whole.check("abc").is_err() && Values::Number.check("nan").is_err());
        assert!(Values::Switch.check("1").is_ok() && Values::Switch.check("2").is_err());
        assert!(
            has_effect(c"DXF_WRITE_HATCH", "shp", c"DXF") && !has_effect(c"DXF_WRITE_HATCH", "dxf", c"CSV")
        );
        assert!(
            has_effect(c"DXF_INLINE_BLOCKS", "dxf", c"CSV")
                && !has_effect(c"DXF_INLINE_BLOCKS", "shp", c"DXF")
        );
        assert!(has_effect(c"OGR_ARC_STEPSIZE", "shp", c"CSV"));
        assert!(Values::Boolean.check("yes").is_ok() && Values::Boolean.check("maybe").is_err());
    }
}
