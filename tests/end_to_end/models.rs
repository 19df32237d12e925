//! What Assimp leaves out of a model, or makes of it, without a word: it is repaired, named or a loss;
//! and a good model has no warning.

use crate::support::{Bench, Run, zipped};
use serde_json::{Value, json};
use zip::CompressionMethod::Stored;

fn convert(bench: &Bench, name: &str, content: impl AsRef<[u8]>, to: &str, more: &[&str]) -> Run {
    let input = bench.path(name);
    std::fs::write(&input, content).unwrap();
    drop(std::fs::remove_file(bench.path(&format!("out.{to}"))));
    let output = format!("out.{to}");
    let arguments = ["convert", input.to_str().unwrap(), "--to", to, "-o", &output, "--json"];
    bench.run(&[&arguments[..], more].concat())
}

/// A loss: with these words, and refused if strict.
fn is_lost(name: &str, content: impl AsRef<[u8]>, to: &str, words: &str) {
    let bench = Bench::new();
    let json = convert(&bench, name, &content, to, &[]).succeeded().json();
    assert!(json["warnings"].to_string().contains(words), "{name} to {to}: {json}");
    convert(&bench, name, &content, to, &["--strict"]).failed(28, "engine.incomplete");
}

/// No loss; the warnings.
fn is_kept(bench: &Bench, name: &str, content: impl AsRef<[u8]>, to: &str) -> String {
    let json = convert(bench, name, content, to, &["--strict"]).succeeded().json();
    json["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

const OBJ: &str = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl A\nf 1/1 2/2 3/3\n";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n the image";

/// An archive of a model, its materials at a place, and images.
fn textured(library: &str, texture: &str, images: &[&str]) -> Vec<u8> {
    let obj = format!("mtllib {library}\n{OBJ}");
    let mtl = format!("newmtl A\nKd 1 1 1\nmap_Kd {texture}\n");
    let mut entries = vec![("m.obj", Stored, obj.as_bytes()), (library, Stored, mtl.as_bytes())];
    entries.extend(images.iter().map(|name| (*name, Stored, PNG)));
    zipped(&entries)
}

/// Whether the output has the image.
fn has_image(bench: &Bench, output: &str) -> bool {
    memchr::memmem::find(&std::fs::read(bench.path(output)).unwrap(), PNG).is_some()
}

#[test]
fn textures_within_the_input_are_found_wherever_their_names_lead() {
    for (library, texture, image, is_respelt) in [
        ("m.mtl", "a.png", "a.png", false),
        ("mat/m.mtl", "../img/a.png", "img/a.png", false),
        ("mat/m.mtl", "..\\img\\A.png", "img/a.png", true),
        ("m.mtl", "C:\\Users\\kim\\tex\\a.png", "tex/a.png", true),
        ("m.mtl", "/home/kim/a.png", "a.png", true),
        ("m.mtl", "../../maps/a.png", "a.png", true),
    ] {
        let bench = Bench::new();
        let told = is_kept(&bench, "in.zip", textured(library, texture, &[image]), "glb");
        assert!(has_image(&bench, "out.glb"), "{texture}: {told}");
        assert_eq!(told.contains("was read"), is_respelt, "{texture}: {told}");
        assert!(told.lines().count() == usize::from(is_respelt), "{texture}: {told}");
    }
}

#[test]
fn textures_that_are_not_in_the_result_are_a_loss() {
    for (texture, images, to, words) in [
        ("../../a.png", &[][..], "glb", "lies outside"),
        ("C:\\Users\\kim\\a.png", &[], "obj", "lies outside"),
        ("C:\\a.png", &["x/a.png", "y/a.png"], "glb", "several files"),
        ("../../a.png", &["a.png"], "obj", "not put beside the result"),
        ("gone.png", &["a.png"], "glb", "not found"),
    ] {
        is_lost("in.zip", textured("m.mtl", texture, images), to, words);
    }
}

#[test]
fn points_are_counted_and_in_the_result_or_the_model_does_not_fit() {
    let cloud = "ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\nend_header\n1 2 3\n4 5 6\n";
    let vertices = "v 1 2 3\nv 4 5 6\n";
    for (name, content) in [("a.ply", cloud), ("a.obj", vertices)] {
        let bench = Bench::new();
        let json = convert(&bench, name, content, "glb", &["--strict"]).succeeded().json();
        assert_eq!((&json["counts"]["read"], &json["counts"]["written"]), (&json!(2), &json!(2)), "{json}");
        for to in ["obj", "dae", "ply", "x3d", "fbx", "stl"] {
            let json = convert(&bench, name, content, to, &[]).failed(27, "engine.unfit");
            assert!(json["error"]["message"].as_str().unwrap().contains("2 points"), "{to}: {json}");
        }
        let json = bench.run(&["inspect", name, "--json"]).succeeded().json();
        assert_eq!(json["files"][0]["contents"]["scene"]["points"], 2, "{json}");
    }
}

#[test]
fn points_beside_faces_are_a_loss_where_the_writer_has_none() {
    let mixed = format!("{}p 1\n", OBJ.replace("usemtl A\n", ""));
    is_lost("a.obj", &mixed, "dae", "1 points were left out");
    for to in ["glb", "obj", "ply", "x3d"] {
        let told = is_kept(&Bench::new(), "a.obj", &mixed, to);
        assert!(!told.contains("left out"), "{to}: {told}");
    }
}

#[test]
fn what_is_not_read_of_a_file_is_named() {
    let curved = format!("{OBJ}cstype bezier\ndeg 3\ncurv 0 1 1 2 3 1\nparm u 0 1\nend\n");
    is_lost("a.obj", &curved, "glb", "1 curv");
    let ply = |more: &str, property: &str, value: &str| {
        format!(
            "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n{property}element face 1\nproperty list uchar int vertex_indices\n{more}end_header\n0 0 0{value}\n1 0 0{value}\n0 1 0{value}\n3 0 1 2\n0 1\n"
        )
    };
    let edges = ply("element edge 1\nproperty int vertex1\nproperty int vertex2\n", "", "");
    is_lost("a.ply", edges, "obj", "1 elements 'edge'");
    let bench = Bench::new();
    let told = is_kept(&bench, "a.ply", ply("", "property float intensity\n", " 0.5"), "obj");
    assert!(told.contains("cannot carry these properties: intensity of vertex"), "{told}");
    assert_eq!(is_kept(&bench, "a.ply", ply("", "property uchar red\n", " 5"), "glb"), "");
    let told = is_kept(&bench, "a.obj", OBJ.replace("usemtl A", "o wall\ng left"), "glb");
    assert!(told.contains("1 names of objects"), "{told}");
}

/// A triangle in glTF, with more members.
fn gltf(more: &Value) -> String {
    let buffer = "AAAAAAAAAAAAAAAAAACAPwAAAAAAAAAAAAAAAAAAgD8AAAAA";
    let mut whole = json!({
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "material": 0}]}],
        "materials": [{"name": "A", "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}],
        "images": [{"uri": "data:image/png;base64,iVBORw0KGgo="}],
        "buffers": [{"byteLength": 36, "uri": format!("data:application/octet-stream;base64,{buffer}")}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3", "min": [0, 0, 0], "max": [1, 1, 0]},
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC2"}
        ]
    });
    for (name, value) in more.as_object().unwrap() {
        whole[name] = value.clone();
    }
    whole.to_string()
}

