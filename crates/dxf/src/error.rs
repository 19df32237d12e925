//! Why something was not written.

use std::io;

/// What ended or refused a call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The output failed. What was written so far is not a drawing.
    #[error("the drawing could not be written: {0}")]
    Io(#[from] io::Error),
    /// The entity was not written, and nothing of it. The writer goes on.
    #[error("the entity was not written: {0}")]
    Refused(#[from] Refusal),
    /// There are more entities than handles of eight hexadecimal digits.
    #[error("the drawing has more objects than handles")]
    Handles,
    /// A chunk uses handles that are already in use.
    #[error("the chunk begins at handle {first:X}, but handles up to {next:X} are in use")]
    Order {
        /// The chunk's first handle.
        first: u64,
        /// The next free handle.
        next: u64,
    },
}

/// Why an entity was not written. AutoCAD discards a drawing for most of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// A number is infinite or not a number.
    #[error("a number is not finite")]
    NotFinite,
    /// A line has fewer than two vertices, a ring or a face fewer than three.
    #[error("it has too few vertices")]
    TooFewVertices,
    /// A text has no characters that can be seen.
    #[error("its text is empty")]
    EmptyText,
    /// A height, radius or scale is zero or negative where that means nothing.
    #[error("a size is not positive")]
    NotPositive,
    /// A face names a vertex that does not exist, or has more corners than its entity allows.
    #[error("a face does not fit its vertices")]
    Face,
    /// The number of bulges is not that of the vertices, or of values not that of the block's attributes.
    #[error("two lists do not have the same length")]
    Lengths,
    /// Braces of extended data are not balanced.
    #[error("braces of its extended data are not balanced")]
    Braces,
    /// Extended data take more than 16,383 bytes.
    #[error("its extended data are too long")]
    ExtendedData,
    /// The release of the format has no such entity.
    #[error("the release of the format lacks this kind of entity")]
    Version,
}

/// Why a drawing could not be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// A number is infinite or not a number, or a size is not positive.
    #[error("a number of '{0}' is not finite, or not positive where it must be")]
    Number(String),
    /// The release has no object for the place on the earth.
    #[error("the release of the format has no object for the reference system: R2010 is the first")]
    Georeference,
    /// More layers, styles and blocks than there are handles before those of the entities.
    #[error("the drawing has too many layers, styles and blocks")]
    TooMany,
}
