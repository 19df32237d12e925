//! Drawings by the writer of cadmill: what the options ask for is in them, readers take them, and what
//! they cannot have is told.

use crate::support::{Bench, Run, real, zipped};
use cadmill_dxf::lint::{self, Entity, Profile};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

fn convert(bench: &Bench, input: &Path, more: &[&str]) -> Run {
    drop(std::fs::remove_file(bench.path("out.dxf")));
    let arguments = ["convert", input.to_str().unwrap(), "--to", "dxf", "-o", "out.dxf", "--json"];
    let options = more
        .iter()
        .flat_map(|option| if option.contains('=') { vec!["--opt", option] } else { vec![*option] });
    bench.run(&arguments.into_iter().chain(options).collect::<Vec<_>>())
}

/// The entities of a drawing that strict readers take, and the report.
fn drawn(bench: &Bench, input: &Path, options: &[&str]) -> (Vec<Entity>, Value) {
    let json = convert(bench, input, options).succeeded().json();
    let bytes = std::fs::read(bench.path("out.dxf")).unwrap();
    let findings = lint::check(&bytes, Profile::Strict);
    assert!(findings.is_empty(), "{options:?}: {findings:?}");
    (lint::read(&bytes).unwrap(), json)
}

fn feature(properties: &Value, geometry: &Value) -> Value {
    json!({"type": "Feature", "properties": properties, "geometry": geometry})
}

fn geojson(bench: &Bench, features: &[Value]) -> std::path::PathBuf {
    let path = bench.path("map.geojson");
    let text = json!({"type": "FeatureCollection", "features": features}).to_string();
    std::fs::write(&path, text).unwrap();
    path
}

/// Two buildings, a contour, a slope, and a well.
fn map(bench: &Bench) -> std::path::PathBuf {
    let square = |x: f64| {
        json!({"type": "Polygon", "coordinates": [
        [[x, 0], [x + 4.0, 0], [x + 4.0, 4], [x, 4], [x, 0]], [[x + 1.0, 1], [x + 2.0, 1], [x + 2.0, 2], [x + 1.0, 1]]]})
    };
    geojson(
        bench,
        &[
            feature(&json!({"kind": "건물", "code": 1, "color": "1", "name": "집"}), &square(0.0)),
            feature(&json!({"kind": "건물", "code": 2, "color": "#00ff00", "name": "학교"}), &square(10.0)),
            feature(
                &json!({"kind": "등고선", "code": 3}),
                &json!({"type": "LineString", "coordinates": [[0, 9, 50], [9, 9, 50], [9, 12, 50]]}),
            ),
            feature(
                &json!({"kind": "a/b", "code": 4}),
                &json!({"type": "LineString", "coordinates": [[0, 20, 1], [9, 20, 2]]}),
            ),
            feature(
                &json!({"kind": "우물", "code": 5, "name": "물"}),
                &json!({"type": "Point", "coordinates": [3, 3, 7]}),
            ),
        ],
    )
}

fn kinds(entities: &[Entity]) -> Vec<&str> {
    entities.iter().map(|entity| entity.kind.as_str()).collect()
}

fn layers(entities: &[Entity]) -> Vec<String> {
    entities.iter().map(Entity::layer).collect()
}

/// The features as GDAL reads the drawing: layer and geometry.
fn read_by_gdal(bench: &Bench, utf8: bool) -> Vec<(String, String)> {
    let mut command = Command::new("ogr2ogr");
    if utf8 {
        command.args(["--config", "DXF_ENCODING", "UTF-8"]);
    }
    let run = command
        .args(["-f", "CSV", "/vsistdout/", "out.dxf", "-lco", "GEOMETRY=AS_WKT", "-select", "Layer"])
        .current_dir(bench.path(""))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && !told.contains("ERROR"), "{told}");
    let text = String::from_utf8(run.stdout).expect("UTF-8");
    let rows = text.lines().skip(1).map(|row| {
        let (geometry, layer) = row.rsplit_once(',').expect("two columns");
        (layer.trim_matches('"').to_owned(), geometry.trim_matches('"').to_owned())
    });
    rows.collect()
}

