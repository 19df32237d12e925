//! The text of the output: what GDAL has written is text of the encoding that the format has or
//! declares, or the conversion fails.

use super::choice::shown;
use super::{dbf, dxf, plain};
use cadmill_core::domain::removed::is_removed;
use cadmill_core::domain::text::{Charset, Evidence};
use std::io;
use std::path::Path;

/// Formats of text, which are UTF-8.
const TEXT: &[&str] = &[
    "GeoJSON",
    "GeoJSONSeq",
    "CSV",
    "KML",
    "LIBKML",
    "GML",
    "GPX",
    "JML",
    "SVG",
    "MapML",
    "OGR_GMT",
    "Geoconcept",
];

/// Files of those formats that are not text.
const BINARY: &[&str] = &["kmz"];

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::engines::gdal) struct Found {
    /// Why text is lost.
    pub(in crate::engines::gdal) lost: Option<String>,
    pub(in crate::engines::gdal) warnings: Vec<String>,
}

/// Checks the files in the directory of the output, which are text in UTF-8 if `is_utf8`.
///
/// # Errors
/// When a file cannot be read.
pub(in crate::engines::gdal) fn check(driver: &str, directory: &Path, is_utf8: bool) -> io::Result<Found> {
    let mut found = Found::default();
    let is_text = is_utf8 && TEXT.contains(&driver);
    let is_drawing = driver == "DXF";
    if !is_text && !is_drawing && driver != "ESRI Shapefile" {
        return Ok(found);
    }
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            if is_removed(entry.file_name().as_encoded_bytes()) {
                continue;
            }
            let (path, kind) = (entry.path(), entry.file_type()?);
            let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
            if kind.is_dir() {
                pending.push(path);
            } else if is_text && !BINARY.contains(&extension.as_str()) {
                if !plain::is_utf8(&path)? {
                    let name = shown(&path);
                    found.lost.get_or_insert(format!("{name} would not be valid UTF-8"));
                }
            } else if is_drawing && dxf::garbles(&path)? {
                let text = "names of layers or labels have characters that the drawing would not have: they are written for ASCII only";
                found.lost.get_or_insert(text.to_owned());
            } else if extension == "dbf" {
                check_table(&path, &mut found)?;
            }
        }
    }
    Ok(found)
}

fn check_table(path: &Path, found: &mut Found) -> io::Result<()> {
    let label = std::fs::read_to_string(path.with_extension("cpg")).ok();
    let Some(charset) = label.as_deref().and_then(Charset::of_label) else { return Ok(()) };
    let mut evidence = Evidence::new(Some(charset));
    let repaired = dbf::check_written(path, &mut evidence, charset == Charset::UTF_8)?;
    if !repaired.is_empty() {
        let shown = repaired.join(", ");
        found
            .warnings
            .push(format!("names of fields were shortened to the 10 bytes that the format allows: {shown}"));
    }
    if !evidence.confirms_declared() {
        let (wrong, name) = (evidence.not_as_declared(), shown(path));
        found.lost.get_or_insert(format!("{wrong} values of {name} would not be valid text"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_none_is_found() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.geojson"), "{\"a\": \"도면\"}").unwrap();
        assert_eq!(check("GeoJSON", directory.path(), true).unwrap(), Found::default());
        std::fs::write(directory.path().join("a.geojson"), b"{\"a\": \"\xb5\xb5\"}").unwrap();
        assert!(check("GeoJSON", directory.path(), true).unwrap().lost.is_some());
        assert!(check("GPKG", directory.path(), true).unwrap().lost.is_none());
    }
}
