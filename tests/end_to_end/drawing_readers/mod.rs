//! Drawings by the writer of cadmill, as readers find them that others wrote: every option and every
//! kind of input goes through the whole program, and ezdxf, GDAL, acadrust and the linter must find what
//! GDAL reads in the source.
//!
//! `make test` runs a choice of combinations that has every value of every option, every release and
//! every input; `make nightly` runs their product, and has acadrust read too, which takes long to compile.

mod acadrust;
mod asked;
mod curves;
mod ezdxf;
mod gdal;
mod kept;
mod korean;
mod linter;
mod names;
mod random;
mod shapes;
mod wkt;

use crate::support::{Bench, real};
use asked::{Asked, Wanted};
use gdal::Table;
use serde_json::Value;
use shapes::{Shape, What};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An input: a fixture, what of a zip GDAL is given, the layer, and options for reading it.
struct Input {
    file: &'static str,
    root: &'static str,
    /// The layer that is read, if there are several.
    choice: &'static [&'static str],
    /// The name of the layer.
    name: &'static str,
    /// A field with few values.
    field: &'static str,
    options: &'static [&'static str],
}

const fn input(file: &'static str, root: &'static str, name: &'static str, field: &'static str) -> Input {
    Input { file, root, choice: &[], name, field, options: &[] }
}

/// The vector fixtures of `parity`.
const INPUTS: &[Input] = &[
    input("gis/naturalearth_lowres.zip", "naturalearth_lowres.shp", "naturalearth_lowres", "continent"),
    input("gis/naturalearth_cities.zip", "naturalearth_cities.shp", "naturalearth_cities", "name"),
    input(
        "gis/nested_countries.zip",
        "data/countries/naturalearth_lowres.shp",
        "naturalearth_lowres",
        "continent",
    ),
    input("gis/countries.geojson", "", "countries", "continent"),
    input("gis/countries.gpkg", "", "countries", "continent"),
    input("gis/countries.fgb", "", "countries", "continent"),
    input("gis/cities.kml", "", "cities", "Name"),
    Input {
        options: &["oo.X_POSSIBLE_NAMES=lon", "oo.Y_POSSIBLE_NAMES=lat"],
        ..input("gis/cities.csv", "", "cities", "name")
    },
    input("gis/cities_gml.zip", "cities.gml", "cities", "name"),
    input("gis/countries_tab.zip", "countries.tab", "countries", "continent"),
    Input {
        choice: &["states"],
        options: &["layer=states"],
        ..input("gis/us_states.topojson", "", "states", "name")
    },
    input("dxf/openscad_example007.dxf", "", "entities", "Layer"),
    input("dxf/PinkEggFromLW.dxf", "", "entities", "Layer"),
];

/// Every option, and its values; `FIELD` stands for the input's field. An empty value is no option.
const OPTIONS: &[(&str, &[&str])] = &[
    ("version", &["auto", "R2000", "R2004", "R2007", "R2010", "R2013", "R2018", ""]),
    ("polygon", &["polyline", "hatch", "both", ""]),
    ("attributes", &["none", "xdata", "attribs"]),
    (
        "codepage",
        &[
            "", "auto", "874", "932", "936", "949", "950", "1250", "1251", "1252", "1253", "1254", "1255",
            "1256", "1257", "1258",
        ],
    ),
    ("point", &["point", "block", ""]),
    ("layer", &["", "FIELD", "{FIELD}_x", "plan {FIELD}"]),
    ("label", &["FIELD", "<{FIELD}>", "", "100%% {FIELD} ^A"]),
    ("height", &["", "0.25", "FIELD"]),
    ("rotation", &["30", "", "FIELD"]),
    (
        "position",
        &[
            "",
            "left",
            "center",
            "right",
            "left-baseline",
            "left-bottom",
            "left-middle",
            "left-top",
            "center-baseline",
            "center-bottom",
            "center-middle",
            "center-top",
            "right-baseline",
            "right-bottom",
            "right-middle",
            "right-top",
        ],
    ),
    ("style", &["", "txt.shx,whgtxt.shx", "malgun.ttf", "romans"]),
    ("color", &["", "1", "255", "#ff8800", "bylayer", "FIELD"]),
    ("linetype", &["", "CONTINUOUS", "DASHED", "DOT", "DASHDOT", "CENTER", "HIDDEN"]),
    ("lineweight", &["0", "0.25", "2.11", "0.33", ""]),
    ("units", &["auto", "none", "in", "ft", "mm", "cm", "m", "km", "us-ft"]),
    ("writer", &["cadmill", ""]),
];

