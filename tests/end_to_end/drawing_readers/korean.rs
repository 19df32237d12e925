//! Parcels of a Korean cadastral map: by its header alone a drawing has the right text.

use super::shapes::{Shape, What};
use super::{ezdxf, gdal, linter};
use crate::support::{Bench, zipped};
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use zip::CompressionMethod;

/// The kinds of land (지목) of the cadastre, and a name with a syllable that only the extended code
/// page has.
const KINDS: [&str; 29] = [
    "전",
    "답",
    "과수원",
    "목장용지",
    "임야",
    "광천지",
    "염전",
    "대",
    "공장용지",
    "학교용지",
    "주차장",
    "주유소용지",
    "창고용지",
    "도로",
    "철도용지",
    "제방",
    "하천",
    "구거",
    "유지",
    "양어장",
    "수도용지",
    "공원",
    "체육용지",
    "유원지",
    "종교용지",
    "사적지",
    "묘지",
    "잡종지",
    "똠방각하",
];

/// A zipped shapefile in code page 949 whose field of that name has the kind of land.
fn parcels(bench: &Bench, field: &str) -> PathBuf {
    let features = KINDS.iter().enumerate().map(|(number, kind)| {
        let (x, y) = (200_000.0 + 30.0 * number as f64, 550_000.25);
        let ring = [[x, y], [x, y + 20.0], [x + 20.0, y + 20.0], [x + 20.0, y], [x, y]];
        json!({
            "type": "Feature",
            "properties": {field: kind, "area": 33.25 + number as f64},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        })
    });
    let collection = json!({"type": "FeatureCollection", "features": features.collect::<Vec<_>>()});
    let source = bench.path("parcels.geojson");
    std::fs::write(&source, collection.to_string()).unwrap();
    let shapes = bench.path("parcels.shp");
    // Areas have two decimals, as in the tables of the cadastre.
    let fields = format!("SELECT \"{field}\", CAST(area AS NUMERIC(12,2)) AS area FROM parcels");
    let options = ["-lco", "ENCODING=CP949", "-a_srs", "EPSG:5186", "-sql", &fields];
    let run = Command::new("ogr2ogr").arg(&shapes).arg(&source).args(options).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let files = ["shp", "shx", "dbf", "prj", "cpg"].map(|extension| {
        (format!("parcels.{extension}"), std::fs::read(shapes.with_extension(extension)).unwrap())
    });
    // What is asked of the readers is only true if the text is in that page.
    assert!(memchr::memmem::find(&files[2].1, b"\xb5\xb5\xb7\xce").is_some());
    let entries: Vec<_> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), CompressionMethod::Deflated, bytes.as_slice()))
        .collect();
    let archive = bench.path("parcels.zip");
    std::fs::write(&archive, zipped(&entries)).unwrap();
    archive
}

#[test]
fn kinds_of_land_are_read_by_the_header_alone() {
    draw_kinds(false);
}

#[test]
#[ignore = "in `make nightly`"]
fn acadrust_reads_kinds_of_land_by_the_header_alone() {
    draw_kinds(true);
}

fn draw_kinds(asks_acadrust: bool) {
    let bench = Bench::new();
    let folder = bench.path("drawings");
    std::fs::create_dir(&folder).unwrap();
    for (field, layer) in [("Layer", None), ("지목", Some("dxf.layer=지목"))] {
        let input = parcels(&bench, field);
        for release in ["", "R2004", "R2007"] {
            let output = folder.join(format!("{field}-{release}.dxf"));
            let label = format!("dxf.label={{{field}}} {{area}}㎡");
            let version = format!("dxf.version={release}");
            let options = [Some(label.as_str()), layer, (!release.is_empty()).then_some(version.as_str())];
            let mut arguments = vec!["convert", input.to_str().unwrap(), "--to", "dxf", "--json", "-o"];
            arguments.push(output.to_str().unwrap());
            arguments.extend(options.into_iter().flatten().flat_map(|option| ["--opt", option]));
            let json = bench.run(&arguments).succeeded().json();
            assert!(!json["warnings"].to_string().contains("code page"), "{json}");
        }
    }
    let wanted: Vec<(String, Option<String>)> = KINDS
        .iter()
        .enumerate()
        .flat_map(|(number, kind)| {
            let text = format!("{kind} {}㎡", 33.25 + number as f64);
            [((*kind).to_owned(), None), ((*kind).to_owned(), Some(text))]
        })
        .collect();
    let said = |shapes: Vec<Shape>| -> Vec<(String, Option<String>)> {
        let text = |what| if let What::Text(text) = what { Some(text) } else { None };
        shapes.into_iter().map(|shape| (shape.layer, text(shape.what))).collect()
    };
    let read = ezdxf::read(&folder);
    assert_eq!(read.len(), 6);
    for (name, drawing) in &read {
        let is_utf8 = name.ends_with("R2007.dxf");
        let version = if is_utf8 { "R2007" } else { "R2004" };
        assert_eq!(
            (&drawing.header["version"], &drawing.header["encoding"]),
            (&json!(version), &json!("cp949"))
        );
        assert_eq!(drawing.header["units"], 6, "metres");
        assert_eq!(said(drawing.entities.iter().map(ezdxf::shape).collect()), wanted, "{name}");
        assert_eq!(said(gdal::shapes(&folder.join(name), is_utf8)), wanted, "{name}");
        let bytes = std::fs::read(folder.join(name)).unwrap();
        assert_eq!(said(linter::shapes(&bytes)), wanted, "{name}");
        if asks_acadrust {
            assert_eq!(said(super::acadrust::shapes(&folder.join(name))), wanted, "{name}");
        }
    }
}
