//! `cadmill inspect`: what a file contains, without a conversion.

use crate::support::{Bench, real, repository, tree, zipped};
use serde_json::{Value, json};
use std::path::Path;
use zip::CompressionMethod::Stored;

fn inspect(bench: &Bench, input: &Path, more: &[&str]) -> Value {
    let arguments = ["inspect", input.to_str().unwrap(), "--json"];
    bench.run(&[&arguments[..], more].concat()).succeeded().json()
}

#[test]
fn layers_have_their_counts_fields_and_reference_systems() {
    let bench = Bench::new();
    let json = inspect(&bench, &real("gis/naturalearth_lowres.zip"), &[]);
    assert_eq!(json["archive"]["candidates"].as_array().unwrap().len(), 1);
    let contents = &json["files"][0]["contents"];
    assert_eq!(contents["driver"], "ESRI Shapefile");
    let layer = &contents["layers"][0];
    assert_eq!(layer["geometry"], "Polygon");
    assert_eq!(layer["reference_system"], "EPSG:4326");
    let counted: u64 =
        layer["geometries"].as_array().unwrap().iter().map(|kind| kind["features"].as_u64().unwrap()).sum();
    assert_eq!(layer["features"], counted);
    assert!(counted > 100 && layer["fields"].as_array().unwrap().len() > 3, "{layer}");
    assert_eq!(layer["extent"]["least"][0], -180.0);

    let json = inspect(&bench, &real("gis/nested_two_layers.zip"), &[]);
    let names: Vec<_> = json["files"].as_array().unwrap().iter().map(|file| &file["name"]).collect();
    assert_eq!(json!(names), json["archive"]["candidates"]);
    let input = real("gis/nested_two_layers.zip");
    let json = inspect(&bench, &input, &["--root", "data/cities/naturalearth_cities.shp"]);
    assert_eq!(json["files"][0]["contents"]["layers"][0]["features"], 243, "{json}");
    assert_eq!(json["files"].as_array().unwrap().len(), 1);
    bench.assert_no_plaintext_left();
}

#[test]
fn drawings_have_layers_and_models_have_parts() {
    let bench = Bench::new();
    let input = bench.path("plan.dxf");
    let point = "  0\nPOINT\n  8\nSpots\n 10\n1.5\n 20\n2.5\n";
    let text = format!("  0\nSECTION\n  2\nENTITIES\n{point}{point}  0\nENDSEC\n  0\nEOF\n");
    std::fs::write(&input, text).unwrap();
    let layer = &inspect(&bench, &input, &[])["files"][0]["contents"]["layers"][0];
    assert_eq!(layer["drawing_layers"], json!([{ "name": "Spots", "features": 2 }]));
    assert_eq!(layer["extent"]["most"], json!([1.5, 2.5, 0.0]));

    let input = bench.path("m.zip");
    let obj =
        b"mtllib M.MTL\nv 0 0 0\nv 2 0 0\nv 2 3 0\nv 0 3 0\nvt 0 0\nusemtl m\nf 1/1 2/1 3/1 4/1\nl 1 3\n";
    // The names are relative to the model.
    let entries = [
        ("d/m.obj", Stored, &obj[..]),
        ("d/m.mtl", Stored, b"newmtl m\nmap_Kd tex\\wood.png\nmap_Bump gone.png\n"),
        ("d/tex/Wood.png", Stored, b"x"),
    ];
    std::fs::write(&input, zipped(&entries)).unwrap();
    let contents = &inspect(&bench, &input, &[])["files"][0]["contents"];
    let scene = &contents["scene"];
    assert_eq!((&scene["polygons"], &scene["lines"]), (&json!(1), &json!(1)), "{scene}");
    assert_eq!(scene["extent"]["most"], json!([2.0, 3.0, 0.0]));
    let file_of = |name: &str| {
        let all = contents["references"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).map(|one| one["file"].clone())
    };
    assert_eq!(file_of("d/M.MTL"), Some(json!("d/m.mtl")), "{contents}");
    assert_eq!(file_of("tex\\wood.png"), Some(json!("d/tex/Wood.png")), "{contents}");
    assert_eq!(file_of("gone.png"), Some(Value::Null), "{contents}");
}

