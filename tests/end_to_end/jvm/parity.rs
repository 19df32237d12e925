//! The jar and the library give the same bytes: they use the same `libassimp.so` with the same
//! options. Timestamps that writers embed are masked, as for the vendor's tools. Warnings are
//! compared as well.
//!
//! Not compared, because the library does not give the same bytes twice on either route: `x`, and
//! `stp` of several nodes, which contain heap addresses; `assbin` and `assxml`, which contain the
//! time and have no mask elsewhere either.

use super::direct;
use crate::parity::{Files, differences, read_output};
use crate::real_files::model;
use crate::support::{Bench, real};
use std::collections::BTreeSet;
use std::path::Path;

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
    // A skinned mesh: the writer leaves a gap after the joints that it never writes to
    // (`glTF2Exporter.cpp`, where it calls `ReplaceData_joint`). The gap contains zeros.
    ("x", "mesh/testwuson_x.zip", &["glb2"]),
    ("x3d", "mesh/ComputerKeyboard.x3d", &["glb2", "collada"]),
    ("3mf", "mesh/box.3mf", &["3mf", "obj"]),
];

/// Post-processing, and options with numeric values.
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
    input: &Path,
    to: &str,
    options: &[&str],
) -> Result<(Files, serde_json::Value), String> {
    let (bench, engines) = (Bench::new(), direct());
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
    let warnings = serde_json::json!([json["warnings"], json["warnings_total"]]);
    Ok((read_output(&bench, &json, &name), warnings))
}

fn compare(input: &str, to: &str, options: &[&str]) -> Result<(), String> {
    compare_file(&real(input), to, options)
}

fn compare_file(input: &Path, to: &str, options: &[&str]) -> Result<(), String> {
    let (ffi, ffi_warnings) = convert("assimp-ffi", input, to, options)?;
    let (jvm, jvm_warnings) = convert("assimp-jvm", input, to, options)?;
    if ffi_warnings != jvm_warnings {
        return Err(format!("warnings: {ffi_warnings} and {jvm_warnings}"));
    }
    differences(jvm, ffi)
}

/// Each input in one format, each in another.
#[test]
fn the_jar_writes_what_the_library_writes() {
    compare_each(|formats, place| std::slice::from_ref(&formats[place % formats.len()]));
}

#[ignore = "in `make nightly`"]
#[test]
fn the_jar_writes_what_the_library_writes_in_each_format() {
    compare_each(|formats, _| formats);
}

