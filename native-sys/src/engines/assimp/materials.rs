//! Materials that a writer of Assimp makes wrong, or reports wrongly.
//!
//! `io.cadmill.assimp.Materials` does the same for the converter in Java.

use super::scene::{list, text};
use crate::bindings::assimp as ffi;

/// Formats whose writer multiplies the alpha of the base colour by the opacity, which the reader of
/// these formats took from that alpha.
const MULTIPLYING: &[&str] = &["glb2", "gltf2"];

/// Keys of properties (`AI_MATKEY_OPACITY`, `AI_MATKEY_BASE_COLOR`), and one that only the reader of
/// glTF sets (`AI_MATKEY_GLTF_ALPHAMODE`).
const OPACITY: &[u8] = b"$mat.opacity";
const BASE_COLOUR: &[u8] = b"$clr.base";
const ALPHA_MODE: &[u8] = b"$mat.gltf.alphaMode";

/// Kinds of textures (`aiTextureType_DIFFUSE`, `aiTextureType_BASE_COLOR`).
pub(super) const DIFFUSE: u32 = 1;
pub(super) const BASE: u32 = 12;

/// Makes opaque what has its alpha in the base colour already.
///
/// # Safety
/// `scene` is a scene that the library imported, lives during the call, and is used by nothing else.
pub(super) unsafe fn keep_opacity(scene: *const ffi::aiScene, format: &str) {
    if !MULTIPLYING.contains(&format) {
        return;
    }
    // SAFETY: guaranteed by the caller; the library sets the number together with the list.
    for material in unsafe { list((*scene).mMaterials, (*scene).mNumMaterials) } {
        // SAFETY: the list of a scene has live materials; as above.
        let properties = unsafe { list((**material).mProperties, (**material).mNumProperties) };
        let find = |key: &[u8], floats: usize| {
            properties.iter().copied().find(|property| {
                // SAFETY: the list of a material has live properties.
                let property = unsafe { &**property };
                // SAFETY: the key is a C string.
                let is_it = unsafe { text(&property.mKey) } == key;
                is_it
                    && property.mDataLength as usize >= floats * size_of::<f32>()
                    && !property.mData.is_null()
            })
        };
        let found = (find(ALPHA_MODE, 0), find(BASE_COLOUR, 4), find(OPACITY, 1));
        let (Some(_), Some(colour), Some(opacity)) = found else { continue };
        // SAFETY: both are live, and their data have four floats and one, which need not be aligned.
        unsafe {
            let alpha = (*colour).mData.cast::<f32>().add(3).read_unaligned();
            let place = (*opacity).mData.cast::<f32>();
            if place.read_unaligned() == alpha {
                place.write_unaligned(1.0);
            }
        }
    }
}

/// Whether a material has a base colour texture, and no diffuse texture, which the writer of FBX
/// would have.
///
/// # Safety
/// `scene` is a scene that the library imported, and lives during the call.
pub(super) unsafe fn miss_base_colours(api: &ffi::AssimpApi, scene: *const ffi::aiScene) -> bool {
    // SAFETY: guaranteed by the caller; the library sets the number together with the list.
    let materials = unsafe { list((*scene).mMaterials, (*scene).mNumMaterials) };
    // SAFETY: the list of a scene has live materials.
    let count =
        |material: &*mut ffi::aiMaterial, kind| unsafe { api.aiGetMaterialTextureCount(*material, kind) };
    materials.iter().any(|material| count(material, BASE) > count(material, DIFFUSE))
}
