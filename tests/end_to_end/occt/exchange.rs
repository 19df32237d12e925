//! Models that go from one format to another are the same to programs of others: solids, faces, volume and
//! extent. Two programs read each file (`readers`), and each compares the result with the input by itself.
//!
//! Surfaces stay what they are, to 1e-5. Triangles differ from them by the deflection, which the report
//! has: the extent by at most that, the volume by at most that times the area.

use super::readers::{Found, both, write_copies};
use super::{assembly, convert, model, sample, solids_and_faces};
use crate::support::Bench;
use std::path::{Path, PathBuf};

/// A part of the volume, and of the diagonal.
const SAME: f64 = 1e-5;
/// A part of the area. That of the faces of `bearing.iges`, which is a tenth of a millimetre wide, changes by
/// 1.2e-5 when they get tolerances.
const SAME_AREA: f64 = 2e-5;
/// A part of the diagonal, for gmsh: its boxes are not tight, and depend on the form of the equations.
const SAME_LOOSE_BOX: f64 = 2e-2;
/// A part of the volume and of the area, for gmsh, where surfaces change their form: STEP has no offset of a
/// surface, for instance. Its integration takes a fixed number of points; OCP's takes as many as needed.
const SAME_OF_ANOTHER_FORM: f64 = 5e-5;

/// The sums of a large file, which OCP integrates with a fixed number of points; one solid is compared to
/// [`SAME`].
const SAME_SUM: f64 = 2e-4;

/// A model, with its solids and faces as the two programs find them in the input.
struct Case {
    file: PathBuf,
    solids: u64,
    faces: u64,
    /// Whether the output format has other surfaces.
    changes: bool,
    /// Colours that stay.
    colours: u64,
}

fn case(file: PathBuf, solids: u64, faces: u64) -> Case {
    Case { file, solids, faces, changes: false, colours: 0 }
}

fn coloured(file: PathBuf, solids: u64, faces: u64, colours: u64) -> Case {
    Case { colours, ..case(file, solids, faces) }
}

fn changing(file: PathBuf, solids: u64, faces: u64) -> Case {
    Case { changes: true, ..case(file, solids, faces) }
}

/// The results of one model, and the deflection of those of triangles.
struct Results<'a> {
    case: &'a Case,
    exact: Vec<PathBuf>,
    triangles: Vec<(PathBuf, f64)>,
}

/// Converts a model by each of the ways, in a directory of its own: each way is a list of formats.
fn converted<'a>(bench: &Bench, number: usize, case: &'a Case, ways: &[&[&str]]) -> Results<'a> {
    let mut results = Results { case, exact: Vec::new(), triangles: Vec::new() };
    for way in ways {
        let mut from = case.file.clone();
        for (step, format) in way.iter().enumerate() {
            let output = format!("{number}-{}.{format}", way[..=step].join("-"));
            let json = convert(bench, &from, &output, &["--timeout", "15m"]).succeeded().json();
            let name = case.file.display();
            assert_eq!(solids_and_faces(&json), (case.solids, case.faces), "{name} to {output}: {json}");
            from = bench.path(&output);
            match *format {
                "glb" | "stl" => {
                    let deflection = json["facts"]["deflection-mm"].as_str().unwrap().parse().unwrap();
                    results.triangles.push((from.clone(), deflection));
                }
                _ if step + 1 == way.len() => results.exact.push(from.clone()),
                _ => {}
            }
        }
    }
    results
}

fn assert_near(one: f64, other: f64, by: f64, what: &dyn Fn() -> String) {
    assert!((one - other).abs() <= by, "{one} is not {other} to {by}: {}", what());
}

/// A result with surfaces against its input, by the same reader.
fn assert_same(case: &Case, before: &Found, after: &Found) {
    let what = || format!("{before:?}\n{after:?}");
    assert_eq!((after.solids, after.faces), (case.solids, case.faces), "{}", what());
    let gmsh = after.reader == "gmsh";
    assert!(gmsh || after.colours >= case.colours, "{}", what());
    let is_sum = before.one_volume > 0.0;
    let (volume, area) = match (gmsh && case.changes, is_sum) {
        (true, _) => (SAME_OF_ANOTHER_FORM, SAME_OF_ANOTHER_FORM),
        (_, true) => (SAME_SUM, SAME_SUM),
        _ => (SAME, SAME_AREA),
    };
    assert_near(after.one_volume, before.one_volume, SAME * before.one_volume, &what);
    assert_near(after.area, before.area, area * before.area, &what);
    assert_near(after.volume, before.volume, volume * before.volume, &what);
    let part = if gmsh { SAME_LOOSE_BOX } else { SAME };
    for (one, other) in after.corners.iter().zip(&before.corners) {
        assert_near(*one, *other, part * before.diagonal(), &what);
    }
}

