//! Names and other texts of STEP files come out as they are, or their loss is told.

use super::kept::scene;
use super::{convert, model, solids_and_faces};
use crate::support::Bench;

/// A cube, cut at its name.
fn cube() -> (String, String) {
    let text = std::fs::read_to_string(model("cube-units/cube-mm.step")).unwrap();
    let (head, tail) = text.split_once("PRODUCT('Part','Part'").expect("a product");
    (format!("{head}PRODUCT('Part','"), format!("'{tail}"))
}

#[test]
fn control_characters_in_names_are_refused_or_counted() {
    let bench = Bench::new();
    let (head, tail) = cube();
    for (number, name) in
        ["Pump\0Housing", r"Pump\X2\0000\X0\Housing", r"Pump\X\00Housing", "Pump\u{1}Housing"]
            .into_iter()
            .enumerate()
    {
        let input = bench.path(&format!("{number}.stp"));
        std::fs::write(&input, format!("{head}{name}{tail}")).unwrap();
        let json = convert(&bench, &input, "a.glb", &[]).failed(26, "engine.text_lost");
        assert!(json["error"]["message"].as_str().unwrap().contains("'Pump\u{fffd}Housing'"), "{json}");
        let json = convert(&bench, &input, "b.glb", &["--opt", "lenient=yes"]).succeeded().json();
        assert_eq!(json["losses"], 1, "{json}");
        let names = scene(&bench.path("b.glb"))["nodes"].to_string();
        assert!(names.contains("Pump\u{fffd}Housing"), "{names}");
        // No name gets there.
        let json = convert(&bench, &input, "c.stl", &[]).succeeded().json();
        assert!(json["facts"]["faces"] == "6", "{json}");
        std::fs::remove_file(bench.path("b.glb")).unwrap();
        std::fs::remove_file(bench.path("c.stl")).unwrap();
    }
    // A line end within a name only wraps it, and one that is written as a directive separates words.
    let input = bench.path("lines.stp");
    std::fs::write(&input, format!("{head}Pump\\X\\0AHou\nsing{tail}")).unwrap();
    convert(&bench, &input, "d.glb", &[]).succeeded();
    assert!(scene(&bench.path("d.glb"))["nodes"].to_string().contains("Pump Housing"));
}

/// OpenCASCADE takes the second of two apostrophes for the end of a text if a comma or a parenthesis follows.
#[test]
fn apostrophes_stay_whatever_follows_them() {
    let bench = Bench::new();
    let (head, tail) = cube();
    for (name, expected) in [
        ("Pipe 2'', long (5'')", "Pipe 2', long (5')"),
        (r"a\X\27, b'' , c''''", "a', b' , c''"),
        ("it''s", "it's"),
        ("''", "'"),
    ] {
        let input = bench.path("a.stp");
        std::fs::write(&input, format!("{head}{name}{tail}")).unwrap();
        convert(&bench, &input, "a.glb", &[]).succeeded();
        let nodes = scene(&bench.path("a.glb"))["nodes"].clone();
        let names: Vec<&str> =
            nodes.as_array().unwrap().iter().filter_map(|node| node["name"].as_str()).collect();
        assert!(names.contains(&expected), "{expected}: {names:?}");
        std::fs::remove_file(bench.path("a.glb")).unwrap();
    }
}

#[test]
fn a_text_that_is_too_long_is_refused_or_cut() {
    let bench = Bench::new();
    let (head, tail) = cube();
    let input = bench.path("a.stp");
    std::fs::write(&input, format!("{head}{}{tail}", "x".repeat(70_000))).unwrap();
    let json = convert(&bench, &input, "a.glb", &[]).failed(26, "engine.text_lost");
    assert!(json["error"]["message"].as_str().unwrap().contains("longer than 16000 bytes"), "{json}");
    let json = convert(&bench, &input, "a.glb", &["--opt", "lenient=yes"]).succeeded().json();
    assert_eq!((solids_and_faces(&json), &json["losses"]), ((1, 6), &1.into()), "{json}");
    assert!(scene(&bench.path("a.glb"))["nodes"].to_string().contains(&"x".repeat(16_000)));
}

/// ISO 10303-21, edition 3.
#[test]
fn data_sections_may_be_several_and_have_parameters() {
    let bench = Bench::new();
    let cube = model("cube-units/cube-mm.step");
    let intact = std::fs::read_to_string(&cube).unwrap();
    let expected = convert(&bench, &cube, "intact.igs", &[]).succeeded().json()["facts"].clone();
    let (header, rest) = intact.split_once("DATA;").unwrap();
    let (data, end) = rest.split_once("ENDSEC;").unwrap();
    let half = data.len() / 2 + data[data.len() / 2..].find(';').unwrap() + 1;
    let (one, other) = data.split_at(half);
    for (number, text) in [
        format!("{header}DATA('A',('AUTOMOTIVE_DESIGN'));{data}ENDSEC;{end}"),
        format!("{header}DATA;{one}ENDSEC;\nDATA;{other}ENDSEC;{end}"),
        format!("{header}DATA ('A;',('X'));{one}ENDSEC; /* DATA; */ DATA('B',('X'));{other}ENDSEC;{end}"),
    ]
    .iter()
    .enumerate()
    {
        let input = bench.path(&format!("{number}.stp"));
        std::fs::write(&input, text).unwrap();
        let json = convert(&bench, &input, &format!("{number}.igs"), &[]).succeeded().json();
        assert_eq!(json["facts"], expected, "{number}");
    }
}

#[test]
fn a_part_without_a_shape_is_named() {
    let bench = Bench::new();
    let intact = std::fs::read_to_string(model("cax-if/as1-oc-214.stp")).unwrap();
    let input = bench.path("as1.stp");
    let shapeless = intact.replacen("#740 = SHAPE_DEFINITION_REPRESENTATION(#741,#62);", "", 1);
    assert_ne!(shapeless, intact);
    std::fs::write(&input, shapeless).unwrap();
    let json = convert(&bench, &input, "a.stp", &[]).failed(15, "engine.rejected");
    assert!(json["error"]["message"].as_str().unwrap().contains("of the part 'nut'"), "{json}");

    let brep = "ADVANCED_BREP_SHAPE_REPRESENTATION('',(#11,#63)";
    let empty = intact.replacen(brep, "SHAPE_REPRESENTATION('',(#11)", 1);
    assert_ne!(empty, intact);
    std::fs::write(&input, empty).unwrap();
    let json = convert(&bench, &input, "b.stp", &["--opt", "lenient=yes"]).succeeded().json();
    let warnings = json["warnings"].as_array().unwrap();
    assert!(warnings.contains(&"1 part has no shape: 'nut'".into()), "{json}");
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
