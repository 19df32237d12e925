//! Reading zip archives that come from strangers.
//!
//! The core does no I/O, so that one reader serves a local file and an object
//! that is still being downloaded:
//!
//! ```text
//! CentralDirectoryReader   tail -> EOCD records -> central directory, in pieces   => Plan
//! Plan                     the entries in offset order; they tile the file
//! Decoder                  one segment: local header -> content -> descriptor   => content, or a refusal
//! ```
//!
//! The whole directory is judged before a byte of an entry is asked for; a decoder
//! then holds the local header, the content and the descriptor against it. Nothing
//! may be shown to an engine until every decoder has said that all held.
//!
//! It refuses what two readers could read in two ways, and what no design file
//! needs: docs/ARCHIVES.md lists the rules, the tolerances and their reasons, and
//! docs/adr/0009-archive-reader.md why the reader is our own. Compression itself
//! is left to [`flate2`], with zlib-rs below.

#![forbid(unsafe_code)]

#[cfg(test)]
#[path = "../../../tests/fixtures/archives/mod.rs"]
#[allow(missing_docs, dead_code, unreachable_pub, unused_imports)]
mod archive_fixtures;
mod central;
mod directory;
mod directory_reader;
mod encoding;
mod end_of_central_directory;
mod entry;
mod entry_decoder;
mod entry_error;
mod extra;
mod local_header;
mod name;
mod plan;
mod records;

pub use directory_reader::CentralDirectoryReader;
pub use entry::Entry;
pub use entry_decoder::{Decoder, Step};
pub use name::{Names, fit};
pub use plan::Plan;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;
