//! The encoding of the text in the input.
//!
//! GDAL takes the encoding that a file declares, or none, and passes on bytes that it cannot place:
//! the output is not text then, without an error. Here each source of text is read before GDAL
//! reads it, what it declares is compared with what its bytes are, and GDAL is told the result. A
//! table of text, whose encoding GDAL does not ask for, is given to it in UTF-8.
//!
//! Refused is text that is not of the encoding that the user named, and text that is of none.

mod choice;
mod control;
mod dbf;
mod dxf;
mod dxf_escapes;
pub(super) mod mapinfo;
mod mapinfo_input;
pub(super) mod output;
mod plain;

use crate::engine::EngineError;
use cadmill_core::domain::text::Charset;
use choice::Prepared;
use std::path::Path;

/// Determines the encoding of the input's text. `wanted` is the encoding that the user named.
///
/// # Errors
/// [`EngineError::TextLost`] for text that is not of the encoding; [`EngineError::Option`] for an
/// encoding that cannot be applied to such files; [`EngineError::Rejected`] for an unreadable file.
pub(super) fn prepare(input: &Path, wanted: Option<Charset>) -> Result<Prepared, EngineError> {
    let extension = input.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match extension.as_str() {
        "shp" | "shx" | "dbf" => dbf::prepare(input, wanted),
        "dxf" => dxf::prepare(input, wanted),
        "tab" | "mif" => mapinfo_input::prepare(input, wanted),
        "csv" | "tsv" | "psv" | "json" | "geojson" | "geojsonl" | "geojsons" | "ndjson" | "topojson" => {
            plain::prepare(input, wanted)
        }
        _ if wanted.is_some() => Err(EngineError::Option(format!(
            "the option 'encoding' has no effect on .{extension}, which says itself how its text is encoded"
        ))),
        _ => Ok(Prepared::default()),
    }
}
