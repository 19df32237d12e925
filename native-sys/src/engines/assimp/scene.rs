//! What an imported scene contains, and what an output format could not have of it.

use crate::bindings::assimp as ffi;
use cadmill_core::domain::contents::Scene;
use std::ffi::CStr;

/// Formats whose meshes have faces only: of a line their writers make a face without an area, a
/// file that cannot be read, or nothing.
const FACES_ONLY: &[&str] = &["3ds", "3mf", "stl", "stlb", "stp", "x"];

/// Coordinates are single-precision numbers, of 24 significant bits.
const SIGNIFICANT_BITS: i32 = 24;

/// A model whose coordinates are kept in steps of more than this part of its size loses details
/// that are seen.
const COARSE: f64 = 1e-5;

/// Kinds of textures (`aiTextureType`); later versions have more than earlier ones.
const TEXTURE_KINDS: u32 = 32;

/// Formats whose writers have the points of a mesh without faces, as point clouds are read.
const WITH_LOOSE_POINTS: &[&str] = &["assbin", "assjson", "assxml", "glb2", "gltf2"];

/// Formats whose writers leave out all points.
const NO_POINTS: &[&str] = &["collada"];

/// The points that the writer of the format leaves out, of as many.
///
/// # Safety
/// As for [`contents`].
pub(super) unsafe fn lost_points(scene: *const ffi::aiScene, points: u64, format: &str) -> u64 {
    match format {
        format if NO_POINTS.contains(&format) => points,
        format if WITH_LOOSE_POINTS.contains(&format) => 0,
        // SAFETY: guaranteed by the caller.
        _ => unsafe { loose_points(scene) },
    }
}

/// Whether the format has faces only.
pub(super) fn has_faces_only(format: &str) -> bool {
    FACES_ONLY.contains(&format)
}

/// Formats without materials.
const NO_MATERIALS: &[&str] = &["objnomtl", "ply", "plyb", "stl", "stlb", "stp"];

/// Formats without colours of vertices.
const NO_COLOURS: &[&str] = &["3ds", "3mf", "stl", "stlb", "stp"];

/// Formats with animations, cameras and lights: in others their writers leave them out.
const ANIMATED: &[&str] =
    &["assbin", "assjson", "assxml", "collada", "fbx", "fbxa", "glb", "glb2", "gltf", "gltf2"];
const WITH_CAMERAS: &[&str] = &["assbin", "assjson", "assxml", "collada", "pbrt"];
const WITH_LIGHTS: &[&str] = &["assbin", "assjson", "assxml", "collada", "pbrt", "x3d"];

/// The material that the library makes for a model without any.
const NO_MATERIAL: &[u8] = b"DefaultMaterial";

/// What of the scene the format cannot carry: the warning.
///
/// # Safety
/// As for [`contents`].
pub(super) unsafe fn not_carried(
    api: &ffi::AssimpApi,
    scene: *const ffi::aiScene,
    format: &str,
) -> Option<String> {
    // SAFETY: guaranteed by the caller.
    let scene = unsafe { &*scene };
    // SAFETY: the library sets the number together with the list.
    let (meshes, materials) =
        unsafe { (list(scene.mMeshes, scene.mNumMeshes), list(scene.mMaterials, scene.mNumMaterials)) };
    // SAFETY: the list of a scene has live meshes.
    let coloured = meshes.iter().filter(|mesh| unsafe { !(***mesh).mColors[0].is_null() }).count();
    // SAFETY: the list of a scene has live materials.
    let named = materials.iter().filter(|material| unsafe { !is_default(api, **material) }).count();
    let rows = [
        (named as u64, "materials", !NO_MATERIALS.contains(&format)),
        (coloured as u64, "meshes with colours of vertices", !NO_COLOURS.contains(&format)),
        (scene.mNumAnimations.into(), "animations", ANIMATED.contains(&format)),
        (scene.mNumCameras.into(), "cameras", WITH_CAMERAS.contains(&format)),
        (scene.mNumLights.into(), "lights", WITH_LIGHTS.contains(&format)),
    ];
    let lacking: Vec<String> = rows
        .iter()
        .filter(|(count, _, is_carried)| *count > 0 && !is_carried)
        .map(|(count, what, _)| format!("{count} {what}"))
        .collect();
    (!lacking.is_empty()).then(|| format!("format '{format}' cannot carry {}", lacking.join(", ")))
}

