//! The report is of what is in the output: placements with a scale, solids that others count otherwise, names and
//! layers that a format does not have, numbers that are nowhere.

use super::kept::scene;
use super::readers::both;
use super::{convert, fact, model, sample, solids_and_faces};
use crate::support::Bench;
use serde_json::Value;
use std::path::Path;

fn warns(json: &Value, what: &str) -> bool {
    json["warnings"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().contains(what))
}

fn message(json: &Value) -> &str {
    json["error"]["message"].as_str().unwrap()
}

/// A sample with some text replaced, which must be there.
fn changed(file: &Path, changes: &[(&str, &str)]) -> String {
    let mut text = std::fs::read_to_string(file).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    text
}

/// OpenCASCADE's writers leave the scale of a placement out.
#[test]
fn a_scaled_placement_of_brep_scales_its_geometry() {
    let bench = Bench::new();
    let wedge = sample("occ/wedge_ok.brep");
    let input = bench.path("a.brep");
    for (number, scale) in [2.5_f64, -1.0].into_iter().enumerate() {
        let place = format!("Locations 1\n1\n{scale} 0 0 7\n0 {scale} 0 0\n0 0 {scale} 0\n");
        let changes = [("Locations 0\n", place.as_str()), ("\n+1 0 \n", "\n+1 1 \n")];
        std::fs::write(&input, changed(&wedge, &changes)).unwrap();
        let outputs = ["step", "igs", "brep"].map(|format| bench.path(&format!("{number}.{format}")));
        for output in &outputs {
            convert(&bench, &input, output.to_str().unwrap(), &[]).succeeded();
        }
        let files: Vec<&Path> = [&wedge].into_iter().chain(&outputs).map(|file| file.as_path()).collect();
        let found = &both(&files)[1];
        for after in &found[1..] {
            let volume = found[0].volume * scale.abs().powi(3);
            assert!((after.volume - volume).abs() < 1e-6 * volume, "{volume}: {after:?}");
            let corner = if scale > 0.0 { 0 } else { 3 };
            let lower = found[0].corners[corner] * scale + 7.0;
            assert!((after.corners[0] - lower).abs() < 1e-3, "{lower}: {after:?}");
        }
    }
    let edge = ("-34 0 +33 0 *", "-34 1 +33 0 *");
    let place = ("Locations 0\n", "Locations 1\n1\n2 0 0 0\n0 2 0 0\n0 0 2 0\n");
    std::fs::write(&input, changed(&wedge, &[edge, place])).unwrap();
    let json = convert(&bench, &input, "c.step", &[]).failed(27, "engine.unfit");
    assert!(message(&json).contains("placed with a scale"), "{json}");
}

#[test]
fn a_part_that_step_places_with_a_scale_is_named() {
    let bench = Bench::new();
    let input = bench.path("as1.stp");
    for (scale, axis, told) in [("2.", "1.", "a scale of 2"), ("1.", "-1.", "a mirror"), ("1.", "1.", "")] {
        let place = format!(
            "#9001=DIRECTION('',(0.,1.,0.));\n#9002=DIRECTION('',(0.,0.,{axis}));\n#9000=DIRECTION('',(1.,0.,0.));\n\
             #9003=CARTESIAN_POINT('',(5.,0.,0.));\n\
             #749 = CARTESIAN_TRANSFORMATION_OPERATOR_3D('','','',#9000,#9001,#9003,{scale},#9002);"
        );
        let change = [("#749 = ITEM_DEFINED_TRANSFORMATION('','',#11,#45);", place.as_str())];
        std::fs::write(&input, changed(&model("cax-if/as1-oc-214.stp"), &change)).unwrap();
        let run = convert(&bench, &input, "a.stp", &[]);
        if told.is_empty() {
            let said = run.json().to_string();
            assert!(!said.contains("scale or a mirror"), "{said}");
            continue;
        }
        let json = run.failed(15, "engine.rejected");
        assert!(message(&json).contains("#749") && message(&json).contains(told), "{json}");
        let run = convert(&bench, &input, "b.stp", &["--opt", "lenient=yes"]);
        assert!(warns(&run.json(), "which OpenCASCADE leaves out") || run.code != Some(0), "{run:?}");
        let _ = std::fs::remove_file(bench.path("b.stp"));
    }
}

