//! A scene as its nodes place the meshes, for who inspects it, and the reader that made it.

use super::scene::{list, text};
use crate::bindings::assimp as ffi;
use cadmill_core::domain::contents::Scene;

/// Nodes that are followed, so that a file whose nodes share their children ends.
const MAX_NODES: usize = 1_000_000;

/// Vertices whose places are computed: each node of a mesh has all of its vertices.
const MAX_VERTICES: u64 = 1_000_000_000;

/// The key of the reader's name in the data of a scene (`AI_METADATA_SOURCE_FORMAT`).
const READER: &[u8] = b"SourceAsset_Format";

/// Type of a text in the data of a scene (`AI_AISTRING`).
pub(super) const TEXT: ffi::aiMetadataType = 5;

/// Rows of a matrix, without the last one.
type Matrix = [[f64; 4]; 3];

const IDENTITY: Matrix = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];

/// Replaces the counts of elements and the extent by those of the meshes where the nodes place them,
/// as often as they do. Leaves them if there are too many.
///
/// # Safety
/// `scene` is a scene that the library imported, and lives during the call.
pub(super) unsafe fn place(scene: *const ffi::aiScene, counts: &mut Scene) {
    // SAFETY: guaranteed by the caller.
    let scene = unsafe { &*scene };
    // SAFETY: the library sets the number together with the list.
    let meshes = unsafe { list(scene.mMeshes, scene.mNumMeshes) };
    let mut placed = Scene {
        meshes: counts.meshes,
        materials: counts.materials,
        animations: counts.animations,
        ..Scene::default()
    };
    let mut pending = vec![(scene.mRootNode.cast_const(), IDENTITY)];
    let mut seen = 0;
    while let Some((node, above)) = pending.pop() {
        seen += 1;
        if node.is_null() {
            continue;
        }
        if seen > MAX_NODES {
            return;
        }
        // SAFETY: not null; the nodes of a scene are live.
        let node = unsafe { &*node };
        let matrix = product(&above, &rows(&node.mTransformation));
        // SAFETY: the library sets the numbers together with the lists.
        let (children, own) =
            unsafe { (list(node.mChildren, node.mNumChildren), list(node.mMeshes, node.mNumMeshes)) };
        pending.extend(children.iter().map(|child| (child.cast_const(), matrix)));
        for mesh in own.iter().filter_map(|number| meshes.get(*number as usize)) {
            // SAFETY: the list of a scene has live meshes.
            let mesh = unsafe { &**mesh };
            placed.vertices += u64::from(mesh.mNumVertices);
            if placed.vertices > MAX_VERTICES {
                return;
            }
            // SAFETY: as above.
            unsafe { super::scene::add_elements(mesh, &mut placed) };
            // SAFETY: the library sets the number together with the list.
            for vertex in unsafe { list(mesh.mVertices, mesh.mNumVertices) } {
                let place = [vertex.x, vertex.y, vertex.z].map(f64::from);
                placed.extend(matrix.map(|row| {
                    row[3] + row.iter().zip(place).map(|(factor, number)| factor * number).sum::<f64>()
                }));
            }
        }
    }
    // Meshes that no node places are what a file of meshes alone has.
    if placed.vertices > 0 || counts.vertices == 0 {
        *counts = placed;
    }
}

fn rows(matrix: &ffi::aiMatrix4x4) -> Matrix {
    let m = matrix;
    [[m.a1, m.a2, m.a3, m.a4], [m.b1, m.b2, m.b3, m.b4], [m.c1, m.c2, m.c3, m.c4]]
        .map(|row| row.map(f64::from))
}

fn product(above: &Matrix, below: &Matrix) -> Matrix {
    above.map(|row| {
        std::array::from_fn(|column| {
            let last = if column == 3 { row[3] } else { 0.0 };
            last + (0..3).map(|at| row[at] * below[at][column]).sum::<f64>()
        })
    })
}

/// The reader that made the scene, in the words of the library; empty if it does not tell.
///
/// # Safety
/// As for [`place`].
pub(super) unsafe fn reader(scene: *const ffi::aiScene) -> String {
    // SAFETY: guaranteed by the caller.
    let data = unsafe { (*scene).mMetaData };
    if data.is_null() {
        return String::new();
    }
    // SAFETY: the data of a live scene; the library sets the number together with the lists.
    let (keys, values) = unsafe {
        (list((*data).mKeys, (*data).mNumProperties), list((*data).mValues, (*data).mNumProperties))
    };
    // SAFETY: a key is a C string.
    let found = keys.iter().zip(values).find(|(key, _)| unsafe { text(key) } == READER);
    match found {
        Some((_, value)) if value.mType == TEXT && !value.mData.is_null() => {
            // SAFETY: data of this type are a string of the library.
            let name = unsafe { text(&*value.mData.cast::<ffi::aiString>()) };
            String::from_utf8_lossy(name).into_owned()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_is_moved_by_what_is_above() {
        let moved: Matrix = [[1.0, 0.0, 0.0, 5.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
        let scaled: Matrix = [[2.0, 0.0, 0.0, 1.0], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]];
        assert_eq!(product(&moved, &scaled)[0], [2.0, 0.0, 0.0, 6.0]);
        assert_eq!(product(&scaled, &moved)[0], [2.0, 0.0, 0.0, 11.0]);
        assert_eq!(product(&IDENTITY, &scaled), scaled);
    }
}
