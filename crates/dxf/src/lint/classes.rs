//! Which groups entities have, by the reference of Autodesk.

/// Groups of one class of an entity.
pub(super) struct Class {
    /// Its marker.
    pub(super) marker: &'static str,
    /// What must be there.
    pub(super) needed: &'static [u16],
    /// What else may be there.
    pub(super) allowed: &'static [u16],
}

/// Groups of all entities, before the marker of their class.
pub(super) const COMMON: &[u16] =
    &[5, 330, 360, 102, 67, 410, 8, 6, 62, 370, 48, 60, 420, 430, 440, 284, 347, 348, 390, 92, 160, 310];

/// What GDAL writes after it.
pub(super) const LATE: &[u16] = &[62, 370, 6];

macro_rules! classes {
    ($($name:ident: $marker:literal, $needed:expr, $allowed:expr;)*) => {
        $(const $name: Class = Class { marker: $marker, needed: &$needed, allowed: &$allowed };)*
    };
}

classes! {
    POINT: "AcDbPoint", [10, 20], [30, 39, 50, 210, 220, 230];
    LINE: "AcDbLine", [10, 20, 11, 21], [30, 31, 39, 210, 220, 230];
    CIRCLE: "AcDbCircle", [10, 20, 40], [30, 39, 210, 220, 230];
    ARC: "AcDbArc", [50, 51], [210, 220, 230];
    POLYLINE: "AcDbPolyline", [90, 70, 10, 20], [43, 38, 39, 40, 41, 42, 210, 220, 230];
    POLYLINE_2D: "AcDb2dPolyline", [10, 20, 30],
        [66, 70, 39, 40, 41, 71, 72, 73, 74, 75, 210, 220, 230];
    POLYLINE_3D: "AcDb3dPolyline", [10, 20, 30, 70], [66, 75, 210, 220, 230];
    POLYFACE: "AcDbPolyFaceMesh", [10, 20, 30, 70, 71, 72], [66, 73, 74, 75, 210, 220, 230];
    POLYGON_MESH: "AcDbPolygonMesh", [10, 20, 30, 70, 71, 72], [66, 73, 74, 75, 210, 220, 230];
    VERTEX: "AcDbVertex", [], [10, 20, 30, 40, 41, 42, 50, 70, 91];
    VERTEX_2D: "AcDb2dVertex", [10, 20], [30, 40, 41, 42, 50, 70, 91];
    VERTEX_3D: "AcDb3dPolylineVertex", [10, 20, 30, 70], [];
    VERTEX_FACE: "AcDbPolyFaceMeshVertex", [10, 20, 30, 70], [];
    FACE_RECORD: "AcDbFaceRecord", [70, 71, 72, 73], [10, 20, 30, 74];
    FACE: "AcDbFace", [10, 20, 11, 21, 12, 22, 13, 23], [30, 31, 32, 33, 70];
    TRACE: "AcDbTrace", [10, 20, 11, 21, 12, 22],
        [30, 31, 32, 13, 23, 33, 39, 210, 220, 230];
    INSERT: "AcDbBlockReference", [2, 10, 20],
        [30, 41, 42, 43, 44, 45, 50, 66, 70, 71, 210, 220, 230];
    TEXT: "AcDbText", [10, 20, 40, 1],
        [30, 7, 11, 21, 31, 39, 41, 50, 51, 71, 72, 210, 220, 230];
    TEXT_END: "AcDbText", [], [73];
    ATTRIB: "AcDbAttribute", [2, 70], [280, 71, 72, 73, 74, 11, 21, 31, 340];
    ATTDEF: "AcDbAttributeDefinition", [3, 2, 70], [280, 71, 72, 73, 74, 11, 21, 31, 340];
    MTEXT: "AcDbMText", [10, 20, 1],
        [30, 40, 41, 46, 71, 72, 3, 7, 11, 21, 31, 42, 43, 44, 45, 50, 63, 73, 90, 101, 210, 220, 230, 421, 441];
    HATCH: "AcDbHatch", [], [];
    MESH: "AcDbSubDMesh", [], [];
    BLOCK_BEGIN: "AcDbBlockBegin", [2, 70, 10, 20], [30, 3, 1, 4];
    BLOCK_END: "AcDbBlockEnd", [], [];
}

type Classes = &'static [&'static Class];

/// Each kind of entity, with the classes that it may have.
const ENTITIES: &[(&str, &[Classes])] = &[
    ("POINT", &[&[&POINT]]),
    ("LINE", &[&[&LINE]]),
    ("CIRCLE", &[&[&CIRCLE]]),
    ("ARC", &[&[&CIRCLE, &ARC]]),
    ("LWPOLYLINE", &[&[&POLYLINE]]),
    ("POLYLINE", &[&[&POLYLINE_2D], &[&POLYLINE_3D], &[&POLYFACE], &[&POLYGON_MESH]]),
    ("VERTEX", &[&[&VERTEX, &VERTEX_2D], &[&VERTEX, &VERTEX_3D], &[&VERTEX, &VERTEX_FACE], &[&FACE_RECORD]]),
    ("SEQEND", &[&[]]),
    ("3DFACE", &[&[&FACE]]),
    ("SOLID", &[&[&TRACE]]),
    ("INSERT", &[&[&INSERT]]),
    ("TEXT", &[&[&TEXT, &TEXT_END]]),
    ("ATTRIB", &[&[&TEXT, &ATTRIB]]),
    ("ATTDEF", &[&[&TEXT, &ATTDEF]]),
    ("MTEXT", &[&[&MTEXT]]),
    ("HATCH", &[&[&HATCH]]),
    ("MESH", &[&[&MESH]]),
    ("BLOCK", &[&[&BLOCK_BEGIN]]),
    ("ENDBLK", &[&[&BLOCK_END]]),
];

/// The classes that a kind of entity may have; `None` for kinds that are not written here.
pub(super) fn of_entity(kind: &str) -> Option<&'static [Classes]> {
    ENTITIES.iter().find(|(name, _)| *name == kind).map(|(_, classes)| *classes)
}
