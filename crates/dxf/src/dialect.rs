//! Whom the drawing must please.

/// How groups and numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// What AutoCAD writes and its reader demands: lines end with CR LF, numbers are the shortest that
    /// read back as the same, every entity names its owner, the order of groups is the documented one.
    #[default]
    Plain,
    /// What the writer of GDAL 3.6.2 does, byte for byte in the section ENTITIES for POINT,
    /// LWPOLYLINE, POLYLINE and HATCH whose names are ASCII: lines end with LF, numbers are those of
    /// `%.15g`, owners are left out, rings repeat their first vertex, and handles begin at 20000.
    Ogr,
}

impl Dialect {
    pub(crate) fn line_end(self) -> &'static [u8] {
        match self {
            Self::Plain => b"\r\n",
            Self::Ogr => b"\n",
        }
    }
}
