//! What a conversion keeps: parts, names, colours, units, bytes. What an option would not affect is refused.

use super::readers::both;
use super::{assembly, convert, fact, model, sample, solids_and_faces};
use crate::support::Bench;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The JSON of a GLB file (glTF 2.0, 4.4).
pub(super) fn scene(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(&bytes[..4], b"glTF");
    let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    serde_json::from_slice(&bytes[20..20 + length]).unwrap()
}

#[test]
fn an_assembly_keeps_its_parts_names_and_colours() {
    let bench = Bench::new();
    let json = convert(&bench, &model("cax-if/as1-oc-214.stp"), "a.glb", &[]).succeeded().json();
    assert_eq!(json["engine"]["name"], "occt");
    assert_eq!(solids_and_faces(&json), (18, 160));
    assert_eq!(fact(&json, "colours"), 5, "{json}");
    // What GLB cannot store is reported.
    assert_eq!(json["warnings"], serde_json::json!(["1 layer left out: the output format has no layers"]));
    assert_eq!(json["losses"], 1);
    let scene = scene(&bench.path("a.glb"));
    let names: Vec<&str> =
        scene["nodes"].as_array().unwrap().iter().filter_map(|n| n["name"].as_str()).collect();
    for part in ["plate", "bolt", "nut", "rod", "l-bracket"] {
        assert!(names.iter().any(|name| name.starts_with(part)), "{part}: {names:?}");
    }
    assert_eq!(scene["materials"].as_array().unwrap().len(), 5);
}

#[test]
fn what_iges_cannot_hold_is_told() {
    let bench = Bench::new();
    let json = convert(&bench, &model("cube-units/cube-in.step"), "a.igs", &[]).succeeded().json();
    let told = "1 colour of edges left out: edges of faces have none in IGES";
    assert!(json["warnings"].as_array().unwrap().contains(&told.into()), "{json}");
}

#[test]
fn faces_of_iges_are_sewn_to_solids_if_asked() {
    let bench = Bench::new();
    let plain = convert(&bench, &sample("iges/hammer.iges"), "a.stp", &[]).succeeded().json();
    assert_eq!(solids_and_faces(&plain), (0, 45));
    let sewn =
        convert(&bench, &sample("iges/hammer.iges"), "b.stp", &["--opt", "heal=sew"]).succeeded().json();
    assert!(fact(&sewn, "solids") > 0, "{sewn}");
}

/// The corners of a binary STL file.
fn extent(path: &Path) -> [f32; 3] {
    let bytes = std::fs::read(path).unwrap();
    let mut corners = [[f32::MAX; 3], [f32::MIN; 3]];
    for triangle in bytes[84..].chunks_exact(50) {
        for (index, number) in triangle[12..48].chunks_exact(4).enumerate() {
            let number = f32::from_le_bytes(number.try_into().unwrap());
            corners[0][index % 3] = corners[0][index % 3].min(number);
            corners[1][index % 3] = corners[1][index % 3].max(number);
        }
    }
    [0, 1, 2].map(|axis| corners[1][axis] - corners[0][axis])
}

#[test]
fn lengths_are_those_of_the_file_whatever_its_unit() {
    for (unit, option, size) in [
        ("in", "unit=mm", 1000.0),
        ("m", "unit=mm", 1000.0),
        ("mm", "unit=mm", 1000.0),
        ("mm", "unit=cm", 100.0),
    ] {
        let bench = Bench::new();
        let input = model(&format!("cube-units/cube-{unit}.step"));
        convert(&bench, &input, "a.stl", &["--opt", option]).succeeded();
        for length in extent(&bench.path("a.stl")) {
            assert!((length - size).abs() < size * 1e-4, "{unit}, {option}: {length}");
        }
    }
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    for format in ["stp", "igs", "glb", "stl", "brep"] {
        let bytes = [1, 2].map(|_| {
            let bench = Bench::new();
            let output = format!("a.{format}");
            let json = convert(&bench, &model("cax-if/as1-oc-214.stp"), &output, &[]).succeeded().json();
            json["output"]["sha256"].as_str().unwrap().to_owned()
        });
        assert_eq!(bytes[0], bytes[1], "{format}");
    }
}

