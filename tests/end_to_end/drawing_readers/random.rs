//! Any geometry and any text, through the whole program: what a drawing lacks is told.

use super::asked::{Asked, Wanted};
use super::gdal::Table;
use super::shapes::{self, Shape, What};
use super::{acadrust, ezdxf, gdal, linter, names, unescaped, without_attributes};
use crate::support::Bench;
use cadmill_dxf::lint;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::fmt::Write;

/// Features in one file.
const FEATURES: usize = 250;

/// Coordinates: of plans, of national grids, of detail, and such as occur when something went wrong.
fn coordinate() -> BoxedStrategy<f64> {
    prop_oneof![
        6 => (-2000i32..2000).prop_map(|number| f64::from(number) / 8.0),
        3 => 150_000.0..650_000.0f64,
        1 => -1e-7..1e-7f64,
        1 => -1e15..1e15f64,
        1 => Just(0.0),
    ]
    .boxed()
}

/// A point as well-known text has it, of so many dimensions.
fn point(dimensions: usize) -> BoxedStrategy<String> {
    vec(coordinate(), dimensions).prop_map(words).boxed()
}

fn words(numbers: Vec<f64>) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn list(parts: &[String]) -> String {
    format!("({})", parts.join(","))
}

fn line(dimensions: usize) -> BoxedStrategy<String> {
    prop_oneof![
        8 => vec(point(dimensions), 2..12).prop_map(|points| list(&points)),
        // All points are one, or there is only one.
        1 => (point(dimensions), 1..4usize).prop_map(|(point, count)| list(&vec![point; count])),
    ]
    .boxed()
}

/// Rings that do not cross themselves, the first around the others; some are degenerate.
fn rings(dimensions: usize, flat: bool) -> BoxedStrategy<String> {
    let radii = vec(0.5..1.0f64, 3..9);
    let heights = vec(coordinate(), 10);
    let ring = (radii, heights, any::<bool>(), 0..12u8);
    (vec(ring, 1..4), coordinate(), coordinate(), prop_oneof![Just(100.0), 0.01..1e4f64])
        .prop_map(move |(rings, x, y, size)| {
            let written = rings.iter().enumerate().map(|(number, (radii, heights, backwards, fate))| {
                // Holes lie within, side by side.
                let (middle, size) = match number {
                    0 => (x, size),
                    number => (x + size * (0.15 * number as f64 - 0.2), size * 0.05),
                };
                let corner = |at: usize| {
                    let angle = at as f64 / radii.len() as f64 * std::f64::consts::TAU;
                    let radius = size * radii[at];
                    let mut numbers = vec![middle + radius * angle.cos(), y + radius * angle.sin()];
                    numbers.extend(
                        (2..dimensions).map(|axis| heights[if flat { axis } else { (at + axis) % 10 }]),
                    );
                    words(numbers)
                };
                let mut corners: Vec<String> = (0..radii.len()).map(corner).collect();
                if *backwards {
                    corners.reverse();
                }
                match fate {
                    0 => corners.truncate(1),
                    1 => corners.truncate(2),
                    _ => {}
                }
                corners.push(corners[0].clone());
                list(&corners)
            });
            list(&written.collect::<Vec<_>>())
        })
        .boxed()
}

/// A face of a surface: mostly a triangle.
fn face() -> BoxedStrategy<String> {
    (vec(point(3), 3..6), 0..4u8)
        .prop_map(|(mut corners, more)| {
            corners.truncate(if more == 0 { 5 } else { 3 });
            corners.push(corners[0].clone());
            format!("({})", list(&corners))
        })
        .boxed()
}

fn triangle() -> BoxedStrategy<String> {
    vec(point(3), 3)
        .prop_map(|mut corners| {
            corners.push(corners[0].clone());
            format!("({})", list(&corners))
        })
        .boxed()
}

