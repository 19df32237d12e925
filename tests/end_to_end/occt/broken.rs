//! A damaged file is refused under a name that is documented, or converted with all of its solids and faces,
//! which programs of others count. Damage that concerns no shape does not keep a file from being converted.

use super::damage::{Format, damaged, harmless};
use super::readers::{Found, both};
use super::{archived, assembly, assembly_files, convert, fact, model, sample, solids_and_faces};
use crate::support::{Bench, repository};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The formats of the results. What has surfaces is read by others.
const OUTPUTS: [&str; 4] = ["stp", "brep", "stl", "glb"];

/// An intact file, and what it has.
struct Intact {
    name: String,
    format: Format,
    bytes: Vec<u8>,
    solids_and_faces: (u64, u64),
}

/// The files that are damaged, of three formats in turn.
fn intact() -> &'static [Intact] {
    static FILES: OnceLock<Vec<Intact>> = OnceLock::new();
    FILES.get_or_init(|| read_intact(&Bench::new()))
}

fn read_intact(bench: &Bench) -> Vec<Intact> {
    let assembly = bench.path("as1.igs");
    convert(bench, &model("cax-if/as1-tu-203.stp"), assembly.to_str().unwrap(), &[]).succeeded();
    [
        (model("cax-if/as1-tu-203.stp"), Format::Step),
        (assembly, Format::Iges),
        (model("cax-if-brep/as1_pe_203.brep"), Format::Brep),
        (sample("step/screw.step"), Format::Step),
        (sample("iges/hammer.iges"), Format::Iges),
        (sample("occ/CrankArm.brep"), Format::Brep),
        (model("cax-if/dm1-oc-214.stp"), Format::Step),
        (model("cube-10x10mm/Cube 10x10.igs"), Format::Iges),
        (sample("occ/MODERN_Table_1.brep"), Format::Brep),
    ]
    .into_iter()
    .map(|(path, format)| {
        let json = convert(bench, &path, "intact.stl", &[]).succeeded().json();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        Intact {
            name,
            format,
            bytes: std::fs::read(path).unwrap(),
            solids_and_faces: solids_and_faces(&json),
        }
    })
    .collect()
}

/// Converts a file with damage. Returns the failure code, or the result if it was converted.
fn attempt(bench: &Bench, intact: &Intact, bytes: &[u8], number: u64) -> Result<PathBuf, String> {
    let extension = intact.name.rsplit_once('.').unwrap().1;
    let input = bench.path(&format!("{number}.{extension}"));
    std::fs::write(&input, bytes).unwrap();
    let turn = usize::try_from(number).unwrap();
    let output = format!("{number}-out.{}", OUTPUTS[(turn / 3) % OUTPUTS.len()]);
    let run = convert(bench, &input, &output, &["--timeout", "2m"]);
    if run.code == Some(0) {
        let found = solids_and_faces(&run.json());
        let expected = intact.solids_and_faces;
        assert!(found.0 >= expected.0 && found.1 >= expected.1, "{found:?} of {expected:?}");
        return Ok(bench.path(&output));
    }
    assert!(!bench.path(&output).exists(), "a refused file left an output");
    std::fs::remove_file(input).unwrap();
    Err(run.json()["error"]["code"].as_str().expect("a code").to_owned())
}

/// What other programs count in results with surfaces, against what they count in the intact file.
fn assert_whole(bench: &Bench, files: &[Intact], results: &[(usize, PathBuf)]) {
    let results: Vec<&(usize, PathBuf)> = results
        .iter()
        .filter(|(_, path)| path.extension().is_some_and(|e| e == "stp" || e == "brep"))
        .collect();
    let originals: BTreeMap<usize, PathBuf> = results
        .iter()
        .map(|(index, _)| {
            let path = bench.path(&format!("intact-{index}-{}", files[*index].name.replace(' ', "_")));
            std::fs::write(&path, &files[*index].bytes).unwrap();
            (*index, path)
        })
        .collect();
    let paths: Vec<&Path> =
        originals.values().chain(results.iter().map(|(_, path)| path)).map(PathBuf::as_path).collect();
    for found in both(&paths) {
        let (before, after) = found.split_at(originals.len());
        let before: BTreeMap<usize, &Found> = originals.keys().copied().zip(before).collect();
        for ((index, _), after) in results.iter().zip(after) {
            let before = before[index];
            let whole = after.solids >= before.solids && after.faces >= before.faces;
            assert!(whole, "{}: {after:?} of {before:?}", files[*index].name);
        }
    }
}

