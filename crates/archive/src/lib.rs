//! Reading zip archives from untrusted sources.
//!
//! The core does no I/O, so the same reader works on a local file and on an object that is still
//! being downloaded:
//!
//! ```text
//! CentralDirectoryReader   tail -> EOCD records -> central directory, in pieces   => Plan
//! Plan                     the entries in offset order; they tile the file
//! Decoder                  one segment: local header -> content -> descriptor   => content, or a refusal
//! ```
//!
//! The whole central directory is validated before any byte of an entry is requested. A decoder
//! then checks the local header, the content and the descriptor against it. An engine must not see
//! any content until every decoder has finished without an error.
//!
//! The reader rejects archives that two readers could interpret differently, and features that no
//! design file needs. docs/ARCHIVES.md lists the rules, the tolerances and their reasons, and
//! docs/adr/0009-archive-reader.md explains why cadmill has its own reader. Deflate is left to
//! [`flate2`] with its zlib-rs backend; `inflate64` says why Deflate64 is not left to a crate.

#![forbid(unsafe_code)]

#[cfg(test)]
#[path = "../../../tests/fixtures/archives/mod.rs"]
#[allow(missing_docs, dead_code, unreachable_pub, unused_imports)]
mod archive_fixtures;
mod bits;
mod central;
mod directory;
mod directory_reader;
mod encoding;
mod end_of_central_directory;
mod entry;
mod entry_decoder;
mod entry_error;
mod extra;
mod huffman;
mod inflate64;
mod local_header;
mod name;
mod plan;
mod records;
mod stored_end;

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
