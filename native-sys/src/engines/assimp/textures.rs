//! Textures go where the format puts them: into the output, beside it, or nowhere. What is missing
//! in the result is reported.
//!
//! `io.cadmill.assimp.Textures` does the same for the converter in Java.

use super::scene::Textures;
use crate::companions::Companions;
use crate::engine::EngineError;
use crate::references::shown;
use std::path::Path;

/// Formats that carry the textures with them.
const EMBEDDING: &[&str] = &["collada", "fbx", "fbxa", "glb", "glb2", "gltf", "gltf2"];

/// Formats that name the files of the textures, as the author of the input did.
const NAMING: &[&str] = &["3ds", "assbin", "assjson", "assxml", "obj", "pbrt", "ply", "plyb", "x", "x3d"];

/// Formats of [`NAMING`] that also carry the textures that are within the input.
const CARRYING: &[&str] = &["assbin", "assjson", "assxml", "pbrt"];

/// Whether Assimp embeds the textures in this format.
pub(super) fn are_embedded(format: &str) -> bool {
    EMBEDDING.contains(&format)
}

/// Puts the textures beside an output that names them, and reports those that are not in the
/// result.
pub(super) fn deliver(
    textures: &Textures,
    format: &str,
    output_dir: &Path,
    companions: &Companions,
    warn: &dyn Fn(&str),
) -> Result<(), EngineError> {
    let named = textures.named.len() as u64;
    let embedded = u64::from(textures.embedded);
    if are_embedded(format) {
        // The names of those that were embedded are gone.
        for name in &textures.named {
            if companions.expect(name).is_some() {
                warn(&format!("the texture '{}' could not be embedded", shown(name)));
            }
        }
    } else if NAMING.contains(&format) {
        for name in &textures.named {
            companions.take_along(name, output_dir).map_err(|error| {
                EngineError::Rejected(format!("writing the texture '{}' failed: {error}", shown(name)))
            })?;
        }
        if embedded > 0 && !CARRYING.contains(&format) {
            warn(&format!(
                "format '{format}' has textures in files only: {embedded} within the input were left out"
            ));
        }
    } else if named + embedded > 0 {
        warn(&format!("format '{format}' has no textures: {} were left out", named + embedded));
    }
    Ok(())
}