/// Damages that are named differently are listed, with how often they came.
fn damages_lose_nothing(seeds: u64) {
    let bench = Bench::new();
    let files = intact();
    let documented = std::fs::read_to_string(repository().join("docs/FAILURES.md")).unwrap();
    let (mut results, mut outcomes) = (Vec::new(), BTreeMap::<(Format, &str, String), u64>::new());
    let mut silent = Vec::new();
    for seed in 0..seeds {
        // Each kind of damage to each file: the kind is the seed modulo 3.
        let index = usize::try_from(seed / 3 + seed % 3).unwrap() % files.len();
        let file = &files[index];
        let (kind, bytes) = damaged(&file.bytes, file.format, seed);
        let outcome = attempt(&bench, file, &bytes, seed);
        let name = match outcome {
            Ok(path) => {
                results.push((index, path));
                "converted".to_owned()
            }
            Err(code) => code,
        };
        let known = ["converted", "engine.rejected", "engine.unfit", "engine.text_lost", "engine.crashed"];
        let ends = known.contains(&name.as_str()) || name.starts_with("limit.");
        if !ends || (name != "converted" && !documented.contains(&format!("| `{name}` |"))) {
            silent.push((seed, name.clone()));
        }
        *outcomes.entry((file.format, kind, name)).or_default() += 1;
    }
    println!("{outcomes:#?}");
    assert!(silent.is_empty(), "{silent:?}");
    let refused: u64 =
        outcomes.iter().filter(|((.., name), _)| name == "engine.rejected").map(|(_, n)| n).sum();
    assert!(refused >= seeds / 2, "{outcomes:?}");
    assert_whole(&bench, files, &results);
}

#[test]
fn twenty_damaged_files_lose_no_solid_and_no_face() {
    damages_lose_nothing(20);
}

#[test]
#[ignore = "in `make nightly`: two hundred conversions"]
fn two_hundred_damaged_files_lose_no_solid_and_no_face() {
    damages_lose_nothing(200);
}

#[test]
fn damage_that_concerns_no_shape_is_no_obstacle() {
    let bench = Bench::new();
    let files = intact();
    let mut results = Vec::new();
    for (number, (index, file)) in files.iter().enumerate().cycle().take(12).enumerate() {
        let seed = u64::try_from(number).unwrap();
        let bytes = harmless(&file.bytes, file.format, seed);
        assert_ne!(bytes, file.bytes);
        let outcome = attempt(&bench, file, &bytes, seed);
        let path = outcome.unwrap_or_else(|code| panic!("{}, seed {seed}: {code}", file.name));
        results.push((index, path));
    }
    assert_whole(&bench, files, &results);
}

/// BREP has no checksums, and what OpenCASCADE cannot write it leaves out without an error. So a line that is
/// missing among the shapes is refused, or the result has what the report says.
#[test]
fn a_result_has_the_faces_that_the_report_says() {
    let bench = Bench::new();
    let intact = std::fs::read_to_string(sample("occ/wedge_ok.brep")).unwrap();
    let lines: Vec<&str> = intact.lines().collect();
    let begin = lines.iter().position(|line| line.starts_with("TShapes")).unwrap() + 1;
    let geometry = (begin..lines.len()).filter(|at| lines[*at].starts_with(['0', '1', '2']));
    let (mut unfit, mut results) = (0, Vec::new());
    for (number, at) in geometry.step_by(4).enumerate() {
        let input = bench.path(&format!("{number}.brep"));
        std::fs::write(&input, [&lines[..at], &lines[at + 1..]].concat().join("\n") + "\n").unwrap();
        for format in ["stp", "igs"] {
            let output = format!("{number}.{format}");
            let run = convert(&bench, &input, &output, &[]);
            let json = run.json();
            if run.code == Some(0) {
                results.push((bench.path(&output), solids_and_faces(&json)));
                continue;
            }
            let code = json["error"]["code"].as_str().unwrap();
            assert!(["engine.rejected", "engine.unfit"].contains(&code), "line {at} to {format}: {json}");
            unfit += u32::from(code == "engine.unfit");
        }
    }
    assert!(unfit > 2 && !results.is_empty(), "{unfit} {results:?}");
    let paths: Vec<&Path> = results.iter().map(|(path, _)| path.as_path()).collect();
    let [_, ocp] = both(&paths);
    for ((path, reported), found) in results.iter().zip(ocp) {
        assert_eq!((found.solids, found.faces), *reported, "{}", path.display());
    }
}