/// One conversion.
struct Case {
    input: &'static Input,
    asked: Asked,
}

impl Case {
    /// The case in which option `n` has its value number `of(n)`.
    fn new(input: &'static Input, of: impl Fn(usize) -> usize) -> Self {
        let chosen = OPTIONS.iter().enumerate().filter_map(|(number, (name, values))| {
            let value = values[of(number) % values.len()].replace("FIELD", input.field);
            (!value.is_empty()).then_some((*name, value))
        });
        let mut asked = Asked(chosen.collect());
        if asked.get("label").is_none() {
            // These have an effect together with it only.
            asked.0.retain(|(name, _)| !["rotation", "position"].contains(name));
        }
        if asked.0.is_empty() {
            asked.0.push(("writer", "cadmill".to_owned()));
        }
        Self { input, asked }
    }
}

/// What the readers found in the drawing of one case, but for ezdxf, which reads all at once.
struct Drawn {
    case: Case,
    file: String,
    wanted: Vec<Wanted>,
}

/// Converts, and has all readers read; acadrust only if it is asked.
fn check(cases: Vec<Case>, asks_acadrust: bool) {
    let folder = tempfile::tempdir().unwrap();
    let sources: BTreeMap<&str, Table> =
        cases.iter().map(|case| (case.input.file, case.input.table())).collect();
    let numbered: Vec<(usize, Case)> = cases.into_iter().enumerate().collect();
    let queue = std::sync::Mutex::new(numbered);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let work = || {
        let mut drawn = Vec::new();
        loop {
            let Some((number, case)) = queue.lock().unwrap().pop() else { return drawn };
            drawn.push(draw(case, number, &sources, folder.path(), asks_acadrust));
        }
    };
    let drawn: Vec<Drawn> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let read = ezdxf::read(folder.path());
    assert_eq!(read.len(), drawn.len());
    for drawn in drawn {
        let by_ezdxf = &read[&drawn.file];
        let title = format!("{} with {:?}", drawn.case.input.file, drawn.case.asked.0);
        let found: Vec<Shape> = by_ezdxf.entities.iter().map(ezdxf::shape).map(unescaped).collect();
        let wanted: Vec<Shape> = drawn.wanted.iter().map(|wanted| wanted.shape.clone()).collect();
        shapes::compare(&wanted, &found).unwrap_or_else(|error| panic!("ezdxf, {title}: {error}"));
        looks(&drawn, by_ezdxf, &title);
    }
}

