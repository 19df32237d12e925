//! What GDAL does not read of a drawing or of a dBASE table, and what it reads otherwise than it is
//! meant.

use crate::support::{Bench, zipped};
use serde_json::{Value, json};
use std::path::Path;
use zip::CompressionMethod::Stored;

/// Converts a file, strictly or not; returns the report.
fn report(bench: &Bench, input: &Path, more: &[&str]) -> Value {
    let arguments = ["convert", input.to_str().unwrap(), "--to", "geojson", "-o", "out.geojson", "--json"];
    bench.run(&[&arguments[..], more].concat()).succeeded().json()
}

/// The properties of the features in the output, which is removed.
fn taken(bench: &Bench) -> Vec<Value> {
    let path = bench.path("out.geojson");
    let json: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect("UTF-8")).unwrap();
    std::fs::remove_file(path).unwrap();
    json["features"].as_array().unwrap().iter().map(|feature| feature["properties"].clone()).collect()
}

/// A drawing with these entities, each a type and its pairs.
fn drawing(page: &str, entities: &[(&str, &str)]) -> String {
    let mut text =
        format!("0\nSECTION\n2\nHEADER\n9\n$ACADVER\n1\nAC1015\n9\n$DWGCODEPAGE\n3\n{page}\n0\nENDSEC\n");
    text.push_str("0\nSECTION\n2\nENTITIES\n");
    for (kind, pairs) in entities {
        text.push_str(&format!("0\n{kind}\n8\n0\n10\n1\n20\n2\n{pairs}"));
    }
    text + "0\nENDSEC\n0\nEOF\n"
}

const LINE: (&str, &str) = ("LINE", "11\n5\n21\n6\n");

#[test]
fn entities_that_are_not_read_are_a_loss() {
    let bench = Bench::new();
    let input = bench.path("plan.dxf");
    let entities = [LINE, ("RAY", "11\n1\n21\n0\n"), ("3DSOLID", "1\nxx\n"), ("INSERT", "2\nNOPE\n")];
    std::fs::write(&input, drawing("ANSI_949", &entities)).unwrap();
    let json = report(&bench, &input, &[]);
    assert_eq!(json["losses"], 2, "{json}");
    assert_eq!(
        json["warnings"],
        json!([
            "1 3DSOLID and 1 RAY entities were left out: GDAL does not read them",
            "1 INSERT entities were left out: the drawing does not have their blocks, 'NOPE'",
        ])
    );
    std::fs::remove_file(bench.path("out.geojson")).unwrap();
    let arguments = ["convert", input.to_str().unwrap(), "--to", "geojson", "-o", "o.geojson", "--json"];
    bench.run(&[&arguments[..], &["--strict"]].concat()).failed(28, "engine.incomplete");

    std::fs::write(&input, drawing("ANSI_949", &[LINE, ("ARC", "40\n1\n50\n0\n51\n90\n")])).unwrap();
    let json = report(&bench, &input, &["--strict"]);
    assert!(json["warnings"].to_string().contains("curves as short lines: 1 ARC entities"), "{json}");
    std::fs::remove_file(bench.path("out.geojson")).unwrap();
    std::fs::write(&input, drawing("ANSI_949", &[LINE])).unwrap();
    assert_eq!(report(&bench, &input, &["--strict"])["warnings"], json!([]));

    std::fs::write(&input, b"AutoCAD Binary DXF\r\n\x1a\0\0\0SECTION\0").unwrap();
    let run = bench.run(&arguments);
    let json = run.failed(15, "engine.rejected");
    assert!(json["error"]["message"].as_str().unwrap().contains("binary drawing"), "{json}");
}

#[test]
fn characters_that_a_drawing_spells_are_text() {
    let bench = Bench::new();
    let input = bench.path("plan.dxf");
    for (page, layer, text, read) in [
        ("ANSI_949", "\\U+B3C4", "\\U+C11C\\U+C6B8 \\M+3B5B5", ["도", "서울 도"]),
        ("ANSI_1252", "a", "%%c5 \\U+00D8", ["a", "⌀5 Ø"]),
    ] {
        let entities = [("TEXT", format!("8\n{layer}\n40\n1\n1\n{text}\n"))];
        let entities = entities.each_ref().map(|(kind, pairs)| (*kind, pairs.as_str()));
        std::fs::write(&input, drawing(page, &entities).replace("8\n0\n10", "10")).unwrap();
        let json = report(&bench, &input, &["--strict"]);
        assert_eq!(json["warnings"], json!([]), "{text}");
        let taken = taken(&bench);
        assert_eq!([&taken[0]["Layer"], &taken[0]["Text"]], read, "{text}");
    }
}

