//! What an input has and a library would leave out without a word: it is kept, or a warning of loss
//! has the numbers, or the conversion fails.

use crate::support::{Bench, Run, zipped};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use zip::CompressionMethod::Stored;

fn convert(bench: &Bench, input: &Path, to: &str, more: &[&str]) -> Run {
    let output = format!("out.{to}");
    let arguments = ["convert", input.to_str().unwrap(), "--to", to, "-o", &output, "--json"];
    bench.run(&[&arguments[..], more].concat())
}

/// The values of `name` in the output.
fn names(bench: &Bench) -> Vec<String> {
    let text = std::fs::read_to_string(bench.path("out.geojson")).expect("UTF-8");
    let json: Value = serde_json::from_str(&text).unwrap();
    let features = json["features"].as_array().unwrap();
    features.iter().map(|f| f["properties"]["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Makes a file with GDAL's own tool, of a table of points.
fn made(bench: &Bench, name: &str, options: &[&str]) {
    std::fs::write(bench.path("p.csv"), "name,x,y\na,1,2\nb,3,4\n").unwrap();
    let open = ["-oo", "X_POSSIBLE_NAMES=x", "-oo", "Y_POSSIBLE_NAMES=y", "p.csv"];
    let arguments = [options, &[name], &open].concat();
    let run = Command::new("ogr2ogr").args(&arguments).current_dir(bench.path("")).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

/// The conversion succeeds with this warning, and fails if it is strict.
fn warns_of_loss(bench: &Bench, input: &Path, told: &str) {
    let json = convert(bench, input, "geojson", &[]).succeeded().json();
    assert!(json["warnings"].to_string().contains(told), "{json}");
    std::fs::remove_file(bench.path("out.geojson")).unwrap();
    convert(bench, input, "geojson", &["--strict"]).failed(28, "engine.incomplete");
}

#[test]
fn rows_that_are_longer_than_the_first_are_counted() {
    let bench = Bench::new();
    let input = bench.path("a.csv");
    std::fs::write(&input, "id,name\n1,a\n2\n3,c,extra,more\n").unwrap();
    warns_of_loss(&bench, &input, "1 of 4 rows have more cells than the 2 columns");
    std::fs::write(&input, "id,name\n1,a\n2\n").unwrap();
    let json = convert(&bench, &input, "geojson", &["--strict"]).succeeded().json();
    assert!(json["warnings"].to_string().contains("1 of 3 rows have fewer cells"), "{json}");
}

#[test]
fn a_quoted_value_that_is_not_closed_is_refused() {
    let bench = Bench::new();
    let input = bench.path("a.csv");
    std::fs::write(&input, "id,name\n1,a\n2,\"b\n3,c\n").unwrap();
    let json = convert(&bench, &input, "geojson", &[]).failed(15, "engine.rejected");
    assert!(json["error"]["message"].as_str().unwrap().contains("row 3 is not closed"), "{json}");
}

#[test]
fn text_with_nul_characters_is_refused() {
    for (name, bytes) in [
        ("a.csv", &b"id,name\n1,a\0b\n"[..]),
        (
            "a.geojson",
            br#"{"type":"Feature","properties":{"name":"x\u0000y"},"geometry":{"type":"Point","coordinates":[1,2]}}"#,
        ),
    ] {
        let bench = Bench::new();
        std::fs::write(bench.path(name), bytes).unwrap();
        let json = convert(&bench, &bench.path(name), "gpkg", &[]).failed(26, "engine.text_lost");
        assert!(json["error"]["message"].as_str().unwrap().contains("NUL"), "{json}");
    }
}

#[test]
fn escape_sequences_of_an_encoding_are_not_text() {
    let bench = Bench::new();
    let input = bench.path("a.csv");
    std::fs::write(&input, b"id,name\n1,\x1b$BEl5~\x1b(B\n").unwrap();
    convert(&bench, &input, "geojson", &[]).succeeded();
    assert_eq!(names(&bench), ["東京"]);
    std::fs::write(&input, b"\x1b$)Cid,name\n1,\x0e<-?o\x0f\n").unwrap();
    let json = convert(&bench, &input, "gpkg", &[]).failed(26, "engine.text_lost");
    assert!(json["error"]["message"].as_str().unwrap().contains("ISO-2022-KR"), "{json}");
}

#[test]
fn shapes_and_rows_without_the_other_are_counted() {
    let bench = Bench::new();
    made(&bench, "a.shp", &[]);
    let mut table = std::fs::read(bench.path("a.dbf")).unwrap();
    table[4] = 1;
    std::fs::write(bench.path("a.dbf"), table).unwrap();
    let told = "the .shp file has 2 shapes, but the .dbf file has 1 rows: 1 shapes were left out";
    warns_of_loss(&bench, &bench.path("a.shp"), told);
    std::fs::write(bench.path("a.dbf"), "").unwrap();
    warns_of_loss(&bench, &bench.path("a.shp"), "the attributes of all shapes were left out");
}

#[test]
fn parts_of_mapinfo_files_that_are_missing_are_noticed() {
    let bench = Bench::new();
    made(&bench, "a.tab", &["-f", "MapInfo File"]);
    std::fs::remove_file(bench.path("a.map")).unwrap();
    warns_of_loss(&bench, &bench.path("a.tab"), "the geometry of 2 rows was left out");

    let bench = Bench::new();
    made(&bench, "a.mif", &["-f", "MapInfo File"]);
    let rows = std::fs::read_to_string(bench.path("a.mid")).unwrap();
    std::fs::write(bench.path("a.mid"), rows + "\"c\",5,6\n").unwrap();
    warns_of_loss(&bench, &bench.path("a.mif"), "3 rows, but the .mif file has 2 objects");
    std::fs::remove_file(bench.path("a.mid")).unwrap();
    warns_of_loss(&bench, &bench.path("a.mif"), "the attributes of 2 objects were left out");
}

#[test]
fn character_sets_that_gdal_does_not_convert_from_are_converted() {
    for (charset, bytes, name, more) in [
        ("Neutral", &b"\xb5\xb5\xb8\xe9"[..], "도면", &[][..]),
        ("Neutral", b"\xcf\xf0\xe8", "При", &["--opt", "encoding=windows-1251"]),
        ("WindowsThai", b"\xa1\xc3\xd8\xa7", "กรุง", &[]),
        ("ISO8859-1", b"M\xfcller", "Müller", &[]),
        ("WindowsHebrew", b"\xf9\xec\xe5\xed", "שלום", &[]),
        ("WindowsKorean", b"\xb5\xb5\xb8\xe9", "도면", &[]),
        ("UTF-8", "도면".as_bytes(), "도면", &[]),
    ] {
        let bench = Bench::new();
        made(&bench, "a.mif", &["-f", "MapInfo File"]);
        let mif = std::fs::read_to_string(bench.path("a.mif")).unwrap();
        std::fs::write(bench.path("a.mif"), mif.replace("\"Neutral\"", &format!("\"{charset}\""))).unwrap();
        let row = [b"\"", bytes, b"\",1,2\n"].concat();
        std::fs::write(bench.path("a.mid"), [&row[..], &row].concat()).unwrap();
        convert(&bench, &bench.path("a.mif"), "geojson", &[&["--strict"], more].concat()).succeeded();
        assert_eq!(names(&bench), [name, name], "{charset}");

        let bench = Bench::new();
        made(&bench, "a.tab", &["-f", "MapInfo File"]);
        let tab = std::fs::read_to_string(bench.path("a.tab")).unwrap();
        std::fs::write(bench.path("a.tab"), tab.replace("Neutral", charset)).unwrap();
        let mut table = std::fs::read(bench.path("a.dat")).unwrap();
        let at = usize::from(u16::from_le_bytes([table[8], table[9]])) + 1;
        table[at..at + bytes.len()].copy_from_slice(bytes);
        std::fs::write(bench.path("a.dat"), table).unwrap();
        let run = convert(&bench, &bench.path("a.tab"), "geojson", more);
        match charset {
            "WindowsThai" => _ = run.failed(26, "engine.text_lost"),
            _ => {
                run.succeeded();
                assert_eq!(names(&bench), [name, "b"], "{charset}");
            }
        }
    }
}

#[test]
fn no_letter_is_lost_that_may_combine_with_the_next() {
    for (page, bytes, expected) in [
        ("1255", &b"\xf9\xec\xe5\xed"[..], Some("שלום")),
        ("1258", b"c\xf4", Some("cô")),
        // A letter with two marks.
        ("1258", b"Vi\xea\xf2t", None),
    ] {
        let bench = Bench::new();
        made(&bench, "a.shp", &[]);
        let mut table = std::fs::read(bench.path("a.dbf")).unwrap();
        let at = usize::from(u16::from_le_bytes([table[8], table[9]])) + 1;
        table[at..at + bytes.len()].copy_from_slice(bytes);
        std::fs::write(bench.path("a.dbf"), table).unwrap();
        std::fs::write(bench.path("a.cpg"), page).unwrap();
        let run = convert(&bench, &bench.path("a.shp"), "geojson", &[]);
        match expected {
            Some(name) => {
                run.succeeded();
                assert_eq!(names(&bench), [name, "b"]);
            }
            None => _ = run.failed(26, "engine.text_lost"),
        }
    }
}

#[test]
fn a_model_that_is_cut_short_is_refused() {
    let bench = Bench::new();
    let input = bench.path("a.ply");
    let whole = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\nelement face 2\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n3 0 2 1\n";
    std::fs::write(&input, whole).unwrap();
    convert(&bench, &input, "stl", &[]).succeeded();
    std::fs::write(&input, whole.strip_suffix("3 0 2 1\n").unwrap()).unwrap();
    let json = convert(&bench, &input, "obj", &[]).failed(15, "engine.rejected");
    let message = json["error"]["message"].as_str().unwrap();
    assert!(message.contains("declares 2 elements 'face' and has 1"), "{json}");
}

#[test]
fn scenes_that_are_not_converted_are_counted() {
    let bench = Bench::new();
    let input = bench.path("a.gltf");
    let buffer = "AAAAAAAAAAAAAAAAAACAPwAAAAAAAAAAAAAAAAAAgD8AAAAA";
    let text = format!(
        r#"{{"asset":{{"version":"2.0"}},"scene":0,"scenes":[{{"nodes":[0]}},{{"nodes":[1]}}],
        "nodes":[{{"mesh":0}},{{"mesh":0}}],"meshes":[{{"primitives":[{{"attributes":{{"POSITION":0}}}}]}}],
        "buffers":[{{"byteLength":36,"uri":"data:application/octet-stream;base64,{buffer}"}}],
        "bufferViews":[{{"buffer":0,"byteLength":36}}],
        "accessors":[{{"bufferView":0,"componentType":5126,"count":3,"type":"VEC3","min":[0,0,0],"max":[1,1,0]}}]}}"#
    );
    std::fs::write(&input, text).unwrap();
    let json = convert(&bench, &input, "stl", &[]).succeeded().json();
    assert!(json["warnings"].to_string().contains("the file has 2 scenes"), "{json}");
    convert(&bench, &input, "obj", &["--strict"]).failed(28, "engine.incomplete");
}

#[test]
fn values_of_mapinfo_tables_are_not_cut() {
    let bench = Bench::new();
    let input = bench.path("a.csv");
    let of = |text: &str, to: &str| {
        std::fs::write(&input, format!("name,x\n{text},1\n")).unwrap();
        convert(&bench, &input, to, &[])
    };
    // Of 252 bytes in CP949, and of 378 in UTF-8.
    of(&"가".repeat(126), "tab").succeeded();
    for text in ["가".repeat(128), "a".repeat(300)] {
        let json = of(&text, "tab").failed(26, "engine.text_lost");
        assert!(json["error"]["message"].as_str().unwrap().contains("254 bytes"), "{json}");
    }
    std::fs::write(&input, "이름,x\na,1\n").unwrap();
    let json = convert(&bench, &input, "tab", &[]).failed(26, "engine.text_lost");
    assert!(json["error"]["message"].as_str().unwrap().contains("names of fields"), "{json}");
}

#[test]
fn fields_of_kml_keep_their_names() {
    let bench = Bench::new();
    let input = bench.path("a.kml");
    let data = "<Data name=\"도로\"><value>a</value></Data><Data name=\"면적\"><value>b</value></Data>";
    let place = format!(
        "<Placemark><ExtendedData>{data}</ExtendedData><Point><coordinates>127,37</coordinates></Point></Placemark>"
    );
    let kml = "<kml xmlns=\"http://www.opengis.net/kml/2.2\"><Document>";
    std::fs::write(&input, format!("{kml}{place}</Document></kml>")).unwrap();
    convert(&bench, &input, "geojson", &["--strict"]).succeeded();
    let json: Value = serde_json::from_slice(&std::fs::read(bench.path("out.geojson")).unwrap()).unwrap();
    let fields = &json["features"][0]["properties"];
    assert!(fields["도로"] == "a" && fields["면적"] == "b", "{json}");
}

/// Whether it is text that was searched for them, or a database.
#[test]
fn control_characters_that_xml_does_not_have_are_a_loss() {
    let bench = Bench::new();
    let input = bench.path("a.geojson");
    let feature = |text: &str| {
        format!(
            r#"{{"type": "Feature", "properties": {{"a": "{text}"}}, "geometry": {{"type": "Point", "coordinates": [1, 2]}}}}"#
        )
    };
    let control = feature(r"x\u000by");
    std::fs::write(&input, &control).unwrap();
    convert(&bench, &input, "gpkg", &["--strict"]).succeeded();
    for (input, to) in [(&input, "kml"), (&input, "gml"), (&bench.path("out.gpkg"), "gml")] {
        let run = convert(&bench, input, to, &["--strict"]);
        let json = run.failed(28, "engine.incomplete");
        assert!(
            json["error"]["message"]
                .as_str()
                .unwrap()
                .contains("values of fields are not the same in the output: a"),
            "{json}"
        );
    }
    std::fs::write(&input, feature(r"\\u000b \n \u00e4")).unwrap();
    convert(&bench, &input, "gml", &["--strict"]).succeeded();
}

/// The owner learns what was guessed, of an archive in the archive too.
#[test]
fn guessed_names_of_an_archive_are_told() {
    let bench = Bench::new();
    let mut archive = zipped(&[("AAAA.csv", Stored, b"id,name\n1,a\n"), ("BBBB.txt", Stored, b"")]);
    // 도면 in CP949, and étéb in CP437.
    for (plain, stored) in [(b"AAAA", b"\xb5\xb5\xb8\xe9"), (b"BBBB", b"\x82t\x82b")] {
        while let Some(at) = memchr::memmem::find(&archive, plain) {
            archive[at..at + 4].copy_from_slice(stored);
        }
    }
    let input = bench.path("a.zip");
    std::fs::write(&input, &archive).unwrap();
    let told = "the archive does not say how its names are encoded: read 1 as CP437, the default of the format; 1 as CP949, in which they are Korean";
    let json = convert(&bench, &input, "geojson", &["--strict"]).succeeded().json();
    assert!(json["input"]["root"] == "도면.csv" && json["warnings"][0] == told, "{json}");
    let inspected = bench.run(&["inspect", "a.zip", "--archive-only", "--json"]).succeeded().json();
    assert_eq!(inspected["archive"]["guessed_names"], told);
    std::fs::write(&input, zipped(&[("inner.zip", Stored, &archive)])).unwrap();
    std::fs::remove_file(bench.path("out.geojson")).unwrap();
    let json = convert(&bench, &input, "geojson", &[]).succeeded().json();
    assert!(json["warnings"].to_string().contains("in 'inner.zip': the archive does not say"), "{json}");
}

/// What writers leave out or change without a message is found when the output is read back.
#[test]
fn the_output_is_compared_with_the_input() {
    const POINT: &str = r#"{"type": "Point", "coordinates": [127, 37]}"#;
    let cases = [
        (
            "fgb",
            "{}",
            r#"{"type": "MultiPolygon", "coordinates": []}"#,
            "1 of 1 features are not in the output",
        ),
        ("fgb", r#"{"t": "12:34:56"}"#, POINT, "values of fields are not in the output: t (1 of 1)"),
        ("mif", r#"{"n": null, "m": 1}"#, POINT, "became others in the output: n (1)"),
        ("mif", r#"{"a": "1\n2"}"#, POINT, "values of fields are not the same in the output: a"),
        ("kml", r#"{"n": 9007199254740993}"#, POINT, "values of fields are not the same in the output: n"),
        (
            "shp",
            r#"{"t": "2024-02-29T12:34:56Z"}"#,
            POINT,
            "times of day are not in the output, in fields: t",
        ),
        ("shp", r#"{"r": 1e-20}"#, POINT, "values of fields are not the same in the output: r"),
        (
            "gpx",
            "{}",
            r#"{"type": "Point", "coordinates": [127, 37, 5]}"#,
            "the heights (Z) are not in the output",
        ),
        (
            "dgn",
            "{}",
            r#"{"type": "Point", "coordinates": [127, 37, 5]}"#,
            "the heights (Z) are not the same",
        ),
    ];
    let bench = Bench::new();
    let input = bench.path("a.geojson");
    for (to, properties, geometry, says) in cases {
        // Of two features, so that fields have a type.
        let more = if properties.contains("null") { r#"{"n": 1, "m": 1}"# } else { properties };
        let feature = |properties: &str| {
            format!(r#"{{"type": "Feature", "properties": {properties}, "geometry": {geometry}}}"#)
        };
        let features = if more == properties {
            feature(properties)
        } else {
            feature(properties) + ", " + &feature(more)
        };
        std::fs::write(&input, format!(r#"{{"type": "FeatureCollection", "features": [{features}]}}"#))
            .unwrap();
        let json = convert(&bench, &input, to, &["--strict"]).failed(28, "engine.incomplete");
        assert!(json["warnings"].to_string().contains(says), "{to}: {json}");
        convert(&bench, &input, "gpkg", &["--strict"]).succeeded();
        std::fs::remove_file(bench.path("out.gpkg")).unwrap();
    }
    // A table without geometries, and a reference system that the format cannot name.
    std::fs::write(&input, r#"{"type": "Feature", "properties": {"a": 1}, "geometry": null}"#).unwrap();
    convert(&bench, &input, "fgb", &["--strict"]).failed(28, "engine.incomplete");
    std::fs::write(bench.path("p.csv"), "x,y\n200000.5,500000.5\n").unwrap();
    let system = "+proj=tmerc +lat_0=38 +lon_0=127 +k=1 +x_0=200000 +y_0=600000 +ellps=bessel +units=m";
    let run = Command::new("ogr2ogr")
        .args(["-oo", "X_POSSIBLE_NAMES=x", "-oo", "Y_POSSIBLE_NAMES=y", "-a_srs", system, "p.gpkg", "p.csv"])
        .current_dir(bench.path(""))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let json =
        convert(&bench, &bench.path("p.gpkg"), "geojson", &["--strict"]).failed(28, "engine.incomplete");
    assert!(
        json["error"]["message"].as_str().unwrap().contains("reference system is not in the output"),
        "{json}"
    );
    convert(&bench, &bench.path("p.gpkg"), "fgb", &["--strict"]).succeeded();
}

/// Of a large input that is not strictly converted, the first features are compared.
#[test]
fn a_part_of_a_large_output_is_compared() {
    let bench = Bench::new();
    let input = bench.path("a.csv");
    let rows = |last: &str| (1..=21_000).map(|n| format!("{n},{n}\n")).collect::<String>() + last;
    std::fs::write(&input, format!("n,m\n{}", rows("21001,9007199254740993\n"))).unwrap();
    let integers = ["--opt", "oo.AUTODETECT_TYPE=YES"];
    let json = convert(&bench, &input, "mif", &integers).succeeded().json();
    assert!(!json["warnings"].to_string().contains("not the same"), "{json}");
    ["out.mif", "out.mif.zip"].iter().for_each(|name| drop(std::fs::remove_file(bench.path(name))));
    convert(&bench, &input, "mif", &[&integers[..], &["--strict"]].concat()).failed(28, "engine.incomplete");
    ["out.mif", "out.mif.zip"].iter().for_each(|name| drop(std::fs::remove_file(bench.path(name))));
    // The first ones.
    std::fs::write(&input, format!("n,m\n9007199254740993,1\n{}", rows(""))).unwrap();
    let json = convert(&bench, &input, "mif", &integers).succeeded().json();
    assert!(
        json["warnings"].to_string().contains("values of fields are not the same in the output: n"),
        "{json}"
    );
}

#[test]
fn a_table_of_one_column_is_refused_for_that() {
    let bench = Bench::new();
    let input = bench.path("a.csv");
    for text in ["name\n가\n", "a|b\n1|2\n"] {
        std::fs::write(&input, text).unwrap();
        let json = convert(&bench, &input, "geojson", &[]).failed(15, "engine.rejected");
        assert!(json["error"]["message"].as_str().unwrap().contains("first row has one cell"), "{json}");
    }
}
