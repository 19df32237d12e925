//! Text is kept: every string of the input is in the output, or the conversion fails and says so.
//!
//! The inputs are made by GDAL's own tool, and changed as other programs would have written them.

use crate::support::{Bench, Run, zipped};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use zip::CompressionMethod::Stored;

/// 도면, in CP949.
const KOREAN: &[u8] = b"\xb5\xb5\xb8\xe9";

fn points(names: &[&str]) -> String {
    let features: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({"type": "Feature", "properties": {"NAME": name},
                   "geometry": {"type": "Point", "coordinates": [127.0, 37.5]}})
        })
        .collect();
    json!({"type": "FeatureCollection", "features": features}).to_string()
}

/// Runs `ogr2ogr`, to make an input.
fn ogr2ogr(arguments: &[&str], directory: &Path) {
    let run = Command::new("ogr2ogr").args(arguments).current_dir(directory).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

/// A zipped shapefile in this encoding, with or without a .cpg file, and with this language driver
/// id.
fn shapefile(bench: &Bench, names: &[&str], encoding: &str, cpg: Option<&str>, language: u8) -> PathBuf {
    let made = tempfile::tempdir().unwrap();
    std::fs::write(made.path().join("p.geojson"), points(names)).unwrap();
    let encoding = format!("ENCODING={encoding}");
    ogr2ogr(&["-lco", &encoding, "r.shp", "p.geojson"], made.path());
    let mut table = std::fs::read(made.path().join("r.dbf")).unwrap();
    table[29] = language;
    let read = |name: &str| std::fs::read(made.path().join(name)).unwrap();
    let (shp, shx) = (read("r.shp"), read("r.shx"));
    let mut entries = vec![("r.shp", Stored, &shp[..]), ("r.shx", Stored, &shx), ("r.dbf", Stored, &table)];
    entries.extend(cpg.map(|cpg| ("r.cpg", Stored, cpg.as_bytes())));
    let path = bench.path("r.zip");
    std::fs::write(&path, zipped(&entries)).unwrap();
    path
}

fn convert(bench: &Bench, input: &Path, to: &str, more: &[&str]) -> Run {
    let output = format!("out.{to}");
    let arguments = ["convert", input.to_str().unwrap(), "--to", to, "-o", &output, "--json"];
    bench.run(&[&arguments[..], more].concat())
}

/// The values of NAME, as GDAL's own tool reads the output of a run.
fn names(bench: &Bench, run: &Run) -> Vec<String> {
    let path = bench.path(run.json()["output"]["path"].as_str().unwrap());
    let place = tempfile::tempdir().unwrap();
    let mut source = path.to_str().unwrap().to_owned();
    if path.extension().is_some_and(|e| e == "zip") {
        source = format!("/vsizip/{source}");
    }
    ogr2ogr(&["-f", "GeoJSON", "read.geojson", &source], place.path());
    let text = std::fs::read_to_string(place.path().join("read.geojson")).expect("UTF-8");
    let json: Value = serde_json::from_str(&text).unwrap();
    let features = json["features"].as_array().unwrap();
    // KML calls it Name.
    let name = |f: &Value| {
        [&f["properties"]["NAME"], &f["properties"]["Name"]]
            .into_iter()
            .find_map(Value::as_str)
            .map(str::to_owned)
    };
    features.iter().map(|f| name(f).unwrap_or_default()).collect()
}

fn warnings(run: &Run) -> String {
    run.json()["warnings"].to_string()
}

#[test]
fn tables_are_read_in_the_encoding_that_they_are_in() {
    for (encoding, cpg, language, told) in [
        ("CP949", None, 0, Some("CP949")),
        ("CP949", None, 0x57, Some("CP949")),
        ("CP949", None, 0x4e, None),
        ("CP949", Some("ANSI 949"), 0, None),
        ("CP949", Some("ksc5601"), 0, None),
        ("CP949", Some("UTF-8"), 0, Some("the .cpg file says UTF-8")),
        ("UTF-8", None, 0, Some("UTF-8")),
        ("UTF-8", None, 0x57, Some("UTF-8")),
        ("UTF-8", Some("utf8"), 0, None),
    ] {
        let bench = Bench::new();
        let input = shapefile(&bench, &["도면", "plan", "강남구 테헤란로"], encoding, cpg, language);
        for to in ["geojson", "gpkg", "csv"] {
            let more: &[&str] = if to == "csv" { &["--opt", "lco.GEOMETRY=AS_WKT"] } else { &[] };
            let run = convert(&bench, &input, to, more).succeeded();
            let case = format!("{encoding} {cpg:?} {language} to {to}");
            assert_eq!(names(&bench, &run), ["도면", "plan", "강남구 테헤란로"], "{case}");
            match told {
                Some(told) => assert!(warnings(&run).contains(told), "{case}: {run:?}"),
                None => assert_eq!(warnings(&run), "[]", "{case}"),
            }
            std::fs::remove_file(bench.path(&format!("out.{to}"))).unwrap();
        }
    }
}

#[test]
fn an_encoding_can_be_named_and_a_wrong_one_is_refused() {
    let bench = Bench::new();
    let input = shapefile(&bench, &["도면"], "CP949", None, 0);
    for option in ["encoding=CP949", "encoding=ansi_949", "oo.ENCODING=949", "cfg.SHAPE_ENCODING=uhc"] {
        let run = convert(&bench, &input, "geojson", &["--opt", option]).succeeded();
        assert_eq!(
            (names(&bench, &run), warnings(&run)),
            (vec!["도면".to_owned()], "[]".to_owned()),
            "{option}"
        );
    }
    let json = convert(&bench, &input, "csv", &["--opt", "encoding=UTF-8"]).failed(26, "engine.text_lost");
    assert!(json["error"]["message"].as_str().unwrap().contains("r.dbf"), "{json}");
    convert(&bench, &input, "csv", &["--opt", "encoding=klingon"]).failed(2, "usage.option");
    assert!(!bench.path("out.csv").exists());
}

#[test]
fn korean_text_goes_round() {
    let texts = ["도면", "漢字", "Straße", "강남구 (테헤란로) 123-4", "뷁"];
    let bench = Bench::new();
    let input = bench.path("in.geojson");
    std::fs::write(&input, points(&texts)).unwrap();
    let formats = ["shp", "gpkg", "geojson", "mif", "csv", "kml", "gml", "fgb"];
    for from in formats {
        let bench = Bench::new();
        let first = convert(&bench, &input, from, &[]).succeeded();
        let source = bench.path(first.json()["output"]["path"].as_str().unwrap());
        for to in ["shp", "gpkg", "geojson", "mif"] {
            let bench = Bench::new();
            let run = convert(&bench, &source, to, &[]).succeeded();
            assert_eq!(names(&bench, &run), texts, "{from} to {to}");
        }
    }
}

#[test]
fn a_shapefile_says_that_it_is_utf_8() {
    let bench = Bench::new();
    let input = bench.path("in.geojson");
    let text = points(&["도면"]).replace("NAME", "아주긴한글이름");
    std::fs::write(&input, text).unwrap();
    let run = convert(&bench, &input, "shp", &[]).succeeded();
    let archive = bench.path(run.json()["output"]["path"].as_str().unwrap());
    let mut archive = zip::ZipArchive::new(std::fs::File::open(archive).unwrap()).unwrap();
    let mut read = |name: &str| {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut archive.by_name(name).unwrap(), &mut bytes).unwrap();
        bytes
    };
    assert_eq!(read("out.cpg").trim_ascii(), b"UTF-8");
    let table = read("out.dbf");
    let name = table[32..43].split(|byte| *byte == 0).next().unwrap();
    assert_eq!(std::str::from_utf8(name), Ok("아주긴"), "no half character");
    assert!(warnings(&run).contains("아주긴"), "{run:?}");
}

