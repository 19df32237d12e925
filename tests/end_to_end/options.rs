//! Options: one that GDAL would take for another, or ignore, is refused, and the input is not blamed.

use crate::support::{Bench, Run};
use std::path::Path;

fn convert(bench: &Bench, input: &Path, to: &str, options: &[&str]) -> Run {
    let output = format!("out.{to}");
    let mut arguments = vec!["convert", input.to_str().unwrap(), "--to", to, "-o", &output, "--json"];
    options.iter().for_each(|option| arguments.extend(["--opt", option]));
    bench.run(&arguments)
}

/// A file with three points.
fn points(bench: &Bench) -> std::path::PathBuf {
    let path = bench.path("a.geojson");
    let point = |a: u32| {
        format!(
            r#"{{"type":"Feature","properties":{{"a":{a},"이름":"가"}},"geometry":{{"type":"Point","coordinates":[{a},2]}}}}"#
        )
    };
    let features = [point(1), point(2), point(3)].join(",");
    std::fs::write(&path, format!(r#"{{"type":"FeatureCollection","features":[{features}]}}"#)).unwrap();
    path
}

#[test]
fn values_that_are_none_are_refused() {
    let bench = Bench::new();
    let input = points(&bench);
    for option in [
        "limit=abc",
        "gt=x",
        "simplify=x",
        "segmentize=",
        "maxsubfields=x",
        "datelineoffset=x",
        "dim=9",
        "nlt=FOO",
        "fieldTypeToString=Foo",
        "mapFieldType=Foo=Foo",
        "select=",
        "where=",
        "spat=1,2,3",
        "t_srs=EPSG:999999",
        "a_srs=EPSG:999999",
        "lco.COORDINATE_PRECISION=abc",
        "lco.RFC7946=maybe",
        "lco.ID_TYPE=Float",
        "oo.ARRAY_AS_STRING=2",
        "cfg.OGR_ARC_STEPSIZE=x",
        "cfg.DXF_INLINE_BLOCKS=NO",
        "cfg.DXF_WRITE_HATCH=NO",
    ] {
        let json = convert(&bench, &input, "geojson", &[option]).failed(2, "usage.option");
        let message = json["error"]["message"].as_str().unwrap();
        let named = option.rsplit('=').next().unwrap();
        let named = if option.starts_with("cfg.") { option.split('=').next().unwrap() } else { named };
        assert!(message.contains(named) && !bench.path("out.geojson").exists(), "{option}: {json}");
    }
    for options in
        [&["limit=1", "limit=2"][..], &["where=a=1", "where=a=2"], &["t_srs=EPSG:3857", "T_SRS=EPSG:4326"]]
    {
        let json = convert(&bench, &input, "geojson", options).failed(2, "usage.option");
        assert!(json["error"]["message"].as_str().unwrap().contains("given twice"), "{json}");
    }
}

#[test]
fn values_that_are_some_have_their_effect() {
    let bench = Bench::new();
    let input = points(&bench);
    let options = ["limit=2", "lco.COORDINATE_PRECISION=3", "lco.WRITE_NAME=no", "nlt=PROMOTE_TO_MULTI"];
    convert(&bench, &input, "geojson", &options).succeeded();
    let output = std::fs::read_to_string(bench.path("out.geojson")).unwrap();
    assert_eq!(output.matches("MultiPoint").count(), 2, "{output}");
    assert!(!output.contains("\"name\""), "{output}");
}

#[test]
fn names_of_fields_in_any_script_need_no_quotes() {
    let bench = Bench::new();
    let input = points(&bench);
    convert(&bench, &input, "gpkg", &[]).succeeded();
    for (input, name) in [(input, "이름"), (bench.path("out.gpkg"), "이름")] {
        let condition = format!("where={name}='가' AND a > 1");
        convert(&bench, &input, "geojson", &[&condition]).succeeded();
        let output = std::fs::read_to_string(bench.path("out.geojson")).unwrap();
        assert_eq!(output.matches("Feature\"").count(), 2, "{output}");
        let json = convert(&bench, &input, "geojson", &["where=없음='가'"]).failed(27, "engine.unfit");
        assert!(json["error"]["message"].as_str().unwrap().contains("--opt where="), "{json}");
    }
}