#[test]
fn numbers_that_no_model_has_are_damage() {
    let bench = Bench::new();
    let cube = model("cube-units/cube-mm.step");
    let input = bench.path("a.stp");
    let point = "#41 = CARTESIAN_POINT('',(0.,0.,0.));";
    for (number, refused) in [
        ("1.E308", true),
        ("-1.e15", true),
        ("1000000000000000.", true),
        ("0.0E30", false),
        ("1.E-999", false),
    ] {
        let with = format!("#41 = CARTESIAN_POINT('',({number},0.,0.));");
        std::fs::write(&input, changed(&cube, &[(point, with.as_str())])).unwrap();
        let run = convert(&bench, &input, "a.igs", &[]);
        if refused {
            assert!(message(&run.failed(15, "engine.rejected")).contains("#41"), "{number}");
        } else {
            run.succeeded();
            std::fs::remove_file(bench.path("a.igs")).unwrap();
        }
    }
    // OpenCASCADE computes with what is infinite for ever.
    let with = "#41 = CARTESIAN_POINT('',(1.E999,0.,0.));";
    std::fs::write(&input, changed(&cube, &[(point, with)])).unwrap();
    let json = convert(&bench, &input, "a.igs", &["--opt", "lenient=yes"]).failed(15, "engine.rejected");
    assert!(message(&json).contains("#41 has a number of 1e308 or more"), "{json}");
    let change = [("-5.,10.,5.,-5.,10.,", "1.E30,5,5.,-5.,10.,")];
    let far = bench.path("a.igs");
    std::fs::write(&far, changed(&model("cube-10x10mm/Cube 10x10.igs"), &change)).unwrap();
    for lenient in ["lenient=no", "lenient=yes"] {
        let json = convert(&bench, &far, "far.stp", &["--opt", lenient]).failed(15, "engine.rejected");
        assert!(message(&json).contains("(type 502)"), "{json}");
    }
    std::fs::remove_file(far).unwrap();
    // One that is elsewhere only.
    let with = "#41 = CARTESIAN_POINT('',(3.,0.,0.));";
    std::fs::write(&input, changed(&cube, &[(point, with)])).unwrap();
    convert(&bench, &input, "b.igs", &[]).succeeded();
}

#[test]
fn solids_are_counted_as_others_read_them() {
    let bench = Bench::new();
    let wedge = sample("occ/wedge_ok.brep");
    let face = (" +3 0 *\nSo", " *\nSo");
    // Two shells of the same faces, side by side.
    let place = ("Locations 0\n", "Locations 1\n1\n1 0 0 100\n0 1 0 0\n0 0 1 0\n");
    let shells = ("\n+2 0 *\n\n+1 0 \n", "\n+2 0 +2 1 *\n\n+1 0 \n");
    for (name, changes, formats, told) in [
        ("open", &[face][..], &["step", "igs"][..], "1 solid is not closed"),
        ("two", &[place, shells], &["step", "igs"], "1 solid of shells beside each other"),
    ] {
        let input = bench.path(&format!("{name}.brep"));
        std::fs::write(&input, changed(&wedge, changes)).unwrap();
        for format in formats {
            let output = format!("{name}.{format}");
            // The face that is in no shell any more is noticed.
            let lenient = ["--opt", "lenient=yes"];
            let json = convert(&bench, &input, &output, &lenient).succeeded().json();
            assert!(warns(&json, told), "{name} {format}: {json}");
            let found = &both(&[&bench.path(&output)])[1][0];
            assert_eq!(solids_and_faces(&json), (found.solids, found.faces), "{name} {format}: {found:?}");
        }
    }
    // One of its solids has no face.
    let bearing = sample("occ/Axis_of_bearing.brep");
    for format in ["step", "igs"] {
        let output = format!("bearing.{format}");
        let json = convert(&bench, &bearing, &output, &[]).succeeded().json();
        assert_eq!(solids_and_faces(&json), (17, 63), "{json}");
        assert!(warns(&json, "1 solid or shell without a face left out"), "{json}");
        // What is written for it must be what the format allows.
        let again = bench.path(&output);
        let json = convert(&bench, &again, &format!("{format}-again.step"), &[]).succeeded().json();
        assert_eq!(solids_and_faces(&json), (17, 63), "{json}");
    }
    // Loose faces have a side, which IGES forgets.
    let json = convert(&bench, &sample("occ/Room.brep"), "room.igs", &[]).succeeded().json();
    assert!(warns(&json, "3 sides of loose faces left out"), "{json}");
}