fn compare_each(chosen: impl Fn(&'static [&'static str], usize) -> &'static [&'static str]) {
    let (mut inputs, mut outputs, mut wrong) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for (place, &(kind, input, formats)) in CASES.iter().enumerate() {
        for to in chosen(formats, place) {
            match compare(input, to, &[]) {
                Ok(()) => {
                    inputs.insert(kind);
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

/// Files that a model names are found or missed, taken along and reported in the same way.
#[test]
fn files_that_a_model_names_are_the_same_on_both_roads() {
    let mut wrong = Vec::new();
    for (material, texture) in [
        (("m.mtl", &b"m.mtl"[..]), ("tex/wood.png", &b"tex/wood.png"[..])),
        (("m.mtl", b"M.MTL"), ("tex/Wood.png", b"tex\\wood.PNG")),
        (("재질.mtl", b"\xc0\xe7\xc1\xfa.mtl"), ("나무.png", b"\xb3\xaa\xb9\xab.png")),
        (("m.mtl", b"m.mtl"), ("wood 1.png", b"wood%201.png")),
        (("m.mtl", b"m.mtl"), ("wood.png", b"gone.png")),
        (("m.mtl", b"gone.mtl"), ("wood.png", b"wood.png")),
        (("m.mtl", b"m.mtl"), ("wood.png", b"../wood.png")),
        (("m.mtl", b"m.mtl"), ("wood.png", b"C:\\wood.png")),
        (("m.mtl", b"m.mtl"), ("wood.png", b"/etc/passwd")),
        (("m.mtl", b"m.mtl"), ("out.mtl", b"out.mtl")),
        (("mat/m.mtl", b"mat/m.mtl"), ("img/wood.png", b"../img/wood.png")),
        (("m.mtl", b"m.mtl"), ("tex/wood.png", b"C:\\kim\\wood.png")),
    ] {
        for to in ["obj", "glb2", "3ds", "stl", "fbx"] {
            let bench = Bench::new();
            let input = model(&bench, material, texture);
            if let Err(text) = compare_file(&input, to, &[]) {
                wrong.push(format!("{material:?} {texture:?} to {to}: {text}"));
            }
        }
    }
    let within = compare("mesh/pmndrs_draco.glb", "obj", &[]);
    wrong.extend(within.err());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A triangle that is half transparent, with a texture, properties of the author and an extension.
const GLTF: &str = r#"{"asset":{"version":"2.0"},"scene":0,"scenes":[{"nodes":[0]}],"nodes":[{"mesh":0,"extras":{"a":1}}],
    "meshes":[{"primitives":[{"attributes":{"POSITION":0,"TEXCOORD_0":1},"material":0}]}],
    "materials":[{"name":"A","alphaMode":"BLEND","extensions":{"KHR_materials_iridescence":{"iridescenceFactor":1}},
    "pbrMetallicRoughness":{"baseColorFactor":[1,0,0,0.5],"baseColorTexture":{"index":0}}}],
    "textures":[{"source":0}],"images":[{"uri":"data:image/png;base64,iVBORw0KGgo="}],
    "buffers":[{"byteLength":36,"uri":"data:application/octet-stream;base64,AAAAAAAAAAAAAAAAAACAPwAAAAAAAAAAAAAAAAAAgD8AAAAA"}],
    "bufferViews":[{"buffer":0,"byteLength":36}],"accessors":[
    {"bufferView":0,"componentType":5126,"count":3,"type":"VEC3","min":[0,0,0],"max":[1,1,0]},
    {"bufferView":0,"componentType":5126,"count":3,"type":"VEC2"}]}"#;

/// What a format cannot have of a model is counted, or refused, in the same way.
#[test]
fn losses_are_the_same_on_both_roads() {
    let bench = Bench::new();
    let input = bench.path("m.obj");
    let corners = "v 0 0 0\nv 1 0 0\nv 1 1 0\n";
    for (content, to, options) in [
        (format!("{corners}l 1 2 3\nf 1 2 3\np 1\n"), "stl", &[][..]),
        (format!("{corners}l 1 2 3\nf 1 2 3\n"), "3ds", &["postprocess=sort-by-ptype"]),
        (format!("{corners}l 1 2 3\nf 1 2 3\n"), "stlb", &["prop.PP_SBP_REMOVE=2"]),
        (format!("{corners}l 1 2 3\n"), "obj", &[]),
        (format!("{corners}f 1 2 3\np 1\n"), "collada", &[]),
        (
            "v 200000.12 550000.5 1\nv 200000.3 550000.5 1\nv 200000.3 550000.7 1\nf 1 2 3\n".to_owned(),
            "glb2",
            &[],
        ),
        (
            "v 200000.12 550000.5 1\nv 2000003e-1 550000.5 1 1\nv\t+200000.3 .7 1 0.5 0.5 0.5\r\nf 1 2 3"
                .to_owned(),
            "obj",
            &["origin=auto"],
        ),
        (
            "v 200000.12 550000.5 1\nv 200000.3 550000.5 1\nv 200000.3 550000.7 1\nf 1 2 3\n".to_owned(),
            "glb2",
            &["origin=100000.25,-3,1e3"],
        ),
        ("v 0.1 100001.5 1\nv 0.3 100001.5 1\nv 0.3 100000 1\nf 1 2 3\n".to_owned(), "glb2", &[]),
    ] {
        std::fs::write(&input, &content).unwrap();
        compare_file(&input, to, options).unwrap_or_else(|text| panic!("{content} to {to}: {text}"));
    }
    let gltf = bench.path("m.gltf");
    std::fs::write(&gltf, GLTF).unwrap();
    for to in ["glb2", "fbx", "obj", "stl"] {
        compare_file(&gltf, to, &[]).unwrap_or_else(|text| panic!("glTF to {to}: {text}"));
    }
    std::fs::write(&input, corners).unwrap();
    let unfit = |engine: &str| {
        let engines = direct();
        let arguments = ["convert", input.to_str().unwrap(), "--to", "obj", "--engine", engine, "--json"];
        let run = bench.run(&[&arguments[..], &["--engines-file", engines.to_str().unwrap()]].concat());
        run.failed(27, "engine.unfit")["error"]["message"].as_str().unwrap().replace(engine, "ENGINE")
    };
    assert_eq!(unfit("assimp-ffi"), unfit("assimp-jvm"));
    let refused = |engine: &str, options: &[&str]| {
        let engines = direct();
        let arguments = ["convert", input.to_str().unwrap(), "--to", "stl", "--engine", engine, "--json"];
        let more = ["--engines-file", engines.to_str().unwrap()];
        let run = bench.run(&[&arguments[..], &more, options].concat());
        run.failed(27, "engine.unfit")["error"]["message"].as_str().unwrap().replace(engine, "ENGINE")
    };
    std::fs::write(&input, format!("{corners}l 1 2 3\np 1\n")).unwrap();
    assert_eq!(refused("assimp-ffi", &[]), refused("assimp-jvm", &[]));
    let origin = ["--opt", "origin=auto"];
    for vertex in ["", "v 1 2\n", "v 1 2 3 0.5\n", "\r\n\n v 1 2 \\\n3\n", "v 1e99 0 0\n", "v 1 2 ٣\n"] {
        std::fs::write(&input, format!("# v\r\n{vertex}f 1 2 3\n")).unwrap();
        assert_eq!(refused("assimp-ffi", &origin), refused("assimp-jvm", &origin), "{vertex:?}");
    }
}

/// A refused input has the same code, the same exit code and, except for the name of the engine,
/// the same message.
#[test]
fn refusals_are_the_same_on_both_roads() {
    for (input, option, code) in [
        ("mesh/rabbit.obj", "postprocess=explode", "usage.option"),
        ("mesh/rabbit.obj", "prop.lower=1", "usage.option"),
        ("mesh/rabbit.obj", "prop.X=/etc/passwd", "usage.option"),
        ("mesh/rabbit.obj", "flags=1", "usage.option"),
        ("mesh/rabbit.obj", "origin=1,2", "usage.option"),
        ("mesh/rabbit.obj", "origin=100000000.5,0,0", "usage.option"),
        ("mesh/cube_ascii.ply", "origin=auto", "usage.option"),
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
