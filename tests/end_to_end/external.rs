//! Files that name other files: the content of those never reaches a result; the content of the
//! file itself, and of the files beside it, does.
//!
//! Landlock would block most of these accesses. Therefore each case runs without Landlock, and the
//! same hostile files are given to `ogr2ogr`, which must read the other file: otherwise the test
//! would show nothing.

use crate::attacks::{preceded, without_landlock};
use crate::parity::{Files, read_zip};
use crate::support::{Bench, Run, zipped};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the hostile files try to read.
const SECRET: &str = "SECRET-OF-ANOTHER-JOB";

/// A directory of another job, with the secret in it, and a bench.
struct Scene {
    bench: Bench,
    other: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let other = tempfile::Builder::new().prefix("cadmill-other-").tempdir_in("/dev/shm").unwrap();
        std::fs::write(other.path().join("secret.csv"), format!("name,x\n{SECRET},1\n")).unwrap();
        Self { bench: Bench::new().with("CADMILL_MIN_POSTURE", "syscalls"), other }
    }

    fn secret(&self) -> String {
        self.other.path().join("secret.csv").display().to_string()
    }

    fn input(&self, name: &str) -> PathBuf {
        self.bench.path(name)
    }

    /// Converts without Landlock.
    fn convert(&self, input: &Path, more: &[&str]) -> Run {
        let arguments = ["convert", input.to_str().unwrap(), "--to", "csv", "-o", "out.zip", "--json"];
        let engine = ["--engine", "gdal"];
        let command = self.bench.command(&[&arguments[..], &engine, more].concat());
        let run = Run::from(preceded(&[without_landlock().to_str().unwrap()], &command).output().unwrap());
        self.bench.assert_no_plaintext_left();
        run
    }

    /// Whether the secret is in the messages or in the output.
    fn is_out(&self, run: &Run) -> bool {
        let path = self.bench.path("out.zip");
        let made = if path.exists() { read_zip(&path) } else { Files::new() };
        let _ = std::fs::remove_file(path);
        let has = |bytes: &[u8]| memchr::memmem::find(bytes, SECRET.as_bytes()).is_some();
        has(run.stdout.as_bytes()) || has(run.stderr.as_bytes()) || made.values().any(|bytes| has(bytes))
    }

    /// Whether GDAL's own tool reads the other file.
    fn fools_ogr2ogr(&self, input: &Path) -> bool {
        let output = Command::new("ogr2ogr").args(["-f", "CSV", "/vsistdout/"]).arg(input).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains(SECRET)
    }
}

/// A database with one ordinary table, and with schema rows that SQLite's own tools would not
/// create.
fn database(path: &Path, encoding: &str, schema: &[(&str, &str)]) {
    let _ = std::fs::remove_file(path);
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(&format!("PRAGMA encoding = '{encoding}'; CREATE TABLE t (a, b);")).unwrap();
    connection.execute("INSERT INTO t VALUES (1, 'own')", []).unwrap();
    connection.execute_batch("PRAGMA writable_schema = ON").unwrap();
    for (kind, sql) in schema {
        let row = "INSERT INTO sqlite_schema VALUES (?1, 'v', 'v', 0, ?2)";
        connection.execute(row, [kind, sql]).unwrap();
    }
}