#[test]
fn layers_are_named_by_a_field_or_a_template() {
    let bench = Bench::new();
    let input = map(&bench);
    let (entities, json) = drawn(&bench, &input, &["dxf.layer=kind"]);
    let polyline = "LWPOLYLINE";
    assert_eq!(kinds(&entities), [polyline, polyline, polyline, polyline, polyline, "POLYLINE", "POINT"]);
    let names = ["건물", "건물", "건물", "건물", "등고선", "a_b", "우물"];
    assert_eq!(layers(&entities), names);
    assert!(json["warnings"].to_string().contains("'a/b' is 'a_b'"), "{json}");
    assert_eq!((&json["counts"]["read"], &json["counts"]["written"]), (&json!(5), &json!(5)));
    // By its header alone, as R2004 in the code page of Korean.
    let bytes = std::fs::read(bench.path("out.dxf")).unwrap();
    let has = |text: &[u8]| memchr::memmem::find(&bytes, text).is_some();
    assert!(has(b"AC1018") && has(b"ANSI_949") && has(b"\xb0\xc7\xb9\xb0"));
    let read = read_by_gdal(&bench, false);
    assert_eq!(read.iter().map(|(layer, _)| layer.as_str()).collect::<Vec<_>>(), names);
    assert_eq!(read[4].1, "LINESTRING Z (0 9 50,9 9 50,9 12 50)");
    assert_eq!(read[6].1, "POINT Z (3 3 7)");

    let (entities, _) = drawn(&bench, &input, &["dxf.layer={kind}_{code}"]);
    assert_eq!(layers(&entities)[..3], ["건물_1", "건물_1", "건물_2"]);
    let (entities, _) = drawn(&bench, &input, &["dxf.version=R2010"]);
    assert!(layers(&entities).iter().all(|layer| layer == "map"), "{:?}", layers(&entities));
}

#[test]
fn text_that_no_code_page_has_is_utf_8() {
    let bench = Bench::new();
    let point = json!({"type": "Point", "coordinates": [1, 2]});
    let input =
        geojson(&bench, &[feature(&json!({"k": "도로 é"}), &point), feature(&json!({"k": "😀"}), &point)]);
    let (entities, json) = drawn(&bench, &input, &["dxf.layer=k"]);
    assert_eq!(layers(&entities), ["도로 é", "😀"]);
    assert_eq!(json["losses"], 0);
    assert!(memchr::memmem::find(&std::fs::read(bench.path("out.dxf")).unwrap(), b"AC1021").is_some());
    let read = read_by_gdal(&bench, true);
    assert_eq!(read[1].0, "😀");
    // A page that is asked for stays, and what it lacks is told.
    let (entities, json) = drawn(&bench, &input, &["dxf.layer=k", "dxf.codepage=949", "dxf.version=2004"]);
    assert_eq!(layers(&entities), ["도로 é", "😀"], "with the escapes read");
    assert!(json["warnings"].to_string().contains("not in the code page"), "{json}");
}

#[test]
fn areas_are_polylines_hatches_or_both() {
    let bench = Bench::new();
    let input = map(&bench);
    let count = |options: &[&str], kind: &str| {
        let (entities, _) = drawn(&bench, &input, options);
        entities.iter().filter(|entity| entity.kind == kind).count()
    };
    assert_eq!((count(&["dxf.polygon=hatch"], "HATCH"), count(&["dxf.polygon=hatch"], "LWPOLYLINE")), (2, 1));
    assert_eq!((count(&["dxf.polygon=both"], "HATCH"), count(&["dxf.polygon=both"], "LWPOLYLINE")), (2, 5));
    let (entities, _) = drawn(&bench, &input, &["dxf.polygon=polyline"]);
    let closed =
        entities.iter().filter(|entity| entity.real(70).is_some_and(|flags| flags as u32 & 1 == 1)).count();
    assert_eq!(closed, 4, "outlines and holes");
    assert_eq!(entities[4].real(38), Some(50.0), "a contour has its elevation");
    // A roof is not flat.
    let roof = json!({"type": "Polygon", "coordinates": [[[0, 0, 1], [4, 0, 1], [4, 4, 3], [0, 0, 1]]]});
    let input = geojson(&bench, &[feature(&json!({}), &roof)]);
    let (entities, json) = drawn(&bench, &input, &["dxf.polygon=hatch"]);
    assert!(kinds(&entities) == ["POLYLINE"] && json["warnings"].to_string().contains("not flat"), "{json}");
    assert_eq!(read_by_gdal(&bench, false)[0].1, "LINESTRING Z (0 0 1,4 0 1,4 4 3,0 0 1)");
}

