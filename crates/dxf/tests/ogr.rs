//! In GDAL's dialect the section ENTITIES is that of ogr2ogr, byte for byte; and GDAL reads what is
//! written in the other.

mod common;

use cadmill_dxf::{
    Dialect, Error, LayerId, Polyline, Properties, Settings, Setup, Version, Vertex, Writer, lint,
};
use common::{gdal, sample};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// As GDAL decides: a line in one plane is a polyline in it.
fn line<V: Vertex>(
    writer: &mut Writer<'_, Vec<u8>>,
    properties: &Properties<'_>,
    vertices: &[V],
) -> Result<(), Error> {
    let first = vertices[0].z();
    if vertices.iter().all(|vertex| vertex.z() == first) {
        let polyline = Polyline { elevation: first, ..Polyline::new(vertices, false) };
        writer.entities().polyline(properties, &polyline)
    } else {
        writer.entities().polyline_in_space(properties, vertices, false)
    }
}

#[test]
fn entities_are_those_of_ogr2ogr() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = gdal::drawing(folder.path(), gdal::FEATURES);

    let mut setup = Setup::new(Settings { dialect: Dialect::Ogr, ..Settings::default() });
    let a = setup.layer("A b", Default::default());
    let c = setup.layer("c", Default::default());
    let drawing = setup.finish().unwrap();
    let mut writer = Writer::new(Vec::new(), &drawing).unwrap();
    let on = |layer| Properties::on(layer);
    let zero = on(LayerId::ZERO);
    let all_digits: f64 = "200000.123456789012345".parse().unwrap();
    let write = |writer: &mut Writer<'_, Vec<u8>>| -> Result<(), Error> {
        writer.entities().point(&on(a), [1.5, -2.0])?;
        writer.entities().point(&on(a), [1e-7, all_digits, 1e20])?;
        writer.entities().point(&on(c), [0.1 + 0.2, 1_234_567_890_123_456.5, 0.0])?;
        line(writer, &on(c), &[[0.0, 0.0], [1.0, 1.0], [2.0, 0.1]])?;
        line(writer, &on(c), &[[0.0, 0.0, 5.0], [1.0, 1.0, 5.0], [2.0, 0.1, 5.0]])?;
        line(writer, &zero, &[[0.0, 0.0, 5.0], [1.0, 1.0, 6.0], [0.0, 0.0, 5.0]])?;
        let outline = [[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0], [0.0, 0.0]];
        let hole = [[1.0, 1.0], [2.0, 1.0], [2.0, 2.0], [1.0, 1.0]];
        writer.entities().hatch(&zero, &[&outline[..], &hole[..]], 0.0)?;
        let triangle = [[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 0.0]];
        writer.entities().hatch(&zero, &[triangle], 3.0)
    };
    write(&mut writer).unwrap();
    let ours = sample::patched(writer.finish().unwrap());
    let text = |bytes: &[u8]| String::from_utf8_lossy(gdal::entities(bytes)).into_owned();
    assert_eq!(text(&ours), text(&theirs));
}

fn coordinate() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -1e7..1e7f64,
        2 => (-10_000_000_000i64..10_000_000_000).prop_map(|mm| mm as f64 / 1000.0),
        2 => -1.0..1.0f64,
        1 => -1e-3..1e-3f64,
        1 => proptest::num::f64::NORMAL | proptest::num::f64::ZERO,
        1 => Just(-0.0),
    ]
}

#[test]
fn any_number_is_that_of_ogr2ogr() {
    let mut runner = TestRunner::deterministic();
    let lines: Vec<Vec<[f64; 3]>> = (0..1000)
        .map(|_| {
            vec([coordinate(), coordinate(), coordinate()], 2..8).new_tree(&mut runner).unwrap().current()
        })
        .collect();
    let features: Vec<String> = lines
        .iter()
        .map(|line| {
            let geometry = format!(r#"{{"type":"LineString","coordinates":{line:?}}}"#);
            format!(r#"{{"type":"Feature","properties":{{}},"geometry":{geometry}}}"#)
        })
        .collect();
    let features = format!(r#"{{"type":"FeatureCollection","features":[{}]}}"#, features.join(",\n"));
    let folder = tempfile::tempdir().unwrap();
    let theirs = gdal::drawing(folder.path(), &features);

    let drawing = Setup::new(Settings { dialect: Dialect::Ogr, ..Settings::default() }).finish().unwrap();
    let mut writer = Writer::new(Vec::new(), &drawing).unwrap();
    for vertices in &lines {
        line(&mut writer, &Properties::on(LayerId::ZERO), vertices).unwrap();
    }
    let ours = sample::patched(writer.finish().unwrap());
    let (ours, theirs) = (gdal::entities(&ours), gdal::entities(&theirs));
    let lines = |bytes| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
    for (number, (ours, theirs)) in lines(ours).iter().zip(lines(theirs)).enumerate() {
        assert_eq!(*ours, theirs, "line {number}");
    }
    assert!(ours == theirs);
}

#[test]
fn gdal_reads_layers_and_texts() {
    for version in Version::ALL {
        let drawing = sample::everything(sample::settings(version));
        let features = gdal::features(&drawing, version);
        // It skips meshes, and has a feature for each attribute, on the layer of its insertion.
        let mut entities = lint::read(&drawing).unwrap();
        entities.retain(|entity| entity.kind != "MESH");
        let mut wanted = Vec::new();
        for entity in &entities {
            wanted.push(entity);
            wanted.extend(entity.parts.iter().filter(|part| part.kind == "ATTRIB"));
        }
        assert_eq!(features.len(), wanted.len());
        for (feature, entity) in features.iter().zip(wanted) {
            let (layer, text) = (&feature["properties"]["Layer"], &feature["properties"]["Text"]);
            // It resolves escapes in MTEXT alone.
            if version.is_utf8() || !entity.get(8).unwrap().contains('\\') {
                assert_eq!(layer.as_str(), Some(entity.layer().as_str()));
            }
            if entity.kind == "MTEXT" && (version.is_utf8() || !entity.text().contains('😀')) {
                assert_eq!(text.as_str(), Some(entity.text().as_str()));
            }
        }
    }
}
