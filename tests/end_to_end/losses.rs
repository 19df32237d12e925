//! What the result lacks is counted and told, and fails a strict order.

use crate::support::{Bench, Run};
use serde_json::{Value, json};

fn convert(bench: &Bench, name: &str, content: impl AsRef<[u8]>, to: &str, more: &[&str]) -> Run {
    let input = bench.path(name);
    std::fs::write(&input, content).unwrap();
    let output = format!("out.{to}");
    let arguments = ["convert", input.to_str().unwrap(), "--to", to, "-o", &output, "--json"];
    bench.run(&[&arguments[..], more].concat())
}

fn features(geometries: &[&str]) -> String {
    let features: Vec<String> = geometries
        .iter()
        .map(|geometry| format!(r#"{{"type":"Feature","properties":{{"n":"가"}},"geometry":{geometry}}}"#))
        .collect();
    format!(r#"{{"type":"FeatureCollection","features":[{}]}}"#, features.join(","))
}

const POINT: &str = r#"{"type":"Point","coordinates":[1,2]}"#;
const LINE: &str = r#"{"type":"LineString","coordinates":[[1,2],[3,4]]}"#;
const HIGH: &str = r#"{"type":"Point","coordinates":[1,2,3]}"#;
const NONE: &str = "null";

fn counted(json: &Value) -> [u64; 3] {
    assert_eq!(json["counts"]["unit"], "features", "{json}");
    ["read", "written", "skipped"].map(|name| json["counts"][name].as_u64().unwrap())
}

#[test]
fn what_the_output_lacks_is_a_loss_and_fails_a_strict_order() {
    let rows: &[(&[&str], &str, &str, [u64; 3])] = &[
        (&[POINT, LINE, NONE], "dxf", "1 features without geometry were left out", [3, 2, 1]),
        (&[POINT, NONE], "fgb", "2 features were read, and 1 were written", [2, 1, 0]),
        (&[POINT, POINT], "csv", "lco.GEOMETRY=AS_WKT", [2, 2, 0]),
        (&[HIGH], "mif", "heights (Z) were left out", [1, 1, 0]),
        (&[HIGH, LINE], "fgb", "heights (Z) were left out", [2, 2, 0]),
    ];
    for (geometries, to, loss, counts) in rows {
        let (bench, content) = (Bench::new(), features(geometries));
        let json = convert(&bench, "a.geojson", &content, to, &[]).succeeded().json();
        assert!(json["warnings"].to_string().contains(loss), "{to}: {json}");
        assert_eq!((&json["losses"], counted(&json)), (&json!(1), *counts), "{to}: {json}");
        let bench = Bench::new();
        let failed =
            convert(&bench, "a.geojson", &content, to, &["--strict"]).failed(28, "engine.incomplete");
        assert!(failed["error"]["message"].as_str().unwrap().contains(loss), "{failed}");
        assert!(!bench.path(&format!("out.{to}")).exists(), "{to}");
    }
}

#[test]
fn what_an_option_asks_for_is_no_loss() {
    type Row<'a> = (&'a [&'a str], &'a str, &'a [&'a str], Option<[u64; 3]>);
    let rows: &[Row<'_>] = &[
        (&[POINT, LINE], "shp", &["--opt", "skipfailures=yes"], Some([2, 1, 1])),
        (&[POINT, LINE], "geojson", &["--opt", "where=OGR_GEOMETRY = 'Point'"], None),
        (&[POINT, LINE], "gpkg", &["--opt", "limit=1"], None),
        (&[POINT, LINE], "csv", &["--opt", "lco.GEOMETRY=AS_WKT"], Some([2, 2, 0])),
        // Fields that the format cannot carry are named, and do not count.
        (&[POINT, LINE], "dxf", &[], Some([2, 2, 0])),
        (&[POINT, LINE, NONE], "gpkg", &[], Some([3, 3, 0])),
        (&[POINT, LINE, NONE], "geojson", &[], Some([3, 3, 0])),
        (&[HIGH], "shp", &[], Some([1, 1, 0])),
    ];
    for (geometries, to, more, counts) in rows {
        let bench = Bench::new();
        let arguments = [&["--strict"], *more].concat();
        let json = convert(&bench, "a.geojson", features(geometries), to, &arguments).succeeded().json();
        assert_eq!(json["losses"], 0, "{to}: {json}");
        if let Some(counts) = counts {
            assert_eq!(counted(&json), *counts, "{to}: {json}");
        }
    }
}

#[test]
fn a_file_that_is_cut_short_is_refused() {
    let many = vec![POINT; 2000];
    for (to, kept) in [("gml", 60), ("geojson", 50), ("kml", 90), ("fgb", 60)] {
        let bench = Bench::new();
        convert(&bench, "a.geojson", features(&many), to, &["--compress", "never"]).succeeded();
        let bytes = match std::fs::read(bench.path(&format!("out.{to}"))) {
            Ok(bytes) => bytes,
            // GML comes with its schema.
            Err(_) => crate::parity::read_zip(&bench.path("out.gml.zip"))["out.gml"].clone(),
        };
        let cut = &bytes[..bytes.len() * kept / 100];
        let failed = convert(&bench, &format!("b.{to}"), cut, "shp", &[]).failed(15, "engine.rejected");
        assert!(!failed["error"]["message"].as_str().unwrap().contains("Terminating"), "{failed}");
    }
}

#[test]
fn xml_that_nobody_can_read_is_no_result() {
    let content = r#"{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"a\"<&b":"x"},"geometry":null}]}"#;
    let bench = Bench::new();
    let failed = convert(&bench, "a.geojson", content, "kml", &[]).failed(27, "engine.unfit");
    assert!(failed["error"]["message"].as_str().unwrap().contains("well-formed"), "{failed}");
    let plain = content.replace(r#"a\"<&b"#, "a");
    convert(&bench, "a.geojson", plain, "kml", &["--strict"]).succeeded();
}

#[test]
fn parts_of_meshes_are_counted() {
    let mesh = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nl 1 2\n";
    let bench = Bench::new();
    let json = convert(&bench, "a.obj", mesh, "stl", &[]).succeeded().json();
    assert_eq!(json["counts"], json!({"unit": "parts", "read": 2, "written": 1, "skipped": 1}));
    assert_eq!(json["losses"], 1, "{json}");
    convert(&bench, "a.obj", mesh, "stl", &["--strict"]).failed(28, "engine.incomplete");
    convert(&bench, "a.obj", mesh, "ply", &[]).succeeded();
}