#[test]
fn virtual_tables_that_read_other_files_are_refused() {
    let scene = Scene::new();
    let secret = scene.secret();
    let text = format!("('{secret}', 'UTF-8', 1, POINT, DOUBLEQUOTE, ',')");
    let statements = [
        ("table", format!("CREATE VIRTUAL TABLE v USING VirtualText{text}")),
        ("table", format!("CREATE VIRTUAL TABLE v USING VirtualOGR('{secret}')")),
        ("table", format!("create/**/virtual\n/* USING rtree */\ttable[v]--\nusing\"virtualtext\"{text}")),
        ("index", format!("CREATE VIRTUAL TABLE v USING virtualTEXT{text}")),
        ("table", "CREATE VIRTUAL TABLE v USING fts4(a, uncompress=SqlProc_Execute)".to_owned()),
        ("view", format!("CREATE VIRTUAL TABLE IF NOT EXISTS main.v USING `VirtualText`{text}")),
    ];
    let mut fooled = 0;
    for (name, encoding) in
        [("a.sqlite", "UTF-8"), ("b.gpkg", "UTF-8"), ("c.sqlite", "UTF-16le"), ("d.shp", "UTF-16be")]
    {
        for (kind, sql) in &statements {
            let input = scene.input(name);
            database(&input, encoding, &[(kind, sql)]);
            fooled += usize::from(scene.fools_ogr2ogr(&input));
            let run = scene.convert(&input, &[]);
            assert!(!scene.is_out(&run), "{name} {kind} {sql}: {run:?}");
            // Newer versions of SQLite themselves refuse a row whose type does not match its SQL.
            let damaged = *kind != "table" && run.code == Some(15);
            let (exit, code, says) = match damaged {
                true => (15, "engine.rejected", "SQLite cannot read the file"),
                false => (10, "input.external_reference", "virtual"),
            };
            let json = run.failed(exit, code);
            assert!(json["error"]["message"].as_str().unwrap().contains(says), "{json}");
        }
    }
    assert!(fooled >= 8, "GDAL itself is not fooled: {fooled}");
}

/// The schema comes from the write-ahead log of an unfinished writer, where there is one.
#[test]
fn a_schema_in_a_write_ahead_log_counts() {
    let scene = Scene::new();
    let writer = scene.input("live.sqlite");
    database(&writer, "UTF-8", &[]);
    let connection = Connection::open(&writer).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA writable_schema = ON;",
        )
        .unwrap();
    let sql = format!("CREATE VIRTUAL TABLE v USING VirtualOGR('{}')", scene.secret());
    connection.execute("INSERT INTO sqlite_schema VALUES ('table', 'v', 'v', 0, ?1)", [sql]).unwrap();
    let entries: Vec<(String, Vec<u8>)> = ["", "-wal", "-shm"]
        .iter()
        .map(|end| {
            (format!("live.sqlite{end}"), std::fs::read(format!("{}{end}", writer.display())).unwrap())
        })
        .collect();
    drop(connection);
    let entries: Vec<_> = entries
        .iter()
        .map(|(name, bytes)| (name.as_str(), zip::CompressionMethod::Stored, &bytes[..]))
        .collect();
    let input = scene.input("live.zip");
    std::fs::write(&input, zipped(&entries)).unwrap();
    let run = scene.convert(&input, &["--root", "live.sqlite"]);
    assert!(!scene.is_out(&run), "{run:?}");
    run.failed(10, "input.external_reference");
}

#[test]
fn views_that_call_what_reaches_further_are_refused() {
    let scene = Scene::new();
    for call in [
        format!("ogr_datasource_load_layers('{}')", scene.secret()),
        "ogr_geocode('x')".to_owned(),
        "load_extension('/tmp/x.so')".to_owned(),
        format!("BlobFromFile('{}')", scene.secret()),
        "fts3_tokenizer('simple')".to_owned(),
    ] {
        let input = scene.input("a.sqlite");
        database(&input, "UTF-8", &[("view", &format!("CREATE VIEW v AS SELECT {call} AS x, a FROM t"))]);
        let run = scene.convert(&input, &[]);
        assert!(!scene.is_out(&run), "{call}: {run:?}");
        run.failed(10, "input.external_reference");
    }
}