/// A geometry without curves. What is in a collection has as many dimensions as it.
fn geometry() -> BoxedStrategy<String> {
    let dimensions = prop_oneof![Just((2, "")), Just((3, " Z")), Just((3, " M")), Just((4, " ZM"))];
    let all = dimensions.prop_flat_map(|(dimensions, word)| {
        let empty = ["POINT", "LINESTRING", "POLYGON", "GEOMETRYCOLLECTION"];
        let empty =
            proptest::sample::select(empty.to_vec()).prop_map(move |kind| format!("{kind}{word} EMPTY"));
        let surface = if word == " Z" { surface() } else { simple(dimensions, word) };
        prop_oneof![12 => simple(dimensions, word), 4 => surface, 1 => empty].prop_recursive(
            3,
            12,
            4,
            move |inner| {
                vec(inner, 1..4).prop_map(move |all| format!("GEOMETRYCOLLECTION{word} {}", list(&all)))
            },
        )
    });
    all.boxed()
}

fn simple(dimensions: usize, word: &'static str) -> BoxedStrategy<String> {
    let named = move |kind: &'static str| move |text: String| format!("{kind}{word} {text}");
    let area = move || any::<bool>().prop_flat_map(move |flat| rings(dimensions, flat));
    prop_oneof![
        point(dimensions).prop_map(move |text| format!("POINT{word} ({text})")),
        line(dimensions).prop_map(named("LINESTRING")),
        area().prop_map(named("POLYGON")),
        vec(point(dimensions), 1..4).prop_map(|all| list(&all)).prop_map(named("MULTIPOINT")),
        vec(line(dimensions), 1..4).prop_map(|all| list(&all)).prop_map(named("MULTILINESTRING")),
        vec(area(), 1..4).prop_map(|all| list(&all)).prop_map(named("MULTIPOLYGON")),
    ]
    .boxed()
}

fn surface() -> BoxedStrategy<String> {
    prop_oneof![
        vec(triangle(), 1..4).prop_map(|all| format!("TIN Z {}", list(&all))),
        vec(face(), 1..4).prop_map(|all| format!("POLYHEDRALSURFACE Z {}", list(&all))),
        triangle().prop_map(|text| format!("TRIANGLE Z {text}")),
    ]
    .boxed()
}

/// Pieces of text that formats, code pages and names of AutoCAD have trouble with.
const PIECES: &[&str] = &[
    "건물",
    "가각갂",
    "똠방",
    "地番",
    "ひらがな",
    "カタカナ",
    "é",
    "ß",
    "Ж",
    "e\u{301}",
    "각",
    "😀",
    "👨‍👩‍👧",
    "%%d",
    "%%",
    "%",
    "%%c%%%",
    "^",
    "^J",
    "^I",
    "\\P",
    "\\",
    "\\\\",
    "{",
    "}",
    "{}",
    "\\fArial;",
    "\\A1;",
    "a",
    "B",
    "b",
    "0",
    "-",
    ".",
    " ",
    "  ",
    "a/b",
    "a,b",
    "<",
    ">",
    "\"",
    ":",
    ";",
    "?",
    "*",
    "|",
    "=",
    "`",
    "'",
    "\u{a0}",
    "\u{200b}",
    "\u{feff}",
    "\u{1}",
    "\u{1b}",
    "\u{7f}",
    "\t",
    "&amp;",
    "\\~",
    "$",
    "#",
];

fn text(pieces: std::ops::Range<usize>) -> BoxedStrategy<String> {
    let piece = prop_oneof![
        9 => proptest::sample::select(PIECES).prop_map(str::to_owned),
        1 => any::<char>().prop_filter("CSV has no such", |c| *c != '\0' && *c != '\r').prop_map(String::from),
    ];
    vec(piece, pieces).prop_map(|all| all.concat()).boxed()
}

fn label() -> BoxedStrategy<String> {
    prop_oneof![
        10 => text(0..6),
        1 => (text(1..3), text(1..3)).prop_map(|(a, b)| format!("{a}\n{b}")),
        1 => (text(1..4), 60..400usize).prop_map(|(text, count)| text.repeat(count)),
    ]
    .boxed()
}