#[test]
fn faces_that_cannot_be_written_are_counted_with_lenient() {
    let bench = Bench::new();
    let intact = std::fs::read_to_string(sample("occ/wedge_ok.brep")).unwrap();
    // Without the end of what describes it, an edge has no vertices. Two faces meet there.
    let (before, after) = intact.split_once("2  6 4 0 0 5\n0\n").expect("an edge");
    let input = bench.path("wedge.brep");
    std::fs::write(&input, [before, "2  6 4 0 0 5\n", after].concat()).unwrap();
    for output in ["a.stp", "a.igs"] {
        let json = convert(&bench, &input, output, &[]).failed(27, "engine.unfit");
        assert!(json["error"]["message"].as_str().unwrap().contains("2 of 6 faces"), "{json}");
    }
    let json = convert(&bench, &input, "b.stp", &["--opt", "lenient=yes"]).succeeded().json();
    assert_eq!((solids_and_faces(&json), &json["losses"]), ((0, 4), &1.into()), "{json}");
    let [gmsh, ocp] = both(&[&bench.path("b.stp")]);
    assert_eq!((gmsh[0].faces, ocp[0].solids, ocp[0].faces), (4, 0, 4));
}

/// BREP says several times where an edge is.
#[test]
fn a_damaged_coordinate_is_a_warning() {
    let bench = Bench::new();
    let intact = std::fs::read_to_string(sample("occ/wedge_ok.brep")).unwrap();
    let input = bench.path("wedge.brep");
    for (vertex, edges) in [("\n8 10 0\n", 0), ("\n8 18 0\n", 3)] {
        std::fs::write(&input, intact.replacen("\n8 10 0\n", vertex, 1)).unwrap();
        let json = convert(&bench, &input, &format!("{edges}.stp"), &[]).succeeded().json();
        let warnings = json["warnings"].as_array().unwrap();
        assert_eq!(warnings.is_empty(), edges == 0, "{json}");
        assert!(edges == 0 || warnings[0].as_str().unwrap().contains("3 of 12 edges"), "{json}");
        assert_eq!(json["losses"], 0, "{json}");
    }
    // A direction that is infinite is none.
    let infinite = intact.replacen("-0.28734788556634538", "-0.2873e788556634538", 1);
    assert_ne!(infinite, intact);
    std::fs::write(&input, infinite).unwrap();
    let json = convert(&bench, &input, "a.stp", &[]).failed(15, "engine.rejected");
    assert!(json["error"]["message"].as_str().unwrap().contains("not numbers"), "{json}");
}

/// The lines of an IGES file say to which entity they belong. OpenCASCADE crashes on some that are wrong, and where
/// an entity has other numbers of parameters than it says.
#[test]
fn parameters_that_crash_are_refused() {
    let bench = Bench::new();
    let intact = std::fs::read_to_string(model("cube-10x10mm/Cube 10x10.igs")).unwrap();
    let input = bench.path("cube.igs");
    for (from, to) in
        [("508,4,0,67,8,0,0,0,67,7,1", "508,4,0,67,8,0,6,0,67,7,1"), ("\n128,1,1,1,1,", "\n128,1x1,1,1,")]
    {
        let damaged = intact.replacen(from, to, 1);
        assert_ne!(damaged, intact, "{from}");
        std::fs::write(&input, damaged).unwrap();
        for lenient in ["lenient=no", "lenient=yes"] {
            let json = convert(&bench, &input, "a.stp", &["--opt", lenient]).failed(15, "engine.rejected");
            let message = json["error"]["message"].as_str().unwrap();
            assert!(message.contains("a reference to nothing"), "{to}: {message}");
        }
    }
    std::fs::write(&input, intact.replacen("      55P     44", "      75P     44", 1)).unwrap();
    let json = convert(&bench, &input, "a.stp", &[]).failed(15, "engine.rejected");
    assert!(
        json["error"]["message"].as_str().unwrap().contains("line of section P, the first of them 44"),
        "{json}"
    );
}

