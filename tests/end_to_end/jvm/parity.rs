//! Through the jar and through the library: the same bytes, of the same `libassimp.so`,
//! with the same options. What writers embed of the time is masked, as for the vendor's
//! tools; warnings are compared as well.
//!
//! What is not compared, because the library does not give the same bytes twice, on
//! either road: `x`, and `stp` of several nodes, which hold heap addresses; `assbin` and
//! `assxml`, which hold the time and are not masked elsewhere either.
//!
//! `glb2` of a skinned mesh is compared but for a hole that the writer leaves behind the
//! joints: it turns them from floats to shorts in a buffer of the floats' size, of which it
//! then writes the half that it has not filled too (`glTF2Exporter.cpp`, where it calls
//! `ReplaceData_joint`). What is there is what the heap had.

use super::direct;
use crate::parity::{Files, differences, read_output};
use crate::support::{Bench, real};
use std::collections::BTreeSet;

const CASES: &[(&str, &str, &[&str])] = &[
    ("obj", "mesh/rabbit.obj", &["glb2", "stlb", "x3d"]),
    ("obj", "mesh/logo3d_obj.zip", &["glb2", "obj", "stl", "3ds"]),
    ("obj", "mesh/earth_ball_obj.zip", &["gltf", "collada", "fbx"]),
    ("ply", "mesh/cube_ascii.ply", &["glb2", "plyb", "stp"]),
    ("ply", "mesh/cube_binary.ply", &["glb2", "ply", "stl"]),
    ("ply", "mesh/wuson_ply.zip", &["glb2", "stlb"]),
    ("stl", "mesh/moon_ascii.stl", &["stlb", "plyb", "3mf"]),
    ("stl", "mesh/moon_binary.stl", &["stl", "glb2", "obj"]),
    ("stl", "mesh/spider_binary.stl", &["glb2"]),
    ("off", "mesh/teapot.off", &["stlb", "glb2", "ply"]),
    ("off", "mesh/Wuson.off", &["glb2", "collada"]),
    ("dae", "mesh/gear_scene.dae", &["glb2", "stl", "3ds"]),
    ("3ds", "mesh/fels.3ds", &["gltf", "plyb"]),
    ("3ds", "mesh/cubes_with_alpha.3DS", &["obj", "assjson"]),
    ("gltf", "mesh/boxTexcoords_gltf.zip", &["gltf", "glb2", "obj"]),
    ("gltf", "mesh/AnimatedMorphCube_gltf.zip", &["glb2", "fbx"]),
    ("glb", "mesh/gear_scene.glb", &["gltf", "stlb"]),
    ("x", "mesh/kwxport_test_cubewithvcolors.x", &["ply", "obj"]),
    ("x3d", "mesh/ComputerKeyboard.x3d", &["glb2", "collada"]),
    ("3mf", "mesh/box.3mf", &["3mf", "obj"]),
];

/// A skinned mesh.
const SKINNED: &str = "mesh/testwuson_x.zip";

/// Post-processing, and options with a number.
const WITH_OPTIONS: &[(&str, &str, &[&str])] = &[
    ("mesh/logo3d_obj.zip", "glb2", &["postprocess=triangulate,join-identical-vertices"]),
    ("mesh/cube_binary.ply", "ply", &["postprocess=triangulate, gen-smooth-normals"]),
    ("mesh/gear_scene.dae", "stlb", &["postprocess=pretransform-vertices"]),
    ("mesh/cubes_with_alpha.3DS", "obj", &["postprocess=left-handed"]),
    ("mesh/rabbit.obj", "glb2", &["postprocess=global-scale", "prop.GLOBAL_SCALE_FACTOR=0.5"]),
    ("mesh/moon_binary.stl", "plyb", &["postprocess=join-identical-vertices,improve-cache-locality"]),
];

fn extension(to: &str) -> &str {
    match to {
        "glb2" => "glb",
        "stlb" => "stl",
        "plyb" => "ply",
        "collada" => "dae",
        "assjson" => "json",
        other => other,
    }
}

fn convert(
    engine: &str,
    input: &str,
    to: &str,
    options: &[&str],
) -> Result<(Files, serde_json::Value), String> {
    let bench = Bench::new();
    let (input, engines) = (real(input), direct());
    let name = format!("out.{}", extension(to));
    let mut arguments = vec!["convert", input.to_str().unwrap(), "--to", to, "-o", &name, "--json"];
    arguments.extend(["--engine", engine, "--engines-file", engines.to_str().unwrap()]);
    arguments.extend(options.iter().flat_map(|option| ["--opt", option]));
    let run = bench.run(&arguments);
    if run.code != Some(0) {
        return Err(format!("{engine}: {run:?}"));
    }
    let json = run.json();
    assert_eq!(json["engine"]["name"], engine);
    Ok((read_output(&bench, &json, &name), json["warnings"].clone()))
}

