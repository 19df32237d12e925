//! Checks that the binding matches the library from LWJGL's jar, whose version differs from that of
//! the headers: LWJGL's own binding of that version provides the layouts and flags.

use crate::bindings::assimp as ffi;
use std::collections::BTreeMap;
use std::mem::{offset_of, size_of};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory that java/build.sh creates.
fn jars() -> PathBuf {
    // target/PROFILE/build/PACKAGE/out
    let target = Path::new(env!("OUT_DIR")).ancestors().nth(4).expect("the target directory");
    let jars = target.join("java");
    assert!(
        jars.join("stamp").is_file(),
        "{} is not built: run `make setup` or native-sys/java/build.sh first",
        jars.display()
    );
    jars
}

/// Values reported by LWJGL, by name.
fn told() -> BTreeMap<String, u64> {
    let (jars, root) = (jars(), Path::new(env!("CARGO_MANIFEST_DIR")));
    let natives = jars.join("assimp/natives");
    let output = Command::new("java")
        .arg(format!("-Dorg.lwjgl.librarypath={}", natives.display()))
        .arg("-cp")
        .arg(jars.join("assimp/*"))
        .arg(root.join("../tests/fixtures/doubles/java/Layout.java"))
        .output()
        .expect("a JDK: run `make setup`");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
        .collect()
}

#[test]
fn structures_and_flags_are_those_of_the_library_in_the_jar() {
    let mut expected = BTreeMap::new();
    let mut row = |name: &str, value: usize| {
        expected.insert(name.to_owned(), value as u64);
    };
    row("file", size_of::<ffi::aiFile>());
    row("file.read", offset_of!(ffi::aiFile, ReadProc));
    row("file.write", offset_of!(ffi::aiFile, WriteProc));
    row("file.tell", offset_of!(ffi::aiFile, TellProc));
    row("file.size", offset_of!(ffi::aiFile, FileSizeProc));
    row("file.seek", offset_of!(ffi::aiFile, SeekProc));
    row("file.flush", offset_of!(ffi::aiFile, FlushProc));
    row("file.user", offset_of!(ffi::aiFile, UserData));
    row("io", size_of::<ffi::aiFileIO>());
    row("io.open", offset_of!(ffi::aiFileIO, OpenProc));
    row("io.close", offset_of!(ffi::aiFileIO, CloseProc));
    row("io.user", offset_of!(ffi::aiFileIO, UserData));
    row("log", size_of::<ffi::aiLogStream>());
    row("log.callback", offset_of!(ffi::aiLogStream, callback));
    row("log.user", offset_of!(ffi::aiLogStream, user));
    row("string", size_of::<ffi::aiString>());
    row("string.length", offset_of!(ffi::aiString, length));
    row("string.data", offset_of!(ffi::aiString, data));
    row("format", size_of::<ffi::aiExportFormatDesc>());
    row("format.id", offset_of!(ffi::aiExportFormatDesc, id));
    row("format.extension", offset_of!(ffi::aiExportFormatDesc, fileExtension));
    row("scene.meshes", offset_of!(ffi::aiScene, mMeshes));
    row("scene.meshes.number", offset_of!(ffi::aiScene, mNumMeshes));
    row("scene.materials", offset_of!(ffi::aiScene, mMaterials));
    row("scene.materials.number", offset_of!(ffi::aiScene, mNumMaterials));
    row("scene.textures", offset_of!(ffi::aiScene, mTextures));
    row("scene.textures.number", offset_of!(ffi::aiScene, mNumTextures));
    row("texture.file", offset_of!(ffi::aiTexture, mFilename));
    row("scene.animations.number", offset_of!(ffi::aiScene, mNumAnimations));
    row("scene.root", offset_of!(ffi::aiScene, mRootNode));
    row("scene.data", offset_of!(ffi::aiScene, mMetaData));
    row("node.transformation", offset_of!(ffi::aiNode, mTransformation));
    row("node.children", offset_of!(ffi::aiNode, mChildren));
    row("node.children.number", offset_of!(ffi::aiNode, mNumChildren));
    row("node.meshes", offset_of!(ffi::aiNode, mMeshes));
    row("node.meshes.number", offset_of!(ffi::aiNode, mNumMeshes));
    row("matrix", size_of::<ffi::aiMatrix4x4>());
    row("matrix.a4", offset_of!(ffi::aiMatrix4x4, a4));
    row("data.number", offset_of!(ffi::aiMetadata, mNumProperties));
    row("data.keys", offset_of!(ffi::aiMetadata, mKeys));
    row("data.values", offset_of!(ffi::aiMetadata, mValues));
    row("data.value", size_of::<ffi::aiMetadataEntry>());
    row("data.value.type", offset_of!(ffi::aiMetadataEntry, mType));
    row("data.value.data", offset_of!(ffi::aiMetadataEntry, mData));
    row("data.text", super::placed::TEXT as usize);
    row("material.properties", offset_of!(ffi::aiMaterial, mProperties));
    row("material.properties.number", offset_of!(ffi::aiMaterial, mNumProperties));
    row("property.key", offset_of!(ffi::aiMaterialProperty, mKey));
    row("property.length", offset_of!(ffi::aiMaterialProperty, mDataLength));
    row("property.data", offset_of!(ffi::aiMaterialProperty, mData));
    row("diffuse", super::materials::DIFFUSE as usize);
    row("base-colour", super::materials::BASE as usize);
    row("mesh.vertices", offset_of!(ffi::aiMesh, mVertices));
    row("mesh.vertices.number", offset_of!(ffi::aiMesh, mNumVertices));
    row("mesh.faces", offset_of!(ffi::aiMesh, mFaces));
    row("mesh.faces.number", offset_of!(ffi::aiMesh, mNumFaces));
    row("face", size_of::<ffi::aiFace>());
    row("face.number", offset_of!(ffi::aiFace, mNumIndices));
    row("vertex", size_of::<ffi::aiVector3D>());
    row("sort-by-ptype", ffi::aiPostProcessSteps_aiProcess_SortByPType as usize);
    row("triangulate", ffi::aiPostProcessSteps_aiProcess_Triangulate as usize);
    row("drop-normals", ffi::aiPostProcessSteps_aiProcess_DropNormals as usize);
    row("global-scale", ffi::aiPostProcessSteps_aiProcess_GlobalScale as usize);
    row("embed-textures", ffi::aiPostProcessSteps_aiProcess_EmbedTextures as usize);
    row("flip-uv", ffi::aiPostProcessSteps_aiProcess_FlipUVs as usize);
    row("set", ffi::aiOrigin_aiOrigin_SET as usize);
    row("end", ffi::aiOrigin_aiOrigin_END as usize);
    row("success", ffi::aiReturn_aiReturn_SUCCESS as usize);
    let told = told();
    assert_eq!(told, expected);
}