/// Features of real databases are still read: R-trees, full text search, views, SpatiaLite.
#[test]
fn databases_that_keep_to_themselves_are_converted() {
    let scene = Scene::new();
    let input = scene.input("a.sqlite");
    database(&input, "UTF-8", &[]);
    let connection = Connection::open(&input).unwrap();
    connection
        .execute_batch(
            "CREATE VIRTUAL TABLE tree USING rtree(id, x0, x1); CREATE VIRTUAL TABLE words USING fts5(text);
             CREATE VIEW seen AS SELECT a, upper(b) AS b, length(b) AS n FROM t;
             CREATE TABLE made (a, b AS (a + 1));
             CREATE TRIGGER later AFTER INSERT ON t BEGIN UPDATE t SET b = lower(b); END;",
        )
        .unwrap();
    drop(connection);
    scene.convert(&input, &[]).succeeded();
    let source = crate::support::real("gis/countries.gpkg");
    for to in [["--to", "sqlite", "-o", "s.sqlite"], ["--to", "gpkg", "-o", "s.gpkg"]] {
        let spatialite: &[&str] = if to[1] == "sqlite" { &["--opt", "dsco.SPATIALITE=YES"] } else { &[] };
        let arguments = [&["convert", source.to_str().unwrap()][..], &to, spatialite].concat();
        scene.bench.run(&arguments).succeeded();
        scene.convert(&scene.input(to[3]), &[]).succeeded();
    }
}

/// Xerces reads the encodings that Expat does not, and resolves what a document names.
#[test]
fn entities_of_a_document_are_not_read() {
    let scene = Scene::new();
    for (encoding, document_type) in [
        ("EUC-KR", format!("[<!ENTITY e SYSTEM \"file://{}\">]", scene.secret())),
        (
            "windows-949",
            format!(
                "[<!ENTITY % p SYSTEM \"{}\"> <!ENTITY e SYSTEM \"{}\">]",
                scene.secret(),
                scene.secret()
            ),
        ),
        ("UTF-8", format!("[<!ENTITY e SYSTEM \"{}\">]", scene.secret())),
        ("IBM1047", format!("[<!ENTITY e SYSTEM \"{}\">]", scene.secret())),
    ] {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"{encoding}\"?><!-- x --><!DOCTYPE ogr:FeatureCollection {document_type}>\
             <ogr:FeatureCollection xmlns:ogr=\"http://ogr.maptools.org/\" xmlns:gml=\"http://www.opengis.net/gml\">\
             <gml:featureMember><ogr:t fid=\"t.0\"><ogr:name>A&e;B</ogr:name></ogr:t></gml:featureMember>\
             </ogr:FeatureCollection>"
        );
        let input = scene.input("a.gml");
        std::fs::write(&input, text).unwrap();
        if encoding == "EUC-KR" {
            assert!(scene.fools_ogr2ogr(&input), "GDAL itself is not fooled");
            let _ = std::fs::remove_file(scene.input("a.gfs"));
        }
        let run = scene.convert(&input, &[]);
        assert!(!scene.is_out(&run), "{encoding}: {run:?}");
        if encoding != "UTF-8" {
            run.failed(10, "input.external_reference");
        }
    }
}