#[test]
fn labels_colours_and_attributes_are_those_of_fields() {
    let bench = Bench::new();
    let input = map(&bench);
    let options = ["dxf.label={name} {code}", "dxf.height=0.5", "dxf.color=color", "dxf.attributes=xdata"];
    let (entities, json) = drawn(&bench, &input, &options);
    let texts: Vec<String> = entities.iter().filter(|e| e.kind == "TEXT").map(Entity::text).collect();
    assert_eq!(texts, ["집 1", "학교 2", " 3", " 4", "물 5"], "{json}");
    assert_eq!(entities.iter().find(|e| e.kind == "TEXT").unwrap().real(40), Some(0.5));
    let first = &entities[0];
    assert_eq!(first.get(62), Some("1"));
    let data: Vec<&str> = first.all(1000).collect();
    assert!(data.contains(&"kind=건물") && data.contains(&"code=1"), "{data:?}");
    let green = entities.iter().find(|e| e.get(420).is_some()).unwrap();
    assert_eq!(green.get(420), Some("65280"));
    // Points as blocks, with their attributes.
    let (entities, json) = drawn(&bench, &input, &["dxf.attributes=attribs", "dxf.layer=kind"]);
    let insert = entities.iter().find(|e| e.kind == "INSERT").unwrap();
    let values: Vec<String> =
        insert.parts.iter().filter(|part| part.kind == "ATTRIB").map(Entity::text).collect();
    assert!(values.contains(&"우물".to_owned()) && values.contains(&"5".to_owned()), "{values:?}");
    assert!(
        json["warnings"].to_string().contains("4 features were drawn without their attributes"),
        "{json}"
    );
}

/// The record of a layer: its groups from the colour on.
fn layer_record(bench: &Bench, name: &str) -> Vec<(u16, String)> {
    let text = String::from_utf8(std::fs::read(bench.path("out.dxf")).unwrap()).unwrap();
    let (_, rest) = text.split_once(&format!("AcDbLayerTableRecord\r\n  2\r\n{name}\r\n")).expect(name);
    let lines: Vec<&str> = rest.split("\r\n").collect();
    let pairs = lines.chunks(2).map(|pair| (pair[0].trim().parse().unwrap(), pair[1].trim().to_owned()));
    pairs.take_while(|(code, _)| *code != 0).collect()
}

#[test]
fn layers_have_the_styles_of_a_file() {
    const STYLES: &str = "[default]\nlineweight = 0.5\n[layer.\"건물\"]\ncolor = 1\nlinetype = \"dashed\"\n\
        [layer.'A/B']\ncolor = '#ff8000'\nlineweight = 0.25\n[layer.river]\n[layer.lake]\n";
    let bench = Bench::new();
    let input = map(&bench);
    std::fs::write(bench.path("styles.toml"), STYLES).unwrap();
    let value = |name: &str, code: u16| {
        layer_record(&bench, name).iter().find(|(other, _)| *other == code).map(|(_, value)| value.clone())
    };
    let check = |input: &Path, file: &str| {
        let options = ["dxf.layer=kind", "dxf.version=R2010", &format!("dxf.styles={file}")];
        let (entities, json) = drawn(&bench, input, &options);
        assert!(entities.iter().all(|entity| entity.get(62).is_none()), "entities are as their layers");
        let of = |name: &str| [62, 420, 6, 370].map(|code| value(name, code).unwrap_or_default());
        assert_eq!(of("건물"), ["1", "", "DASHED", "50"]);
        assert_eq!(of("a_b"), ["30", "16744448", "Continuous", "25"]);
        assert_eq!(of("우물"), ["7", "", "Continuous", "50"], "the default");
        let warnings = json["warnings"].to_string();
        assert!(warnings.contains("2 layers of dxf.styles are not in the drawing"), "{warnings}");
        assert_eq!(json["losses"], 0);
    };
    // Beside a plain file, and in an archive by its path there, or beside the root.
    check(&input, "styles.toml");
    let content = std::fs::read(&input).unwrap();
    let stored = zip::CompressionMethod::Stored;
    let entries =
        [("town/map.geojson", stored, content.as_slice()), ("town/styles.toml", stored, STYLES.as_bytes())];
    let archive = bench.path("town.zip");
    std::fs::write(&archive, zipped(&entries)).unwrap();
    check(&archive, "town/styles.toml");
    check(&archive, "styles.toml");
    // With what GDAL applies first.
    let (entities, _) =
        drawn(&bench, &archive, &["dxf.layer=kind", "dxf.version=2010", "dxf.styles=styles.toml", "dim=XY"]);
    assert!(!entities.is_empty() && value("건물", 62).as_deref() == Some("1"));
    let (_, json) = drawn(&bench, &input, &["dxf.layer=kind", "dxf.version=2000", "dxf.styles=styles.toml"]);
    assert!(json["warnings"].to_string().contains("colours of 1 layers were replaced"), "{json}");

    let message = |options: &[&str], exit: i32, code: &str| {
        let json = convert(&bench, &input, options).failed(exit, code);
        json["error"]["message"].as_str().unwrap().to_owned()
    };
    for outside in ["dxf.styles=../styles.toml", "dxf.styles=/etc/passwd"] {
        assert!(message(&[outside], 2, "usage.option").contains("within the input"));
    }
    assert!(message(&["dxf.styles=none.toml"], 27, "engine.unfit").contains("no such file"));
    std::os::unix::fs::symlink("/etc/passwd", bench.path("link.toml")).unwrap();
    assert!(message(&["dxf.styles=link.toml"], 27, "engine.unfit").contains("link"));
    std::fs::write(bench.path("styles.toml"), "[layer.a]\n\ncolour = 1\n").unwrap();
    let unknown = message(&["dxf.styles=styles.toml"], 27, "engine.unfit");
    assert!(
        unknown.contains("styles.toml") && unknown.contains("line 3: unknown field `colour`"),
        "{unknown}"
    );
}

