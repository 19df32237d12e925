//! An archive in an archive: one level is opened, and its content is converted as if it had come
//! alone.

use crate::support::{Bench, Run, real, zipped};
use zip::CompressionMethod::Stored;

/// Converts an archive with these files.
fn convert(bench: &Bench, files: &[(&str, &[u8])], more: &[&str]) -> Run {
    let entries: Vec<_> = files.iter().map(|&(name, content)| (name, Stored, content)).collect();
    let input = bench.path("portal.zip");
    std::fs::write(&input, zipped(&entries)).unwrap();
    let arguments = ["convert", input.to_str().unwrap(), "--to", "geojson", "-o", "out.geojson", "--json"];
    let run = bench.run(&[&arguments[..], more].concat());
    bench.assert_no_plaintext_left();
    run
}

fn countries() -> Vec<u8> {
    std::fs::read(real("gis/naturalearth_lowres.zip")).unwrap()
}

#[test]
fn its_content_is_converted_as_if_it_had_come_alone() {
    let bench = Bench::new();
    let alone = real("gis/naturalearth_lowres.zip");
    bench.run(&["convert", alone.to_str().unwrap(), "--to", "geojson", "-o", "alone.geojson"]).succeeded();
    let alone = std::fs::read(bench.path("alone.geojson")).unwrap();
    let outer: &[(&str, &[u8])] = &[("자료/경계.zip", &countries()), ("read me.txt", b"hello")];
    for root in [&[][..], &["--root", "자료/경계.zip"], &["--root", "자료/경계.zip/naturalearth_lowres.shp"]]
    {
        let bench = Bench::new();
        let json = convert(&bench, outer, root).succeeded().json();
        assert_eq!(json["input"]["root"], "자료/경계.zip/naturalearth_lowres.shp", "{json}");
        assert_eq!(json["input"]["unpacked_files"], 7, "two outside, five inside: {json}");
        assert!(std::fs::read(bench.path("out.geojson")).unwrap() == alone, "{root:?}");
    }
}

#[test]
fn what_can_be_converted_comes_before_an_archive() {
    let bench = Bench::new();
    let point = br#"{"type":"Point","coordinates":[1,2]}"#;
    let json = convert(&bench, &[("a.zip", &countries()), ("b.geojson", point)], &[]).succeeded().json();
    assert_eq!(json["input"]["root"], "b.geojson");
}

#[test]
fn several_archives_are_named_and_one_can_be_chosen() {
    let files: &[(&str, &[u8])] = &[("a.zip", &countries()), ("b.zip", b"PK")];
    let bench = Bench::new();
    let json = convert(&bench, files, &[]).failed(10, "input.root_not_found");
    let message = json["error"]["message"].as_str().unwrap();
    assert!(message.contains("a.zip, b.zip"), "{message}");
    convert(&Bench::new(), files, &["--root", "a.zip"]).succeeded();
    convert(&Bench::new(), files, &["--root", "b.zip"]).failed(10, "input.root_not_found");
    let json = convert(&Bench::new(), files, &["--root", "a.zip/other.shp"]).failed(10, "input.root_missing");
    assert!(json["error"]["message"].as_str().unwrap().contains("naturalearth_lowres.shp"), "{json}");
}

#[test]
fn the_limits_count_both_together_and_a_third_level_is_named() {
    let inner = zipped(&[("a.geojson", Stored, &[b' '; 3000])]);
    let outer: &[(&str, &[u8])] = &[("inner.zip", &inner), ("b.txt", &[b' '; 3000])];
    let run = |limit: &str| convert(&Bench::new(), outer, &["--max-expanded", limit]);
    let json = run("6200").failed(10, "input.archive.expanded_size");
    assert!(json["error"]["message"].as_str().unwrap().contains("in 'inner.zip'"), "{json}");
    convert(&Bench::new(), outer, &["--max-entries", "2"]).failed(10, "input.archive.too_many_entries");

    let middle = zipped(&[("deep/inner.zip", Stored, &inner)]);
    let json = convert(&Bench::new(), &[("middle.zip", &middle)], &[]).failed(10, "input.root_not_found");
    assert!(json["error"]["message"].as_str().unwrap().contains("deep/inner.zip"), "{json}");
    for root in ["middle.zip/deep/inner.zip", "middle.zip/deep/inner.zip/a.geojson"] {
        let run = convert(&Bench::new(), &[("middle.zip", &middle)], &["--root", root]);
        let json = run.failed(10, "input.root_not_found");
        assert!(json["error"]["message"].as_str().unwrap().contains("opened one level deep"), "{json}");
    }
}

#[test]
fn a_damaged_one_is_refused_as_if_it_had_come_alone() {
    let mut inner = countries();
    let middle = inner.len() / 2;
    inner[middle] ^= 1;
    let run = convert(&Bench::new(), &[("inner.zip", &inner)], &[]);
    let json = run.json();
    assert_eq!(run.code, Some(10), "{json}");
    assert!(json["error"]["code"].as_str().unwrap().starts_with("input.archive."), "{json}");
    assert!(json["error"]["message"].as_str().unwrap().contains("in 'inner.zip'"), "{json}");
}