#[test]
fn what_a_shapefile_lacks_is_named_and_the_encoding_is_told() {
    let bench = Bench::new();
    let output = bench.path("out.zip");
    let input = bench.path("p.geojson");
    let feature =
        r#"{"type":"Feature","properties":{"n":"도로"},"geometry":{"type":"Point","coordinates":[127,37]}}"#;
    std::fs::write(&input, format!(r#"{{"type":"FeatureCollection","features":[{feature}]}}"#)).unwrap();
    let arguments = ["convert", input.to_str().unwrap(), "--to", "shp", "-o", output.to_str().unwrap()];
    bench.run(&arguments).succeeded();
    let files = crate::parity::read_zip(&output);
    let kept: Vec<_> = files
        .iter()
        .filter(|(name, _)| !name.ends_with(".prj"))
        .map(|(name, bytes)| (name.as_str(), Stored, &bytes[..]))
        .collect();
    std::fs::write(&output, zipped(&kept)).unwrap();
    let contents = &inspect(&bench, &output, &[])["files"][0]["contents"];
    assert_eq!(contents["encoding"], "UTF-8", "{contents}");
    let missing: Vec<_> =
        contents["references"].as_array().unwrap().iter().filter(|one| one["file"].is_null()).collect();
    assert_eq!(missing, [&json!({ "name": "out.prj", "file": null })], "{contents}");
}

#[test]
fn every_fixture_is_read_or_the_reason_is_told() {
    let bench = Bench::new();
    for file in tree(&repository().join("tests/fixtures/real")) {
        if file.is_dir()
            || file.to_string_lossy().contains("hostile")
            || file.extension().is_some_and(|e| e == "md")
        {
            continue;
        }
        let json = inspect(&bench, &file, &[]);
        let files = json["files"].as_array().unwrap();
        assert!(!files.is_empty(), "{}: {json}", file.display());
        for read in files {
            let (contents, name) = (&read["contents"], file.display());
            let features: u64 = contents["layers"]
                .as_array()
                .map_or(0, |layers| layers.iter().map(|layer| layer["features"].as_u64().unwrap()).sum());
            let vertices = contents["scene"]["vertices"].as_u64().unwrap_or(0);
            assert!(features + vertices > 0, "{name}: {read}");
        }
    }
    bench.assert_no_plaintext_left();
}

#[test]
fn the_directory_of_a_large_archive_is_read_without_its_entries() {
    let bench = Bench::new();
    let names: Vec<String> = (0..10_000).map(|number| format!("d/{number:05}.txt")).collect();
    let mut entries: Vec<_> = names.iter().map(|name| (name.as_str(), Stored, &b"content"[..])).collect();
    entries[4_999].0 = "d/plan.dxf";
    let input = bench.path("many.zip");
    std::fs::write(&input, zipped(&entries)).unwrap();
    let trace = bench.path("trace");
    let mut command = std::process::Command::new("strace");
    command.args(["-f", "-y", "-e", "trace=pread64,read", "-o"]).arg(&trace);
    let inner = bench.command(&["inspect", input.to_str().unwrap(), "--archive-only", "--json"]);
    command.arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
    let output = command.output().expect("strace: run `make setup`");
    assert!(output.status.success(), "{output:?}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["archive"]["entries"], 10_000);
    assert_eq!(json["archive"]["candidates"], json!(["d/plan.dxf"]));
    assert_eq!(json["files"], json!([]));
    // The directory begins where the entries end; the first bytes tell that it is an archive.
    let size = std::fs::metadata(&input).unwrap().len();
    let directory = 10_000 * (46 + 11) - 1 + 22;
    let text = std::fs::read_to_string(&trace).unwrap();
    let reads: Vec<(u64, u64)> = text
        .lines()
        .filter(|line| line.contains("many.zip"))
        .map(|line| {
            assert!(line.contains("pread64("), "{line}");
            let (call, answer) = line.rsplit_once(") = ").unwrap();
            let at = call.rsplit_once(", ").unwrap().1;
            (at.parse().unwrap(), answer.trim().parse().unwrap())
        })
        .collect();
    assert!(reads.iter().any(|(at, _)| *at >= size - directory), "{reads:?}");
    for (at, length) in reads {
        assert!((at == 0 && length <= 4) || at + 200 >= size - directory, "{length} bytes at {at} of {size}");
    }
}

#[test]
fn files_that_are_not_read_are_counted() {
    let bench = Bench::new();
    let input = bench.path("in.zip");
    let names: Vec<String> = (0..52).map(|number| format!("{number}.geojson")).collect();
    let entries: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), Stored, &br#"{"type":"Point","coordinates":[1,2]}"#[..]))
        .collect();
    std::fs::write(&input, zipped(&entries)).unwrap();
    let json = inspect(&bench, &input, &["--archive-only"]);
    assert_eq!((&json["candidates_total"], &json["files"]), (&json!(52), &json!([])), "{json}");
    let json = inspect(&bench, &input, &["--root", "3.geojson"]);
    assert_eq!(json["candidates_total"], 1, "{json}");
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let bench = Bench::new();
    let input = bench.path("in.zip");
    std::fs::write(&input, zipped(&[("a.geojson", Stored, b"{}")])).unwrap();
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for json in [&[][..], &["--json"]] {
        let arguments = [&["inspect", "--archive-only", "in.zip"][..], json].concat();
        let run = bench.command(&arguments).stdout(full()).output().unwrap();
        let told = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!((run.status.code(), told.contains("infra.io")), (Some(20), true), "{told}");
        let mut closed = bench.command(&arguments).stdout(std::process::Stdio::piped()).spawn().unwrap();
        drop(closed.stdout.take());
        assert_eq!(closed.wait().unwrap().code(), Some(0));
    }
}
