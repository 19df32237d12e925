//! Assimp options: post-processing steps, by the names of Assimp's own command line tool, and
//! import properties with numeric values.
//!
//! Properties with string values are excluded: some of them name files.

use super::origin::Origin;
use crate::bindings::assimp as ffi;
use std::ffi::{CStr, CString};

/// Options in the form that Assimp accepts.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// `aiPostProcessSteps`.
    pub(super) postprocess: u32,
    /// What becomes zero in the coordinates.
    pub(super) origin: Option<Origin>,
    /// Import properties.
    pub(super) properties: Vec<(CString, Value)>,
}

/// The value of an import property.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// An integer or a boolean.
    Integer(i32),
    /// A real number.
    Real(f32),
}

const STEPS: &[(&str, u32)] = &[
    ("calc-tangent-space", ffi::aiPostProcessSteps_aiProcess_CalcTangentSpace),
    ("join-identical-vertices", ffi::aiPostProcessSteps_aiProcess_JoinIdenticalVertices),
    (
        "left-handed",
        ffi::aiPostProcessSteps_aiProcess_MakeLeftHanded
            | ffi::aiPostProcessSteps_aiProcess_FlipUVs
            | ffi::aiPostProcessSteps_aiProcess_FlipWindingOrder,
    ),
    ("triangulate", ffi::aiPostProcessSteps_aiProcess_Triangulate),
    ("gen-normals", ffi::aiPostProcessSteps_aiProcess_GenNormals),
    ("gen-smooth-normals", ffi::aiPostProcessSteps_aiProcess_GenSmoothNormals),
    ("split-large-meshes", ffi::aiPostProcessSteps_aiProcess_SplitLargeMeshes),
    ("pretransform-vertices", ffi::aiPostProcessSteps_aiProcess_PreTransformVertices),
    ("limit-bone-weights", ffi::aiPostProcessSteps_aiProcess_LimitBoneWeights),
    ("improve-cache-locality", ffi::aiPostProcessSteps_aiProcess_ImproveCacheLocality),
    ("remove-redundant-materials", ffi::aiPostProcessSteps_aiProcess_RemoveRedundantMaterials),
    ("fix-normals", ffi::aiPostProcessSteps_aiProcess_FixInfacingNormals),
    ("sort-by-ptype", ffi::aiPostProcessSteps_aiProcess_SortByPType),
    ("find-degenerates", ffi::aiPostProcessSteps_aiProcess_FindDegenerates),
    ("find-invalid-data", ffi::aiPostProcessSteps_aiProcess_FindInvalidData),
    ("gen-uvcoords", ffi::aiPostProcessSteps_aiProcess_GenUVCoords),
    ("transform-uv-coords", ffi::aiPostProcessSteps_aiProcess_TransformUVCoords),
    ("find-instances", ffi::aiPostProcessSteps_aiProcess_FindInstances),
    ("optimize-meshes", ffi::aiPostProcessSteps_aiProcess_OptimizeMeshes),
    ("optimize-graph", ffi::aiPostProcessSteps_aiProcess_OptimizeGraph),
    ("flip-uv", ffi::aiPostProcessSteps_aiProcess_FlipUVs),
    ("flip-winding-order", ffi::aiPostProcessSteps_aiProcess_FlipWindingOrder),
    ("split-by-bone-count", ffi::aiPostProcessSteps_aiProcess_SplitByBoneCount),
    ("debone", ffi::aiPostProcessSteps_aiProcess_Debone),
    ("validate-data-structure", ffi::aiPostProcessSteps_aiProcess_ValidateDataStructure),
    ("drop-normals", ffi::aiPostProcessSteps_aiProcess_DropNormals),
    ("embed-textures", ffi::aiPostProcessSteps_aiProcess_EmbedTextures),
    ("global-scale", ffi::aiPostProcessSteps_aiProcess_GlobalScale),
];

impl Options {
    /// Sets a property that the user has not set.
    pub(super) fn default_property(&mut self, name: &CStr, value: Value) {
        if !self.properties.iter().any(|(set, _)| set.as_c_str() == name) {
            self.properties.push((name.to_owned(), value));
        }
    }
}

/// Parses the options.
///
/// # Errors
/// A message that names the option and the valid values.
pub(super) fn parse(options: &[(String, String)]) -> Result<Options, String> {
    let mut parsed = Options::default();
    for (name, value) in options {
        if name == "postprocess" {
            for step in value.split(',').map(str::trim).filter(|s| !s.is_empty()) {
                parsed.postprocess |= flag(step)?;
            }
        } else if name == "origin" {
            parsed.origin = Some(Origin::parse(value)?);
        } else if let Some(property) = name.strip_prefix("prop.") {
            parsed.properties.push(parse_property(name, property, value)?);
        } else {
            return Err(format!(
                "the engine has no option '{name}'; it takes postprocess, origin and prop.NAME"
            ));
        }
    }
    Ok(parsed)
}

fn flag(step: &str) -> Result<u32, String> {
    STEPS.iter().find(|(name, _)| *name == step).map(|(_, flag)| *flag).ok_or_else(|| {
        let names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
        format!("option 'postprocess' has no step '{step}'; the steps are {}", names.join(", "))
    })
}

fn parse_property(name: &str, property: &str, value: &str) -> Result<(CString, Value), String> {
    let well_formed = !property.is_empty()
        && property.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if !well_formed {
        return Err(format!("option '{name}': a property's name has capital letters, digits and '_' only"));
    }
    let number = if let Ok(integer) = value.parse::<i32>() {
        Value::Integer(integer)
    } else if let Ok(real) = value.parse::<f32>() {
        Value::Real(real)
    } else {
        return Err(format!("option '{name}': write a number, not '{value}'; 1 and 0 stand for yes and no"));
    };
    let key = CString::new(property).map_err(|_| format!("option '{name}' contains a NUL byte"))?;
    Ok((key, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str, value: &str) -> Result<Options, String> {
        parse(&[(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn steps_add_up() {
        assert_eq!(parsed("postprocess", "triangulate, flip-uv").unwrap().postprocess, 0x8 | 0x80_0000);
        assert_eq!(parsed("postprocess", "").unwrap().postprocess, 0);
        assert!(parsed("postprocess", "explode").unwrap_err().contains("triangulate"));
    }

    #[test]
    fn properties_have_numbers() {
        assert_eq!(parsed("prop.PP_SLM_VERTEX_LIMIT", "100").unwrap().properties[0].1, Value::Integer(100));
        assert_eq!(parsed("prop.GLOBAL_SCALE_FACTOR", "0.5").unwrap().properties[0].1, Value::Real(0.5));
        assert!(parsed("prop.IMPORT_OGRE_MATERIAL_FILE", "/etc/passwd").is_err());
        assert!(parsed("prop.lower", "1").is_err());
        assert!(parsed("flags", "1").is_err());
    }
}
