//! GDAL options: the switches of `ogr2ogr` that are safe for untrusted files.
//!
//! Excluded on purpose: `-sql` (reaches extensions and other files), `-clipsrc` and similar
//! switches with a data source, and everything that appends to or updates an existing output. Of
//! the driver options, `-oo`, `-dsco` and `-lco`, only those known not to name a file, directory or
//! address are accepted: a deny list would be out of date with the next release. GDAL opens a file
//! or a URL given as a reference system, and a file if `-where` begins with `@`: both are rejected
//! by their syntax.

use super::drawing::order::Order;
use super::drawing::styles::Styles;
use super::values;
use cadmill_core::domain::condition;
use cadmill_core::domain::text::Charset;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};

/// Options in the form that GDAL accepts.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    /// Arguments for `GDALVectorTranslateOptionsNew`.
    pub(super) translate: Vec<CString>,
    /// The layers to convert, which are also among the arguments; all if there are none.
    pub(super) layers: Vec<CString>,
    /// Which of the arguments is the condition on fields.
    condition: Option<usize>,
    /// `NAME=VALUE` for `GDALOpenEx`.
    pub(super) open: Vec<CString>,
    /// Configuration options.
    pub(super) config: Vec<(&'static CStr, CString)>,
    /// The encoding of the input's text.
    pub(super) encoding: Option<Charset>,
    /// What is asked for of a drawing.
    pub(super) drawing: Order,
    /// What layers of a drawing look like, once that was read.
    pub(super) styles: Option<Styles>,
    /// Names of driver options as given, their keys and values.
    pub(super) given: Vec<(String, &'static str, String)>,
}

impl Options {
    /// Whether the user asks for an encoding of the output.
    pub(super) fn chooses_encoding(&self) -> bool {
        self.given.iter().any(|(name, key, _)| *key == "ENCODING" && !name.starts_with("oo."))
    }

    /// Whether what cannot be converted is left out.
    pub(super) fn skips(&self) -> bool {
        self.translate.iter().any(|argument| argument.as_c_str() == c"-skipfailures")
    }

    /// Whether a part of the input is taken, or features become more or fewer.
    pub(super) fn selects(&self) -> bool {
        const SELECTING: &[&CStr] =
            &[c"-where", c"-limit", c"-spat", c"-clipsrc", c"-clipdst", c"-fid", c"-explodecollections"];
        self.translate.iter().any(|argument| SELECTING.contains(&argument.as_c_str()))
    }

    /// Quotes names in the condition, for GDAL's own parser of conditions.
    pub(super) fn quote_names(&mut self) {
        if let Some(argument) = self.condition.and_then(|at| self.translate.get_mut(at)) {
            let quoted = condition::quoted_names(&argument.to_string_lossy());
            *argument = CString::new(quoted).unwrap_or_default();
        }
    }

    /// Lets the driver that would write ISO 8859-1 write UTF-8, unless the user asks for another.
    pub(super) fn write_utf8(&mut self, driver: &CStr) {
        if !self.chooses_encoding() && driver == c"ESRI Shapefile" {
            self.translate.extend([c"-lco".to_owned(), c"ENCODING=UTF-8".to_owned()]);
        }
    }
}

/// Configuration options that change how data is read or written, and cannot name a file.
const SETTINGS: &[&CStr] = &[
    c"DXF_CLOSED_LINE_AS_POLYGON",
    c"DXF_FEATURE_LIMIT_PER_BLOCK",
    c"DXF_INCLUDE_RAW_CODE_VALUES",
    c"DXF_INLINE_BLOCKS",
    c"DXF_MAX_BSPLINE_CONTROL_POINTS",
    c"DXF_MERGE_BLOCK_GEOMETRIES",
    c"DXF_TRANSLATE_ESCAPE_SEQUENCES",
    c"DXF_WRITE_HATCH",
    c"GPX_ELE_AS_25D",
    c"OGR_ARC_MAX_GAP",
    c"OGR_ARC_STEPSIZE",
    c"OGR_ENABLE_PARTIAL_REPROJECTION",
    c"OGR_GEOJSON_MAX_OBJ_SIZE",
    c"OGR_ORGANIZE_POLYGONS",
];

/// Switches with one value.
const VALUES: &[&str] = &[
    "a_srs",
    "s_srs",
    "t_srs",
    "select",
    "where",
    "nln",
    "nlt",
    "dim",
    "simplify",
    "segmentize",
    "limit",
    "gt",
    "spat",
    "spat_srs",
    "fieldTypeToString",
    "mapFieldType",
    "datelineoffset",
    "maxsubfields",
    "zfield",
    "clipsrc",
];

/// Switches without a value, given as `name=yes`.
const FLAGS: &[&str] = &[
    "skipfailures",
    "makevalid",
    "explodecollections",
    "preserve_fid",
    "wrapdateline",
    "unsetFieldWidth",
    "splitlistfields",
    "emptyStrAsNull",
];

/// Open options: how text, encodings and geometry of the input are interpreted.
const OPEN_OPTIONS: &[&str] = &[
    // CSV
    "X_POSSIBLE_NAMES",
    "Y_POSSIBLE_NAMES",
    "Z_POSSIBLE_NAMES",
    "GEOM_POSSIBLE_NAMES",
    "KEEP_GEOM_COLUMNS",
    "AUTODETECT_TYPE",
    "AUTODETECT_WIDTH",
    "AUTODETECT_SIZE_LIMIT",
    "QUOTED_FIELDS_AS_STRING",
    "EMPTY_STRING_AS_NULL",
    "HEADERS",
    "SEPARATOR",
    "MERGE_SEPARATOR",
    // Shapefile, MapInfo
    "ENCODING",
    "ADJUST_TYPE",
    "ADJUST_GEOM_TYPE",
    // GeoJSON
    "FLATTEN_NESTED_ATTRIBUTES",
    "NESTED_ATTRIBUTE_SEPARATOR",
    "ARRAY_AS_STRING",
    "DATE_AS_STRING",
    "NATIVE_DATA",
    // DXF
    "CLOSED_LINE_AS_POLYGON",
    "INLINE_BLOCKS",
    "MERGE_BLOCK_GEOMETRIES",
    "TRANSLATE_ESCAPE_SEQUENCES",
    "INCLUDE_RAW_CODE_VALUES",
    // GML, GPX
    "EXPOSE_GML_ID",
    "EXPOSE_FID",
    "FORCE_SRS_DETECTION",
    "SWAP_COORDINATES",
    "INVERT_AXIS_ORDER_IF_LAT_LONG",
    "CONSIDER_EPSG_AS_URN",
    "READ_MODE",
    "EMPTY_AS_NULL",
    "ELE_AS_25D",
    "N_MAX_LINKS",
];

/// Dataset creation options.
const DATASET_OPTIONS: &[&str] = &[
    // GeoPackage, SQLite
    "VERSION",
    "ADD_GPKG_OGR_CONTENTS",
    "DATETIME_FORMAT",
    "METADATA",
    "SPATIALITE",
    // GML, GPX, KML, MapInfo, CSV
    "FORMAT",
    "GML3_LONGSRS",
    "SRSNAME_FORMAT",
    "GML_FEATURE_COLLECTION",
    "GML_ID",
    "WRITE_FEATURE_BOUNDED_BY",
    "SPACE_INDENTATION",
    "STRIP_PREFIX",
    "PREFIX",
    "TARGET_NAMESPACE",
    "NAME",
    "DESCRIPTION",
    "GPX_USE_EXTENSIONS",
    "GPX_EXTENSIONS_NS",
    "NameField",
    "DescriptionField",
    "AltitudeMode",
    "DOCUMENT_ID",
    "SPATIAL_INDEX_MODE",
    "BLOCKSIZE",
    "GEOMETRY",
    "ENCODING",
    // DXF
    "FIRST_ENTITY",
];

/// Layer creation options.
const LAYER_OPTIONS: &[&str] = &[
    // GeoJSON
    "RFC7946",
    "COORDINATE_PRECISION",
    "SIGNIFICANT_FIGURES",
    "WRITE_BBOX",
    "WRITE_NAME",
    "ID_FIELD",
    "ID_TYPE",
    "ID_GENERATE",
    "NATIVE_DATA",
    "WRITE_NON_FINITE_VALUES",
    "RS",
    // Shapefile
    "SHPT",
    "ENCODING",
    "RESIZE",
    "2GB_LIMIT",
    "SPATIAL_INDEX",
    "DBF_DATE_LAST_UPDATE",
    "DBF_EOF_CHAR",
    // GeoPackage, SQLite, FlatGeobuf
    "GEOMETRY_NAME",
    "GEOMETRY_NULLABLE",
    "FID",
    "PRECISION",
    "TRUNCATE_FIELDS",
    "LAUNDER",
    "IDENTIFIER",
    "DESCRIPTION",
    "ASPATIAL_VARIANT",
    "FORMAT",
    "COMPRESS_GEOM",
    "SRID",
    "TITLE",
    "METADATA",
    "VERIFY_BUFFERS",
    // CSV, GPX, MapInfo
    "CREATE_CSVT",
    "GEOMETRY",
    "SEPARATOR",
    "STRING_QUOTING",
    "WRITE_BOM",
    "LINEFORMAT",
    "FORCE_GPX_TRACK",
    "FORCE_GPX_ROUTE",
    "BOUNDS",
];

/// Parses the options.
///
/// # Errors
/// A message that names the option and the valid values.
pub(super) fn parse(options: &[(String, String)]) -> Result<Options, String> {
    let mut parsed = Options::default();
    for (name, value) in options {
        let c_value = CString::new(value.as_str())
            .map_err(|_| format!("option '{name}': the value contains a NUL byte"))?;
        if name.eq_ignore_ascii_case("layer") {
            // A layer name is a separate argument: it must not be mistaken for a switch.
            if value.is_empty() {
                return Err("option 'layer': write the name of a layer".to_owned());
            }
            if value.starts_with('-') {
                return Err("option 'layer': a name cannot begin with '-'".to_owned());
            }
            parsed.layers.push(c_value.clone());
            parsed.translate.push(c_value);
        } else if name.eq_ignore_ascii_case("encoding") {
            set_encoding(&mut parsed, name, value)?;
        } else if let Some((prefix, key)) = name.split_once('.') {
            push_driver_option(&mut parsed, name, &prefix.to_ascii_lowercase(), key, value)?;
        } else if let Some(switch) = VALUES.iter().find(|v| v.eq_ignore_ascii_case(name)) {
            push_value(&mut parsed, switch, value)?;
        } else if let Some(switch) = FLAGS.iter().find(|f| f.eq_ignore_ascii_case(name)) {
            match value.as_str() {
                "yes" | "true" | "1" => parsed.translate.push(c_text(&format!("-{switch}"))?),
                "no" | "false" | "0" => {}
                _ => return Err(format!("option '{name}': write yes or no, not '{value}'")),
            }
        } else {
            return Err(format!(
                "the engine has no option '{name}'; it takes layer, encoding, {}, {}, and dxf.NAME, dsco.NAME, lco.NAME, oo.NAME, cfg.NAME",
                VALUES.join(", "),
                FLAGS.join(", ")
            ));
        }
    }
    check_names(options)?;
    parsed.drawing.check()?;
    Ok(parsed)
}

/// Checks which options are given: each once, and those that have an effect together, or not at all.
fn check_names(options: &[(String, String)]) -> Result<(), String> {
    const NEED: &[(&str, &str)] = &[
        ("s_srs", "t_srs"),
        ("spat_srs", "spat"),
        ("datelineoffset", "wrapdateline"),
        ("maxsubfields", "splitlistfields"),
    ];
    // Of these, GDAL does what the last one says.
    const EXCLUDE: &[(&str, &str)] =
        &[("a_srs", "t_srs"), ("simplify", "segmentize"), ("fieldTypeToString", "mapFieldType")];
    let mut given = BTreeSet::new();
    for (name, _) in options {
        if !given.insert(name.to_ascii_lowercase()) && !name.eq_ignore_ascii_case("layer") {
            return Err(format!("option '{name}': it is given twice"));
        }
    }
    let has = |name: &str| given.contains(&name.to_ascii_lowercase());
    if let Some((name, other)) = NEED.iter().find(|(name, other)| has(name) && !has(other)) {
        return Err(format!("option '{name}': it has an effect together with '{other}' only"));
    }
    match EXCLUDE.iter().find(|(name, other)| has(name) && has(other)) {
        Some((name, other)) => Err(format!("option '{name}': it cannot be given together with '{other}'")),
        None => Ok(()),
    }
}

fn push_value(parsed: &mut Options, switch: &str, value: &str) -> Result<(), String> {
    if switch.ends_with("_srs") && !is_authority_code(value) {
        return Err(format!("option '{switch}': write a code such as EPSG:25832, not '{value}'"));
    }
    if value.starts_with('@') {
        return Err(format!("option '{switch}': a value cannot begin with '@'"));
    }
    values::check(switch, value).map_err(|text| format!("option '{switch}': {text}"))?;
    if switch == "where" {
        parsed.condition = Some(parsed.translate.len() + 1);
    }
    let mut push = |argument: &str| c_text(argument).map(|argument| parsed.translate.push(argument));
    let switched = format!("-{switch}");
    match switch {
        "spat" | "clipsrc" => {
            let numbers = rectangle(value).ok_or_else(|| {
                format!("option '{switch}': write xmin,ymin,xmax,ymax, the smaller first, not '{value}'")
            })?;
            push(&switched)?;
            numbers.into_iter().try_for_each(push)
        }
        // GDAL takes the two changes that go together one by one.
        _ => value.split(|c| c == ',' && switch == "nlt").try_for_each(|value| {
            push(&switched)?;
            push(value)
        }),
    }
}

/// Four numbers. A name here would be opened as a data source.
fn rectangle(value: &str) -> Option<Vec<&str>> {
    let parts: Vec<&str> = value.split([',', ' ']).filter(|part| !part.is_empty()).collect();
    let numbers: Option<Vec<f64>> = parts.iter().map(|part| values::number(part)).collect();
    match numbers.as_deref() {
        Some([xmin, ymin, xmax, ymax]) if xmin <= xmax && ymin <= ymax => Some(parts),
        _ => None,
    }
}

fn push_driver_option(
    parsed: &mut Options,
    name: &str,
    prefix: &str,
    key: &str,
    value: &str,
) -> Result<(), String> {
    // However the encoding is set, it is checked and converted in one place.
    let is_encoding = match prefix {
        "oo" => key.eq_ignore_ascii_case("ENCODING"),
        "cfg" => ["SHAPE_ENCODING", "DXF_ENCODING"].iter().any(|known| known.eq_ignore_ascii_case(key)),
        _ => false,
    };
    if is_encoding {
        return set_encoding(parsed, name, value);
    }
    if prefix == "dxf" {
        return parsed.drawing.take(name, key, value);
    }
    if prefix == "cfg" {
        let known = SETTINGS.iter().find(|known| known.to_bytes().eq_ignore_ascii_case(key.as_bytes()));
        let known = known.ok_or_else(|| {
            let names: Vec<_> = SETTINGS.iter().map(|known| known.to_string_lossy()).collect();
            format!("option '{name}' is not allowed; of cfg. these are: {}", names.join(", "))
        })?;
        values::setting(known).check(value).map_err(|text| format!("option '{name}': {text}"))?;
        parsed.config.push((known, c_text(value)?));
        return Ok(());
    }
    let (allowed, switch) = match prefix {
        "oo" => (OPEN_OPTIONS, None),
        "dsco" => (DATASET_OPTIONS, Some("-dsco")),
        "lco" => (LAYER_OPTIONS, Some("-lco")),
        _ => {
            return Err(format!(
                "the engine has no option '{name}'; other options begin with dxf., dsco., lco., oo. or cfg."
            ));
        }
    };
    let known = allowed.iter().find(|known| known.eq_ignore_ascii_case(key));
    let key = known.ok_or_else(|| {
        format!("option '{name}' is not allowed; of {prefix}. these are: {}", allowed.join(", "))
    })?;
    parsed.given.push((name.to_owned(), key, value.to_owned()));
    let mut value = value.to_owned();
    // The library ignores encodings that it does not know.
    if *key == "ENCODING" && !value.is_empty() && !value.starts_with("LDID/") {
        let charset =
            Charset::of_label(&value).filter(|charset| charset.is_ascii_compatible()).ok_or_else(|| {
                format!("option '{name}': '{value}' is not a known encoding; write for instance UTF-8, CP949")
            })?;
        value = charset.iconv();
    }
    let pair = c_text(&format!("{key}={value}"))?;
    match switch {
        Some(switch) => parsed.translate.extend([c_text(switch)?, pair]),
        None => parsed.open.push(pair),
    }
    Ok(())
}

fn set_encoding(parsed: &mut Options, name: &str, value: &str) -> Result<(), String> {
    if !value.eq_ignore_ascii_case("auto") {
        let charset = Charset::of_label(value).ok_or_else(|| {
            format!("option '{name}': '{value}' is not a known encoding; write auto, or for instance UTF-8, CP949, CP1252")
        })?;
        if parsed.encoding.is_some_and(|other| other != charset) {
            return Err(format!("option '{name}': another option names another encoding"));
        }
        parsed.encoding = Some(charset);
    }
    Ok(())
}

/// `EPSG:25832` and similar; GDAL may treat anything else as a file name or a URL.
fn is_authority_code(value: &str) -> bool {
    value.split_once(':').is_some_and(|(authority, code)| {
        ["EPSG", "ESRI", "OGC", "IGNF"].iter().any(|a| a.eq_ignore_ascii_case(authority))
            && !code.is_empty()
            && code.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

fn c_text(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| "an option contains a NUL byte".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(options: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let options: Vec<_> = options.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let parsed = parse(&options)?;
        let open = parsed.open.iter().map(|o| format!("oo:{}", o.to_str().unwrap()));
        Ok(parsed.translate.iter().map(|a| a.to_str().unwrap().to_owned()).chain(open).collect())
    }

    #[test]
    fn switches() {
        assert_eq!(parsed(&[("t_srs", "EPSG:3857")]).unwrap(), ["-t_srs", "EPSG:3857"]);
        assert_eq!(parsed(&[("skipfailures", "yes"), ("makevalid", "no")]).unwrap(), ["-skipfailures"]);
        assert_eq!(parsed(&[("layer", "roads")]).unwrap(), ["roads"]);
        assert_eq!(parsed(&[("spat", "0,0,10,10")]).unwrap(), ["-spat", "0", "0", "10", "10"]);
        assert_eq!(
            parsed(&[("dsco.VERSION", "1.2"), ("lco.fid", "id"), ("oo.HEADERS", "y")]).unwrap(),
            ["-dsco", "VERSION=1.2", "-lco", "FID=id", "oo:HEADERS=y"]
        );
    }

    #[test]
    fn an_encoding_has_several_names_and_one_value() {
        let of = |name: &str, value: &str| parse(&[(name.to_owned(), value.to_owned())]).map(|o| o.encoding);
        for name in ["encoding", "oo.ENCODING", "oo.encoding", "cfg.SHAPE_ENCODING", "cfg.DXF_ENCODING"] {
            assert_eq!(of(name, "ansi_949"), Ok(Some(Charset::CP949)), "{name}");
            assert_eq!(of(name, "auto"), Ok(None), "{name}");
            assert!(of(name, "nonsense").is_err(), "{name}");
        }
        let two = |a: &str, b: &str| {
            parse(&[("encoding".to_owned(), a.to_owned()), ("oo.ENCODING".to_owned(), b.to_owned())]).is_ok()
        };
        assert!(two("949", "cp949") && !two("949", "utf-8"));
    }

    #[test]
    fn values_are_checked_and_each_option_is_given_once() {
        for options in [
            &[("limit", "abc")][..],
            &[("dim", "9")],
            &[("nlt", "FOO")],
            &[("select", "")],
            &[("where", "")],
            &[("layer", "")],
            &[("spat", "10,0,0,10")],
            &[("spat", "0,0,nan,10")],
            &[("limit", "1"), ("limit", "2")],
            &[("where", "a=1"), ("WHERE", "b=1")],
            &[("lco.RESIZE", "YES"), ("lco.resize", "NO")],
            &[("s_srs", "EPSG:4326")],
            &[("spat_srs", "EPSG:4326")],
            &[("a_srs", "EPSG:4326"), ("t_srs", "EPSG:3857")],
            &[("simplify", "1"), ("segmentize", "1")],
        ] {
            assert!(parsed(options).is_err(), "{options:?}");
        }
        assert_eq!(parsed(&[("layer", "a"), ("layer", "b")]).unwrap(), ["a", "b"]);
        assert_eq!(
            parsed(&[("nlt", "PROMOTE_TO_MULTI,CONVERT_TO_LINEAR")]).unwrap(),
            ["-nlt", "PROMOTE_TO_MULTI", "-nlt", "CONVERT_TO_LINEAR"]
        );
        let options = [("limit", "1"), ("where", "이름 = 1")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let mut options = parse(&options).unwrap();
        options.quote_names();
        assert_eq!(options.translate[3], c"\"이름\" = 1".to_owned());
    }

    #[test]
    fn settings_are_listed() {
        let settings = parse(&[("cfg.ogr_arc_stepsize".to_owned(), "2.5".to_owned())]).unwrap().config;
        assert_eq!(settings, [(c"OGR_ARC_STEPSIZE", c"2.5".to_owned())]);
        for (name, value) in [
            ("cfg.GDAL_DATA", "x"),
            ("cfg.CPL_DEBUG", "ON"),
            ("cfg.GDAL_HTTP_PROXY", "x"),
            ("cfg.DXF_WRITE_HATCH", "/etc/passwd"),
            ("cfg.DXF_WRITE_HATCH", "2.5"),
            ("cfg.OGR_ARC_STEPSIZE", "x"),
            ("cfg.OGR_ORGANIZE_POLYGONS", "YES"),
        ] {
            assert!(parse(&[(name.to_owned(), value.to_owned())]).is_err(), "{name}");
        }
    }

    #[test]
    fn what_reaches_other_files_is_refused() {
        for (name, value) in [
            ("sql", "SELECT load_extension('x')"),
            ("clipsrc", "/etc/passwd"),
            ("clipsrcsql", "x"),
            ("dsco.HEADER", "/etc/passwd"),
            ("lco.header", "/etc/passwd"),
            ("oo.XSD", "http://example.com/x.xsd"),
            ("oo.REGISTRY", "/etc/passwd"),
            ("oo.DOWNLOAD_SCHEMA", "YES"),
            ("lco.TEMPORARY_DIR", "/tmp"),
            ("dsco.CONFIG", "/etc/passwd"),
            ("t_srs", "/etc/passwd"),
            ("a_srs", "http://example.com/x"),
            ("s_srs", "EPSG:../x"),
            ("where", "@/etc/passwd"),
            ("append", "yes"),
            ("update", "yes"),
            ("layer", "-append"),
            ("dsco.A=B", "c"),
            ("config.X", "y"),
            ("t_srs", "a\0b"),
        ] {
            assert!(parsed(&[(name, value)]).is_err(), "{name}={value}");
        }
    }
}