/// A part that an assembly uses several times is not missed where it is used once less. So it shows by what is
/// in its place.
#[test]
fn a_piece_in_place_of_a_part_that_is_used_elsewhere_is_noticed() {
    let bench = Bench::new();
    let intact = std::fs::read(model("cax-if-brep/as1_pe_203.brep")).unwrap();
    // The last of the six nuts.
    let nut = memchr::memmem::rfind(&intact, b"+34 ").expect("a reference to the nut");
    for (number, piece) in [b"+40 ", b"+45 ", b"+60 "].into_iter().enumerate() {
        let bytes = [&intact[..nut], piece, &intact[nut + 4..]].concat();
        let input = bench.path(&format!("{number}.brep"));
        std::fs::write(&input, bytes).unwrap();
        let json = convert(&bench, &input, "a.stl", &[]).failed(15, "engine.rejected");
        assert!(json["error"]["message"].as_str().unwrap().contains("in a compound as well"), "{json}");
    }
}

/// Before triangles are made of it, which OpenCASCADE refuses in its own words.
#[test]
fn points_and_curves_alone_are_refused_for_every_output() {
    let bench = Bench::new();
    let head = "\nCASCADE Topology V3, (c) Open Cascade\nLocations 0\nCurve2ds 0\n";
    let tables = "Polygon3D 0\nPolygonOnTriangulations 0\nSurfaces 0\nTriangulations 0\n\n";
    let vertex = |x: u32| format!("Ve\n1e-07\n{x} 5 5\n0 0\n\n0101101\n*\n");
    let point = format!("{head}Curves 0\n{tables}TShapes 2\n{}Co\n\n1100000\n+2 0 *\n\n+1 0 ", vertex(5));
    let line = format!(
        "{head}Curves 1\n1 5 5 5 1 0 0 \n{tables}TShapes 4\n{}{}Ed\n 1e-07 1 1 0\n1  1 0 0 4\n0\n\n0101000\n+4 0 -3 0 *\nCo\n\n1100000\n+2 0 *\n\n+1 0 ",
        vertex(5),
        vertex(9)
    );
    for (name, text) in [("point.brep", point), ("line.brep", line)] {
        let input = bench.path(name);
        std::fs::write(&input, text).unwrap();
        for output in ["a.glb", "a.stl", "a.step", "a.igs"] {
            let json = convert(&bench, &input, output, &[]).failed(15, "engine.rejected");
            let message = json["error"]["message"].as_str().unwrap();
            assert!(message.contains("no faces") && message.contains("curves"), "{name} {output}: {message}");
        }
    }
}

/// What pads a file belongs to no model; a second model would be lost, as OpenCASCADE reads the first one only.
#[test]
fn what_follows_the_end_of_a_step_file_is_padding_or_refused() {
    let bench = Bench::new();
    let intact = std::fs::read(sample("step/screw.step")).unwrap();
    let input = bench.path("a.step");
    std::fs::write(&input, &intact).unwrap();
    let whole = convert(&bench, &input, "whole.igs", &[]).succeeded().json();
    for padding in
        [&b"\n\n"[..], b"\x1a", &[0; 4096], b"-- exported by a program", b"SIGNATURE;\nMIIB\nENDSEC;\n"]
    {
        std::fs::write(&input, [&intact[..], padding].concat()).unwrap();
        let padded = convert(&bench, &input, "padded.igs", &[]).succeeded().json();
        assert_eq!(padded["facts"], whole["facts"], "{padding:?}");
        assert_eq!(padded["warnings"], whole["warnings"], "{padding:?}");
    }
    std::fs::write(&input, [&intact[..], &intact].concat()).unwrap();
    let json = convert(&bench, &input, "two.igs", &[]).failed(15, "engine.rejected");
    assert!(json["error"]["message"].as_str().unwrap().contains("another model follows"), "{json}");
}