fn compare(input: &str, to: &str, options: &[&str]) -> Result<(), String> {
    let (ffi, ffi_warnings) = convert("assimp-ffi", input, to, options)?;
    let (jvm, jvm_warnings) = convert("assimp-jvm", input, to, options)?;
    if ffi_warnings != jvm_warnings {
        return Err(format!("warnings: {ffi_warnings} and {jvm_warnings}"));
    }
    differences(jvm, ffi)
}

#[test]
fn the_jar_writes_what_the_library_writes() {
    let (mut inputs, mut outputs, mut wrong) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for (kind, input, formats) in CASES {
        for to in *formats {
            match compare(input, to, &[]) {
                Ok(()) => {
                    inputs.insert(*kind);
                    outputs.insert(*to);
                }
                Err(text) => wrong.push(format!("{input} to {to}: {text}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(CASES.len() >= 15 && inputs.len() >= 6 && outputs.len() >= 10, "{inputs:?} {outputs:?}");
}

#[test]
fn options_mean_the_same_on_both_roads() {
    let wrong: Vec<String> = WITH_OPTIONS
        .iter()
        .filter_map(|(input, to, options)| {
            compare(input, to, options).err().map(|text| format!("{input} to {to} {options:?}: {text}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_skinned_mesh_differs_in_the_hole_behind_its_joints_only() {
    let convert = |engine| convert(engine, SKINNED, "glb2", &[]).unwrap().0;
    let [mut ffi, mut jvm] = ["assimp-ffi", "assimp-jvm"].map(convert);
    let holes = [&mut ffi, &mut jvm].map(|files| fill_hole(files.get_mut("out.glb").unwrap()));
    assert_eq!(holes[0], holes[1]);
    assert!(holes[0].len() > 1000, "the writer leaves no hole any more: compare the file like others");
    differences(jvm, ffi).unwrap();
}

/// Overwrites the hole in the buffer of a binary glTF of one mesh, and tells where in the
/// buffer it was: as long as the joints, and behind them.
fn fill_hole(file: &mut [u8]) -> std::ops::Range<usize> {
    // A header of 12 bytes, then chunks: length, kind, content (glTF 2.0, 4.4).
    let length = u32::from_le_bytes(file[12..16].try_into().unwrap()) as usize;
    let json: serde_json::Value = serde_json::from_slice(&file[20..20 + length]).unwrap();
    let view = |accessor: &serde_json::Value| {
        let index = json["accessors"][accessor.as_u64().unwrap() as usize]["bufferView"].as_u64().unwrap();
        let view = &json["bufferViews"][index as usize];
        let start = view["byteOffset"].as_u64().unwrap() as usize;
        start..start + view["byteLength"].as_u64().unwrap() as usize
    };
    let attributes = &json["meshes"][0]["primitives"][0]["attributes"];
    let (joints, weights) = (view(&attributes["JOINTS_0"]), view(&attributes["WEIGHTS_0"]));
    assert_eq!(weights.start - joints.end, joints.len(), "it is another hole");
    let buffer = 20 + length + 8;
    file[buffer + joints.end..buffer + weights.start].fill(0);
    joints.end..weights.start
}

/// What is refused is refused with the same code, exit and, but for the name of the
/// engine, the same words.
#[test]
fn refusals_are_the_same_on_both_roads() {
    for (input, option, code) in [
        ("mesh/rabbit.obj", "postprocess=explode", "usage.option"),
        ("mesh/rabbit.obj", "prop.lower=1", "usage.option"),
        ("mesh/rabbit.obj", "prop.X=/etc/passwd", "usage.option"),
        ("mesh/rabbit.obj", "flags=1", "usage.option"),
    ] {
        let refused = |engine: &str| {
            let (bench, path, engines) = (Bench::new(), real(input), direct());
            let arguments = ["convert", path.to_str().unwrap(), "--to", "stl", "--engine", engine, "--json"];
            let more = ["--engines-file", engines.to_str().unwrap(), "--opt", option];
            let json = bench.run(&[&arguments[..], &more[..]].concat()).failed(2, code);
            json["error"]["message"].as_str().unwrap().replace(engine, "ENGINE")
        };
        assert_eq!(refused("assimp-ffi"), refused("assimp-jvm"), "{option}");
    }
    let broken = |engine: &str| {
        let (bench, engines) = (Bench::new(), direct());
        let path = bench.path("broken.glb");
        std::fs::write(&path, b"glTF\x02\0\0\0\xff\xff\xff\x7f not a model").unwrap();
        let arguments = ["convert", path.to_str().unwrap(), "--to", "stl", "--engine", engine, "--json"];
        let json = bench
            .run(&[&arguments[..], &["--engines-file", engines.to_str().unwrap()]].concat())
            .failed(15, "engine.rejected");
        json["error"]["message"].as_str().unwrap().replace(engine, "ENGINE")
    };
    assert_eq!(broken("assimp-ffi"), broken("assimp-jvm"));
}
