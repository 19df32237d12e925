//! Encodings of text: the names by which files declare them, and what the bytes themselves say.
//!
//! One place decides for attribute tables, drawings, tables of text and names in archives. Labels
//! are those of the WHATWG Encoding Standard, and the spellings that are in use in `.cpg` files, in
//! `$DWGCODEPAGE`, in code page numbers and on the command line.

mod charset;
mod dos;
mod encode;
mod evidence;
mod labels;

pub use charset::{Charset, Decoder, Fit};
pub use evidence::Evidence;
