//! The writers, and what they cannot write.

use crate::cell::{Cell, Method, Names, Output, Zip64};
use Method::{Deflate, Stored};
use Names::{Ascii, Cp949, Utf8};
use Output::{File, Stream};
use Zip64::{Always, Auto};

/// What runs a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    Node,
    Python,
    Java,
    CommandLine,
}

impl Driver {
    pub(crate) const ALL: [Self; 4] = [Self::Node, Self::Python, Self::Java, Self::CommandLine];
}

/// What a writer lacks. Its cells are not written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lacks {
    Streams,
    StoredStreams,
    Zip64,
    Cp949,
}

pub(crate) struct Writer {
    pub(crate) name: &'static str,
    pub(crate) driver: Driver,
    origin: Origin,
    /// How the archives are written: the options, and what a file and a stream are.
    pub(crate) how: &'static str,
    /// What it lacks, and why.
    pub(crate) lacks: &'static [(Lacks, &'static str)],
    /// What `make test` writes: what the writer does by default, what is hardest to read, and what its
    /// users would choose.
    pub(crate) telling: [Cell; 4],
}

enum Origin {
    Npm,
    PyPi,
    Maven(&'static str),
    Debian,
}

const fn cell(method: Method, output: Output, zip64: Zip64, names: Names) -> Cell {
    Cell { method, output, zip64, names }
}

pub(crate) static WRITERS: [Writer; 12] = [
    Writer {
        name: "jszip",
        driver: Driver::Node,
        origin: Origin::Npm,
        how: "file: `generateAsync`; stream: `generateNodeStream` with `streamFiles`; CP949: `encodeFileName`",
        lacks: &[(Lacks::Zip64, "it writes no zip64")],
        telling: [
            cell(Stored, File, Auto, Utf8),
            cell(Stored, Stream, Auto, Utf8),
            cell(Deflate, Stream, Auto, Cp949),
            cell(Deflate, File, Auto, Cp949),
        ],
    },
    Writer {
        name: "archiver",
        driver: Driver::Node,
        origin: Origin::Npm,
        how: "file: buffers; stream: streams; zip64: `forceZip64`",
        lacks: &[(Lacks::Cp949, "names are UTF-8")],
        telling: [
            cell(Deflate, Stream, Auto, Utf8),
            cell(Stored, Stream, Auto, Ascii),
            cell(Deflate, Stream, Always, Utf8),
            cell(Stored, File, Always, Ascii),
        ],
    },
    Writer {
        name: "yazl",
        driver: Driver::Node,
        origin: Origin::Npm,
        how: "file: `addBuffer`; stream: `addReadStream` without a size; zip64: `forceZip64Format`",
        lacks: &[(Lacks::Cp949, "names are UTF-8")],
        telling: [
            cell(Deflate, Stream, Auto, Utf8),
            cell(Deflate, File, Always, Utf8),
            cell(Stored, Stream, Always, Ascii),
            cell(Stored, Stream, Auto, Utf8),
        ],
    },
    Writer {
        name: "fflate",
        driver: Driver::Node,
        origin: Origin::Npm,
        how: "file: `zipSync`; stream: `Zip` with `ZipPassThrough` and `ZipDeflate`",
        lacks: &[(Lacks::Zip64, "it writes no zip64"), (Lacks::Cp949, "names are UTF-8")],
        telling: [
            cell(Deflate, File, Auto, Utf8),
            cell(Deflate, Stream, Auto, Utf8),
            cell(Stored, Stream, Auto, Ascii),
            cell(Stored, File, Auto, Ascii),
        ],
    },
    Writer {
        name: "adm-zip",
        driver: Driver::Node,
        origin: Origin::Npm,
        how: "file: `toBuffer`; CP949: `decoder`",
        lacks: &[(Lacks::Streams, "it writes into memory"), (Lacks::Zip64, "it writes no zip64")],
        telling: [
            cell(Deflate, File, Auto, Utf8),
            cell(Deflate, File, Auto, Cp949),
            cell(Stored, File, Auto, Ascii),
            cell(Stored, File, Auto, Cp949),
        ],
    },
    Writer {
        name: "stream-zip",
        driver: Driver::Python,
        origin: Origin::PyPi,
        how: "file: `ZIP_AUTO`, or `NO_COMPRESSION_32` with size and checksum; stream: `ZIP_32`, or \
              `NO_COMPRESSION_32`; zip64: `ZIP_64`, `NO_COMPRESSION_64`",
        lacks: &[(Lacks::Cp949, "names are UTF-8")],
        telling: [
            cell(Deflate, Stream, Always, Utf8),
            cell(Deflate, Stream, Auto, Ascii),
            cell(Stored, Stream, Always, Utf8),
            cell(Deflate, File, Auto, Utf8),
        ],
    },
    Writer {
        name: "zipfile",
        driver: Driver::Python,
        origin: Origin::Debian,
        how: "stream: a file without `seek`; zip64: `force_zip64`; CP949: a subclass of `ZipInfo`",
        lacks: &[],
        telling: [
            cell(Stored, File, Auto, Utf8),
            cell(Stored, Stream, Auto, Utf8),
            cell(Deflate, Stream, Always, Ascii),
            cell(Deflate, File, Always, Cp949),
        ],
    },
    Writer {
        name: "java.util.zip",
        driver: Driver::Java,
        origin: Origin::Debian,
        how: "it never seeks; stored: size and checksum are given; CP949: the character set `MS949`",
        lacks: &[(Lacks::Zip64, "it writes zip64 only where a number needs it")],
        telling: [
            cell(Deflate, Stream, Auto, Utf8),
            cell(Deflate, Stream, Auto, Cp949),
            cell(Stored, Stream, Auto, Utf8),
            cell(Stored, File, Auto, Ascii),
        ],
    },
    Writer {
        name: "Commons Compress",
        driver: Driver::Java,
        origin: Origin::Maven("commons-compress"),
        how: "stored into a stream: size and checksum are given; zip64: `Zip64Mode.Always`; CP949: \
              `setEncoding`",
        lacks: &[],
        telling: [
            cell(Deflate, File, Auto, Utf8),
            cell(Deflate, Stream, Always, Utf8),
            cell(Deflate, Stream, Auto, Cp949),
            cell(Stored, Stream, Always, Ascii),
        ],
    },
    Writer {
        name: "zip",
        driver: Driver::CommandLine,
        origin: Origin::Debian,
        how: "stored: `-0`; stream: `-`; zip64: `-fz`; CP949: names of files, locale C",
        lacks: &[],
        telling: [
            cell(Deflate, File, Always, Cp949),
            cell(Deflate, Stream, Auto, Utf8),
            cell(Stored, Stream, Auto, Ascii),
            cell(Deflate, Stream, Always, Ascii),
        ],
    },
    Writer {
        name: "7z",
        driver: Driver::CommandLine,
        origin: Origin::Debian,
        how: "stored: `-mx0`; stream: `-so`; CP949: names of files, locale C",
        lacks: &[
            (Lacks::StoredStreams, "`-so` with `-mx0` is not implemented"),
            (Lacks::Zip64, "it writes zip64 only where a number needs it"),
        ],
        telling: [
            cell(Deflate, File, Auto, Utf8),
            cell(Deflate, Stream, Auto, Utf8),
            cell(Deflate, File, Auto, Cp949),
            cell(Stored, File, Auto, Ascii),
        ],
    },
    Writer {
        name: "bsdtar",
        driver: Driver::CommandLine,
        origin: Origin::Debian,
        how: "stored: `zip:compression=store`; stream: `-`; zip64: `zip:zip64`; CP949: `zip:hdrcharset`",
        lacks: &[],
        telling: [
            cell(Deflate, File, Auto, Utf8),
            cell(Deflate, File, Auto, Cp949),
            cell(Stored, File, Always, Ascii),
            cell(Deflate, Stream, Auto, Utf8),
        ],
    },
];

impl Lacks {
    fn needed_by(self, cell: Cell) -> bool {
        match self {
            Self::Streams => cell.output == Stream,
            Self::StoredStreams => cell.output == Stream && cell.method == Stored,
            Self::Zip64 => cell.zip64 == Always,
            Self::Cp949 => cell.names == Cp949,
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Streams => "stream",
            Self::StoredStreams => "stored, stream",
            Self::Zip64 => "zip64 always",
            Self::Cp949 => "CP949",
        }
    }
}

impl Writer {
    pub(crate) fn can_write(&self, cell: Cell) -> bool {
        !self.lacks.iter().any(|(lacks, _)| lacks.needed_by(cell))
    }

    /// Where it is from, and its version where that is pinned.
    pub(crate) fn version(&self) -> String {
        let fixtures = "the files that `make setup` installs from";
        let pinned = |text: &str, before: &str| {
            let rest = text.split_once(before).unwrap_or_else(|| panic!("{before:?} is not in {fixtures}")).1;
            rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect::<String>()
        };
        match self.origin {
            Origin::Npm => {
                let text = include_str!("../../../../tests/fixtures/writers/package.json");
                format!("npm, {}", pinned(text, &format!("\"{}\": \"", self.name)))
            }
            Origin::PyPi => {
                let text = include_str!("../../../../tests/requirements.txt");
                format!("PyPI, {}", pinned(text, &format!("\n{}==", self.name)))
            }
            Origin::Maven(artifact) => {
                let text = include_str!("../../../../tests/fixtures/writers/pom.xml");
                let before = format!("<artifactId>{artifact}</artifactId>\n      <version>");
                format!("Maven, {}", pinned(text, &before))
            }
            Origin::Debian => "Debian 12's".to_owned(),
        }
    }
}