/// A shapefile of one point, whose table has one field and one value.
fn shapefile(bench: &Bench, kind: u8, value: &[u8], cpg: Option<&str>) -> std::path::PathBuf {
    let width = u8::try_from(value.len()).unwrap();
    let mut table = vec![0; 32];
    (table[0], table[4], table[8], table[10]) = (3, 1, 65, width + 1);
    let mut field = [0; 32];
    field[..3].copy_from_slice(b"PNU");
    (field[11], field[16]) = (kind, width);
    table.extend(field);
    table.extend([0x0d, b' ']);
    table.extend(value);
    table.push(0x1a);
    let head = |bytes: u32| {
        let mut head = vec![0; 100];
        head[2..4].copy_from_slice(&9994_u16.to_be_bytes());
        head[24..28].copy_from_slice(&(bytes / 2).to_be_bytes());
        head[28..30].copy_from_slice(&1000_u16.to_le_bytes());
        head[32] = 1;
        head
    };
    let record = [0, 0, 0, 1, 0, 0, 0, 10, 1, 0, 0, 0];
    let shapes = [head(128), record.to_vec(), vec![0; 16]].concat();
    let index = [head(108), vec![0, 0, 0, 50, 0, 0, 0, 10]].concat();
    let mut entries =
        vec![("r.shp", Stored, &shapes[..]), ("r.shx", Stored, &index), ("r.dbf", Stored, &table)];
    entries.extend(cpg.map(|cpg| ("r.cpg", Stored, cpg.as_bytes())));
    let path = bench.path("r.zip");
    std::fs::write(&path, zipped(&entries)).unwrap();
    path
}

#[test]
fn wide_numbers_keep_their_digits_or_are_a_loss() {
    let bench = Bench::new();
    let input = shapefile(&bench, b'N', b"1111010100100010001", None);
    assert_eq!(report(&bench, &input, &["--strict"])["warnings"], json!([]));
    assert_eq!(taken(&bench)[0]["PNU"], json!(1_111_010_100_100_010_001_u64));
    let input = shapefile(&bench, b'N', b"12345678901234567890", None);
    let json = report(&bench, &input, &[]);
    assert!(json["losses"] == 1 && json["warnings"].to_string().contains("PNU were rounded"), "{json}");
}

#[test]
fn fields_that_are_not_text_are_a_loss() {
    for (kind, value, told) in [
        (b'M', &b"         1"[..], "it is a memo (type M)"),
        (b'I', b"\x07\0\0\0", "a field of the type I"),
        (b'C', b"a\0b", "cut at a NUL character"),
    ] {
        let bench = Bench::new();
        let json = report(&bench, &shapefile(&bench, kind, value, None), &[]);
        assert!(json["losses"] == 1 && json["warnings"].to_string().contains(told), "{json}");
    }
}

#[test]
fn a_declaration_that_is_not_known_is_told_and_well_known_names_are_read() {
    let bench = Bench::new();
    // EUC-JP, and Big5.
    for (cpg, text, read) in [("ujis", &b"\xc5\xec\xb5\xfe"[..], "東京"), ("951", b"\xa5\xcd", "生")] {
        let json = report(&bench, &shapefile(&bench, b'C', text, Some(cpg)), &[]);
        assert_eq!(taken(&bench)[0]["PNU"], read, "{json}");
    }
    let json = report(&bench, &shapefile(&bench, b'C', b"\xb5\xb5\xb7\xce", Some("OEM")), &[]);
    let told = "the .cpg file says that the text of r.dbf is 'OEM', which is not a known encoding";
    assert!(json["warnings"].to_string().contains(told), "{json}");
    assert_eq!(taken(&bench)[0]["PNU"], "도로");
    let input = shapefile(&bench, b'C', b"Stra\xe1e", Some("johab"));
    let arguments = ["convert", input.to_str().unwrap(), "--to", "geojson", "-o", "o.geojson", "--json"];
    let json = bench.run(&arguments).failed(26, "engine.text_lost");
    assert!(json["error"]["message"].as_str().unwrap().contains("'johab'"), "{json}");

    let input = bench.path("plan.dxf");
    let text = drawing("ascii", &[("TEXT", "40\n1\n1\n??\n")]);
    let (before, after) = text.split_once("??").unwrap();
    std::fs::write(&input, [before.as_bytes(), b"\xb5\xb5\xb8\xe9", after.as_bytes()].concat()).unwrap();
    report(&bench, &input, &[]);
    assert_eq!(taken(&bench)[0]["Text"], "도면");
}

#[test]
fn tables_of_text_are_read_in_code_pages_of_dos() {
    let bench = Bench::new();
    let input = bench.path("a.csv");
    std::fs::write(&input, b"id,name\n1,Stra\xe1e \xd5\n").unwrap();
    for (page, read) in [("CP850", "Straße ı"), ("cp437", "Straße ╒"), ("858", "Straße €")] {
        let json = report(&bench, &input, &["--strict", "--opt", &format!("encoding={page}")]);
        assert_eq!(taken(&bench)[0]["name"], read, "{json}");
    }
    std::fs::write(&input, b"\xff\xfe\0\0n\0\0\0").unwrap();
    let arguments = ["convert", input.to_str().unwrap(), "--to", "geojson", "-o", "o.geojson", "--json"];
    let json = bench.run(&arguments).failed(26, "engine.text_lost");
    assert!(json["error"]["message"].as_str().unwrap().contains("is UTF-32"), "{json}");
}