#[test]
fn names_that_an_output_does_not_have_are_counted() {
    let bench = Bench::new();
    let cube = model("simple-basic-cube/cube.stp");
    let input = bench.path("a.stp");
    for (number, (name, format, told, written)) in [
        ("Open CASCADE STEP translator 7.6 Pump", "stp", "", "'Open CASCADE STEP translator 7.6 Pump'"),
        ("Open CASCADE STEP translator 7.6 14.1", "stp", "", "'Open CASCADE STEP translator 7.6 14.1'"),
        ("  both  ", "stp", "blanks at the ends of 1 name", "'both'"),
        (r"caf\X\E9", "igs", "1 name left out", "4Hcaf?"),
        (r"a\X2\000A\X0\b", "stp", "1 text with line ends", "'a b'"),
        (r#"it''s {a} "b""#, "wrl", "1 name changed", "DEF it_s__a___b_ "),
        ("2nd", "wrl", "1 name changed", "DEF _2nd "),
    ]
    .into_iter()
    .enumerate()
    {
        let with = format!("PRODUCT('cube','{name}'");
        std::fs::write(&input, changed(&cube, &[("PRODUCT('cube','cube'", with.as_str())])).unwrap();
        let output = format!("{number}.{format}");
        let json = convert(&bench, &input, &output, &[]).succeeded().json();
        assert!(told.is_empty() || warns(&json, told), "{name}: {json}");
        assert!(!told.is_empty() || json["losses"] == 0, "{name}: {json}");
        let text = String::from_utf8_lossy(&std::fs::read(bench.path(&output)).unwrap()).into_owned();
        let text =
            text.lines().map(|line| if format == "igs" { line.split_at(64.min(line.len())).0 } else { line });
        let text: Vec<&str> = text.collect();
        assert!(text.concat().contains(written), "{name}: {written}");
    }
    // A directive that is damaged is none of a code page.
    let with = r"PRODUCT('cube','a\X2\D55\X0\b'";
    std::fs::write(&input, changed(&cube, &[("PRODUCT('cube','cube'", with)])).unwrap();
    let json = convert(&bench, &input, "z.glb", &[]).failed(26, "engine.text_lost");
    assert!(message(&json).contains("malformed") && !message(&json).contains("codepage"), "{json}");
    convert(&bench, &input, "z.glb", &["--opt", "lenient=yes"]).succeeded();
    assert!(scene(&bench.path("z.glb"))["nodes"].to_string().contains("a\u{fffd}X2"));
}

/// Layers of IGES are numbers from 1.
#[test]
fn a_layer_is_lost_unless_its_name_is_written() {
    let bench = Bench::new();
    let input = bench.path("a.stp");
    let layer = "PRESENTATION_LAYER_ASSIGNMENT('1',";
    for (name, lost) in [("0", true), ("010", true), ("top", true), ("10", false)] {
        let with = format!("PRESENTATION_LAYER_ASSIGNMENT('{name}',");
        std::fs::write(&input, changed(&model("simple-basic-cube/cube.stp"), &[(layer, with.as_str())]))
            .unwrap();
        let output = format!("{name}.igs");
        let json = convert(&bench, &input, &output, &[]).succeeded().json();
        assert_eq!(fact(&json, "layers"), 1, "{json}");
        assert_eq!(warns(&json, "1 layer left out"), lost, "{name}: {json}");
    }
}

/// What OpenCASCADE throws is in words of its own.
#[test]
fn a_refusal_speaks_of_the_file() {
    let bench = Bench::new();
    let wedge = sample("occ/wedge_ok.brep");
    let input = bench.path("a.brep");
    let place = "Locations 1\n1\n0 0 0 0\n0 0 0 0\n0 0 0 0\n";
    for (changes, told) in [
        (
            &[("-34 0 +33 0 *", "-99 0 +33 0 *")][..],
            "the BREP file is damaged: a number in it refers to nothing",
        ),
        (&[("Locations 0\n", place)], "the BREP file is damaged: a placement"),
        (&[("2  2 2 0 0 8\n", "2  2 2 0 8 0\n")], "ends before it begins"),
    ] {
        std::fs::write(&input, changed(&wedge, changes)).unwrap();
        for output in ["a.brep", "a.glb"] {
            let output = format!("out-{output}");
            let json = convert(&bench, &input, &output, &[]).failed(15, "engine.rejected");
            assert!(message(&json).contains(told), "{told}: {json}");
        }
    }
    let place = "Locations 1\n1\n1e-6 0 0 0\n0 1e-6 0 0\n0 0 1e-6 0\n";
    let tiny = [("Locations 0\n", place), ("\n+1 0 \n", "\n+1 1 \n")];
    std::fs::write(&input, changed(&wedge, &tiny)).unwrap();
    let json = convert(&bench, &input, "a.stl", &[]).failed(27, "engine.unfit");
    assert!(message(&json).contains("deflection=1e-07"), "{json}");
}