#[test]
fn text_that_a_format_cannot_have_is_a_failure() {
    let bench = Bench::new();
    let input = bench.path("in.geojson");
    std::fs::write(&input, points(&["도면 😀"])).unwrap();
    convert(&bench, &input, "shp", &["--opt", "lco.ENCODING=CP949"]).failed(26, "engine.text_lost");
    convert(&bench, &input, "mif", &["--opt", "lco.ENCODING=CP1252"]).failed(26, "engine.text_lost");
    for to in ["mif", "tab"] {
        convert(&bench, &input, to, &[]).failed(26, "engine.text_lost");
    }
    std::fs::write(&input, points(&["도면".repeat(200).as_str()])).unwrap();
    convert(&bench, &input, "tab", &[]).failed(26, "engine.text_lost");
    let json = convert(&bench, &input, "shp", &[]).failed(26, "engine.text_lost");
    assert!(json["error"]["message"].as_str().unwrap().contains("truncated"), "{json}");
    // The layer of a drawing is named after a field.
    std::fs::write(&input, points(&["도면"]).replace("NAME", "Layer")).unwrap();
    let by_gdal = ["--opt", "dxf.writer=gdal"];
    convert(&bench, &input, "dxf", &by_gdal).failed(26, "engine.text_lost");
    convert(&bench, &input, "dxf", &[]).succeeded();
    std::fs::write(&input, points(&["plan"]).replace("NAME", "Layer")).unwrap();
    convert(&bench, &input, "dxf", &by_gdal).succeeded();
}