/// A result of triangles against its input as OCP reads it, whose boxes are tight.
fn assert_approximates(case: &Case, before: &Found, after: &Found, deflection: f64, closes: bool) {
    let what = || format!("deflection {deflection}\n{before:?}\n{after:?}");
    assert!(after.triangles >= case.faces, "{}", what());
    // Coordinates have 24 bits.
    let rounding = 1e-6 * before.diagonal();
    for (one, other) in after.corners.iter().zip(&before.corners) {
        assert_near(*one, *other, deflection + rounding, &what);
    }
    assert_eq!(closes, case.solids > 0, "solids have no border, {}", what());
    if closes {
        assert_near(after.volume, before.volume, (deflection + rounding) * before.area, &what);
    }
}

/// Compares all results with their inputs.
fn assert_all_the_same(results: &[Results]) {
    let mut files: Vec<&Path> = Vec::new();
    for each in results {
        files.push(&each.case.file);
        files.extend(each.exact.iter().map(PathBuf::as_path));
        files.extend(each.triangles.iter().map(|(file, _)| file.as_path()));
    }
    let [gmsh, ocp] = both(&files);
    let (mut gmsh, mut ocp) = (gmsh.iter(), ocp.iter());
    let mut next = || (gmsh.next().unwrap(), ocp.next().unwrap());
    for each in results {
        let before = next();
        for found in [before.0, before.1] {
            let expected = (each.case.solids, each.case.faces);
            assert_eq!((found.solids, found.faces), expected, "{found:?}");
        }
        for _ in &each.exact {
            let after = next();
            assert_same(each.case, before.0, after.0);
            assert_same(each.case, before.1, after.1);
        }
        for (_, deflection) in &each.triangles {
            let after = next();
            assert_eq!(after.0.triangles, after.1.triangles, "{after:?}");
            assert_approximates(each.case, before.1, after.0, *deflection, after.0.closes);
            assert_approximates(each.case, before.1, after.1, *deflection, after.0.closes);
        }
    }
}

const FROM_STEP: &[&[&str]] = &[&["igs", "stp"], &["glb"], &["stl"]];
const TO_STEP: &[&[&str]] = &[&["stp"]];

fn go_every_way(cases: &[Case], ways: &[&[&str]]) {
    let bench = Bench::new();
    let results: Vec<Results> =
        cases.iter().enumerate().map(|(number, case)| converted(&bench, number, case, ways)).collect();
    assert_all_the_same(&results);
}

#[test]
fn step_models_are_the_same_in_every_format() {
    go_every_way(
        &[
            coloured(model("cax-if/as1-oc-214.stp"), 18, 160, 5),
            coloured(model("cax-if/as1-tu-203.stp"), 18, 160, 5),
            case(model("cax-if/io1-tu-203.stp"), 1, 29),
            case(model("cax-if/dm1-oc-214.stp"), 7, 61),
            case(model("cax-if/dm1-pe-214.stp"), 7, 61),
            case(model("cax-if/sg1-c5-214.stp"), 1, 16),
        ],
        FROM_STEP,
    );
}

#[test]
fn parts_in_step_are_the_same_in_every_format() {
    go_every_way(
        &[
            case(model("cax-if/io1-cm-214.stp"), 1, 29),
            case(model("cube-units/cube-in.step"), 1, 6),
            case(model("cube-units/cube-m.step"), 1, 6),
            case(model("rounded-cube/rounded-cube.step"), 1, 7),
            case(sample("step/screw.step"), 1, 10),
        ],
        FROM_STEP,
    );
}

#[test]
#[ignore = "in `make nightly`"]
fn more_step_models_are_the_same_in_every_format() {
    go_every_way(
        &[
            case(model("cax-if/as1_pe_203.stp"), 18, 160),
            case(model("cube-units/cube-mm.step"), 1, 6),
            case(sample("step/linkrods.step"), 1, 37),
        ],
        FROM_STEP,
    );
}

#[test]
fn iges_and_brep_models_are_the_same_in_step() {
    go_every_way(
        &[
            case(sample("iges/hammer.iges"), 0, 45),
            case(model("cax-if-brep/as1_pe_203.brep"), 18, 160),
            case(sample("occ/Motor-c.brep"), 17, 223),
            case(sample("occ/MODERN_Chair_1.brep"), 4, 138),
            case(sample("occ/wing.brep"), 0, 4),
        ],
        TO_STEP,
    );
}