#[test]
fn a_drawing_names_its_reference_system() {
    let bench = Bench::new();
    let input = map(&bench);
    let systems = |options: &[&str]| {
        drawn(&bench, &input, &[&["dxf.geodata=yes"], options].concat());
        let drawing = std::fs::read_to_string(bench.path("out.dxf")).unwrap();
        let (_, object) = drawing.split_once("\r\nGEODATA\r\n  5\r\n").expect("an object");
        let release = drawing.lines().find(|line| line.starts_with("AC10")).unwrap().to_owned();
        (release, object.replace("\r\n303\r\n", "").replace("\r\n301\r\n", ""))
    };
    let (release, object) = systems(&[]);
    assert_eq!(release, "AC1024");
    assert!(object.contains("id=\"4326\"") && object.contains("<Name>WGS 84</Name>"), "{object}");
    let (release, object) = systems(&["dxf.version=R2018", "t_srs=EPSG:5186"]);
    assert_eq!(release, "AC1032");
    assert!(object.contains("id=\"5186\"") && object.contains("Korea 2000"), "{object}");

    let message = |options: &[&str], exit: i32, code: &str| {
        let json = convert(&bench, &bench.path("map.csv"), options).failed(exit, code);
        json["error"]["message"].as_str().unwrap().to_owned()
    };
    std::fs::write(bench.path("map.csv"), "name,WKT\na,POINT (1 2)\n").unwrap();
    assert!(message(&["dxf.geodata=yes"], 27, "engine.unfit").contains("no reference system"));
    assert!(message(&["dxf.geodata=yes", "dxf.version=2004"], 2, "usage.option").contains("R2010"));
    let input = bench.path("map.csv");
    let bytes = |options: &[&str]| {
        drawn(&bench, &input, options);
        std::fs::read(bench.path("out.dxf")).unwrap()
    };
    let has = |bytes: &[u8]| memchr::memmem::find(bytes, b"GEODATA").is_some();
    assert!(has(&bytes(&["dxf.geodata=yes", "a_srs=EPSG:5186"])));
    assert!(!has(&bytes(&["dxf.version=R2010", "a_srs=EPSG:5186"])));
}

/// What is more than a choice of features goes through GDAL first.
#[test]
fn options_of_the_translation_have_their_effect() {
    let bench = Bench::new();
    let input = map(&bench);
    let number = |options: &[&str]| drawn(&bench, &input, options).0.len();
    assert_eq!(number(&["dxf.layer=kind", "where=code = 3"]), 1);
    assert_eq!(number(&["dxf.layer=kind", "limit=1"]), 2);
    assert_eq!(number(&["dxf.layer=kind", "spat=2.5,2.5,3.5,3.5"]), 3);
    let (entities, _) = drawn(&bench, &input, &["dxf.layer=kind", "t_srs=EPSG:3857"]);
    assert_eq!(layers(&entities)[0], "건물");
    let [x, ..] = entities.last().unwrap().points(10)[0];
    assert!((x - 333_958.47).abs() < 0.01, "{x}");
    let bytes = std::fs::read(bench.path("out.dxf")).unwrap();
    assert!(
        memchr::memmem::find(&bytes, b"$INSUNITS\r\n 70\r\n6\r\n").is_some()
            || memchr::memmem::find(&bytes, b"$INSUNITS\r\n 70\r\n     6\r\n").is_some()
    );
}