/// Whether a material stands for none.
///
/// # Safety
/// The material is live.
unsafe fn is_default(api: &ffi::AssimpApi, material: *const ffi::aiMaterial) -> bool {
    let mut name = ffi::aiString { length: 0, data: [0; 1024] };
    // SAFETY: a live material, the key of the name (`AI_MATKEY_NAME`), and a string that is valid for
    // writes.
    let answer = unsafe { api.aiGetMaterialString(material, c"?mat.name".as_ptr(), 0, 0, &mut name) };
    // SAFETY: the library has written a C string, or the array is still all zeros.
    let name = unsafe { text(&name) };
    answer != ffi::aiReturn_aiReturn_SUCCESS || name.is_empty() || name == NO_MATERIAL
}

/// Counts what the scene contains.
///
/// # Safety
/// `scene` is a scene that the library imported, and lives during the call.
pub(super) unsafe fn contents(scene: *const ffi::aiScene) -> Scene {
    // SAFETY: guaranteed by the caller.
    let scene = unsafe { &*scene };
    let mut told = Scene {
        materials: scene.mNumMaterials.into(),
        animations: scene.mNumAnimations.into(),
        ..Scene::default()
    };
    // SAFETY: the library sets the number together with the list.
    for mesh in unsafe { list(scene.mMeshes, scene.mNumMeshes) } {
        // SAFETY: the list of a scene has live meshes.
        let mesh = unsafe { &**mesh };
        told.meshes += 1;
        told.vertices += u64::from(mesh.mNumVertices);
        // SAFETY: as above.
        unsafe { add_elements(mesh, &mut told) };
        // SAFETY: as above.
        for vertex in unsafe { list(mesh.mVertices, mesh.mNumVertices) } {
            told.extend([vertex.x, vertex.y, vertex.z].map(f64::from));
        }
    }
    told
}

/// Counts the elements of a mesh.
///
/// # Safety
/// The mesh is of a live scene of the library.
pub(super) unsafe fn add_elements(mesh: &ffi::aiMesh, told: &mut Scene) {
    told.points += loose_points_of(mesh);
    // SAFETY: guaranteed by the caller; the library sets the number together with the list.
    for face in unsafe { list(mesh.mFaces, mesh.mNumFaces) } {
        match face.mNumIndices {
            0 | 1 => told.points += 1,
            2 => told.lines += 1,
            3 => told.triangles += 1,
            _ => told.polygons += 1,
        }
    }
}

/// The points of meshes without faces: of a point cloud, or of vertices that no face names.
///
/// # Safety
/// As for [`contents`].
unsafe fn loose_points(scene: *const ffi::aiScene) -> u64 {
    // SAFETY: guaranteed by the caller; the library sets the number together with the list.
    let meshes = unsafe { list((*scene).mMeshes, (*scene).mNumMeshes) };
    // SAFETY: the list of a scene has live meshes.
    meshes.iter().map(|mesh| loose_points_of(unsafe { &**mesh })).sum()
}

fn loose_points_of(mesh: &ffi::aiMesh) -> u64 {
    if mesh.mNumFaces == 0 { mesh.mNumVertices.into() } else { 0 }
}

/// A list of the library.
///
/// # Safety
/// `first` is null or points to `count` values that live as long as the slice is used.
pub(super) unsafe fn list<'a, T>(first: *const T, count: u32) -> &'a [T] {
    match usize::try_from(count) {
        // SAFETY: guaranteed by the caller.
        Ok(count) if count > 0 && !first.is_null() => unsafe { std::slice::from_raw_parts(first, count) },
        _ => &[],
    }
}

/// Textures of a scene.
#[derive(Debug, Default)]
pub(super) struct Textures {
    /// The names that the materials refer to, without those that are in the scene itself.
    pub(super) named: Vec<Vec<u8>>,
    /// Number of textures in the scene itself.
    pub(super) embedded: u32,
}

