//! GDAL's messages: which one is the reason of a failure, what it blames, and what the user of
//! cadmill can do.
//!
//! GDAL reports a failure from the inside out, so the first error is the reason, and the last one
//! says that the translation has ended. Its hints name switches of `ogr2ogr` and configuration
//! options, which have other names here.

/// Stands for the reason where GDAL gives none, and the input has several layers.
pub(super) const SEVERAL_LAYERS: &str = "the input has several layers";

/// What a failure blames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blames {
    /// The input.
    Input,
    /// The output format, the options, or what the input has for them.
    Order,
}

/// What a message means that GDAL goes on after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// The output format has no such field.
    Field(String),
    /// The output format has no fields of this type; of none if it is empty. Types have names or numbers.
    FieldType(String),
    /// Characters are lost.
    TextLost,
    /// What [`drawing`](super::drawing) tells of a block, once and with its reason.
    Block,
    /// Anything else.
    Other,
}

/// The meaning of a message that does not end the translation.
pub(super) fn notice(message: &str) -> Notice {
    // What comes before and after the name of the field, or of its type.
    const FIELDS: &[(&str, &str)] = &[
        ("does not support arbitrary field creation, field '", "'"),
        ("Field of name '", "' is not supported in GPX schema"),
    ];
    const TYPES: &[(&str, &str)] = &[
        ("CreateField() not supported by this layer", "."),
        ("CreateField() called with unsupported field type ", "."),
        ("Can't create fields of type ", " on "),
        ("Attempt to create field of type ", ", but this is not supported"),
    ];
    let between = |list: &[(&str, &str)]| {
        list.iter().find_map(|(before, after)| {
            let (_, rest) = message.split_once(before)?;
            rest.split_once(after).map(|(name, _)| name.to_owned())
        })
    };
    if let Some(name) = between(FIELDS) {
        return Notice::Field(name);
    }
    if let Some(kind) = between(TYPES) {
        return Notice::FieldType(kind);
    }
    if message.starts_with("Block ") && message.ends_with(" does not exist") {
        return Notice::Block;
    }
    const LOSSES: &[&str] =
        &["couldn't be converted correctly from", "Recode from", "cannot convert to", "Forcing it to ASCII"];
    let is_cut = message.starts_with("Value '") && message.contains("has been truncated to");
    if is_cut || LOSSES.iter().any(|loss| message.contains(loss)) { Notice::TextLost } else { Notice::Other }
}

/// A message with the options in cadmill's spelling, and without the place in GDAL's source.
pub(super) fn respelled(message: &str) -> String {
    let message = without_source(message);
    let ogr2ogr = "-mapFieldType can be used to control field type conversion";
    message.replace(ogr2ogr, "--opt mapFieldType=TYPE=TYPE chooses another type")
}

/// `./ogr/a.cpp, 2151: error at line 50` without the file and the line of GDAL.
fn without_source(message: &str) -> &str {
    const ENDS: &[&str] = &[".cpp, ", ".c, ", ".h, "];
    let rest = ENDS.iter().find_map(|end| message.split_once(end)).filter(|(file, _)| !file.contains(' '));
    let place = rest.and_then(|(_, rest)| rest.split_once(": "));
    let is_number = |number: &str| number.bytes().all(|byte| byte.is_ascii_digit());
    place.filter(|(number, _)| is_number(number)).map_or(message, |(_, rest)| rest)
}

/// What is lost, without the value, which may be long.
pub(super) fn loss(message: &str) -> String {
    match message.rfind("' of field ").filter(|_| message.starts_with("Value '")) {
        Some(at) => format!("a value{}", &message[at + 1..]),
        // Layers are files in a .kmz.
        None if message.contains("to CP437") => {
            format!("{message}; the name of the layer can be another: --opt nln=NAME")
        }
        None => message.to_owned(),
    }
}

/// Whether a message only says that another was the end.
pub(super) fn only_ends(message: &str) -> bool {
    message.starts_with("Terminating translation prematurely")
        || (message.starts_with("Unable to write feature") && message.contains("from layer"))
}

/// Whether a message of the debug output says that a feature was left out.
pub(super) fn is_left_out(message: &str) -> bool {
    message.contains("Unable to write feature")
}

/// Whether a message means that the input ends early or has parts that cannot be read: what GDAL
/// returns then is not what the file had.
pub(super) fn is_damage(message: &str) -> bool {
    const DAMAGE: &[&str] = &[
        "XML parsing of",
        "Error in fread",
        "JSON parsing error",
        "Unexpected I/O failure",
        "unexpected end of",
    ];
    DAMAGE.iter().any(|words| message.contains(words))
}