#[test]
fn what_assimp_leaves_out_of_gltf_is_a_loss_or_not_carried() {
    let transform = json!({"KHR_texture_transform": {"scale": [2, 2]}});
    let targets = json!([{"weights": [0.5], "primitives":
        [{"attributes": {"POSITION": 0}, "targets": [{"POSITION": 0}]}]}]);
    for (more, words, elsewhere) in [
        (json!({"nodes": [{"mesh": 0, "extras": {"part": "A-1"}}]}), "1 objects with properties", Some(true)),
        (json!({"meshes": targets}), "1 weights of morph targets", Some(true)),
        (json!({"materials": [{"normalTexture": {"index": 0, "scale": 0.5}}]}), "1 strengths", Some(true)),
        (
            json!({"materials": [{"extensions": {"KHR_materials_iridescence": {"iridescenceFactor": 1}}}]}),
            "1 objects with KHR_materials_iridescence",
            Some(true),
        ),
        (
            json!({"materials": [{"pbrMetallicRoughness":
                {"baseColorTexture": {"index": 0, "extensions": transform}}}]}),
            "1 textures with a transformation",
            Some(false),
        ),
        (
            json!({"extensionsRequired": ["KHR_texture_basisu"], "textures":
                [{"extensions": {"KHR_texture_basisu": {"source": 0}}}]}),
            "1 textures are images of KHR_texture_basisu",
            Some(false),
        ),
        (
            json!({"scenes": [{"nodes": [0], "extensions": {"EXT_x": {}}}]}),
            "1 objects with EXT_x",
            Some(false),
        ),
    ] {
        let file = gltf(&more);
        is_lost("a.gltf", &file, "glb", words);
        match elsewhere {
            Some(true) => {
                let json = convert(&Bench::new(), "a.gltf", &file, "dae", &[]).succeeded().json();
                let warnings = json["warnings"].to_string();
                assert!(warnings.contains("cannot carry") && warnings.contains(words), "{json}");
                assert_eq!(json["losses"], 0, "{json}");
            }
            _ => is_lost("a.gltf", &file, "dae", words),
        }
    }
    let bench = Bench::new();
    let required = gltf(&json!({"extensionsRequired": ["VENDOR_unknown"]}));
    let json = convert(&bench, "a.gltf", required, "glb", &[]).failed(15, "engine.rejected");
    assert!(json["error"]["message"].as_str().unwrap().contains("VENDOR_unknown"), "{json}");
}

