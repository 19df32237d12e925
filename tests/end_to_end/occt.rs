//! STEP, IGES and BREP by the engine `occt`: nothing of a model is lost in silence.
//!
//! The models are those of the npm package that `tests/fixtures/models` pins (of the CAx Implementor
//! Forum), and of Debian's `occt-misc`. What is counted is read back from the result by another
//! conversion.

use crate::support::{Bench, Run, zipped};
use serde_json::Value;
use std::path::{Path, PathBuf};
use zip::CompressionMethod::Deflated;

/// A model of the npm package.
fn model(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_cadmill")).parent().unwrap().parent().unwrap();
    let path = target.join("models-node/node_modules/occt-import-js/test/testfiles").join(name);
    assert!(path.exists(), "{} is missing: run `make setup`", path.display());
    path
}

/// A model of Debian's package.
fn sample(name: &str) -> PathBuf {
    let path = Path::new("/usr/share/opencascade/data").join(name);
    assert!(path.exists(), "{} is missing: run `make setup`", path.display());
    path
}

fn convert(bench: &Bench, input: &Path, output: &str, more: &[&str]) -> Run {
    let format = output.rsplit_once('.').unwrap().1;
    let usual = ["convert", input.to_str().unwrap(), "--to", format, "-o", output, "--json"];
    bench.run(&[&usual[..], more].concat())
}

/// A fact of the report, as a number.
fn fact(json: &Value, name: &str) -> u64 {
    json["facts"][name]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("{name}: {json}"))
}

fn solids_and_faces(json: &Value) -> (u64, u64) {
    (fact(json, "solids"), fact(json, "faces"))
}

/// The JSON of a GLB file (glTF 2.0, 4.4).
fn scene(path: &Path) -> Value {
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
fn a_model_survives_the_way_through_every_exact_format() {
    for (input, ways, expected) in [
        (model("cax-if/as1-oc-214.stp"), &["igs", "stp", "brep", "stp"][..], (18, 160)),
        (sample("step/screw.step"), &["brep", "igs", "step"], (1, 10)),
        (sample("occ/Motor-c.brep"), &["stp"], (17, 223)),
        (model("cax-if/io1-cm-214.stp"), &["stp"], (1, 0)),
    ] {
        let bench = Bench::new();
        let mut from = input.clone();
        for (number, format) in ways.iter().enumerate() {
            let output = format!("{number}.{format}");
            let json = convert(&bench, &from, &output, &[]).succeeded().json();
            let found = solids_and_faces(&json);
            assert_eq!(found.0, expected.0, "{} to {output}: {json}", input.display());
            assert!(expected.1 == 0 || found.1 == expected.1, "{} to {output}: {found:?}", input.display());
            from = bench.path(&output);
        }
    }
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

/// The files of an assembly that refers to others, as an archive, without one and with another.
fn assembly(without: &str, with: Option<(&str, &[u8])>) -> Vec<u8> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(model("cax-if/s1-c5-214"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "stp"))
        .collect();
    paths.sort();
    let contents: Vec<(String, Vec<u8>)> = paths
        .iter()
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap()))
        .filter(|(name, _)| name != without)
        .collect();
    let entries = contents.iter().map(|(name, bytes)| (name.as_str(), Deflated, bytes.as_slice()));
    let with = with.map(|(name, bytes)| (name, Deflated, bytes));
    zipped(&entries.chain(with).collect::<Vec<_>>())
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

/// Damages that a generator makes; the same each time.
fn damaged(intact: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 1).unwrap() % below
    };
    let mut bytes = intact.to_vec();
    match seed % 3 {
        0 => bytes.truncate(intact.len() / 10 + next(intact.len() * 8 / 10)),
        1 => (0..20).for_each(|_| bytes[next(intact.len())] ^= 1 << (seed % 7)),
        // References to other entities.
        _ => {
            let at: Vec<usize> = (1..intact.len()).filter(|&i| intact[i - 1] == b'#').collect();
            for _ in 0..5 {
                let place = at[next(at.len())];
                bytes[place] = b'1' + u8::try_from(next(9)).unwrap();
            }
        }
    }
    bytes
}

#[test]
fn a_damaged_file_never_gives_fewer_solids() {
    let (mut converted, mut refused) = (0, 0);
    for (name, solids) in [("cax-if/as1-oc-214.stp", 18), ("cube-units/cube-mm.step", 1)] {
        let intact = std::fs::read(model(name)).unwrap();
        for seed in 0..12 {
            let bench = Bench::new();
            let input = bench.path("damaged.stp");
            std::fs::write(&input, damaged(&intact, seed)).unwrap();
            let run = convert(&bench, &input, "a.stl", &[]);
            if run.code == Some(0) {
                let json = run.json();
                assert!(fact(&json, "solids") >= solids, "{name}, seed {seed}: {json}");
                converted += 1;
            } else {
                assert!(matches!(run.code, Some(14..=18)), "{name}, seed {seed}: {run:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 8, "{refused} were refused");
    // Damage where no shape is.
    let intact = std::fs::read_to_string(model("cube-units/cube-mm.step")).unwrap();
    for (from, to) in [
        ("HEADER;", "/* a comment \u{7} */ HEADER;"),
        ("FILE_NAME('", "FILE_NAME('#damaged "),
        ("ENDSEC;\nDATA;", "ENDSEC;\n/* ( */\nDATA;"),
    ] {
        let bench = Bench::new();
        let input = bench.path("comment.stp");
        std::fs::write(&input, intact.replace("\r\n", "\n").replacen(from, to, 1)).unwrap();
        let json = convert(&bench, &input, "a.stl", &[]).succeeded().json();
        assert_eq!(fact(&json, "solids"), 1);
        converted += 1;
    }
    assert!(converted >= 3, "{converted} were converted");
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

#[test]
fn korean_names_in_cp949_are_kept_if_the_code_page_is_told() {
    let bench = Bench::new();
    let intact = std::fs::read_to_string(model("cube-units/cube-mm.step")).unwrap();
    let (head, tail) = intact.split_once("PRODUCT('Part','Part'").expect("a product");
    // 정육면체 in CP949, as id and name.
    let name = b"\xc1\xa4\xc0\xb0\xb8\xe9\xc3\xbc";
    let bytes = [head.as_bytes(), b"PRODUCT('", name, b"','", name, b"'", tail.as_bytes()].concat();
    let input = bench.path("korean.stp");
    std::fs::write(&input, bytes).unwrap();
    convert(&bench, &input, "a.glb", &["--opt", "codepage=cp949"]).succeeded();
    let names = scene(&bench.path("a.glb"))["nodes"].to_string();
    assert!(names.contains("정육면체"), "{names}");
}