/// A feature without geometry, for a format that has features with one only.
pub(super) fn lacks_geometry(message: &str) -> bool {
    message.contains("No known way to write feature with geometry 'None'")
        || message.contains("Features without geometry not supported by GMT writer")
}

/// Whether the message is about a kind of geometry that a shapefile does not have.
pub(super) fn is_of_other_kind(text: &str) -> bool {
    text.contains("Attempt to write non-")
}

/// Patterns of messages: all parts occur in the message.
struct Pattern {
    parts: &'static [&'static str],
    blames: Blames,
    advice: &'static str,
}

const fn order(parts: &'static [&'static str], advice: &'static str) -> Pattern {
    Pattern { parts, blames: Blames::Order, advice }
}

const fn input(parts: &'static [&'static str], advice: &'static str) -> Pattern {
    Pattern { parts, blames: Blames::Input, advice }
}

const KINDS: &str = "the output has one kind of geometry: --opt where=\"OGR_GEOMETRY = 'Polygon'\" takes one kind, --opt nlt=PROMOTE_TO_MULTI makes single and multiple geometries one kind, --opt skipfailures=yes leaves the others out";

const ONE_LAYER: &str = "the output format has one layer: choose one with --opt layer=NAME";

const GPX: &str = "a layer of GPX has points or lines: --opt where=\"OGR_GEOMETRY = 'POINT'\" --opt nlt=POINT takes points, --opt explodecollections=yes multiple points, --opt nlt=MULTILINESTRING lines and the outlines of polygons";

/// What to do about features without geometry, if there are no others.
pub(super) const NO_GEOMETRY: &str = "no feature has a geometry: of a CSV, name the columns of the coordinates with --opt oo.X_POSSIBLE_NAMES=NAME --opt oo.Y_POSSIBLE_NAMES=NAME";

const NO_SUCH_GEOMETRY: &str = "the output format has no such geometry: --opt skipfailures=yes leaves such features out, --opt explodecollections=yes takes multiple geometries and collections apart";