/// A drawing with one text.
fn drawing(version: &str, page: &str, text: &[u8]) -> Vec<u8> {
    let head = format!(
        "  0\nSECTION\n  2\nHEADER\n  9\n$ACADVER\n  1\n{version}\n  9\n$DWGCODEPAGE\n  3\n{page}\n  0\nENDSEC\n  0\nSECTION\n  2\nENTITIES\n  0\nTEXT\n  5\n100\n  8\n0\n 10\n1.0\n 20\n2.0\n 40\n1.0\n  1\n"
    );
    [head.as_bytes(), text, b"\n  0\nENDSEC\n  0\nEOF\n"].concat()
}

#[test]
fn drawings_are_read_in_the_encoding_that_they_are_in() {
    let text = |version: &str, page: &str, bytes: &[u8], more: &[&str]| {
        let bench = Bench::new();
        let input = bench.path("in.dxf");
        std::fs::write(&input, drawing(version, page, bytes)).unwrap();
        let run = convert(&bench, &input, "geojson", more).succeeded();
        let json: Value = serde_json::from_slice(&std::fs::read(bench.path("out.geojson")).unwrap()).unwrap();
        let text = json["features"][0]["properties"]["Text"].as_str().unwrap_or_default().to_owned();
        (text, warnings(&run))
    };
    for page in ["ANSI_949", "ansi_949", "ksc5601", "dos949"] {
        assert_eq!(text("AC1015", page, KOREAN, &[]).0, "도면", "{page}");
    }
    assert_eq!(text("AC1032", "ANSI_949", "도면".as_bytes(), &[]), ("도면".to_owned(), "[]".to_owned()));
    let (read, told) = text("AC1015", "ANSI_1252", KOREAN, &[]);
    assert!(read != "도면" && told.contains("--opt encoding=CP949"), "{read} {told}");
    for option in ["encoding=CP949", "oo.ENCODING=CP949", "cfg.DXF_ENCODING=CP949"] {
        assert_eq!(text("AC1015", "ANSI_1252", KOREAN, &["--opt", option]).0, "도면", "{option}");
    }
}

#[test]
fn tables_of_text_become_utf_8() {
    let korean = [b"NAME,X,Y\n".to_vec(), KOREAN.to_vec(), b",1,2\n".to_vec()].concat();
    let utf16: Vec<u8> = "\u{feff}NAME,X,Y\n도면,1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, told) in [
        (korean, true),
        (utf16, false),
        ("NAME,X,Y\n도면,1,2\n".as_bytes().to_vec(), false),
        ("\u{feff}NAME,X,Y\n도면,1,2\n".as_bytes().to_vec(), false),
    ] {
        let bench = Bench::new();
        let input = bench.path("표.csv");
        std::fs::write(&input, &bytes).unwrap();
        let run = convert(&bench, &input, "geojson", &[]).succeeded();
        assert_eq!(names(&bench, &run), ["도면"]);
        assert_eq!(warnings(&run).contains("CP949"), told, "{run:?}");
    }
}

fn text() -> impl Strategy<Value = String> {
    "([가-힣]|[一-龥]|[a-zA-Z0-9 äöüßéñ]|😀|🏗|뷁|㈜|℃){1,20}"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    /// Exit code 0 means that every string is in the output.
    #[test]
    fn no_success_loses_a_character(
        texts in prop::collection::vec(text(), 1..8),
        encoding in prop::sample::select(vec!["UTF-8", "CP949", "CP1252"]),
        to in prop::sample::select(vec!["shp", "gpkg", "geojson", "mif", "csv", "fgb"]),
    ) {
        let texts: Vec<String> = texts.iter().map(|text| text.trim().to_owned()).filter(|t| !t.is_empty()).collect();
        prop_assume!(!texts.is_empty());
        let bench = Bench::new();
        let input = bench.path("in.geojson");
        std::fs::write(&input, points(&texts.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
        let option = format!("lco.ENCODING={encoding}");
        let more: Vec<&str> = if ["shp", "mif"].contains(&to) { vec!["--opt", &option] } else { Vec::new() };
        let run = convert(&bench, &input, to, &more);
        if run.code == Some(0) {
            prop_assert_eq!(names(&bench, &run), texts);
        } else {
            prop_assert_eq!(run.code, Some(26), "{:?}", run);
        }
    }
}