#[test]
fn a_good_gltf_file_is_converted_without_warnings() {
    let bench = Bench::new();
    for to in ["glb", "fbx", "dae"] {
        assert_eq!(is_kept(&bench, "a.gltf", gltf(&json!({})), to), "", "{to}");
    }
}

#[test]
fn a_material_stays_as_transparent_as_it_was() {
    for mode in ["BLEND", "OPAQUE", "MASK"] {
        let bench = Bench::new();
        let material =
            json!({"alphaMode": mode, "pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0, 0.5]}});
        assert_eq!(is_kept(&bench, "a.gltf", gltf(&json!({"materials": [material]})), "glb"), "");
        let glb = std::fs::read(bench.path("out.glb")).unwrap();
        let length = u32::from_le_bytes(glb[12..16].try_into().unwrap()) as usize;
        let json: Value = serde_json::from_slice(&glb[20..20 + length]).unwrap();
        let material = &json["materials"][0];
        assert_eq!(material["pbrMetallicRoughness"]["baseColorFactor"][3], 0.5, "{material}");
        assert_eq!(material["alphaMode"].as_str().unwrap_or("OPAQUE"), mode, "{material}");
    }
}

#[test]
fn a_model_is_inspected_as_its_nodes_place_it() {
    let bench = Bench::new();
    let nodes = json!([{"children": [1, 2], "translation": [10, 0, 0]}, {"mesh": 0},
        {"mesh": 0, "translation": [5, 0, 0], "scale": [2, 2, 2]}]);
    let file = gltf(&json!({"nodes": nodes, "scenes": [{"nodes": [0]}, {"nodes": [1]}]}));
    std::fs::write(bench.path("a.gltf"), file).unwrap();
    let json = bench.run(&["inspect", "a.gltf", "--json"]).succeeded().json();
    let file = &json["files"][0];
    let scene = &file["contents"]["scene"];
    assert_eq!((&scene["meshes"], &scene["triangles"]), (&json!(1), &json!(2)), "{json}");
    assert_eq!(scene["extent"], json!({"least": [10.0, 0.0, 0.0], "most": [17.0, 2.0, 0.0]}), "{json}");
    assert!(file["contents"]["driver"].as_str().unwrap().contains("glTF"), "{json}");
    assert!(file["warnings"].to_string().contains("2 scenes"), "{json}");
}