/// In the order in which they are tried.
const PATTERNS: &[Pattern] = &[
    order(&["Geometry type of `None'"], NO_GEOMETRY),
    order(&["GPX layer", "unknown geometry type"], GPX),
    order(&["not supported in GPX"], GPX),
    order(&["not supported for '", "' element"], GPX),
    order(&["not supported by GPX writer"], NO_SUCH_GEOMETRY),
    order(&["geometry collection geometries not"], NO_SUCH_GEOMETRY),
    order(&["Can't write non", "Geoconcept layer"], KINDS),
    order(&["can only handle Point layers"], KINDS),
    order(&["unsupported geometry type"], KINDS),
    order(
        &["SRS is mandatory"],
        "the output format has a reference system: name that of the input with --opt a_srs=EPSG:CODE",
    ),
    order(
        &["duplicate column name"],
        "fields have the names of columns that the output has anyway: --opt lco.GEOMETRY_NAME=NAME and --opt lco.FID=NAME give those other names",
    ),
    order(
        &["UNIQUE constraint failed"],
        "a field that numbers the features has a number twice: --opt lco.FID=NAME gives the output a numbering of another name",
    ),
    order(
        &["Missing implementation for OGRFieldType"],
        "the output format has no fields of this type: --opt fieldTypeToString=IntegerList,Integer64List,RealList,StringList writes lists as text, --opt select=NAMES takes other fields",
    ),
    order(
        &["must contain at least 1 attribute field"],
        "the input has no fields: choose another output format",
    ),
    order(&["invalid feature id"], "choose another output format, or fields with --opt select=NAMES"),
    order(
        &["Invalid latitude"],
        "the coordinates are not those of the reference system that the input names: give the right one with --opt a_srs=EPSG:CODE",
    ),
    order(
        &["Cannot compute spatial extent"],
        "the features have no extent, which the output format needs: choose another",
    ),
    order(&["more than one OGR entities layer"], ONE_LAYER),
    order(&["only supports one layer"], ONE_LAYER),
    order(&[SEVERAL_LAYERS], ONE_LAYER),
    order(&["Attempt to write non-"], KINDS),
    order(&["Attempt to write", "geometry to"], KINDS),
    order(&["Mismatched geometry type"], KINDS),
    order(&["Geometry type", "not supported in shapefiles"], KINDS),
    order(&["Geometry type", "not supported"], KINDS),
    order(&["eometry type", "is not compatible"], KINDS),
    order(&["No known way to write feature"], NO_SUCH_GEOMETRY),
    order(&["driver doesn't support creating more than one layer"], ONE_LAYER),
    order(&["does not already exist in the output dataset"], ONE_LAYER),
    order(&["more than one layer"], ONE_LAYER),
    order(
        &["Layer", "already exists"],
        "two layers get the same name in the output: name one with --opt layer=NAME",
    ),
    order(
        &["failed to prepare SQL", " m WHERE "],
        "--opt where= names a field that the layer does not have, or is no condition",
    ),
    order(&["SQL Expression Parsing Error"], "correct the condition of --opt where="),
    order(
        &["not recognised as an available field"],
        "--opt where= names a field that the layer does not have",
    ),
    order(&["SetAttributeFilter", "failed"], "correct the condition of --opt where="),
    order(&["Type mismatch or improper type"], "--opt where= compares a field with a value of another type"),
    order(&["Couldn't fetch requested layer"], "the input has no layer of the name in --opt layer="),
    order(
        &["Field '", "not found in source layer"],
        "--opt select= names a field that the layer does not have",
    ),
    order(&["not found in source layer"], "--opt select= names a field that the layer does not have"),
    order(
        &["Failed to reproject feature"],
        "coordinates lie outside of the reference system's area: --opt cfg.OGR_ENABLE_PARTIAL_REPROJECTION=yes keeps what can be converted, --opt skipfailures=yes leaves such features out",
    ),
    order(
        &["Can't transform coordinates, source layer has no"],
        "the input does not say its reference system: give it with --opt s_srs=EPSG:CODE",
    ),
    order(&["Failed to create coordinate transformation"], "check --opt s_srs= and --opt t_srs="),
    order(
        &["maximum file size"],
        "the output format has files of limited size: choose another, or a part with --opt where=",
    ),
    order(
        &["2GB file size limit"],
        "the output format has files of limited size: choose another, or a part with --opt where=",
    ),
    order(&["Failed to create field name"], "choose another output format, or fields with --opt select="),
    order(&["Too many", "fields"], "choose another output format, or fields with --opt select="),
    order(
        &["requires geographic"],
        "the output format has geographic coordinates only: convert with --opt t_srs=EPSG:4326",
    ),
    order(
        &["Latitude", "is invalid"],
        "the output format has geographic coordinates only: convert with --opt t_srs=EPSG:4326",
    ),
    order(
        &["Longitude", "is invalid"],
        "the output format has geographic coordinates only: convert with --opt t_srs=EPSG:4326",
    ),
    input(
        &["SHAPE_RESTORE_SHX"],
        "the index (.shx) is missing: put it into the archive beside the .shp file",
    ),
    input(&["is not a valid", "encoding"], "name the encoding with --opt encoding=NAME"),
    input(&["not well-formed"], "the XML is damaged: export the file again"),
    input(&["XML parsing of"], "the XML is damaged: export the file again"),
    input(&["JSON parsing error"], "the JSON is damaged: export the file again"),
    input(&["GeoJSON object too complex"], "--opt cfg.OGR_GEOJSON_MAX_OBJ_SIZE=MB allows larger features"),
    input(
        &["not recognized as a supported file format"],
        "the content is not of the format that the name says",
    ),
    input(
        &["not recognized as being in a supported file format"],
        "the content is not of the format that the name says",
    ),
    input(&["does not appear to be a valid"], "the content is not of the format that the name says"),
    input(&["Failed to read all values for feature"], "the file is cut short: transfer or export it again"),
    input(&["Corrupted .shp"], "the file is damaged: transfer or export it again"),
    input(&["Error in fread"], "the file is cut short: transfer or export it again"),
    input(
        &["Only DWG R2000"],
        "only drawings of AutoCAD 2000 are read: save the drawing as DXF, or as DWG of version 2000",
    ),
    input(&["DWG"], "save the drawing as DXF"),
];