/// Features with these columns: the geometry, a name of a layer, a label, and an attribute.
fn table(count: usize) -> Table {
    let mut runner = TestRunner::deterministic();
    let names = vec(text(0..5), 40).new_tree(&mut runner).unwrap().current();
    let row = (geometry(), proptest::sample::select(names), label(), text(0..5));
    let rows = vec(row, count).new_tree(&mut runner).unwrap().current();
    let rows = rows.into_iter().map(|(geometry, layer, label, value)| vec![geometry, layer, label, value]);
    Table { columns: ["WKT", "레이어", "label", "값"].map(str::to_owned).to_vec(), rows: rows.collect() }
}

fn csv(table: &Table) -> String {
    let mut text = String::new();
    for row in std::iter::once(&table.columns).chain(&table.rows) {
        let quoted: Vec<String> =
            row.iter().map(|value| format!("\"{}\"", value.replace('"', "\"\""))).collect();
        writeln!(text, "{}", quoted.join(",")).unwrap();
    }
    text
}

/// A text as a drawing says it: without control characters, and with blanks for tabs, which some
/// readers make of them.
fn said(text: &str, line_break: &str) -> String {
    let broken =
        text.replace("\r\n", "\n").replace(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'], line_break);
    broken
        .chars()
        .filter(|c| *c == '\n' || *c == '\t' || !c.is_control())
        .collect::<String>()
        .replace('\t', " ")
}

/// Shapes as all readers can be compared by: text as it is said, and attributes as one.
fn plain(shape: &Shape, asked: &Asked) -> Shape {
    // Extended data have breaks of lines, and room for long labels.
    let (line_break, has_labels) = match asked.get("attributes") {
        Some("xdata") => ("\n", true),
        _ => (" ", false),
    };
    let mut shape = shape.clone();
    if let What::Text(text) = &mut shape.what {
        *text = said(text, "\n");
    }
    let kept = shape.attributes.iter().filter(|text| has_labels || !text.starts_with("label="));
    shape.attributes = vec![kept.map(|text| said(text, line_break)).collect()];
    shape
}

/// Shapes whose text lacks the characters that a reader takes for others.
fn without(shapes: &[Shape], lost: &[char]) -> Vec<Shape> {
    let less = |shape: &Shape| {
        let mut shape = shape.clone();
        if let What::Text(text) = &mut shape.what {
            text.retain(|c| !lost.contains(&c));
        }
        shape.attributes.iter_mut().for_each(|text| text.retain(|c| !lost.contains(&c)));
        shape
    };
    shapes.iter().map(less).collect()
}

struct Drawn {
    file: String,
    wanted: Vec<Shape>,
    asked: Asked,
}

/// Converts, compares what the readers of one drawing find, and what the report says of losses.
fn draw(bench: &Bench, table: &Table, asked: &Asked, file: &str, asks_acadrust: bool) -> Drawn {
    let path = bench.path("drawings").join(file);
    let source = bench.path("any.csv");
    std::fs::write(&source, csv(table)).unwrap();

    let mut arguments: Vec<String> =
        ["convert", source.to_str().unwrap(), "--to", "dxf", "--json", "-o", path.to_str().unwrap()]
            .map(str::to_owned)
            .to_vec();
    // The geometry is no attribute.
    arguments.extend(["--opt", "oo.KEEP_GEOM_COLUMNS=NO"].map(str::to_owned));
    arguments.extend(asked.arguments());
    let json = bench.run(&arguments).succeeded().json();
    assert_eq!(json["counts"]["read"], table.rows.len());
    let empty = table.rows.iter().filter(|row| !row[0].contains(|c: char| c.is_ascii_digit())).count();
    let told = json["warnings"].to_string();
    assert!(told.contains(&format!("{empty} features without geometry were left out")), "{empty}: {told}");
    assert!(told.contains("parts of geometries were left out, the first because it has too few"), "{told}");
    let wanted: Vec<Wanted> = asked.wanted(table, "any");
    let mut wanted: Vec<Shape> = wanted.iter().map(|wanted| plain(&wanted.shape, asked)).collect();
    let bytes = std::fs::read(&path).unwrap();
    let found: Vec<Shape> = linter::shapes(&bytes).iter().map(|shape| plain(shape, asked)).collect();
    names::take(&mut wanted, &found, &told).unwrap_or_else(|error| panic!("the linter, {asked:?}: {error}"));
    let compare = |reader: &str, found: Vec<Shape>, lost: &[char]| {
        let found = found.into_iter().map(unescaped).map(|shape| plain(&shape, asked));
        let found: Vec<Shape> = without(&without_attributes(&found.collect::<Vec<_>>()), lost);
        shapes::compare(&without(&without_attributes(&wanted), lost), &found)
            .unwrap_or_else(|error| panic!("{reader}, {asked:?}: {error}"));
    };
    if asks_acadrust {
        // It takes a zero-width no-break space that begins a line for a mark of the byte order.
        compare("acadrust", acadrust::shapes(&path), &['\u{feff}']);
    }
    // It takes the escape of two percent signs and a letter for the sign that they are without escapes,
    // and a no-break space for a space.
    let signs = ['%', 'c', 'd', 'p', 'C', 'D', 'P', '⌀', '°', '±', ' ', '\u{a0}'];
    compare("GDAL", gdal::shapes(&path, super::release(&bytes) >= "AC1021"), &signs);
    Drawn { file: file.to_owned(), wanted, asked: asked.clone() }
}

#[test]
fn any_geometry_and_any_text_are_drawn_or_told() {
    draw_any(false);
}

#[test]
#[ignore = "in `make nightly`"]
fn acadrust_reads_any_geometry_and_any_text() {
    draw_any(true);
}

fn draw_any(asks_acadrust: bool) {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("drawings")).unwrap();
    let mut table = table(FEATURES);
    let asked = |options: &[(&'static str, &str)]| {
        let common = [("layer", "레이어"), ("label", "label"), ("height", "2")];
        Asked(common.iter().chain(options).map(|(name, value)| (*name, (*value).to_owned())).collect())
    };
    let mut drawn = vec![
        draw(&bench, &table, &asked(&[("attributes", "xdata")]), "auto.dxf", asks_acadrust),
        draw(
            &bench,
            &table,
            &asked(&[("version", "R2018"), ("polygon", "both"), ("attributes", "attribs")]),
            "2018.dxf",
            asks_acadrust,
        ),
    ];
    // GDAL makes no character of the two escapes that one beyond the basic plane is.
    for value in table.rows.iter_mut().flat_map(|row| &mut row[1..]) {
        value.retain(|c| c < '\u{10000}');
    }
    let korean = [("version", "R2004"), ("codepage", "949"), ("polygon", "hatch"), ("attributes", "xdata")];
    drawn.push(draw(&bench, &table, &asked(&korean), "2004.dxf", asks_acadrust));
    drawn.push(draw(
        &bench,
        &table,
        &asked(&[("version", "R2000"), ("codepage", "1252"), ("point", "block")]),
        "2000.dxf",
        asks_acadrust,
    ));
    let read = ezdxf::read(&bench.path("drawings"));
    for drawn in drawn {
        let found = read[&drawn.file].entities.iter().map(|facts| {
            let mut shape = ezdxf::shape(facts);
            if facts["data"].is_object() {
                // It leaves the escapes of extended data.
                shape.attributes = shape.attributes.iter().map(|text| lint::plain(text)).collect();
            }
            plain(&unescaped(shape), &drawn.asked)
        });
        let found: Vec<Shape> = found.collect();
        // It takes a caret at the end of a line for a fault, and has other blanks in paragraphs.
        let lost = ['^', ' ', '\u{a0}'];
        shapes::compare(&without(&drawn.wanted, &lost), &without(&found, &lost))
            .unwrap_or_else(|error| panic!("ezdxf, {}: {error}", drawn.file));
    }
}
