//! The table of formats matches the installed libraries.

use crate::support::Bench;
use cadmill_core::domain::format::EngineFormats;
use serde_json::Value;

fn engine<'a>(json: &'a Value, name: &str) -> &'a Value {
    json["engines"].as_array().unwrap().iter().find(|e| e["name"] == name).unwrap()
}

/// Extensions that the table adds to those of an engine: other names of the same format.
const ALIASES: &[(&str, &str)] = &[("stp", "step")];

#[test]
fn every_row_is_known_to_the_library() {
    let json = Bench::new().run(&["engines", "--json"]).succeeded().json();
    for table in EngineFormats::built_in() {
        let kind = table.engine.as_str();
        let told = engine(&json, kind);
        assert_eq!(told["available"], true, "{told}");
        let reads: Vec<&str> =
            told["reads"].as_array().unwrap().iter().map(|e| e.as_str().unwrap()).collect();
        for extension in &table.inputs {
            assert!(reads.contains(&extension.as_str()), "{kind} does not read {extension}");
        }
        assert_eq!(reads.len(), table.inputs.len(), "{kind}: what is shown is what serves");
        let writes: Vec<(&str, &str)> = told["writes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| (o["id"].as_str().unwrap(), o["extension"].as_str().unwrap()))
            .collect();
        for output in &table.outputs {
            let row = (output.id.as_str(), output.extension.as_str());
            assert!(writes.contains(&row) || ALIASES.contains(&row), "{kind} does not write {row:?}");
        }
    }
}

#[test]
fn engines_say_what_they_are() {
    let json = Bench::new().run(&["engines", "--json"]).succeeded().json();
    for (name, library) in [("gdal", "GDAL"), ("occt", "OpenCASCADE"), ("assimp", "Assimp")] {
        let told = engine(&json, name);
        assert_eq!(told["library"], library);
        assert!(told["version"].as_str().unwrap().split('.').count() >= 3, "{told}");
        let path = told["path"].as_str().unwrap();
        assert!(std::path::Path::new(path).is_file(), "{path}");
    }
    let text = Bench::new().run(&["engines"]).succeeded().stdout;
    assert!(text.contains("gdal: GDAL 3.") && text.contains("dxf         gdal        DXF"), "{text}");
}

#[test]
fn an_engine_that_is_not_available_is_listed_with_the_reason() {
    let bench = Bench::new();
    let file = bench.path("engines.toml");
    std::fs::write(&file, "[[engine]]\nname = 'gone'\nkind = 'gdal'\nlibrary = '/nonexistent/libgdal.so'\n")
        .unwrap();
    let arguments = ["engines", "--engines-file", file.to_str().unwrap(), "--json"];
    let json = bench.run(&arguments).succeeded().json();
    let gone = engine(&json, "gone");
    assert_eq!(gone["available"], false);
    assert_eq!(gone["error"]["code"], "engine.library_missing");
    let text = bench.run(&arguments[..3]).succeeded().stdout;
    assert!(text.contains("gone: not available: cannot load GDAL from /nonexistent/libgdal.so"), "{text}");
}
