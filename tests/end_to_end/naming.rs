//! Names chosen by an engine: those of its files in a result archive, and those it reports about
//! itself. They follow the rules for input names, and contain only printable text.

use crate::misbehaviour::{compile, double, engines_file};
use crate::support::{Bench, Run, real};
use serde_json::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A conversion by the double, which writes `out.stl` and these additional files.
fn converted_with(names: &[&[u8]]) -> (Bench, Run) {
    let bench = Bench::new();
    let input = bench.path("input.obj");
    let mut words = "also".to_owned();
    for name in names {
        words.push(' ');
        name.iter().for_each(|byte| write!(words, "{byte:02x}").unwrap());
    }
    std::fs::write(&input, words + "\n").unwrap();
    let engines = engines_file(&bench, double(), "");
    let run = bench.run(&[
        "convert",
        input.to_str().unwrap(),
        "--to",
        "stl",
        "--engine",
        "double",
        "--engines-file",
        engines.to_str().unwrap(),
        "-o",
        "out.stl",
        "--json",
    ]);
    (bench, run)
}

/// The names in a zip archive.
fn names_in(archive: &Path) -> Vec<String> {
    let archive = zip::ZipArchive::new(std::fs::File::open(archive).unwrap()).unwrap();
    archive.file_names().map(|name| name.unwrap().into_owned()).collect()
}

#[test]
fn names_in_a_result_archive_obey_the_rules_for_names_on_input() {
    let deep = "d/".repeat(33) + "x";
    let long = format!("{0}/{0}/{0}/{0}/{0}", "n".repeat(250));
    let refused: [&[&str]; 19] = [
        &["..\\..\\evil.bat"],
        &["a\\b.mtl"],
        &["dir\\/x.mtl"],
        &["C:evil.mtl"],
        &["c:/evil.mtl"],
        &["red\u{1b}[31m.mtl"],
        &["line\nfeed.mtl"],
        &["tab\t/x.mtl"],
        &["del\u{7f}.mtl"],
        &["c1\u{9b}31m.mtl"],
        &["gnp.\u{202e}ltm"],
        &["hidden\u{200b}.mtl"],
        &["\u{feff}out.mtl"],
        &["line\u{2028}.mtl"],
        // Pairs of names that some system treats as equal: identical, by case, by composition, as
        // file and directory.
        &["OUT.STL"],
        &["Stra\u{df}e.mtl", "STRASSE.mtl"],
        &["\u{e9}.mtl", "e\u{301}.mtl"],
        &["Out.Stl/x.mtl"],
        &["A/x.mtl", "a/y.mtl"],
    ];
    let too_much: [&[&str]; 2] = [&[&deep], &[&long]];
    let mut wrong = Vec::new();
    for names in refused.iter().chain(&too_much) {
        let (bench, run) = converted_with(&names.iter().map(|name| name.as_bytes()).collect::<Vec<_>>());
        let message = serde_json::from_str(&run.stdout)
            .map(|json: Value| json["error"]["message"].as_str().unwrap_or_default().to_owned())
            .unwrap_or_default();
        let harmless = !message.chars().any(|c| c.is_control() || c == '\u{202e}');
        let nothing = !bench.path("out.stl.zip").exists() && !bench.path("out.stl").exists();
        if run.code != Some(17) || !message.contains("the engine left") || !harmless || !nothing {
            wrong.push(format!("{names:?}: {:?} {message}", run.code));
        }
    }
    let (bench, run) = converted_with(&[b"latin\xe9.mtl"]);
    if run.code != Some(17) || bench.path("out.stl.zip").exists() {
        wrong.push(format!("not UTF-8: {:?}", run.code));
    }
    assert!(wrong.is_empty(), "not refused:\n{}", wrong.join("\n"));
}

/// Other names stay as they are, and cadmill can read the published archive.
#[test]
fn other_names_stay_as_they_are() {
    let long = "n".repeat(255);
    let names =
        ["out.mtl", "Straße/고객.mtl", "a b/c'd", "..a/b..", "ab:c", "-", "CON.mtl", &long, "e\u{301}.mtl"];
    let (bench, run) = converted_with(&names.map(str::as_bytes));
    run.succeeded();
    let archive = bench.path("out.stl.zip");
    let mut found = names_in(&archive);
    found.sort();
    let mut expected: Vec<String> =
        names.iter().map(|&name| name.to_owned()).chain(["out.stl".to_owned()]).collect();
    expected.sort();
    assert_eq!(found, expected);
    // The double's output is not a model: the engine refuses it, after the archive was accepted.
    let json = bench
        .run(&["convert", archive.to_str().unwrap(), "--root", "out.stl", "--to", "obj", "--json"])
        .failed(15, "engine.rejected");
    assert_eq!(json["input"]["root"], "out.stl", "{json}");
}