/// What a reason blames, and the reason with what the user can do.
pub(super) fn explain(reason: &str) -> (Blames, String) {
    // Hints in the spelling of `ogr2ogr` follow the reason.
    let short = ["  Type can be overridden", " (use -skipfailures", "\nPerhaps", ". Set SHAPE_RESTORE_SHX"]
        .iter()
        .filter_map(|hint| reason.find(hint))
        .min()
        .map_or(reason, |at| &reason[..at]);
    let short = short.trim().trim_end_matches('.');
    match PATTERNS.iter().find(|pattern| pattern.parts.iter().all(|part| reason.contains(part))) {
        Some(pattern) => (pattern.blames, format!("{short}; {}", pattern.advice)),
        None => (Blames::Input, short.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_blame_and_advise_in_our_spelling() {
        for (reason, blames, part) in [
            (
                "Attempt to write non-point (LINESTRING) geometry to point shapefile.",
                Blames::Order,
                "nlt=PROMOTE_TO_MULTI",
            ),
            (
                "Unable to open a.shx or a.SHX. Set SHAPE_RESTORE_SHX config option to YES to restore or create it.",
                Blames::Input,
                "is missing",
            ),
            ("Couldn't fetch requested layer roads!", Blames::Order, "--opt layer="),
            ("SQL Expression Parsing Error: syntax error", Blames::Order, "--opt where="),
            ("something new", Blames::Input, "something new"),
            ("Cannot create GPX layer a with unknown geometry type", Blames::Order, "nlt=POINT"),
            ("Geometry type of `Polygon' not supported in GPX.", Blames::Order, "nlt=MULTILINESTRING"),
            (
                "DGN driver only supports one layer with all the elements in it.",
                Blames::Order,
                "--opt layer=",
            ),
            (SEVERAL_LAYERS, Blames::Order, "--opt layer="),
            (
                "sqlite3_exec(CREATE TABLE x) failed: duplicate column name: geom",
                Blames::Order,
                "GEOMETRY_NAME",
            ),
            ("failed to execute insert : UNIQUE constraint failed: a.fid", Blames::Order, "lco.FID="),
        ] {
            let (blamed, text) = explain(reason);
            assert_eq!(blamed, blames, "{reason}");
            assert!(text.contains(part), "{text}");
            assert!(!text.contains("-skipfailures to") && !text.contains("Set SHAPE_RESTORE"), "{text}");
        }
    }

    #[test]
    fn what_is_lost_is_noticed() {
        let field = "DXF layer does not support arbitrary field creation, field '이름' not created.";
        assert_eq!(notice(field), Notice::Field("이름".to_owned()));
        let gpx = "Field of name 'a' is not supported in GPX schema. Use GPX_USE_EXTENSIONS creation option";
        assert_eq!(notice(gpx), Notice::Field("a".to_owned()));
        for (message, kind) in [
            ("CreateField() not supported by this layer.\n", ""),
            ("IMapInfoFile::CreateField() called with unsupported field type 5.\nNote", "5"),
            ("Can't create fields of type StringList on shapefile layers.", "StringList"),
            ("Can't create fields of type RealList on Geoconcept feature a.a.", "RealList"),
        ] {
            assert_eq!(notice(message), Notice::FieldType(kind.to_owned()));
        }
        for message in [
            "One or several characters couldn't be converted correctly from UTF-8 to CP949.  This warning will not be emitted anymore",
            "Value 'x' of field a has been truncated to 254 characters.  This warning will not be emitted any more for that layer.",
            "Failed to create field name '이름': cannot convert to ISO-8859-1",
        ] {
            assert_eq!(notice(message), Notice::TextLost, "{message}");
        }
        assert_eq!(notice("Geometry of polygon cannot be translated"), Notice::Other);
        let long = format!("Value '{}' of field a has been truncated to 254 characters.", "가".repeat(400));
        assert!(
            respelled("x. -mapFieldType can be used to control field type conversion.")
                .contains("--opt mapFieldType")
        );
        let place = "./ogr/ogrsf_frmts/dxf/ogrdxflayer.cpp, 2151: error at line 50 of a.dxf";
        assert_eq!(respelled(place), "error at line 50 of a.dxf");
        for other in ["a.cpp, x: y", "of a.c, 5: y", "x: y"] {
            assert_eq!(respelled(other), other);
        }
        assert_eq!(notice("Block A b does not exist"), Notice::Block);
        assert_eq!(loss(&long), "a value of field a has been truncated to 254 characters.");
        assert!(only_ends(
            "Terminating translation prematurely after failed translation of layer a (use -skipfailures to skip errors)"
        ));
        assert!(only_ends("Unable to write feature 3 from layer a."));
        assert!(!only_ends("Attempt to write non-point (LINESTRING) geometry to point shapefile."));
    }
}
