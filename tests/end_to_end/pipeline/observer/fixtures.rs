//! Converts every real file of the tests in one worker.

use super::Watch;
use crate::support::real;
use std::collections::BTreeSet;

/// Output formats for each kind of input, in turn.
const VECTOR_FORMATS: [&str; 13] =
    ["dxf", "geojson", "gpkg", "shp", "fgb", "gml", "sqlite", "mif", "tab", "kml", "csv", "jml", "dgn"];
const MESH_FORMATS: [&str; 13] =
    ["glb", "gltf", "stl", "obj", "ply", "3ds", "dae", "x3d", "fbx", "3mf", "stp", "assjson", "stlb"];

/// Pairs each file of a folder with a format. If there are fewer files than formats, files are
/// reused.
fn orders(folder: &str, formats: &[&'static str]) -> Vec<(String, &'static str)> {
    let entries = std::fs::read_dir(real(folder)).expect("a folder of fixtures");
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let count = names.len().max(formats.len());
    (0..count).map(|n| (format!("{folder}/{}", names[n % names.len()]), formats[n % formats.len()])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fixture() {
    let Some(mut watch) = Watch::new().await else { return };
    let world = &watch.world;
    let worker = world.worker("first", None);
    let mut orders = orders("gis", &VECTOR_FORMATS);
    orders.extend(self::orders("dxf", &["dxf", "geojson", "gpkg", "stl", "glb"]));
    orders.extend(self::orders("mesh", &MESH_FORMATS));
    orders.extend(self::orders("hostile", &["glb"]));
    let mut jobs = Vec::new();
    for (path, format) in &orders {
        let content = std::fs::read(real(path)).unwrap();
        let name = path.rsplit('/').next().unwrap();
        jobs.push((world.submit_as(name, &content, format).await, path, format));
    }
    let mut made = BTreeSet::new();
    for (id, path, format) in &jobs {
        let job = world.wait(*id, "ended", |job| job.state.is_terminal()).await;
        match job.failure {
            None => drop(made.insert(*format)),
            Some(failure) => println!("{path} to {format}: {}", failure.code),
        }
    }
    world.queue_is_empty().await;
    watch.stop(worker);
    let agreed = watch.each_is_valid(jobs.len());
    let formats = VECTOR_FORMATS.len() + MESH_FORMATS.len();
    assert!(made.len() >= formats - 3, "of {formats} formats there are {made:?}");
    assert!(agreed.found >= made.len(), "{agreed:?}");
}