#[test]
#[ignore = "in `make nightly`"]
fn more_iges_and_brep_models_are_the_same_in_step() {
    go_every_way(
        &[
            case(sample("iges/bearing.iges"), 0, 213),
            case(sample("occ/Bottom.brep"), 1, 323),
            case(sample("occ/Top.brep"), 1, 324),
            changing(sample("occ/CrankArm.brep"), 2, 53),
            changing(sample("occ/bottle.brep"), 1, 71),
            changing(sample("occ/Pump_TopCover.brep"), 1, 8),
            case(sample("occ/MODERN_Sink_1.brep"), 3, 170),
            case(sample("occ/Room.brep"), 0, 5),
        ],
        TO_STEP,
    );
}

/// OCP reads the files that the assembly refers to. gmsh does not, so it reads the parts, as often as the
/// assembly has them.
#[test]
fn an_assembly_of_several_files_is_the_same_in_one() {
    let bench = Bench::new();
    let archive = bench.path("s1-c5-214.zip");
    std::fs::write(&archive, assembly("", None)).unwrap();
    let root = ["--root", "s1-c5-214.stp"];
    let mut results = Vec::new();
    for output in ["a.stp", "a.igs", "a.stl", "a.glb"] {
        let json = convert(&bench, &archive, output, &root).succeeded().json();
        assert_eq!(solids_and_faces(&json), (11, 182), "{json}");
        let deflection = json["facts"]["deflection-mm"].as_str().map(|text| text.parse().unwrap());
        results.push((bench.path(output), deflection));
    }
    let folder = model("cax-if/s1-c5-214");
    let parts: Vec<(PathBuf, f64)> = PARTS.iter().map(|(name, n)| (folder.join(name), *n)).collect();
    let whole = folder.join("s1-c5-214.stp");
    let files =
        parts.iter().map(|(file, _)| file).chain([&whole]).chain(results.iter().map(|(file, _)| file));
    let [gmsh, ocp] = both(&files.map(PathBuf::as_path).collect::<Vec<_>>());
    let case = case(whole, 11, 182);
    let mut sum = Found::default();
    for ((_, n), part) in parts.iter().zip(&gmsh) {
        sum.solids += part.solids * *n as u64;
        sum.faces += part.faces * *n as u64;
        sum.volume += part.volume * n;
        sum.area += part.area * n;
    }
    let before = &ocp[parts.len()];
    for (index, (_, deflection)) in results.iter().enumerate() {
        let (by_gmsh, by_ocp) = (&gmsh[parts.len() + 1 + index], &ocp[parts.len() + 1 + index]);
        let Some(deflection) = deflection else {
            assert_same(&case, before, by_ocp);
            // Of the parts alone no box is known.
            sum.corners = by_gmsh.corners;
            assert_same(&case, &sum, by_gmsh);
            continue;
        };
        assert_approximates(&case, before, by_gmsh, *deflection, by_gmsh.closes);
        assert_approximates(&case, before, by_ocp, *deflection, by_gmsh.closes);
    }
}

/// How often the assembly has a part.
const PARTS: [(&str, f64); 8] = [
    ("FOOT_BACK_000.stp", 2.0),
    ("FOOT_FRONT_000.stp", 2.0),
    ("HEAD_BACK.stp", 1.0),
    ("HEAD_FRONT.stp", 1.0),
    ("MAINBODY_BACK.stp", 1.0),
    ("MAINBODY_FRONT.stp", 1.0),
    ("TAIL_MIDDLE_PART.stp", 1.0),
    ("TAIL_TURBINE.stp", 2.0),
];

/// STEP and BREP of so many copies of a model of 323 faces, and their way through the formats.
fn a_large_model_is_the_same(copies: u32, megabytes: std::ops::Range<u64>) {
    let bench = Bench::new();
    let (step, brep) = (bench.path("large.step"), bench.path("large.brep"));
    write_copies(&sample("occ/Bottom.brep"), copies, &step, &brep);
    let size = step.metadata().unwrap().len() / 1_000_000;
    assert!(megabytes.contains(&size), "{size} MB");
    let (solids, faces) = (u64::from(copies), 323 * u64::from(copies));
    let (step, brep) = (case(step, solids, faces), case(brep, solids, faces));
    assert_all_the_same(&[converted(&bench, 0, &step, FROM_STEP), converted(&bench, 1, &brep, TO_STEP)]);
}

#[test]
#[ignore = "in `make nightly`"]
fn a_model_of_28_megabytes_is_the_same_in_every_format() {
    a_large_model_is_the_same(12, 26..31);
}

#[test]
#[ignore = "in `make nightly`"]
fn a_model_of_108_megabytes_is_the_same_in_every_format() {
    a_large_model_is_the_same(45, 100..115);
}
