//! The linter finds each fault that is planted in a drawing without any.

mod common;

use cadmill_dxf::Version;
use cadmill_dxf::lint::{Profile, Rule, check};
use common::sample;
use common::tags::Tags;

/// A fault: its name, the release of the drawing that it is planted in, the rule that finds it, and
/// how it is planted.
type Fault = (&'static str, Version, Rule, fn(&mut Tags));

use Rule::*;
use Version::*;

#[rustfmt::skip]
const FAULTS: &[Fault] = &[
    // Pairs and values.
    ("a byte order mark", R2010, ByteOrderMark, |t| t.before = b"\xef\xbb\xbf".to_vec()),
    ("bytes of another encoding", R2010, Encoding, |t| t.set("TEXT", 1, b"\xb0\xa1")),
    ("bytes that no page has", R2004, Encoding, |t| t.set("TEXT", 1, b"\xff\xff")),
    ("an old release", R2010, Version, |t| t.variable("$ACADVER", 1, "AC1009")),
    ("no release", R2010, Version, |t| t.remove_variable("$ACADVER")),
    ("a page that GDAL takes for Western", R2004, CodePage, |t| t.variable("$DWGCODEPAGE", 3, "KSC5601")),
    ("a line break in a text", R2010, Pairs, |t| t.set("TEXT", 1, b"a\nb")),
    ("a value without a group", R2010, Pairs, |t| t.after = b"  0\r\n".to_vec()),
    ("a group code that does not exist", R2010, Pairs, |t| t.append("POINT", 1072, "1")),
    ("a tab in a text", R2010, ControlCharacter, |t| t.set("TEXT", 1, b"a\tb")),
    ("a carriage return in a text", R2010, ControlCharacter, |t| t.set("TEXT", 1, b"a\rb")),
    ("a string of 2050 bytes", R2010, StringLength, |t| t.set("BLOCK", 1, &[b'x'; 2050])),
    ("256 bytes of extended data", R2010, StringLength, |t| t.set("LINE", 1000, &[b'x'; 256])),
    ("a coordinate that is no number", R2010, Real, |t| t.set("POINT", 10, b"nan")),
    ("a coordinate of Windows", R2010, Real, |t| t.set("POINT", 10, b"1.#QNAN")),
    ("an infinite coordinate", R2010, Real, |t| t.set("POINT", 20, b"1e400")),
    ("a decimal comma", R2010, Real, |t| t.set("POINT", 20, b"1,5")),
    ("an integer that is real", R2010, Integer, |t| t.set("LWPOLYLINE", 70, b"1.0")),
    ("an integer that is too wide", R2010, Integer, |t| t.set("LINE", 62, b"70000")),
    ("a handle that is no number", R2010, HandleForm, |t| t.set("POINT", 5, b"XYZ")),
    // Sections.
    ("no classes", R2010, Sections, |t| t.remove_section("CLASSES")),
    ("no objects", R2010, Sections, |t| t.remove_section("OBJECTS")),
    ("entities before tables", R2010, Sections, |t| t.move_section("ENTITIES", "TABLES")),
    ("a section without its end", R2010, Sections, |t| t.remove_record("ENDSEC")),
    ("no end", R2010, End, |t| t.remove_record("EOF")),
    ("an entity outside of sections", R2010, End, |t| t.insert_before("EOF", &[(0, "POINT")])),
    // The header.
    ("$ACADMAINTVER of another release", R2018, HeaderVariable, |t| t.recode_variable("$ACADMAINTVER", 70)),
    ("$PSTYLEMODE as another type", R2010, HeaderVariable, |t| t.recode_variable("$PSTYLEMODE", 70)),
    ("no $HANDSEED", R2010, HeaderVariable, |t| t.remove_variable("$HANDSEED")),
    ("$XCLIPFRAME of another release", R2004, HeaderVariable, |t| t.add_variable("$XCLIPFRAME", 280, "2")),
    ("a variable twice", R2010, HeaderVariable, |t| t.add_variable("$LTSCALE", 40, "1.0")),
    ("$HANDSEED too small", R2010, HandleSeed, |t| t.variable("$HANDSEED", 5, "100")),
    ("a count in a class", R2000, ClassGroups, |t| t.append("CLASS", 91, "1")),
    ("a group of a later release in a class", R2010, ClassGroups, |t| t.append("CLASS", 92, "1")),
    ("an object without its class", R2010, ClassMissing, |t| t.remove_record("CLASS")),
    // Handles.
    ("an entity without a handle", R2010, NoHandle, |t| t.remove("POINT", 5)),
    ("a handle of another entity", R2010, HandleTwice, |t| t.set("POINT", 5, b"1F")),
    ("a handle of zero", R2010, HandleTwice, |t| t.set("POINT", 5, b"0")),
    ("a plot style that does not exist", R2010, Pointer, |t| t.set("LAYER", 390, b"FFFF")),
    ("a layout that does not exist", R2010, Pointer, |t| t.set("BLOCK_RECORD", 340, b"FFFF")),
    // Tables.
    ("no table VIEW", R2010, Tables, |t| t.remove_table("VIEW")),
    ("a table without its marker", R2010, TableHead, |t| t.remove("TABLE", 100)),
    ("DIMSTYLE without its second marker", R2010, TableHead, |t| t.remove_value(100, "AcDbDimStyleTable")),
    ("no line type ByBlock", R2010, StandardRecord, |t| t.rename(2, "ByBlock", "Other")),
    ("no layer 0", R2010, StandardRecord, |t| t.remove_record("LAYER")),
    ("a record without its marker", R2010, RecordMarkers, |t| t.remove("LAYER", 100)),
    ("a record in another table", R2010, RecordMarkers, |t| t.rename(0, "STYLE", "LAYER")),
    ("a record of another table", R2010, RecordOwner, |t| t.set("LAYER", 330, b"3")),
    ("a viewport with flags", R2010, RecordFlags, |t| t.set("VPORT", 70, b"64")),
    ("names that differ by case", R2010, NameTwice, |t| t.rename(2, "empty", "표지")),
    ("a comma in a layer's name", R2010, NameCharacters, |t| t.rename(2, "a_b", "a,b")),
    ("a slash in a block's name", R2010, NameCharacters, |t| t.rename(2, "empty", "a/b")),
    ("an asterisk before a layer's name", R2010, NameCharacters, |t| t.rename(2, "a_b", "*ab")),
    ("a layer without a name", R2010, NameCharacters, |t| t.rename(2, "a_b", "")),
    ("a layer's name with a blank at its end", R2010, NameLength, |t| t.rename(2, "a_b", "a_b ")),
    ("a layer's name of 256 characters", R2010, NameLength, |t| t.rename(2, "a_b", &"x".repeat(256))),
    ("a layer without a plot style", R2010, LayerPlotStyle, |t| t.remove("LAYER", 390)),
    ("Defpoints plotted", R2010, LayerPlotStyle, |t| t.set_of("Defpoints", 290, "1")),
    ("ACAD after another application", R2010, ApplicationOrder, |t| t.swap_values(2, "ACAD", "CADMILL")),
    // Blocks.
    ("a block record without a block", R2010, BlockRecord, |t| t.remove_block("empty")),
    ("a block of another record", R2010, BlockRecord, |t| t.set("BLOCK", 330, b"1B")),
    ("a block without an end", R2010, BlockEnd, |t| t.remove_record("ENDBLK")),
    // Entities.
    ("an entity without AcDbEntity", R2010, EntityMarkers, |t| t.remove("POINT", 100)),
    ("a line marked as a point", R2010, EntityMarkers, |t| t.rename(100, "AcDbLine", "AcDbPoint")),
    ("a vertex with one marker", R2010, EntityMarkers, |t| t.remove_value(100, "AcDb3dPolylineVertex")),
    ("a text with one marker", R2010, EntityMarkers, |t| t.remove_last("TEXT", 100)),
    ("a line without an end", R2010, GroupMissing, |t| t.remove("LINE", 21)),
    ("a text without what it says", R2010, GroupMissing, |t| t.remove("TEXT", 1)),
    ("a width in a line", R2010, GroupUnknown, |t| t.insert_after("LINE", 10, 43, "1.0")),
    ("an entity of nothing", R2010, EntityOwner, |t| t.remove("LINE", 330)),
    ("an entity of a table", R2010, EntityOwner, |t| t.set("LINE", 330, b"2")),
    ("a vertex of another polyline", R2010, EntityOwner, |t| t.set("VERTEX", 330, b"1B")),
    ("a vertex alone", R2010, Parent, |t| t.remove_record("POLYLINE")),
    ("a polyline without SEQEND", R2010, SequenceEnd, |t| t.remove_record("SEQEND")),
    ("attributes without SEQEND", R2010, SequenceEnd, |t| t.remove_record_after("ATTRIB", "SEQEND")),
    ("attributes that are not announced", R2010, Parent, |t| t.remove("INSERT", 66)),
    ("a layer without a record", R2010, Layer, |t| t.set("LINE", 8, b"nowhere")),
    ("a line type without a record", R2010, Linetype, |t| t.set("LINE", 6, b"nothing")),
    ("a text style without a record", R2010, TextStyle, |t| t.set("TEXT", 7, b"nothing")),
    ("a block without a record", R2010, Block, |t| t.set("INSERT", 2, b"nothing")),
    ("a colour of 257", R2010, Color, |t| t.set("LINE", 62, b"257")),
    ("a true colour in R2000", R2000, TrueColor, |t| t.insert_after("LINE", 62, 420, "255")),
    ("a lineweight that does not exist", R2010, Lineweight, |t| t.set("LINE", 370, b"31")),
    ("a text without height", R2010, Size, |t| t.set("TEXT", 40, b"0.0")),
    ("a circle without radius", R2010, Size, |t| t.set("CIRCLE", 40, b"-1.0")),
    ("an insertion without size", R2010, Size, |t| t.set("INSERT", 41, b"0.0")),
    ("flags before the count", R2010, CountFirst, |t| t.swap("LWPOLYLINE", 90, 70)),
    ("a count that is too large", R2010, Count, |t| t.set("LWPOLYLINE", 90, b"9")),
    ("a polyface mesh with fewer faces", R2010, Count, |t| t.set_polyface(72, "9")),
    ("a polyline of one vertex", R2010, Degenerate, |t| t.keep_vertices(1)),
    ("a hatch without a seed's place", R2010, Hatch, |t| t.remove_last("HATCH", 20)),
    ("a path without its count of sources", R2010, Hatch, |t| t.remove("HATCH", 97)),
    ("a path with fewer vertices", R2010, Hatch, |t| t.set("HATCH", 93, b"3")),
    ("a pixel size in a solid hatch's path", R2010, Hatch, |t| t.insert_after("HATCH", 92, 47, "1.0")),
    ("a mesh in R2007", R2007, Mesh, |t| t.insert_before("SEQEND", &[(0, "MESH")])),
    ("a mesh with fewer vertices", R2010, Mesh, |t| t.set("MESH", 92, b"3")),
    ("a face of a vertex that does not exist", R2010, FaceIndex, |t| t.set_face("9")),
    ("a mesh's face of a vertex that does not exist", R2010, FaceIndex, |t| t.set_last("MESH", 90, 1, "9")),
    ("pieces of an MTEXT out of order", R2010, MTextPieces, |t| t.swap("MTEXT", 3, 1)),
    ("a piece of an MTEXT of 256 characters", R2010, MTextPieces, |t| t.set("MTEXT", 3, &[b'x'; 256])),
    ("a text of 256 characters", R2010, TextLength, |t| t.set("TEXT", 1, &[b'x'; 256])),
    ("an attribute with one version", R2010, AttributeVersions, |t| t.remove("ATTRIB", 280)),
    // Extended data.
    ("a group after extended data", R2010, DataPosition, |t| t.append("LINE", 62, "1")),
    ("an application that is not registered", R2010, DataApplication, |t| t.set("LINE", 1001, b"OTHER")),
    ("an application twice", R2010, DataApplication, |t| t.append("LINE", 1001, "CADMILL")),
    ("extended data of nobody", R2010, DataApplication, |t| t.remove("LINE", 1001)),
    ("a brace that is not closed", R2010, DataBraces, |t| t.remove_last("LINE", 1002)),
    ("extended data of 17,000 bytes", R2010, DataSize, |t| for _ in 0..85 { t.append("LINE", 1000, &"x".repeat(200)) }),
    // Objects.
    ("another dictionary first", R2010, RootDictionary, |t| t.remove_record("DICTIONARY")),
    ("no ACAD_GROUP", R2010, RootDictionary, |t| t.rename(3, "ACAD_GROUP", "GROUP")),
    ("an object of nothing", R2010, ObjectOwner, |t| t.set("MLINESTYLE", 330, b"FFFF")),
    ("a layout without plot settings", R2010, Layout, |t| t.remove("LAYOUT", 100)),
    ("a layout that shows another's block", R2010, Layout, |t| t.set_last("LAYOUT", 330, 0, "1B")),
    ("a reference system in R2007", R2007, GeoData, |t| t.insert_before("MLINESTYLE", &[(0, "GEODATA")])),
    ("a reference system without a marker", R2010, GeoData, |t| t.remove("GEODATA", 100)),
    ("a reference system out of order", R2010, GeoData, |t| t.swap("GEODATA", 91, 41)),
    ("a reference system without its end", R2010, GeoData, |t| t.remove("GEODATA", 96)),
    ("a definition without its last piece", R2010, GeoData, |t| t.remove("GEODATA", 301)),
    ("a mesh of points that do not follow", R2010, GeoData, |t| t.set("GEODATA", 93, b"1")),
    ("a reference system of another space", R2010, GeoData, |t| t.set_last("GEODATA", 330, 0, "1B")),
    ("a reference system in no extension", R2010, GeoData, |t| t.remove("BLOCK_RECORD", 360)),
    ("a reference system under another name", R2010, GeoData, |t| t.rename(3, "ACAD_GEOGRAPHICDATA", "GEO")),
    ("a scale of zero", R2010, GeoData, |t| t.set("GEODATA", 40, b"0.0")),
];

#[test]
fn each_fault_is_found() {
    assert!(FAULTS.len() >= 40);
    let mut missed = Vec::new();
    for (name, version, rule, plant) in FAULTS {
        let sound = sample::everything(sample::settings(*version));
        let mut tags = Tags::parse(&sound);
        assert_eq!(tags.bytes(), sound);
        plant(&mut tags);
        let faulty = tags.bytes();
        assert!(faulty != sound, "{name}: nothing was planted");
        let found: Vec<Rule> = check(&faulty, Profile::Strict).iter().map(|finding| finding.rule).collect();
        if !found.contains(rule) {
            missed.push(format!("{name}: {rule:?} not in {found:?}"));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