#[test]
fn what_a_drawing_cannot_have_is_told() {
    let bench = Bench::new();
    let input = map(&bench);
    let json = convert(&bench, &input, &["dxf.layer=sort"]).failed(27, "engine.unfit");
    let message = json["error"]["message"].as_str().unwrap();
    assert!(message.contains("'sort'") && message.contains("code, color, kind, name"), "{message}");
    let run = bench.run(&[
        "convert",
        "map.geojson",
        "--to",
        "gpkg",
        "-o",
        "out.gpkg",
        "--opt",
        "dxf.layer=kind",
        "--json",
    ]);
    assert!(
        run.failed(2, "usage.option")["error"]["message"].as_str().unwrap().contains("no effect"),
        "told"
    );
    convert(&bench, &input, &["dxf.version=R12"]).failed(2, "usage.option");
    let nothing = geojson(
        &bench,
        &[
            feature(&json!({"a": 1}), &Value::Null),
            feature(&json!({"a": 2}), &json!({"type": "LineString", "coordinates": [[1, 1], [1, 1]]})),
        ],
    );
    let (entities, json) = drawn(&bench, &nothing, &["dxf.version=2004"]);
    assert_eq!(entities.len(), 1, "a line of two equal points is one");
    assert!(json["warnings"].to_string().contains("1 features without geometry"), "{json}");
    convert(&bench, &nothing, &["dxf.version=2004", "--strict"]).failed(28, "engine.incomplete");
}

/// Texts and colours of a drawing stay, though it is written anew.
#[test]
fn a_drawing_stays_a_drawing() {
    let bench = Bench::new();
    let input = map(&bench);
    convert(&bench, &input, &["dxf.layer=kind", "dxf.label=name", "dxf.color=color", "dxf.height=0.5"])
        .succeeded();
    let first = bench.path("first.dxf");
    std::fs::rename(bench.path("out.dxf"), &first).unwrap();
    let (entities, _) = drawn(&bench, &first, &["dxf.version=2004"]);
    let texts: Vec<String> = entities.iter().filter(|e| e.kind == "TEXT").map(Entity::text).collect();
    assert_eq!(texts, ["집", "학교", "물"]);
    assert!(layers(&entities).contains(&"등고선".to_owned()));
    assert_eq!(entities.iter().find(|e| e.kind == "TEXT").unwrap().real(40), Some(0.5));
}

/// What only GDAL's writer knows is refused, and not ignored.
#[test]
fn options_of_the_other_writer_are_refused() {
    let bench = Bench::new();
    let input = map(&bench);
    for option in ["cfg.DXF_WRITE_HATCH=NO", "dsco.FIRST_ENTITY=1000"] {
        let json = convert(&bench, &input, &[option]).failed(2, "usage.option");
        assert!(json["error"]["message"].as_str().unwrap().contains("dxf.writer=gdal"), "{json}");
        convert(&bench, &input, &[option, "dxf.writer=gdal", "where=code = 3"]).succeeded();
    }
    for options in [["dxf.writer=gdal", "dxf.layer=kind"], ["dxf.position=center", "dxf.layer=kind"]] {
        convert(&bench, &input, &options).failed(2, "usage.option");
    }
}

/// Many features: points, lines in space, areas, several points, and every fifth has no geometry.
fn many(bench: &Bench) -> std::path::PathBuf {
    let features: Vec<Value> = (0..6000)
        .map(|number| {
            let x = f64::from(number);
            let geometry = match number % 5 {
                0 => json!({"type": "Point", "coordinates": [x, 1]}),
                1 => json!({"type": "LineString", "coordinates": [[x, 0, 1], [x, 1, 2], [x, 2, 1]]}),
                2 => json!({"type": "Polygon", "coordinates": [[[x, 0], [x + 0.5, 0], [x, 1], [x, 0]]]}),
                3 => json!({"type": "MultiPoint", "coordinates": [[x, 3], [x, 4]]}),
                _ => Value::Null,
            };
            feature(&json!({"n": number, "kind": number % 7}), &geometry)
        })
        .collect();
    geojson(bench, &features)
}