/// The user's file and the output may have any name; the names of files derived from them may not.
#[test]
fn a_strange_name_of_the_input_does_not_get_into_the_archive() {
    for strange in ["we\\ird", "e\u{1b}[31mscape", "gnp.\u{202e}ltm", "C:drive", "two\nlines"] {
        let bench = Bench::new();
        let input = bench.path(&format!("{strange}.stl"));
        std::fs::copy(real("mesh/moon_ascii.stl"), &input).unwrap();
        for output in [None, Some(format!("{strange}.obj"))] {
            let mut arguments = vec!["convert", input.to_str().unwrap(), "--to", "obj", "--json"];
            arguments.extend(output.iter().flat_map(|output| ["-o", output.as_str()]));
            let json = bench.run(&arguments).succeeded().json();
            let archive = bench.path(json["output"]["path"].as_str().unwrap());
            let names = names_in(&archive);
            assert_eq!(names.len(), 2, "{names:?}");
            let fit = |name: &String| {
                !name.contains(['\\', '\u{202e}'])
                    && !name[1..].starts_with(':')
                    && !name.chars().any(char::is_control)
            };
            assert!(names.iter().all(fit), "{names:?}");
            // The model still finds its materials.
            let again = bench.run(&[
                "convert",
                archive.to_str().unwrap(),
                "--to",
                "stl",
                "-o",
                "again.stl",
                "--json",
            ]);
            let warnings = again.succeeded().json()["warnings"].to_string();
            assert!(!warnings.contains("Unable to locate"), "{warnings}");
            std::fs::remove_file(archive).unwrap();
        }
    }
}

/// All strings in a JSON document.
fn texts(json: &Value) -> Vec<&str> {
    match json {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(map) => {
            map.iter().flat_map(|(name, value)| [vec![name.as_str()], texts(value)].concat()).collect()
        }
        _ => Vec::new(),
    }
}

fn is_plain(text: &str) -> bool {
    text.chars().count() <= 500
        && !text.chars().any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c))
}

fn hostile(name: &str, definition: &str) -> PathBuf {
    compile(name, &[&format!("-D{definition}")])
}

#[test]
fn the_path_that_an_engine_says_it_was_loaded_from_is_cleaned() {
    let long = "/".to_owned() + &"x".repeat(40_000);
    let paths = [
        ("escape", r"/usr/lib/\\u001b[31m\\u001b]0;owned\\u0007libassimp.so"),
        ("lines", r"/usr/lib/libassimp.so\\nforged: line\\r"),
        ("order", r"/usr/lib/\\u202eos.pmissabil"),
        ("c1", r"/usr/lib/\\u009b31mlibassimp.so"),
        ("long", long.as_str()),
    ];
    for (name, path) in paths {
        let library = hostile(&format!("double-loaded-{name}"), &format!("DOUBLE_LOADED=\"{path}\""));
        let bench = Bench::new();
        let engines = engines_file(&bench, &library, "");
        let engines = engines.to_str().unwrap();
        let input = bench.path("input.obj");
        std::fs::write(&input, "ok \n").unwrap();
        let convert = [
            "convert",
            input.to_str().unwrap(),
            "--to",
            "stl",
            "--engine",
            "double",
            "--engines-file",
            engines,
        ];
        let described = bench.run(&["engines", "--engines-file", engines]);
        assert!(described.stdout.lines().all(is_plain), "{name}: {described:?}");
        let described = bench.run(&["engines", "--json", "--engines-file", engines]).json();
        assert!(texts(&described).into_iter().all(is_plain), "{name}: {described}");
        let shown = bench.run(&convert);
        assert!(shown.stdout.lines().chain(shown.stderr.lines()).all(is_plain), "{name}: {shown:?}");
        let json = bench.run(&[&convert[..], &["--json"]].concat()).json();
        assert!(texts(&json).into_iter().all(is_plain), "{name}: {json}");
    }
}

#[test]
fn the_formats_that_an_engine_says_it_has_are_plain_words() {
    let library = hostile("double-describes", r#"DOUBLE_DESCRIBES="\x1b[31m\n../x""#);
    let bench = Bench::new();
    let engines = engines_file(&bench, &library, "");
    let engines = engines.to_str().unwrap();
    let text = bench.run(&["engines", "--engines-file", engines]);
    assert!(text.stdout.lines().all(is_plain) && !text.stdout.contains("../x"), "{text:?}");
    let json = bench.run(&["engines", "--json", "--engines-file", engines]).json();
    assert!(texts(&json).into_iter().all(|text| is_plain(text) && !text.contains("../x")), "{json}");
    let double =
        json["engines"].as_array().unwrap().iter().find(|engine| engine["name"] == "double").unwrap();
    assert!(double["reads"].to_string().contains("obj"), "{double}");
}
