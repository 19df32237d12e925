//! Uninitialized memory does not reach a result: memory comes zeroed, and the same input gives the
//! same bytes in each run.

use crate::misbehaviour::{double, engines_file};
use crate::parity::{Files, mask, read_output};
use crate::support::{Bench, real};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Meshes of each kind that has a fixture, the small ones.
const INPUTS: &[&str] = &[
    "dxf/PinkEggFromLW.dxf",
    "mesh/AnimatedMorphCube_gltf.zip",
    "mesh/ComputerKeyboard.x3d",
    "mesh/Wuson.off",
    "mesh/box.3mf",
    "mesh/boxTexcoords_gltf.zip",
    "mesh/cube_ascii.ply",
    "mesh/cube_binary.ply",
    "mesh/cubes_with_alpha.3DS",
    "mesh/earth_ball_obj.zip",
    "mesh/fels.3ds",
    "mesh/gear_scene.dae",
    "mesh/gear_scene.glb",
    "mesh/kwxport_test_cubewithvcolors.x",
    "mesh/kwxport_test_vcolors.dae",
    "mesh/logo3d_obj.zip",
    "mesh/moon_ascii.stl",
    "mesh/moon_binary.stl",
    "mesh/openscad_projection_stl.zip",
    "mesh/rabbit.obj",
    "mesh/teapot.off",
    "mesh/testwuson_x.zip",
];

/// Formats that Assimp writes, with their extensions.
const FORMATS: &[(&str, &str)] = &[
    ("3ds", "3ds"),
    ("3mf", "3mf"),
    ("assjson", "json"),
    ("collada", "dae"),
    ("fbx", "fbx"),
    ("glb2", "glb"),
    ("gltf2", "gltf"),
    ("obj", "obj"),
    ("objnomtl", "obj"),
    ("ply", "ply"),
    ("plyb", "ply"),
    ("stl", "stl"),
    ("stlb", "stl"),
    ("stp", "stp"),
    ("x3d", "x3d"),
];

/// Formats that are not compared, and why. Timestamps in other formats are masked as in the parity
/// tests: COLLADA, FBX, 3MF, STEP, and shapefiles.
///
/// - `x` names unnamed nodes by their addresses, which are randomized;
/// - `assbin`, `assxml` and `fbxa` contain the time of the conversion as text;
/// - glTF 1, which `--to` cannot select; `pbrt`, which cannot be written into a directory.
///
/// `stp` orders several nodes by their addresses, so only inputs with one node are compared.
const ONE_NODE: &[&str] = &["mesh/cube_ascii.ply", "mesh/moon_ascii.stl", "mesh/teapot.off"];

#[test]
fn memory_that_a_library_gets_is_zeroed() {
    let bench = Bench::new();
    let input = bench.path("input.obj");
    std::fs::write(&input, "leftovers \n").unwrap();
    let engines = engines_file(&bench, double(), "");
    let arguments =
        ["convert", input.to_str().unwrap(), "--to", "stl", "--engine", "double", "-o", "out.stl"];
    bench.run(&[&arguments[..], &["--engines-file", engines.to_str().unwrap()]].concat()).succeeded();
    let told = std::fs::read_to_string(bench.path("out.stl")).unwrap();
    // malloc, growing realloc, realloc of NULL, posix_memalign, aligned_alloc, reallocarray.
    assert_eq!(told, "0 0 0 0 0 0", "bytes that somebody else had written");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert!(compare_each(5) > INPUTS.len() * 2);
}

#[ignore = "in `make nightly`"]
#[test]
fn the_same_input_gives_the_same_bytes_in_each_format() {
    assert!(compare_each(1) > INPUTS.len() * 12);
}

/// Converts each input to every `step`th format, each to others; returns how many pairs were
/// compared.
fn compare_each(step: usize) -> usize {
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for (place, input) in INPUTS.iter().enumerate() {
        for &(format, extension) in FORMATS.iter().skip(place % step).step_by(step) {
            if format == "stp" && !ONE_NODE.contains(input) {
                continue;
            }
            let digests: Vec<_> = (0..3).map(|_| digest(input, format, extension)).collect();
            // Input that cannot be written in this format fails each time; `parity` lists what can.
            compared += usize::from(digests[0].is_some());
            if digests.iter().any(|other| *other != digests[0]) {
                wrong.push(format!("{input} to {format}: {digests:?}"));
            }
        }
    }
    println!("{compared} pairs of input and format compared");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    compared
}

/// SHA-256 of each file of the output; `None` if there is no output.
fn digest(input: &str, format: &str, extension: &str) -> Option<BTreeMap<String, String>> {
    let bench = Bench::new();
    let input = real(input);
    let name = format!("out.{extension}");
    let arguments = ["convert", input.to_str().unwrap(), "--to", format, "--engine", "assimp", "--json"];
    let run = bench.run(&[&arguments[..], &["-o", &name]].concat());
    if run.code != Some(0) {
        return None;
    }
    let files: Files = read_output(&bench, &run.json(), &name);
    let digests = files.into_iter().map(|(name, mut bytes)| {
        mask(&name, &mut bytes).expect("times where they are known to be");
        (name, format!("{:x?}", Sha256::digest(&bytes).as_slice()))
    });
    Some(digests.collect())
}
