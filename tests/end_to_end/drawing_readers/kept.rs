//! What one reader or another once lacked of a drawing: each test has one such loss.

use super::shapes::{Shape, What};
use super::{ezdxf, gdal, linter};
use crate::support::Bench;
use cadmill_dxf::lint::{self, Entity};
use serde_json::Value;

/// Converts a table with geometries; the drawing, and the report.
fn drawn(bench: &Bench, table: &str, options: &[&str]) -> (Vec<u8>, Value) {
    let input = bench.path("any.csv");
    std::fs::write(&input, table).unwrap();
    std::fs::create_dir_all(bench.path("drawings")).unwrap();
    convert(bench, input.to_str().unwrap(), &[options, &["oo.KEEP_GEOM_COLUMNS=NO"]].concat())
}

fn convert(bench: &Bench, input: &str, options: &[&str]) -> (Vec<u8>, Value) {
    let output = bench.path("drawings/out.dxf");
    drop(std::fs::remove_file(&output));
    let mut arguments = vec!["convert", input, "--to", "dxf", "--json", "-o", output.to_str().unwrap()];
    arguments.extend(options.iter().flat_map(|option| ["--opt", option]));
    let json = bench.run(&arguments).succeeded().json();
    (std::fs::read(output).unwrap(), json)
}

fn lines(drawing: &[u8]) -> Vec<usize> {
    let shapes = linter::shapes(drawing);
    let lines = shapes.iter().filter(|shape| shape.what == What::Line);
    lines.map(|shape| shape.paths[0].len()).collect()
}

#[test]
fn a_ring_that_is_none_does_not_take_the_others_with_it() {
    let bench = Bench::new();
    let table = concat!(
        "WKT,a\n",
        "\"POLYGON ((0 0,9 0,9 9,0 0),(1 1),(2 1,3 1,3 2,2 1))\",hole\n",
        "\"POLYGON ((0 0,9 0,0 0),(2 1,3 1,3 2,2 1))\",outline\n",
        "\"POLYHEDRALSURFACE Z (((0 0 0,1 0 0,1 1 0,0 1 1,0 0 0),(0 0 0),(0 0 0,1 0 0,1 1 0,0 0 0)))\",face\n",
    );
    let (drawing, json) = drawn(&bench, table, &["dxf.polygon=polyline"]);
    assert_eq!(lines(&drawing), [3, 3, 2, 3, 4, 3], "{json}");
    let told = json["warnings"].to_string();
    assert!(told.contains("2 parts of geometries were left out"), "{told}");
    // The second has no area to fill, but lines.
    let (drawing, _) = drawn(&bench, table, &["dxf.polygon=both"]);
    assert_eq!(linter::shapes(&drawing).iter().filter(|shape| shape.what == What::Area).count(), 1);
    assert_eq!(lines(&drawing), [3, 3, 2, 3, 4, 3]);
}

#[test]
fn blanks_around_a_text_are_part_of_it() {
    let bench = Bench::new();
    let table = "WKT,a\n\"POINT (1 2)\",\"  q  \"\n";
    let (drawing, _) = drawn(&bench, table, &["dxf.label=<{a}>", "dxf.attributes=xdata"]);
    let shapes = linter::shapes(&drawing);
    assert_eq!(shapes[0].attributes, ["a=  q  "]);
    assert_eq!(shapes[1].what, What::Text("<  q  >".to_owned()));
    let read = ezdxf::read(&bench.path("drawings"));
    let read: Vec<Shape> = read["out.dxf"].entities.iter().map(ezdxf::shape).collect();
    assert_eq!(read, shapes);
}

#[test]
fn a_symbol_whose_attributes_are_too_long_stays_a_symbol() {
    let bench = Bench::new();
    let table = format!("WKT,a\n\"POINT (1 2)\",\"{}\"\n", "가".repeat(10_000));
    let (drawing, json) = drawn(&bench, &table, &["dxf.point=block", "dxf.attributes=xdata"]);
    let entities = lint::read(&drawing).unwrap();
    assert_eq!(entities.iter().map(|entity| entity.kind.as_str()).collect::<Vec<_>>(), ["INSERT"]);
    assert!(
        json["warnings"].to_string().contains("1 features were drawn without their attributes"),
        "{json}"
    );
}

/// Code page 1258 alone has this letter, and GDAL loses the last letter of a text in it.
#[test]
fn vietnamese_is_read_to_its_last_letter() {
    let bench = Bench::new();
    let (drawing, _) = drawn(&bench, "WKT,a\n\"POINT (1 2)\",phơ\n", &["dxf.layer=a"]);
    assert!(super::release(&drawing) >= "AC1021");
    assert_eq!(gdal::shapes(&bench.path("drawings/out.dxf"), true)[0].layer, "phơ");
    assert_eq!(ezdxf::read(&bench.path("drawings"))["out.dxf"].entities[0]["layer"], "phơ");
}

/// A drawing that is drawn again says the same.
#[test]
fn texts_of_a_drawing_stay_what_they_are() {
    let bench = Bench::new();
    let labels = [
        "건물 A",
        "100%",
        "a\"b",
        "x, y; z",
        "{a}",
        "^A",
        "a\\b",
        "é 😀",
        "(c:d)",
        "line\nbreak",
        " x ",
        // GDAL reads the escapes of these as text.
        r"\U+AC00",
        "100%%d",
    ];
    let again_as_well = labels.len() - 2;
    let rows = labels
        .iter()
        .enumerate()
        .map(|(number, label)| format!("\"POINT ({number} 0)\",\"{}\"\n", label.replace('"', "\"\"")));
    let table = format!("WKT,a\n{}", rows.collect::<String>());
    let (drawing, _) =
        drawn(&bench, &table, &["dxf.label=a", "dxf.height=2", "dxf.version=R2004", "dxf.codepage=949"]);
    let texts = |drawing: &[u8]| {
        let texts = lint::read(drawing).unwrap();
        let texts = texts.iter().filter(|entity| entity.kind.ends_with("TEXT"));
        texts.map(Entity::text).collect::<Vec<_>>()
    };
    assert_eq!(texts(&drawing), labels);
    let first = bench.path("first.dxf");
    std::fs::write(&first, &drawing).unwrap();
    let (again, json) = convert(&bench, first.to_str().unwrap(), &["dxf.version=R2007"]);
    assert_eq!(texts(&again)[..again_as_well], labels[..again_as_well], "{json}");
}