/// AP203 asks for persons, organizations and dates, and OpenCASCADE would take them from the machine.
#[test]
fn every_schema_of_step_is_the_same_model_and_the_same_bytes() {
    let assembly = model("cax-if/as1-oc-214.stp");
    let bench = Bench::new();
    let mut results = Vec::new();
    for (schema, named) in
        [("ap203", "CONFIG_CONTROL_DESIGN"), ("ap214", "AUTOMOTIVE_DESIGN"), ("ap242", "AP242_MANAGED")]
    {
        let option = format!("schema={schema}");
        let bytes = [1, 2].map(|turn| {
            // The header has the name of the file.
            let output = format!("{turn}/{schema}.stp");
            std::fs::create_dir_all(bench.path(&turn.to_string())).unwrap();
            convert(&bench, &assembly, &output, &["--opt", &option]).succeeded();
            std::fs::read(bench.path(&output)).unwrap()
        });
        assert!(bytes[0] == bytes[1], "{schema} differs");
        let text = String::from_utf8(bytes[0].clone()).unwrap();
        assert!(text.contains(named), "{schema}");
        if schema == "ap203" {
            assert!(
                text.contains("PERSON('unspecified','Unspecified',")
                    && text.contains("CALENDAR_DATE(1970,1,1)")
            );
            assert!(!text.contains("'IP"), "an address of the machine");
        }
        results.push(bench.path(&format!("1/{schema}.stp")));
    }
    let mut files: Vec<&Path> = vec![&assembly];
    files.extend(results.iter().map(PathBuf::as_path));
    for found in both(&files) {
        for after in &found[1..] {
            assert_eq!((after.solids, after.faces), (18, 160), "{after:?}");
            assert!((after.volume - found[0].volume).abs() < 1e-5 * found[0].volume, "{found:?}");
        }
    }
}

#[test]
fn an_assembly_of_several_files_is_whole_or_refused() {
    let bench = Bench::new();
    let archive = bench.path("assembly.zip");
    let root = ["--root", "s1-c5-214.stp"];
    std::fs::write(&archive, assembly("", None)).unwrap();
    let json = convert(&bench, &archive, "a.glb", &root).succeeded().json();
    assert!(fact(&json, "solids") > 1, "{json}");
    // A file that settings of OpenCASCADE could come from.
    std::fs::write(&archive, assembly("", Some(("XSTEP.us", b"nonsense")))).unwrap();
    let same = convert(&bench, &archive, "b.glb", &root).succeeded().json();
    assert_eq!(json["output"]["sha256"], same["output"]["sha256"]);

    std::fs::write(&archive, assembly("TAIL_TURBINE.stp", None)).unwrap();
    let run = convert(&bench, &archive, "c.glb", &root);
    assert_ne!(run.code, Some(0), "{run:?}");
    let json = run.json();
    assert!(json["error"]["message"].as_str().unwrap().contains("TAIL_TURBINE.stp"), "{json}");
}

#[test]
fn options_without_an_effect_are_refused() {
    let bench = Bench::new();
    for (output, option) in [
        ("a.glb", "unit=cm"),
        ("a.stp", "deflection=1"),
        ("a.stl", "schema=ap242"),
        ("a.stl", "deflection=x"),
        ("a.stl", "nothing=1"),
    ] {
        let run = convert(&bench, &model("cube-units/cube-mm.step"), output, &["--opt", option]);
        run.failed(2, "usage.option");
    }
}

/// What is too fine depends on the size of the model, so it is found after reading.
#[test]
fn a_deflection_that_is_too_fine_names_the_least_that_is_not() {
    let bench = Bench::new();
    for deflection in ["1e-9", "0.0001"] {
        let option = format!("deflection={deflection}");
        let run = convert(&bench, &sample("step/screw.step"), "a.stl", &["--opt", &option]);
        let json = run.failed(27, "engine.unfit");
        let message = json["error"]["message"].as_str().unwrap();
        assert!(message.contains("diagonal is 103.1 mm"), "{message}");
        assert!(message.ends_with("deflection=0.0001032"), "{message}");
    }
    let cube = model("cube-units/cube-mm.step");
    let message = convert(&bench, &cube, "b.stl", &["--opt", "deflection=1e-9"]).failed(27, "engine.unfit");
    let message = message["error"]["message"].as_str().unwrap();
    let least = message.rsplit_once("deflection=").unwrap().1;
    convert(&bench, &cube, "b.stl", &["--opt", &format!("deflection={least}")]).succeeded();
}