/// Writes the features in another format.
fn translated(bench: &Bench, input: &Path, name: &str, more: &[&str]) -> std::path::PathBuf {
    let output = bench.path(name);
    let run = Command::new("ogr2ogr").arg(&output).arg(input).args(more).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    output
}

/// Several threads read what has numbers; with a limit, which changes nothing here, one does.
#[test]
fn several_threads_write_what_one_writes() {
    let bench = Bench::new();
    let input = many(&bench);
    let flat = translated(&bench, &input, "many.fgb", &["-nlt", "GEOMETRY"]);
    let lines = translated(&bench, &input, "lines.shp", &["-where", "OGR_GEOMETRY = 'Polygon' OR kind = 99"]);
    let zip = bench.path("lines.zip");
    let table = bench.path("lines.dbf");
    // Rows that are deleted have no feature, but a number.
    let mut rows = std::fs::read(&table).unwrap();
    let [head, row] = [8, 10].map(|at: usize| usize::from(u16::from_le_bytes([rows[at], rows[at + 1]])));
    for deleted in (40..700).chain([1023, 1024, 1199]) {
        rows[head + deleted * row] = b'*';
    }
    std::fs::write(&table, rows).unwrap();
    let mut writer = zip::ZipWriter::new(std::fs::File::create(&zip).unwrap());
    for extension in ["shp", "shx", "dbf"] {
        writer.start_file(format!("lines.{extension}"), zip::write::SimpleFileOptions::default()).unwrap();
        let bytes = std::fs::read(lines.with_extension(extension)).unwrap();
        std::io::Write::write_all(&mut writer, &bytes).unwrap();
    }
    writer.finish().unwrap();
    for (input, count) in [(&flat, 4800), (&zip, 1200 - 663)] {
        let options = ["dxf.layer=kind", "dxf.label=n", "dxf.attributes=xdata", "dxf.height=0.1"];
        let (entities, json) = drawn(&bench, input, &options);
        assert_eq!(json["counts"]["written"], count, "{json}");
        assert!(entities.len() >= 2 * count, "{}", entities.len());
        let by_several = std::fs::read(bench.path("out.dxf")).unwrap();
        drawn(&bench, input, &[&options[..], &["limit=1000000"]].concat());
        assert!(by_several == std::fs::read(bench.path("out.dxf")).unwrap(), "{input:?}");
    }
}

#[test]
fn the_reference_system_lies_beside_the_drawing_if_it_is_asked_for() {
    let bench = Bench::new();
    let input = map(&bench);
    let json = convert(&bench, &input, &["dxf.prj=yes", "t_srs=EPSG:5186"]).succeeded().json();
    assert_eq!(json["output"]["path"], "out.dxf.zip", "{json}");
    let mut archive = zip::ZipArchive::new(std::fs::File::open(bench.path("out.dxf.zip")).unwrap()).unwrap();
    let text = std::io::read_to_string(archive.by_name("out.prj").unwrap()).unwrap();
    assert!(text.starts_with("PROJCS[") && text.contains("Korea"), "{text}");
    assert_eq!(archive.len(), 2);
    let table = bench.path("a.csv");
    std::fs::write(&table, "x,y\n1,2\n").unwrap();
    let options = ["dxf.prj=yes", "oo.X_POSSIBLE_NAMES=x", "oo.Y_POSSIBLE_NAMES=y"];
    let json = convert(&bench, &table, &options).succeeded().json();
    assert!(json["warnings"].to_string().contains("does not say its reference system"), "{json}");
    assert_eq!(json["output"]["path"], "out.dxf", "{json}");
}

/// The drawing is written once and in place: the cap on output has to hold it once, and little more.
#[test]
fn the_cap_on_output_counts_a_drawing_once() {
    let bench = Bench::new();
    let input = real("gis/naturalearth_lowres.zip");
    convert(&bench, &input, &[]).succeeded();
    let size = std::fs::metadata(bench.path("out.dxf")).unwrap().len();
    let cap = (size + (64 << 10)).to_string();
    convert(&bench, &input, &["--max-output", cap.as_str()]).succeeded();
    let less = (size * 3 / 4).to_string();
    convert(&bench, &input, &["--max-output", less.as_str()]).failed(16, "limit.output");
    assert!(!bench.path("out.dxf").exists());
    // GDAL's writer has a second file with all entities.
    let options = ["dxf.writer=gdal", "--max-output", cap.as_str()];
    convert(&bench, &input, &options).failed(16, "limit.output");
}
