//! What a glTF file declares, and Assimp does not read or does not write again.
//!
//! The JSON is read piece by piece, and only counts are kept: it may be large, with the buffers
//! within it.

mod walk;

use super::names::listed;
use crate::engine::EngineError;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use walk::Declared;

/// Formats that can have all of it.
const GLTF: &[&str] = &["glb2", "gltf2"];

/// Formats whose writers have morph targets, besides.
const MORPHING: &[&str] = &["fbx", "fbxa"];

/// Formats without materials.
const NO_MATERIALS: &[&str] = &["objnomtl", "ply", "plyb", "stl", "stlb", "stp"];

/// Extensions that Assimp reads, and the version that began to.
const READ: &[(&str, (u32, u32))] = &[
    ("FB_ngon_encoding", (5, 0)),
    ("KHR_draco_mesh_compression", (5, 0)),
    ("KHR_lights_punctual", (5, 0)),
    ("KHR_materials_clearcoat", (5, 0)),
    ("KHR_materials_emissive_strength", (5, 3)),
    ("KHR_materials_ior", (5, 1)),
    ("KHR_materials_pbrSpecularGlossiness", (5, 0)),
    ("KHR_materials_sheen", (5, 0)),
    ("KHR_materials_specular", (5, 4)),
    ("KHR_materials_transmission", (5, 0)),
    ("KHR_materials_unlit", (5, 0)),
    ("KHR_materials_volume", (5, 1)),
    ("KHR_mesh_quantization", (5, 0)),
    ("KHR_texture_transform", (5, 0)),
    // Compressed copies of buffers that a file also has as they are, unless it requires the
    // extension, and is refused.
    ("EXT_meshopt_compression", (5, 0)),
    ("KHR_meshopt_compression", (5, 0)),
];

/// Of [`READ`], those that cannot be required.
const OPTIONAL: &[&str] = &["EXT_meshopt_compression", "KHR_meshopt_compression"];

/// Where the place of an image is in a texture.
const TRANSFORM: &str = "KHR_texture_transform";

/// Reads what the file declares.
pub(super) fn declared(path: &Path) -> io::Result<Declared> {
    let mut file = BufReader::with_capacity(1 << 18, File::open(path)?);
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gltf")) {
        return walk::declared(file);
    }
    // A binary file, whose first chunk is JSON.
    let mut header = [0; 20];
    file.read_exact(&mut header)?;
    if &header[..4] != b"glTF" || &header[16..] != b"JSON" {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let length = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
    walk::declared(file.take(length.into()))
}

impl Declared {
    pub(super) fn other_scenes(&self) -> Option<String> {
        (self.scenes > 1).then(|| {
            let (scenes, others) = (self.scenes, self.scenes - 1);
            format!("the file has {scenes} scenes, of which the default one was read: {others} were left out")
        })
    }

    /// See [`super::left_out`].
    pub(super) fn left_out(&self, version: &str, format: &str) -> Result<Vec<String>, EngineError> {
        let version = parsed(version);
        let is_read = |name: &str| READ.iter().any(|(known, since)| *known == name && *since <= version);
        self.check_required(&is_read)?;
        let mut lines: Vec<String> = self.other_scenes().into_iter().collect();
        for (name, count) in &self.textures {
            let name = listed([name.as_str()].into_iter());
            lines.push(format!("{count} textures are images of {name}, which Assimp does not read: they were left out; export them as PNG or JPEG"));
        }
        // What this format could have is a loss.
        let is_gltf = GLTF.contains(&format);
        let (mut lost, mut not_carried) = (Vec::new(), Vec::new());
        let mut add = |count: u64, what: &str, is_possible: bool| {
            if count > 0 {
                if is_possible { &mut lost } else { &mut not_carried }.push(format!("{count} {what}"));
            }
        };
        let has_materials = !NO_MATERIALS.contains(&format);
        add(self.extras, "objects with properties of the author (extras)", is_gltf);
        let morphs = is_gltf || MORPHING.contains(&format);
        add(if morphs { 0 } else { self.morph_targets }, "morph targets", false);
        add(self.weights, "weights of morph targets", is_gltf);
        add(self.morph_animations, "animations of morph targets", is_gltf);
        if has_materials {
            add(self.strengths, "strengths of normal or occlusion textures", is_gltf);
        }
        for (name, count) in &self.extensions {
            let is_texture = self.textures.contains_key(name);
            if name == TRANSFORM {
                // An image at another place is seen wherever images are.
                add(if has_materials { *count } else { 0 }, "textures with a transformation", true);
            } else if !is_read(name) && !is_texture {
                let has_place = !name.starts_with("KHR_materials_") || has_materials;
                let is_possible = is_gltf || !is_of_appearance(name);
                let what = format!("objects with {}", listed([name.as_str()].into_iter()));
                add(if has_place { *count } else { 0 }, &what, is_possible);
            }
        }
        if !lost.is_empty() {
            lines.push(format!("Assimp does not carry over all of glTF: {} were left out", lost.join(", ")));
        }
        if !not_carried.is_empty() {
            lines.push(format!("format '{format}' cannot carry {}", not_carried.join(", ")));
        }
        Ok(lines)
    }

    /// An extension is required if what a program makes of the file without it is wrong. Without
    /// an image or a property of a material, only the appearance is, which is reported.
    fn check_required(&self, is_read: &dyn Fn(&str) -> bool) -> Result<(), EngineError> {
        let unknown: Vec<&str> = self
            .required
            .iter()
            .map(String::as_str)
            .filter(|name| OPTIONAL.contains(name) || !(is_read(name) || is_of_appearance(name)))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let names = listed(unknown.into_iter());
        Err(EngineError::Rejected(format!(
            "the file requires extensions of glTF that Assimp does not read ({names}): export the model without them"
        )))
    }
}

