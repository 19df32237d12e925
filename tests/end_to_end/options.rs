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

#[test]
fn a_preset_is_the_options_in_it() {
    let bench = Bench::new();
    let input = points(&bench);
    let input = input.to_str().unwrap();
    let run = |more: &[&str]| bench.run(&[&["convert", input, "--json"], more].concat());
    let release = || {
        let drawing = std::fs::read_to_string(bench.path("a.dxf")).unwrap();
        drawing.lines().find(|line| line.starts_with("AC10")).unwrap().to_owned()
    };
    // The preset has the format.
    run(&["--preset", "korea"]).succeeded();
    assert_eq!(release(), "AC1018");
    run(&["--preset", "plain"]).succeeded();
    assert_eq!(release(), "AC1015");
    run(&["--preset", "plain", "--opt", "dxf.version=R2010"]).succeeded();
    assert_eq!(release(), "AC1024");
    // A file, whose values need not be texts.
    std::fs::write(bench.path("own.toml"), "[options]\nlimit = 2\n\"lco.WRITE_NAME\" = false\n").unwrap();
    run(&["--preset", "own.toml", "--to", "geojson", "-o", "b.geojson"]).succeeded();
    let output = std::fs::read_to_string(bench.path("b.geojson")).unwrap();
    assert!(output.matches("Point\"").count() == 2 && !output.contains("\"name\""), "{output}");

    let refused = |more: &[&str], says: &str| {
        let json = run(more).failed(2, "usage.option");
        assert!(json["error"]["message"].as_str().unwrap().contains(says), "{json}");
    };
    refused(&["--preset", "korea", "--to", "gpkg"], "option 'dxf.");
    refused(&["--preset", "japan"], "korea, plain");
    refused(&["--preset", "missing.toml"], "missing.toml: No such file");
    std::fs::write(bench.path("own.toml"), "to = 'dxf'\n[options.dxf]\nfrozen = true\n").unwrap();
    refused(&["--preset", "own.toml"], "'dxf.frozen'");
    std::fs::write(bench.path("own.toml"), "[layers]\n").unwrap();
    refused(&["--preset", "own.toml"], "line 1: unknown field `layers`");
    let json = run(&["--opt", "limit=1"]).failed(2, "usage.invalid");
    assert!(json["error"]["message"].as_str().unwrap().contains("--to"), "{json}");
}