/// Converts one input, and has the readers read that take one drawing at a time.
fn draw(
    case: Case,
    number: usize,
    sources: &BTreeMap<&str, Table>,
    folder: &Path,
    asks_acadrust: bool,
) -> Drawn {
    let bench = Bench::new();
    let file = format!("{number:04}.dxf");
    let path = folder.join(&file);
    let title = format!("{} with {:?}", case.input.file, case.asked.0);
    let mut arguments: Vec<String> = [
        "convert",
        real(case.input.file).to_str().unwrap(),
        "--to",
        "dxf",
        "--json",
        "-o",
        path.to_str().unwrap(),
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend(case.input.options.iter().flat_map(|option| ["--opt".to_owned(), (*option).to_owned()]));
    arguments.extend(case.asked.arguments());
    let json = bench.run(&arguments).succeeded().json();
    let table = &sources[case.input.file];
    assert_eq!(json["counts"]["read"], table.rows.len(), "{title}");
    let mut wanted = case.asked.wanted(table, case.input.name);
    let mut shapes: Vec<Shape> = wanted.iter().map(|wanted| wanted.shape.clone()).collect();
    let bytes = std::fs::read(&path).unwrap();
    let release = release(&bytes);
    names::take(&mut shapes, &linter::shapes(&bytes), &json["warnings"].to_string())
        .unwrap_or_else(|error| panic!("the linter, {title}: {error}"));
    wanted.iter_mut().zip(&shapes).for_each(|(wanted, shape)| wanted.shape.layer.clone_from(&shape.layer));
    if asks_acadrust {
        let found: Vec<Shape> = acadrust::shapes(&path).into_iter().map(unescaped).collect();
        shapes::compare(&without_attributes(&shapes), &found)
            .unwrap_or_else(|error| panic!("acadrust, {title}: {error}"));
    }
    // It loses the last letter of a text in 1258, because iconv waits for an accent.
    let is_utf8 = release >= "AC1021";
    if is_utf8 || case.asked.get("codepage") != Some("1258") {
        let found: Vec<Shape> = gdal::shapes(&path, is_utf8).into_iter().map(unescaped).collect();
        shapes::compare(&without_attributes(&shapes), &found)
            .unwrap_or_else(|error| panic!("GDAL, {title}: {error}"));
    }
    Drawn { case, file, wanted }
}

impl Input {
    fn path(&self) -> PathBuf {
        let file = real(self.file);
        if self.root.is_empty() {
            return file;
        }
        // GDAL takes what follows as a path, here an absolute one.
        format!("/vsizip/{}/{}", file.display(), self.root).into()
    }

    fn table(&self) -> Table {
        let mut table = gdal::features(&self.path(), self.choice);
        // Points of a table without geometry are made of two of its columns.
        if table.columns[0] != "WKT" {
            let points = table
                .rows
                .iter()
                .map(|row| format!("POINT ({} {})", table.value(row, "lon"), table.value(row, "lat")));
            let points: Vec<String> = points.collect();
            table.columns.insert(0, "WKT".to_owned());
            table.rows.iter_mut().zip(points).for_each(|(row, point)| row.insert(0, point));
        }
        table
    }
}

/// The release in a drawing's header.
fn release(drawing: &[u8]) -> &str {
    let at = memchr::memmem::find(drawing, b"AC10").expect("a release");
    std::str::from_utf8(&drawing[at..at + 6]).unwrap()
}

fn without_attributes(shapes: &[Shape]) -> Vec<Shape> {
    shapes.iter().map(|shape| Shape { attributes: Vec::new(), ..shape.clone() }).collect()
}

/// A shape with the escapes resolved that readers leave, and AutoCAD does not: of what the code page
/// lacks.
fn unescaped(mut shape: Shape) -> Shape {
    shape.layer = resolved(&shape.layer);
    shape.attributes = shape.attributes.iter().map(|text| resolved(text)).collect();
    if let What::Text(text) = &mut shape.what {
        *text = resolved(text);
    }
    shape
}

fn resolved(text: &str) -> String {
    let mut units: Vec<u16> = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let digits = rest.strip_prefix("\\U+").and_then(|rest| rest.get(..4));
        if let Some(unit) = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
            units.push(unit);
            rest = &rest[7..];
        } else {
            units.extend(letter.encode_utf16(&mut [0; 2]).iter());
            rest = &rest[letter.len_utf8()..];
        }
    }
    String::from_utf16_lossy(&units)
}

/// Checks what the options say of the looks of entities.
fn looks(drawn: &Drawn, found: &ezdxf::Drawing, title: &str) {
    let asked = &drawn.case.asked;
    if let Some(version) = asked.get("version").filter(|version| *version != "auto") {
        assert_eq!(found.header["version"], version, "{title}");
    }
    let is_utf8 = found.header["version"].as_str().unwrap() >= "R2007";
    if let Some(page) = asked.get("codepage").filter(|page| *page != "auto" && !is_utf8) {
        assert_eq!(
            found.header["encoding"].as_str().unwrap().replace("gbk", "cp936"),
            format!("cp{page}"),
            "{title}"
        );
    }
    let units = ["none", "in", "ft", "", "mm", "cm", "m", "km"];
    match asked.get("units") {
        None | Some("auto") => {}
        Some("us-ft") => assert_eq!(found.header["units"], 21, "{title}"),
        Some(unit) => {
            assert_eq!(
                units.iter().position(|known| *known == unit).unwrap(),
                found.header["units"].as_u64().unwrap() as usize
            );
        }
    }
    for (facts, wanted) in found.entities.iter().zip(&drawn.wanted) {
        look(asked, facts, wanted, is_utf8 || found.header["version"] == "R2004", title);
    }
}

