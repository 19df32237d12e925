//! What a model file declares, and a library does not have in the end without a word: elements of
//! a PLY file, curves of an OBJ file, and what of a glTF file is not read or not written.
//!
//! Both roads to Assimp, the native one and the converter in Java, report what is found here.

mod gltf;
mod names;
mod obj;
mod ply;
mod refused;

use crate::engine::EngineError;
use std::path::Path;

pub(crate) use refused::refused;

/// Checks that the file is not cut short, whatever library reads it.
///
/// # Errors
/// [`EngineError::Rejected`] for a file that is cut short.
pub(crate) fn whole(input: &Path) -> Result<(), EngineError> {
    match extension(input).as_str() {
        // A file that cannot be read is left to the library, which says why.
        "ply" => ply::whole(input).unwrap_or(Ok(())),
        _ => Ok(()),
    }
}

/// What Assimp of this version leaves out when it converts the file to this format: warnings, of
/// which those say "cannot carry" that are about the format.
///
/// # Errors
/// [`EngineError::Rejected`] for a file that may be read only by who knows all that it requires.
pub(crate) fn left_out(input: &Path, version: &str, format: &str) -> Result<Vec<String>, EngineError> {
    // A file that cannot be read is left to the library, which says why.
    match extension(input).as_str() {
        "ply" => Ok(ply::left_out(input, format).unwrap_or_default()),
        "obj" => Ok(obj::left_out(input, format).unwrap_or_default()),
        "gltf" | "glb" => match gltf::declared(input) {
            Ok(declared) => declared.left_out(version, format),
            Err(_) => Ok(Vec::new()),
        },
        _ => Ok(Vec::new()),
    }
}

/// What there is besides that which is read, for who inspects a file.
pub(crate) fn beside(input: &Path) -> Option<String> {
    match extension(input).as_str() {
        "gltf" | "glb" => gltf::declared(input).ok()?.other_scenes(),
        _ => None,
    }
}

fn extension(input: &Path) -> String {
    input.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}
