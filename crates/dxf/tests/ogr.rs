//! In GDAL's dialect the section ENTITIES is that of ogr2ogr, byte for byte.

mod common;

use cadmill_dxf::{Dialect, Error, LayerId, Polyline, Properties, Settings, Setup, Vertex, Writer};
use common::{gdal, sample};

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
    let write = |writer: &mut Writer<'_, Vec<u8>>| -> Result<(), Error> {
        writer.entities().point(&on(a), [1.5, -2.0])?;
        writer.entities().point(&on(a), [1e-7, 200_000.123_456_789_012_345, 1e20])?;
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
