//! What the linter finds.

use std::fmt;

/// A rule of a strict reader.
///
/// The sources are reports of users of AutoCAD and of other programs, by repository and issue; the
/// rest is the reference of Autodesk, or what every drawing by AutoCAD has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// No byte order mark. ezdxf refuses the file.
    ByteOrderMark,
    /// Bytes are text in the drawing's encoding.
    Encoding,
    /// A known release in `$ACADVER`.
    Version,
    /// A known page in `$DWGCODEPAGE`, which decides how GDAL reads the drawing.
    CodePage,
    /// Lines are pairs of a group code and a value (netDxf#472).
    Pairs,
    /// No control character in a value (netDxf#472, libredwg#1408, qgis#32548).
    ControlCharacter,
    /// No longer string than its type allows.
    StringLength,
    /// Reals are finite, and in decimal (qgis#54176, netDxf#202).
    Real,
    /// Integers are integers, and within their width.
    Integer,
    /// Handles are hexadecimal.
    HandleForm,
    /// All sections, in their order.
    Sections,
    /// EOF ends the drawing, and nothing stands outside of sections.
    End,
    /// Variables of the header have the group and value that the release takes (ezdxf#1049, ezdxf#381).
    HeaderVariable,
    /// Every object has a handle.
    NoHandle,
    /// Handles are not zero, and belong to one object (libredwg#1356).
    HandleTwice,
    /// `$HANDSEED` is above every handle (dxf-rs#4).
    HandleSeed,
    /// What an object refers to exists (gdal#6013, netDxf#147).
    Pointer,
    /// All nine tables.
    Tables,
    /// A table's head has its markers (dxfjs/writer#26).
    TableHead,
    /// Tables have what every drawing has.
    StandardRecord,
    /// A record's table and markers are its own.
    RecordMarkers,
    /// A record's owner is its table.
    RecordOwner,
    /// A record's flags are those that a writer may set (acadrust PR#95).
    RecordFlags,
    /// Names are unique, whatever the case (KLayout#320).
    NameTwice,
    /// Names have legal characters (qgis#47381, LibreCAD#2551).
    NameCharacters,
    /// Names have at most 255 characters, and no blanks at their ends.
    NameLength,
    /// Layers have a plot style.
    LayerPlotStyle,
    /// The application ACAD comes first.
    ApplicationOrder,
    /// Classes have the groups of the release (ACadSharp#956, ACadSharp#1253).
    ClassGroups,
    /// Objects that need a class have one.
    ClassMissing,
    /// A block is owned by its record, and each record has a block.
    BlockRecord,
    /// BLOCK and ENDBLK are pairs.
    BlockEnd,
    /// An entity has the markers of its kind, in order (libdxfrw#14).
    EntityMarkers,
    /// An entity has what its kind needs.
    GroupMissing,
    /// An entity has no group that its kind does not know.
    GroupUnknown,
    /// An entity's owner is where it stands; that of a vertex or attribute may be what it belongs to.
    EntityOwner,
    /// Vertices and attributes follow what they belong to.
    Parent,
    /// SEQEND ends vertices and attributes.
    SequenceEnd,
    /// An entity's layer has a record.
    Layer,
    /// An entity's line type has a record.
    Linetype,
    /// A text's style has a record (ezdxf#164).
    TextStyle,
    /// An inserted block has a record.
    Block,
    /// Colours are from 0 to 256.
    Color,
    /// True colours and opacity only from R2004 (qgis#60802).
    TrueColor,
    /// Lineweights are those of the format.
    Lineweight,
    /// Heights, radii and scales are not zero.
    Size,
    /// The number of vertices comes first in an LWPOLYLINE, or AutoCAD takes it as open.
    CountFirst,
    /// Counts are those of what follows.
    Count,
    /// No line with one vertex, no ring with two (netDxf#369).
    Degenerate,
    /// A hatch's groups are in their order (libredwg#280, ixmilia/dxf#167).
    Hatch,
    /// A mesh's groups are in their order, from R2010.
    Mesh,
    /// Faces name vertices that exist.
    FaceIndex,
    /// Pieces of an MTEXT are in order, and at most 250 characters long.
    MTextPieces,
    /// A TEXT has at most 255 characters.
    TextLength,
    /// Attributes have two version groups or none (ezdxf#907).
    AttributeVersions,
    /// Extended data end the entity.
    DataPosition,
    /// Extended data begin with an application, which is registered (ezdxf#1079), once.
    DataApplication,
    /// Braces of extended data are balanced.
    DataBraces,
    /// Extended data have groups from 1000 to 1071, and at most 16,383 bytes.
    DataSize,
    /// The root dictionary comes first, and has ACAD_GROUP.
    RootDictionary,
    /// An object's owner exists.
    ObjectOwner,
    /// A layout has its two markers, and refers to the block record that refers to it (ezdxf#997).
    Layout,
    /// A GEODATA has its groups in order, from R2010, and is in the extension dictionary of its block
    /// record.
    GeoData,
}

/// A rule that a drawing breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The line of the file, from 1; 0 for what is missing.
    pub line: usize,
    /// The rule.
    pub rule: Rule,
    /// What was found.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {:?}: {}", self.line, self.rule, self.text)
    }
}

/// Findings that are kept; the rest would say the same.
const MOST: usize = 1000;

#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, rule: Rule, line: usize, text: impl Into<String>) {
        if self.0.len() < MOST {
            self.0.push(Finding { line, rule, text: text.into() });
        }
    }

    /// Adds a finding unless something is so.
    pub(super) fn expect(&mut self, so: bool, rule: Rule, line: usize, text: &str) {
        if !so {
            self.add(rule, line, text);
        }
    }

    pub(super) fn into_vec(mut self) -> Vec<Finding> {
        self.0.sort_by_key(|finding| finding.line);
        self.0
    }
}