/// A MapInfo table that combines other tables has their names in its rows.
#[test]
fn tables_of_tables_elsewhere_are_refused() {
    let scene = Scene::new();
    let run = |arguments: &[&str]| {
        let output = Command::new("ogr2ogr").args(["-f", "MapInfo File"]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let polygon = "{\"type\":\"Polygon\",\"coordinates\":[[[0,0],[0,5],[5,5],[5,0],[0,0]]]}";
    let source = scene.input("source.geojson");
    let write = |field: &str, value: &str| {
        let text = format!(
            "{{\"type\":\"FeatureCollection\",\"features\":[{{\"type\":\"Feature\",\"properties\":{{\"{field}\":\"{value}\"}},\"geometry\":{polygon}}}]}}"
        );
        std::fs::write(&source, text).unwrap();
    };
    let make = |target: &Path| run(&[target.to_str().unwrap(), source.to_str().unwrap()]);
    write("name", SECRET);
    make(&scene.other.path().join("other.tab"));
    write("name", "own");
    make(&scene.input("part.tab"));
    let table = scene.input("whole.tab");
    // Enough parent steps to reach the root from anywhere.
    for (name, outside) in [
        (format!("{}{}/other.tab", "../".repeat(12), scene.other.path().display()), true),
        ("part.tab".to_owned(), false),
    ] {
        write("Table", &name);
        make(&table);
        let mut text = std::fs::read_to_string(&table).unwrap();
        text.push_str("begin_metadata\n\"\\IsSeamless\" = \"TRUE\"\nend_metadata\n");
        std::fs::write(&table, text).unwrap();
        assert_eq!(scene.fools_ogr2ogr(&table), outside, "{name}");
        let run = scene.convert(&table, &[]);
        assert!(!scene.is_out(&run), "{run:?}");
        if outside {
            run.failed(10, "input.external_reference");
        } else {
            run.succeeded();
        }
        for extension in ["tab", "dat", "map", "id"] {
            let _ = std::fs::remove_file(table.with_extension(extension));
        }
    }
}

/// Text in the Korean encoding, which Expat does not know, is still read.
#[test]
fn a_document_in_another_encoding_is_converted() {
    let bench = Bench::new();
    let head = "<?xml version=\"1.0\" encoding=\"EUC-KR\"?>\n<ogr:FeatureCollection xmlns:ogr=\"http://ogr.maptools.org/\" \
         xmlns:gml=\"http://www.opengis.net/gml\"><gml:featureMember><ogr:t fid=\"t.0\"><ogr:name>";
    let tail = "</ogr:name></ogr:t></gml:featureMember></ogr:FeatureCollection>";
    // 서울 in EUC-KR.
    let text = [head.as_bytes(), &[0xbc, 0xad, 0xbf, 0xef], tail.as_bytes()].concat();
    let input = bench.path("a.gml");
    std::fs::write(&input, text).unwrap();
    bench.run(&["convert", input.to_str().unwrap(), "--to", "csv", "-o", "out.csv"]).succeeded();
    assert!(std::fs::read_to_string(bench.path("out.csv")).unwrap().contains("서울"));
    // And written in another encoding, with the C library's conversion modules, which are shared
    // objects.
    let options = ["--to", "shp", "-o", "out.zip", "--opt", "lco.ENCODING=CP949"];
    bench.run(&[&["convert", input.to_str().unwrap()][..], &options].concat()).succeeded();
    let files = read_zip(&bench.path("out.zip"));
    let (name, bytes) = files.iter().find(|(name, _)| name.ends_with(".dbf")).expect("a table");
    assert!(memchr::memmem::find(bytes, &[0xbc, 0xad, 0xbf, 0xef]).is_some(), "no CP949 in {name}");
}

/// A filter condition that reaches SQLite contains comparisons only.
#[test]
fn a_condition_that_calls_or_selects_is_refused_before_there_is_a_process() {
    let scene = Scene::new();
    let input = scene.input("a.sqlite");
    database(&input, "UTF-8", &[]);
    for condition in [
        "ogr_geocode('Seoul') IS NOT NULL",
        "a = 1 OR \"ogr_geocode\"('Seoul') IS NULL",
        "a IN (SELECT 1)",
        "1) UNION SELECT name, sql FROM sqlite_schema --",
        "load_extension('/tmp/x.so') IS NULL",
        "a = 1; ATTACH 'x' AS y",
        "[ogr_geocode]('x') = 1",
    ] {
        let option = format!("where={condition}");
        let json = scene.convert(&input, &["--opt", &option]).failed(2, "usage.option");
        assert!(json["engine"]["version"].is_null(), "a process was made: {json}");
    }
    let json =
        scene.convert(&input, &["--opt", "WHERE=a IS NOT NULL AND (b LIKE 'o%' OR lower(b) IN ('x'))"]);
    json.succeeded();
}