/// OpenCASCADE follows a reference to nothing where it collects colours.
#[test]
fn a_style_that_refers_to_nothing_is_named_and_left_out_with_lenient() {
    let bench = Bench::new();
    let intact = std::fs::read_to_string(model("cube-units/cube-mm.step")).unwrap();
    for (number, (from, to, at)) in [
        ("SURFACE_STYLE_USAGE(.BOTH.,#378)", "SURFACE_STYLE_USAGE(.BOTH.,$)", "#377"),
        ("SURFACE_STYLE_USAGE(.BOTH.,#378)", "SURFACE_STYLE_USAGE(.BOTH.,#33)", "#377"),
        ("FILL_AREA_STYLE('',(#381))", "FILL_AREA_STYLE('',($))", "#380"),
        ("FILL_AREA_STYLE('',(#381))", "FILL_AREA_STYLE('',(#382))", "#380"),
        ("COLOUR_RGB('',0.800000010877", "COLOUR_RGB('',-0.5", "#382"),
    ]
    .into_iter()
    .enumerate()
    {
        let input = bench.path(&format!("{number}.stp"));
        let damaged = intact.replacen(from, to, 1);
        assert_ne!(damaged, intact, "{from}");
        std::fs::write(&input, damaged).unwrap();
        let output = format!("{number}.glb");
        let json = convert(&bench, &input, &output, &[]).failed(15, "engine.rejected");
        let message = json["error"]["message"].as_str().unwrap();
        assert!(message.contains("#375 (StyledItem)") && message.contains(at), "{to}: {message}");
        let json = convert(&bench, &input, &output, &["--opt", "lenient=yes"]).succeeded().json();
        assert_eq!(solids_and_faces(&json), (1, 6), "{to}");
        assert!(json["losses"].as_u64().unwrap() > 0, "{to}: {json}");
    }
}

#[test]
fn files_of_an_assembly_that_would_crash_are_refused() {
    let bench = Bench::new();
    let archive = bench.path("assembly.zip");
    let root = ["--root", "s1-c5-214.stp"];
    let main = std::fs::read(model("cax-if/s1-c5-214/s1-c5-214.stp")).unwrap();
    let part = std::fs::read_to_string(model("cax-if/s1-c5-214/FOOT_BACK_000.stp")).unwrap();
    // A part that is the assembly itself, and so refers to another that is.
    let mut circle = assembly_files();
    for (name, bytes) in &mut circle {
        if name.starts_with("FOOT_") {
            bytes.clone_from(&main);
        }
    }
    std::fs::write(&archive, archived(&circle)).unwrap();
    let json = convert(&bench, &archive, "a.stp", &root).failed(15, "engine.rejected");
    assert!(json["error"]["message"].as_str().unwrap().contains("in a circle"), "{json}");

    // One file of it is the assembly, and so refers to itself.
    let with = Some(("TAIL.stp", &main[..]));
    std::fs::write(&archive, assembly("TAIL.stp", with)).unwrap();
    let json = convert(&bench, &archive, "a.stp", &root).failed(15, "engine.rejected");
    assert!(
        json["error"]["message"].as_str().unwrap().contains("in a circle, among them 'TAIL.stp'"),
        "{json}"
    );

    let styleless = part.replacen("SURFACE_STYLE_USAGE(.BOTH.,#30)", "SURFACE_STYLE_USAGE(.BOTH.,$)", 1);
    assert_ne!(styleless, part);
    let with = Some(("FOOT_BACK_000.stp", styleless.as_bytes()));
    std::fs::write(&archive, assembly("FOOT_BACK_000.stp", with)).unwrap();
    let json = convert(&bench, &archive, "b.stp", &root).failed(15, "engine.rejected");
    let message = json["error"]["message"].as_str().unwrap();
    assert!(message.contains("FOOT_BACK_000.stp") && message.contains("#31"), "{message}");
    let lenient = [&root[..], &["--opt", "lenient=yes"]].concat();
    let json = convert(&bench, &archive, "b.stp", &lenient).succeeded().json();
    assert_eq!((solids_and_faces(&json), fact(&json, "colours")), ((11, 182), 0), "{json}");
}