fn look(asked: &Asked, facts: &Value, wanted: &Wanted, has_rgb: bool, title: &str) {
    let title = || format!("{title}: {facts}");
    match asked.get("color") {
        Some("bylayer") => assert_eq!(facts["color"], 256, "{}", title()),
        Some("#ff8800") if has_rgb => assert_eq!(facts["rgb"], 0xff_8800, "{}", title()),
        Some("#ff8800") => {
            assert_eq!((&facts["color"], &facts["rgb"]), (&Value::from(30), &Value::Null), "{}", title())
        }
        Some(number) if number.parse::<u8>().is_ok() => {
            assert_eq!(facts["color"].to_string(), number, "{}", title())
        }
        _ => {}
    }
    let linetype = facts["linetype"].as_str().unwrap();
    assert!(linetype.eq_ignore_ascii_case(asked.get("linetype").unwrap_or("BYLAYER")), "{}", title());
    let lineweight = match asked.get("lineweight") {
        Some("0") => 0,
        Some("0.25") => 25,
        Some("2.11") => 211,
        // The nearest that there is.
        Some("0.33") => 35,
        _ => -1,
    };
    assert_eq!(facts["lineweight"], lineweight, "{}", title());
    if facts["kind"] != "TEXT" {
        return;
    }
    if let Some(height) = asked.get("height").and_then(|height| height.parse::<f64>().ok()) {
        assert_eq!(ezdxf::real(&facts["height"]), height, "{}", title());
    }
    if let Some(degrees) = asked.get("rotation").and_then(|degrees| degrees.parse::<f64>().ok()) {
        assert_eq!(ezdxf::real(&facts["rotation"]), degrees, "{}", title());
    }
    let place = facts["place"].as_array().unwrap();
    let is_point = wanted.of.len() == 1;
    let words = asked.get("position").unwrap_or(if is_point { "left" } else { "center-middle" });
    let (across, level) = words.split_once('-').unwrap_or((words, "baseline"));
    let name = if level == "baseline" { across.to_owned() } else { format!("{level}_{across}") };
    assert_eq!(place.last().unwrap().as_str().unwrap(), name.to_uppercase(), "{}", title());
    // Within the box around the feature.
    let at = [ezdxf::real(&place[0][0]), ezdxf::real(&place[0][1])];
    for (axis, at) in at.into_iter().enumerate() {
        let values = || wanted.of.iter().map(|point| point[axis]);
        let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
        assert!((least..=most).contains(&at), "{}", title());
    }
}

#[test]
fn every_option_every_release_and_every_input_are_read() {
    check(choice(), false);
}

#[test]
#[ignore = "in `make nightly`"]
fn acadrust_reads_every_option_every_release_and_every_input() {
    check(choice(), true);
}

/// Each list of values goes round, and meets the others shifted by one more each time.
fn choice() -> Vec<Case> {
    const CASES: usize = 26;
    assert!(OPTIONS.iter().all(|(_, values)| values.len() <= CASES) && INPUTS.len() <= CASES);
    let cases = (0..CASES).map(|number| {
        Case::new(&INPUTS[number % INPUTS.len()], |option| {
            number + option * (number / OPTIONS[option].1.len())
        })
    });
    cases.collect()
}

/// Inputs, releases and kinds of areas, with all else going round.
#[test]
#[ignore = "in `make nightly`: three hundred conversions"]
fn all_combinations_are_read() {
    let mut cases = Vec::new();
    for input in INPUTS {
        // No option at all is one of their values.
        for number in 0..7 * 3 {
            let case = cases.len();
            cases.push(Case::new(input, |option| match option {
                0 => number % 7,
                1 => number / 7,
                option => case + case / (option + 5),
            }));
        }
    }
    // ezdxf holds what it prints of a folder, so a few at a time.
    while !cases.is_empty() {
        let rest = cases.split_off(cases.len().min(64));
        check(std::mem::replace(&mut cases, rest), true);
    }
}
