//! ogr2ogr, whose drawings are compared with.

use std::path::Path;
use std::process::Command;

/// Features with every geometry that GDAL writes as geometry of its own.
pub const FEATURES: &str = r#"{"type":"FeatureCollection","features":[
{"type":"Feature","properties":{"Layer":"A b"},"geometry":{"type":"Point","coordinates":[1.5,-2]}},
{"type":"Feature","properties":{"Layer":"A b"},"geometry":{"type":"Point","coordinates":[1e-7,200000.123456789012345,1e20]}},
{"type":"Feature","properties":{"Layer":"c"},"geometry":{"type":"Point","coordinates":[0.30000000000000004,1234567890123456.5,0]}},
{"type":"Feature","properties":{"Layer":"c"},"geometry":{"type":"LineString","coordinates":[[0,0],[1,1],[2,0.1]]}},
{"type":"Feature","properties":{"Layer":"c"},"geometry":{"type":"LineString","coordinates":[[0,0,5],[1,1,5],[2,0.1,5]]}},
{"type":"Feature","properties":{"Layer":"0"},"geometry":{"type":"LineString","coordinates":[[0,0,5],[1,1,6],[0,0,5]]}},
{"type":"Feature","properties":{"Layer":"0"},"geometry":{"type":"Polygon","coordinates":[[[0,0],[10,0],[10,10],[0,10],[0,0]],[[1,1],[2,1],[2,2],[1,1]]]}},
{"type":"Feature","properties":{"Layer":"0"},"geometry":{"type":"Polygon","coordinates":[[[0,0,3],[10,0,3],[10,10,3],[0,0,3]]]}}
]}"#;

/// What ogr2ogr writes for a GeoJSON.
pub fn drawing(folder: &Path, features: &str) -> Vec<u8> {
    let (source, target) = (folder.join("features.json"), folder.join("gdal.dxf"));
    std::fs::write(&source, features).unwrap();
    let output = Command::new("ogr2ogr").args(["-f", "DXF"]).arg(&target).arg(source).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(target).unwrap()
}

/// The section ENTITIES.
pub fn entities(drawing: &[u8]) -> &[u8] {
    let find = |what: &[u8]| drawing.windows(what.len()).position(|window| window == what).unwrap();
    &drawing[find(b"  2\nENTITIES\n")..find(b"  2\nOBJECTS\n")]
}

/// The features that GDAL reads, as GeoJSON, without geometry. It takes the encoding from the code page, whatever the
/// release, unless it is told.
pub fn features(drawing: &[u8], version: cadmill_dxf::Version) -> Vec<serde_json::Value> {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("drawing.dxf"), folder.path().join("features.json"));
    std::fs::write(&source, drawing).unwrap();
    let mut command = Command::new("ogr2ogr");
    // GeoJSON has no surfaces: attributes are enough.
    command.args(["-f", "GeoJSON", "-dialect", "SQLite", "-sql", "SELECT Layer, Text FROM entities"]);
    command.arg(&target).arg(source);
    if version.is_utf8() {
        command.env("DXF_ENCODING", "UTF-8");
    }
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !errors.contains("ERROR"), "{errors}");
    // It makes no character of two escapes.
    let text = std::fs::read(target).unwrap();
    let collection: serde_json::Value = serde_json::from_str(&String::from_utf8_lossy(&text)).unwrap();
    collection["features"].as_array().unwrap().clone()
}