/// Whether an extension is about materials, images or notes, and the shape is the same without it.
fn is_of_appearance(name: &str) -> bool {
    const PREFIXES: &[&str] = &["KHR_materials_", "KHR_texture_", "EXT_texture_", "MSFT_texture_", "KHR_xmp"];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The first two numbers of a version.
fn parsed(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str, version: &str, format: &str) -> Result<Vec<String>, String> {
        let declared = walk::declared(json.as_bytes()).unwrap();
        declared.left_out(version, format).map_err(|error| error.to_string())
    }

    #[test]
    fn an_ordinary_file_has_nothing_to_report() {
        let json = r#"{"asset":{"version":"2.0","extras":{"author":"a"}},"scene":0,"scenes":[{"nodes":[0]}],
            "extensionsUsed":["KHR_materials_unlit","KHR_texture_transform"],
            "nodes":[{"mesh":0,"name":"extras","extras":{}}],
            "meshes":[{"extras":{"targetNames":["a"]},"weights":[0,0.0],"primitives":[{"targets":[{"POSITION":1}]}]}],
            "materials":[{"normalTexture":{"index":0,"scale":1},"extensions":{"KHR_materials_unlit":{}},
            "occlusionTexture":{"index":0,"strength":1.0}}],"textures":[{"source":0}]}"#;
        assert_eq!(of(json, "5.2.4", "glb2"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_not_carried_is_named() {
        let json = r#"{"nodes":[{"extras":{"a":{"extras":1}},"weights":[0.5]},{"extras":3}],
            "animations":[{"channels":[{"target":{"node":0,"path":"weights"}},{"target":{"path":"scale"}}]}],
            "meshes":[{"primitives":[{"targets":[{"POSITION":1},{"POSITION":2}]}]}],
            "materials":[{"normalTexture":{"scale":0.5},"occlusionTexture":{"strength":0.25},
            "extensions":{"KHR_materials_emissive_strength":{"emissiveStrength":5}},
            "pbrMetallicRoughness":{"baseColorTexture":{"extensions":{"KHR_texture_transform":{"scale":[2,2]}}}}}]}"#;
        let lines = of(json, "5.2.4", "glb2").unwrap();
        assert_eq!(lines.len(), 1, "{lines:?}");
        for part in [
            "2 objects with properties",
            "1 weights",
            "1 animations",
            "2 strengths",
            "1 objects with KHR_materials_emissive_strength",
            "1 textures with a transformation",
            "left out",
        ] {
            assert!(lines[0].contains(part), "{part}: {lines:?}");
        }
        assert!(!lines[0].contains("2 morph targets"), "{lines:?}");
        assert!(!of(json, "5.4.3", "glb2").unwrap()[0].contains("emissive_strength"));
        let lines = of(json, "5.2.4", "obj").unwrap();
        assert!(lines[0].contains("1 textures with a transformation were left out"), "{lines:?}");
        assert!(lines[1].contains("cannot carry 2 objects with") && lines[1].contains("2 morph targets"));
        assert_eq!(of(json, "5.2.4", "stl").unwrap().len(), 1);
    }

    #[test]
    fn images_of_unknown_kinds_are_counted() {
        let json = r#"{"extensionsRequired":["KHR_texture_basisu"],"textures":[
            {"extensions":{"KHR_texture_basisu":{"source":0}}},
            {"source":1,"extensions":{"EXT_texture_webp":{"source":0}}}]}"#;
        let lines = of(json, "5.2.4", "obj").unwrap();
        assert!(lines[0].contains("1 textures are images of KHR_texture_basisu"), "{lines:?}");
        assert_eq!(lines.len(), 1, "{lines:?}");
    }

    #[test]
    fn what_a_file_requires_is_read_or_the_file_is_refused() {
        let of = |name: &str| of(&format!(r#"{{"extensionsRequired":["{name}"]}}"#), "5.2.4", "stl");
        for name in ["KHR_draco_mesh_compression", "KHR_mesh_quantization", "KHR_materials_variants"] {
            assert_eq!(of(name), Ok(Vec::new()), "{name}");
        }
        for name in ["VENDOR_unknown", "EXT_meshopt_compression", "EXT_mesh_gpu_instancing"] {
            assert!(of(name).unwrap_err().contains(name));
        }
    }

    #[test]
    fn scenes_are_counted() {
        let one = r#"{"scene":0,"scenes":[{"nodes":[0]}],"nodes":[{"name":"scenes"},{"extras":{"scenes":[{},{}]}}]}"#;
        let two = r#"{"asset":{"generator":"a \"scenes\" ["}, "scenes" : [{"nodes":[0]}, {"nodes":[1]}]}"#;
        let directory = tempfile::tempdir().unwrap();
        let of = |name: &str, bytes: &[u8]| {
            let path = directory.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            super::super::beside(&path)
        };
        assert_eq!(of("a.gltf", one.as_bytes()), None);
        assert!(of("a.gltf", two.as_bytes()).unwrap().contains("2 scenes"));
        let mut binary = b"glTF\x02\0\0\0\0\0\0\0".to_vec();
        binary.extend((two.len() as u32).to_le_bytes());
        binary.extend(b"JSON");
        binary.extend(two.as_bytes());
        binary.extend(b"not JSON");
        assert!(of("a.glb", &binary).is_some());
        assert_eq!(of("a.glb", b"glTF"), None);
    }
}
