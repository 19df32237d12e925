//! The dimensions of the matrix.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Stored,
    Deflate,
}

/// Where the archive goes. What it means for each writer is in its row of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// A file that the writer can seek in, or memory.
    File,
    /// A pipe.
    Stream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zip64 {
    /// The writer decides.
    Auto,
    Always,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    Ascii,
    Utf8,
    Cp949,
}

use Method::{Deflate, Stored};
use Names::{Ascii, Cp949, Utf8};
use Output::{File, Stream};
use Zip64::{Always, Auto};

/// One way to write an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) method: Method,
    pub(crate) output: Output,
    pub(crate) zip64: Zip64,
    pub(crate) names: Names,
}

/// Method and output of each row of a writer.
pub(crate) const ROWS: [(Method, Output); 4] =
    [(Stored, File), (Stored, Stream), (Deflate, File), (Deflate, Stream)];

/// zip64 and names of each column.
pub(crate) const COLUMNS: [(Zip64, Names); 6] =
    [(Auto, Ascii), (Auto, Utf8), (Auto, Cp949), (Always, Ascii), (Always, Utf8), (Always, Cp949)];

impl Cell {
    pub(crate) fn new((method, output): (Method, Output), (zip64, names): (Zip64, Names)) -> Self {
        Self { method, output, zip64, names }
    }

    /// Its words, as the drivers and the document have them.
    pub(crate) fn words(self) -> [&'static str; 4] {
        let method = match self.method {
            Stored => "stored",
            Deflate => "deflate",
        };
        let output = match self.output {
            File => "file",
            Stream => "stream",
        };
        let zip64 = match self.zip64 {
            Auto => "auto",
            Always => "always",
        };
        let names = match self.names {
            Ascii => "ASCII",
            Utf8 => "UTF-8",
            Cp949 => "CP949",
        };
        [method, output, zip64, names]
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        ROWS.into_iter().flat_map(|row| COLUMNS.map(|column| Self::new(row, column)))
    }
}
