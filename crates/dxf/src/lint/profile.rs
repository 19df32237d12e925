//! Whose drawings are checked.

/// Whose drawings are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Anyone's.
    #[default]
    Strict,
    /// GDAL's, and those in its dialect: entities need no owners, polylines have their count second, and
    /// colours follow the marker of the class. AutoCAD opens these.
    Ogr,
}