/// The textures of a scene.
///
/// # Safety
/// As for [`contents`].
pub(super) unsafe fn textures(api: &ffi::AssimpApi, scene: *const ffi::aiScene) -> Textures {
    // SAFETY: guaranteed by the caller.
    let scene = unsafe { &*scene };
    let mut textures = Textures { named: Vec::new(), embedded: scene.mNumTextures };
    // SAFETY: the library sets the number together with the list.
    let embedded: Vec<&[u8]> = unsafe { list(scene.mTextures, scene.mNumTextures) }
        .iter()
        // SAFETY: the list of a scene has live textures.
        .map(|texture| base_name(unsafe { text(&(**texture).mFilename) }))
        .collect();
    // SAFETY: the library sets the number together with the list.
    for material in unsafe { list(scene.mMaterials, scene.mNumMaterials) } {
        for kind in 1..TEXTURE_KINDS {
            // SAFETY: a live material; a kind that the library does not know has no textures.
            let count = unsafe { api.aiGetMaterialTextureCount(*material, kind) };
            for index in 0..count {
                let mut path = ffi::aiString { length: 0, data: [0; 1024] };
                let nothing = std::ptr::null_mut::<u32>();
                // SAFETY: a live material, a kind and an index that it has, and a string that is
                // valid for writes; null pointers stand for what is not wanted.
                let answer = unsafe {
                    api.aiGetMaterialTexture(
                        *material,
                        kind,
                        index,
                        &mut path,
                        nothing.cast(),
                        nothing.cast(),
                        nothing.cast(),
                        nothing.cast(),
                        nothing.cast(),
                        nothing.cast(),
                    )
                };
                if answer != ffi::aiReturn_aiReturn_SUCCESS {
                    continue;
                }
                // SAFETY: the library has written a C string, or the array is still all zeros.
                let name = unsafe { text(&path) };
                // `*0` is the first texture in the scene; others are found by their file names.
                let is_embedded = name.starts_with(b"*") || embedded.contains(&base_name(name));
                if !name.is_empty() && !is_embedded && !textures.named.iter().any(|known| known == name) {
                    textures.named.push(name.to_vec());
                }
            }
        }
    }
    textures
}

/// The bytes of a text of the library.
///
/// # Safety
/// The text is a C string.
pub(super) unsafe fn text(text: &ffi::aiString) -> &[u8] {
    // SAFETY: guaranteed by the caller.
    unsafe { CStr::from_ptr(text.data.as_ptr()) }.to_bytes()
}

/// The last part of a name.
fn base_name(name: &[u8]) -> &[u8] {
    name.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or(name)
}

/// What is lost because coordinates are single-precision numbers: the warning, if it is more than
/// what anybody would see. It ends with what the user can do.
pub(super) fn coarseness(scene: &Scene, advice: &str) -> Option<String> {
    let [least, most] = scene.extent?;
    let largest = least.iter().chain(&most).fold(0.0, |largest: f64, number| largest.max(number.abs()));
    let size = (0..3).map(|axis| most[axis] - least[axis]).fold(0.0, f64::max);
    // Vertices that have all become one are the worst loss.
    if largest == 0.0 || scene.vertices < 2 {
        return None;
    }
    // The distance between neighbouring numbers is 2^(e - 23) from 2^e on.
    let step = 2_f64.powi(largest.log2().floor() as i32 - (SIGNIFICANT_BITS - 1));
    (step > size * COARSE).then(|| {
        format!(
            "coordinates of up to {largest:.0} are kept in steps of {step}, and the model is {size:.3} large: finer details are lost; {advice}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_coordinates_of_a_small_model_are_coarse() {
        let of = |least: [f64; 3], most: [f64; 3]| Scene {
            vertices: 8,
            extent: Some([least, most]),
            ..Scene::default()
        };
        let warning =
            coarseness(&of([200_000.0, 552_000.0, 0.0], [200_010.0, 552_010.0, 3.0]), "move it").unwrap();
        assert!(
            warning.contains("552010") && warning.contains("0.0625") && warning.ends_with("; move it"),
            "{warning}"
        );
        assert!(coarseness(&of([-5.0, -5.0, 0.0], [5.0, 5.0, 3.0]), "").is_none());
        assert!(coarseness(&of([0.0; 3], [500_000.0, 1.0, 1.0]), "").is_none());
        assert!(coarseness(&of([550_000.0; 3], [550_000.0; 3]), "").is_some());
        assert!(coarseness(&Scene::default(), "").is_none());
    }
}
