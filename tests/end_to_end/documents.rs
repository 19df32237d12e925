//! The documents are true: what they name exists, and what they show happens.
//!
//! Each test reads claims from the documents and checks them against the binary, the sources or the
//! Makefile. Each also asserts that it found any claims: a test that reads nothing would always
//! pass.

use crate::support::{Bench, Run, repository};
use std::collections::BTreeSet;

/// Documents that are checked against the repository.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "README.ko.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/ABI.md",
    "docs/ARCHITECTURE.md",
    "docs/ARCHIVES.md",
    "docs/AUDIT.md",
    "docs/AWS.md",
    "docs/BENCHMARKS.md",
    "docs/BRING-YOUR-OWN.md",
    "docs/CLI.md",
    "docs/CONFIGURATION.md",
    "docs/DEPLOY-AWS.md",
    "docs/ENGINES.md",
    "docs/FAILURES.md",
    "docs/IMAGES.md",
    "docs/FROM-JAR-TO-FFI.md",
    "docs/LIMITS.md",
    "docs/OPERATING.md",
    "docs/PAGE.md",
    "docs/PIPELINE.md",
    "docs/SCALE.md",
    "docs/SECURITY.md",
    "docs/adr/0001-process-per-conversion.md",
    "docs/adr/0002-zip-crate-for-local-archives.md",
    "docs/adr/0003-gdal-vector-translate.md",
    "docs/adr/0004-several-files-become-a-zip.md",
    "docs/adr/0005-memory-cap.md",
    "docs/adr/0006-dxf-through-our-own-files.md",
    "docs/adr/0007-results-kept-apart-by-attempt.md",
    "docs/adr/0008-embedded-object-server.md",
    "docs/adr/0009-archive-reader.md",
    "docs/adr/0010-unzip-while-downloading.md",
    "docs/adr/0011-confinement-without-namespaces.md",
    "docs/adr/0012-every-temporary-file-on-record.md",
    "docs/adr/0013-a-jvm-per-conversion.md",
    "docs/adr/0014-private-workspace.md",
    "docs/adr/0015-landlock-abi-2.md",
    "docs/adr/0016-no-mapping.md",
    "docs/adr/0017-a-dxf-writer.md",
    "docs/adr/0018-a-plugin-interface.md",
    "docs/adr/0019-records-of-two-versions.md",
    "docs/example/README.md",
    "docker/aws/policies/README.md",
];

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The name and the text of each document.
fn documents() -> impl Iterator<Item = (&'static str, String)> {
    DOCUMENTS.iter().map(|&path| (path, read(path)))
}

fn set<'a>(words: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    words.into_iter().map(str::to_owned).collect()
}

/// Text in single backticks, outside of code blocks.
fn code_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            assert!(line.matches('`').count() % 2 == 0, "code is broken over two lines: {line}");
            words.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    words
}

/// Lines outside of code blocks.
fn prose_lines(text: &str) -> Vec<&str> {
    let mut in_block = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            lines.push(line);
        }
    }
    lines
}

/// The code blocks of a text, each with its language tag.
fn code_blocks(text: &str) -> Vec<&str> {
    // Text and code alternate, and the first piece is text.
    text.split("```").skip(1).step_by(2).collect()
}

/// The tables of a text: for each row, the code words in it.
fn tables(text: &str) -> Vec<Vec<Vec<String>>> {
    prose_lines(text)
        .split(|line| !line.starts_with('|'))
        .filter(|rows| !rows.is_empty())
        .map(|rows| rows.iter().map(|row| code_words(row)).collect())
        .collect()
}

/// The levels of the headings of a text.
fn headings(text: &str) -> Vec<usize> {
    let lines = prose_lines(text).into_iter().filter(|line| line.starts_with('#'));
    lines.map(|line| line.bytes().take_while(|&b| b == b'#').count()).collect()
}

/// The targets of the links of a text.
fn link_targets(text: &str) -> Vec<&str> {
    text.split("](").skip(1).map(|piece| piece.split(')').next().unwrap_or_default()).collect()
}

/// The words sorted, so that word order within a sentence does not matter.
fn sorted<T: Ord>(mut words: Vec<T>) -> Vec<T> {
    words.sort();
    words
}

/// Lines inside code blocks with this language tag.
fn block_lines<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let mut inside = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("```"), inside) {
            (Some(opened), None) => inside = Some(opened == language),
            (Some(_), Some(_)) => inside = None,
            (None, Some(true)) => lines.push(line),
            (None, _) => {}
        }
    }
    lines
}

/// The part of docs/ENGINES.md between `<!-- NAME -->` and `<!-- end -->`.
fn part<'a>(text: &'a str, name: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("<!-- {name} -->")).unwrap_or_else(|| panic!("no part {name}"));
    rest.split_once("<!-- end -->").unwrap_or_else(|| panic!("part {name} has no end")).0
}

/// The string literals of a constant in a source file.
fn constant(source: &str, name: &str) -> BTreeSet<String> {
    let text = read(source);
    let (_, rest) =
        text.split_once(&format!("const {name}:")).unwrap_or_else(|| panic!("{source} has no {name}"));
    let (body, _) = rest.split_once("];").expect("a list ends with ];");
    let code = body.lines().map(|l| l.split("//").next().unwrap_or_default());
    let found = set(code.collect::<Vec<_>>().join("\n").split('"').skip(1).step_by(2));
    assert!(!found.is_empty(), "{source}: {name} is empty");
    found
}

/// Whether the word has the form of a path in this repository.
fn is_path(word: &str) -> bool {
    let tops = ["src/", "crates/", "native-sys/", "converter/", "api/", "cli/", "docs/", "tests/", "docker/"];
    let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b));
    let source = [".rs", ".md", ".sh"].iter().any(|e| word.ends_with(e));
    plain && (source || tops.iter().any(|top| word.starts_with(top)))
}

fn help() -> String {
    let bench = Bench::new();
    // The short help of `serve` lists the flags that users type; every key has a flag.
    let audit = ["verify", "show", "report"].map(|command| vec!["audit", command, "--help"]);
    [
        vec!["convert", "--help"],
        vec!["inspect", "--help"],
        vec!["engines", "--help"],
        vec!["engines", "check", "--help"],
        vec!["engines", "add", "--help"],
        vec!["engines", "new", "--help"],
        vec!["doctor", "--help"],
        vec!["submit", "--help"],
        vec!["serve", "-h"],
        vec!["serve", "healthcheck", "--help"],
    ]
    .iter()
    .chain(&audit)
    .map(|arguments| bench.run(arguments).succeeded().stdout)
    .collect()
}

/// Names of options, `--like-this`, in a text.
fn flags(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '-';
    let begins = text.match_indices("--").filter(|(at, _)| !text[..*at].ends_with(is_name));
    let names = begins.map(|(at, _)| {
        let rest = &text[at + 2..];
        &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())]
    });
    names.filter(|n| n.starts_with(|c: char| c.is_ascii_lowercase())).map(|n| format!("--{n}")).collect()
}

#[test]
fn options_named_exist() {
    let known = flags(&help());
    assert!(known.contains("--to") && known.contains("--max-ratio"), "{known:?}");
    let mut named = BTreeSet::new();
    for path in [
        "README.md",
        "docs/CLI.md",
        "docs/LIMITS.md",
        "docs/AUDIT.md",
        "docs/ENGINES.md",
        "docs/ARCHITECTURE.md",
        "docs/SECURITY.md",
    ] {
        let text = read(path).replace("<!--", "").replace("-->", "");
        // Other programs have options too.
        let ours: Vec<&str> = text.lines().filter(|line| !line.contains("cargo ")).collect();
        for flag in flags(&ours.join("\n")) {
            assert!(known.contains(&flag), "{path} names {flag}, which no command has");
            named.insert(flag);
        }
    }
    let missing: Vec<&String> = known.iter().filter(|f| !named.contains(*f) && *f != "--help").collect();
    assert!(missing.is_empty(), "no document names {missing:?}");
}

#[test]
fn caps_have_the_defaults_of_the_configuration() {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<String>>();
    let configuration = read("docs/CONFIGURATION.md");
    let mut checked = 0;
    for row in read("docs/LIMITS.md").lines().map(cells) {
        let [_, _, _, key, default, ..] = &row[..] else { continue };
        if key.starts_with("`limits.") {
            let line = configuration
                .lines()
                .find(|line| line.starts_with(&format!("| {key} |")))
                .unwrap_or_else(|| panic!("no key {key}"));
            assert_eq!(default, &cells(line)[4], "{key}");
            checked += 1;
        }
    }
    assert_eq!(checked, 6, "caps with a key in the table of docs/LIMITS.md");
}

#[test]
fn the_table_of_defaults_is_that_of_the_binary() {
    let json = Bench::new().run(&["engines", "--json"]).succeeded().json();
    let actual: Vec<String> = json["defaults"]
        .as_array()
        .expect("a list of defaults")
        .iter()
        .map(|row| {
            let cell = |name: &str| row[name].as_str().expect("a text").to_owned();
            format!("| `{}` | `{}` | `{}` |", cell("extension"), cell("engine"), cell("format_id"))
        })
        .collect();
    let text = read("docs/ENGINES.md");
    let documented: Vec<&str> = part(&text, "defaults")
        .lines()
        .filter(|line| line.starts_with("| `") && !line.contains("--to"))
        .collect();
    assert!(documented.len() > 20, "{documented:?}");
    assert_eq!(documented, actual);
}

#[test]
fn extensions_that_are_read_are_those_of_the_tables() {
    let text = read("docs/ENGINES.md");
    let table = "src/domain/format.rs";
    for (engine, name) in [("gdal", "GDAL_INPUTS"), ("occt", "OCCT_INPUTS"), ("assimp", "ASSIMP_INPUTS")] {
        let documented = code_words(part(&text, &format!("inputs {engine}")));
        assert_eq!(documented.into_iter().collect::<BTreeSet<_>>(), constant(table, name), "{name}");
    }
    let words: BTreeSet<String> = code_words(&text).into_iter().collect();
    for name in ["WEAK_INPUTS", "ZIP_BASED_INPUTS"] {
        let missing: Vec<String> = constant(table, name).difference(&words).cloned().collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
    }
}

#[test]
fn engine_options_are_those_of_the_sources() {
    let text = read("docs/ENGINES.md");
    // First cells of the table rows.
    let options = |name: &str| {
        let rows = part(&text, name).lines().filter_map(|line| line.strip_prefix("| `"));
        rows.flat_map(|row| code_words(&format!("`{}", row.split('|').next().unwrap_or_default())))
            .collect::<BTreeSet<String>>()
    };
    let gdal = "native-sys/src/engines/gdal/options.rs";
    let mut expected = constant(gdal, "VALUES");
    expected.extend(constant(gdal, "FLAGS"));
    expected.extend(set(["layer", "encoding", "dxf.NAME", "dsco.NAME", "lco.NAME", "oo.NAME", "cfg.NAME"]));
    assert_eq!(options("options gdal"), expected);

    assert_eq!(options("options assimp"), set(["postprocess", "origin", "prop.NAME"]));
    let steps: BTreeSet<String> = code_words(part(&text, "steps assimp")).into_iter().collect();
    assert_eq!(steps, constant("native-sys/src/engines/assimp/options.rs", "STEPS"));

    let settings: BTreeSet<String> = code_words(part(&text, "settings")).into_iter().collect();
    assert_eq!(settings, constant(gdal, "SETTINGS"));

    for (name, list) in [("oo", "OPEN_OPTIONS"), ("dsco", "DATASET_OPTIONS"), ("lco", "LAYER_OPTIONS")] {
        let told: BTreeSet<String> =
            code_words(part(&text, &format!("driver options {name}"))).into_iter().collect();
        assert_eq!(told, constant(gdal, list), "{name}");
    }

    let json = Bench::new().run(&["engines", "--json"]).succeeded().json();
    let engines = json["engines"].as_array().unwrap();
    let occt = engines.iter().find(|engine| engine["name"] == "occt").unwrap();
    let told: BTreeSet<String> = occt["options"].as_array().unwrap().iter().map(option_row).collect();
    let rows = part(&text, "options occt").lines().filter(|line| line.starts_with("| `"));
    assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), told);

    let text = read("docs/DXF.md");
    let rows = part(&text, "options dxf").lines().filter_map(|row| row.strip_prefix("| `"));
    let told: BTreeSet<String> = rows.filter_map(|row| row.split('`').next()).map(str::to_owned).collect();
    assert_eq!(told, constant("native-sys/src/engines/gdal/drawing/order.rs", "NAMES"));
}

/// An option of a plugin, as a row of a table.
fn option_row(option: &serde_json::Value) -> String {
    let text = |name: &str| option[name].as_str().unwrap_or_default().to_owned();
    let preset = option["preset"].as_str().map(|preset| format!(" (default `{preset}`)")).unwrap_or_default();
    format!("| `{}` | {}{preset}. {} |", text("name"), text("values"), text("help"))
}

#[test]
fn supported_versions_are_those_of_the_bindings() {
    let text = read("docs/ENGINES.md");
    for engine in ["gdal", "assimp"] {
        let source = read(&format!("native-sys/src/engines/{engine}/mod.rs"));
        let (_, rest) = source.split_once("const SUPPORTED: &str = \"").expect("the versions");
        let versions = rest.split('"').next().unwrap();
        let row = text.lines().find(|line| line.starts_with(&format!("| `{engine}` |"))).expect("a row");
        assert!(row.contains(versions), "{engine}: {versions}");
    }
}

#[test]
fn paths_named_exist() {
    let mut found = 0;
    for (path, text) in documents() {
        for word in code_words(&text).iter().filter(|word| is_path(word)) {
            assert!(repository().join(word).exists(), "{path} names {word}, which does not exist");
            found += 1;
        }
    }
    assert!(found > 20, "only {found} paths were found");
}

#[test]
fn links_lead_somewhere() {
    let mut found = 0;
    for (path, text) in documents().chain([("tests/fixtures/README.md", read("tests/fixtures/README.md"))]) {
        let directory = repository().join(path).parent().expect("a directory").to_owned();
        for target in link_targets(&text) {
            if target.starts_with("https://") {
                continue;
            }
            let file = target.split('#').next().unwrap_or_default();
            assert!(directory.join(file).exists(), "{path} links to {target}, which does not exist");
            found += 1;
        }
    }
    assert!(found > 10, "only {found} links were found");
}

#[test]
fn the_readme_and_its_translation_have_the_same_content() {
    let english = read("README.md");
    let korean = read("README.ko.md");
    assert!(link_targets(&english).contains(&"README.ko.md"), "README.md does not link to README.ko.md");
    assert!(link_targets(&korean).contains(&"README.md"), "README.ko.md does not link to README.md");
    // Only the link to the other language differs.
    let korean = korean.replace("](README.md)", "](README.ko.md)");

    assert!(code_blocks(&english).len() > 2, "README.md has code blocks");
    assert_eq!(code_blocks(&korean), code_blocks(&english), "code blocks");
    assert!(tables(&english).len() > 1, "README.md has tables");
    assert_eq!(tables(&korean), tables(&english), "code in the rows of the tables");
    assert!(headings(&english).len() > 4, "README.md has headings");
    assert_eq!(headings(&korean), headings(&english), "levels of the headings");
    // Word order within a sentence depends on the language.
    assert_eq!(sorted(link_targets(&korean)), sorted(link_targets(&english)), "targets of the links");
    assert_eq!(sorted(code_words(&korean)), sorted(code_words(&english)), "code in the text");
}

#[test]
fn the_readmes_fit_a_terminal() {
    // A Hangul syllable is two columns wide.
    let width = |c: char| if ('\u{ac00}'..='\u{d7a3}').contains(&c) { 2_usize } else { 1 };
    for path in ["README.md", "README.ko.md"] {
        let text = read(path);
        assert!(text.lines().count() <= 120, "{path} has {} lines", text.lines().count());
        for line in text.lines() {
            let columns: usize = line.chars().map(width).sum();
            assert!(columns <= 100, "{path} has a line of {columns} columns: {line}");
        }
    }
}

#[test]
fn every_decision_is_listed_here() {
    let mut there: Vec<String> = std::fs::read_dir(repository().join("docs/adr"))
        .expect("docs/adr")
        .map(|entry| format!("docs/adr/{}", entry.unwrap().file_name().into_string().unwrap()))
        .collect();
    there.sort();
    let listed: Vec<&str> = DOCUMENTS.iter().copied().filter(|path| path.starts_with("docs/adr/")).collect();
    assert_eq!(there, listed);
}

/// Targets of `make` in a text.
fn make_targets(text: &str) -> BTreeSet<String> {
    text.match_indices("make ")
        .filter(|(at, _)| text[..*at].ends_with('`') || text[..*at].ends_with("$ "))
        .map(|(at, _)| {
            let rest = &text[at + 5..];
            rest[..rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len())].to_owned()
        })
        .collect()
}

#[test]
fn make_targets_exist() {
    let makefile = read("Makefile");
    assert_eq!(make_targets(&read("README.md")), set(["demo", "test"]));
    let listed = make_targets(&read("docs/CLI.md"));
    let names = [
        "bench", "build", "demo", "deny", "fuzz", "graph", "images", "lint", "nightly", "page", "pictures",
        "scale", "setup", "test",
    ];
    assert_eq!(listed, set(names));
    for (path, text) in documents() {
        for target in make_targets(&text) {
            let rule = makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
            assert!(rule, "{path} names `make {target}`, which the Makefile has not");
        }
    }
}

#[test]
fn failure_codes_exist() {
    let classes = ["usage.", "input.", "format.", "limit.", "engine.", "infra.", "job."];
    let table = read("docs/FAILURES.md");
    let known: BTreeSet<&str> =
        table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(known.contains("limit.memory"), "{known:?}");
    // Configuration keys look the same.
    let configuration = read("docs/CONFIGURATION.md");
    let is_key = |word: &str| configuration.contains(&format!("`{word}`"));
    let mut named = BTreeSet::new();
    for (path, text) in documents().filter(|(path, _)| *path != "docs/FAILURES.md") {
        // The flow in docs/ARCHITECTURE.md is a block; everything else is in backticks.
        let blocks = block_lines(&text, "").join(" ");
        let words = blocks.split([' ', ',', ':']).map(str::to_owned).chain(code_words(&text));
        for word in words.filter(|w| classes.iter().any(|c| w.starts_with(c) && w.len() > c.len())) {
            let exists = match word.strip_suffix('*') {
                Some(prefix) => known.iter().any(|code| code.starts_with(prefix)),
                None => known.contains(word.as_str()),
            };
            assert!(exists || is_key(&word), "{path} names {word}, which is no failure");
            named.insert(word);
        }
    }
    assert!(named.len() > 30, "only {named:?}");
}

#[test]
fn exit_codes_are_those_of_the_failures() {
    let cell = |line: &str, n: usize| line.split('|').nth(n).map(|c| c.trim().to_owned());
    let table = read("docs/FAILURES.md");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let mut expected: BTreeSet<String> = rows.filter_map(|line| cell(line, 2)).collect();
    expected.insert("0".to_owned());
    let text = read("docs/CLI.md");
    let (_, section) = text.split_once("## Exit codes").expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let shown: BTreeSet<String> = section
        .lines()
        .filter_map(|line| cell(line, 1))
        .filter(|c| c.bytes().all(|b| b.is_ascii_digit()) && !c.is_empty())
        .collect();
    assert_eq!(shown, expected);
}

/// One command of a transcript: the command line, its output, its exit code.
struct Shown<'a> {
    command: &'a str,
    lines: Vec<&'a str>,
    exit: i32,
}

fn transcripts(text: &str) -> Vec<Shown<'_>> {
    let mut shown: Vec<Shown<'_>> = Vec::new();
    let mut asks_for_exit = false;
    for line in block_lines(text, "console") {
        match line.strip_prefix("$ ") {
            Some("echo $?") => asks_for_exit = true,
            Some(command) => shown.push(Shown { command, lines: Vec::new(), exit: 0 }),
            None => {
                let last = shown.last_mut().expect("a command before its output");
                if std::mem::take(&mut asks_for_exit) {
                    last.exit = line.parse().unwrap_or_else(|_| panic!("no exit code: {line}"));
                } else {
                    last.lines.push(line);
                }
            }
        }
    }
    shown
}

/// The line without numbers: times and sizes differ between runs.
fn masked(line: &str) -> String {
    let mut text = String::new();
    for c in line.chars() {
        let number = c.is_ascii_digit() || (c == '.' && text.ends_with('#'));
        if !number {
            text.push(c);
        } else if !text.ends_with('#') {
            text.push('#');
        }
    }
    text
}

/// Whether a shown line, in which `…` matches anything, matches this line.
fn matches(shown: &str, line: &str) -> bool {
    let (shown, line) = (masked(shown), masked(line));
    let mut pieces = shown.split('…');
    let Some(mut rest) = line.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
        last = Some(piece);
    }
    last.map_or(rest.is_empty(), |piece| rest.is_empty() || piece.is_empty())
}

#[test]
fn shown_lines_are_compared_without_their_numbers() {
    assert!(matches("done: 12 ms, 4.5 MiB", "done: 7 ms, 103 MiB"));
    assert!(matches("\"sha256\": \"…\",", "\"sha256\": \"ab12\","));
    assert!(!matches("done: 12 ms", "done: 12 ms, 1"));
    assert!(!matches("engine gdal", "engine assimp"));
}

#[test]
fn transcripts_are_real() {
    for path in ["README.md", "docs/CLI.md"] {
        let text = read(path);
        let all = transcripts(&text);
        let (ours, others): (Vec<_>, Vec<_>) = all.iter().partition(|s| s.command.starts_with("cadmill "));
        assert!(others.iter().all(|s| s.command.starts_with("make ")), "{path}: a command that nobody tests");
        let exits: BTreeSet<i32> = ours.iter().map(|s| s.exit).collect();
        assert!(exits.contains(&0) && exits.contains(&14), "{path}: {exits:?}");
        ours.into_iter().for_each(assert_transcript);
    }
}

/// Runs the command as it is shown, and compares.
fn assert_transcript(shown: &Shown<'_>) {
    let bench = Bench::new();
    // Results are written to the bench's directory, which is the current one.
    let fixture = |word: &str| match word.starts_with("tests/fixtures/") {
        true => repository().join(word).display().to_string(),
        false => word.to_owned(),
    };
    assert!(!shown.command.contains(['\'', '"', '\\']), "quoting is not understood: {}", shown.command);
    let arguments: Vec<String> = shown.command.split_whitespace().skip(1).map(fixture).collect();
    let run = bench.run(&arguments);
    assert_eq!(run.code, Some(shown.exit), "{}: {run:?}", shown.command);
    assert_output(shown, &run);
}

fn assert_output(shown: &Shown<'_>, run: &Run) {
    let actual: Vec<&str> = run.stderr.lines().chain(run.stdout.lines()).collect();
    let elided = shown.lines.iter().any(|line| line.trim() == "…");
    assert!(!shown.lines.is_empty(), "{} shows nothing", shown.command);
    let json = run.stdout.starts_with('{');
    assert!(
        elided || json || shown.lines.len() == actual.len(),
        "{} leaves out lines without saying so: {run:?}",
        shown.command
    );
    for line in shown.lines.iter().filter(|line| line.trim() != "…") {
        assert!(
            actual.iter().any(|other| matches(line, other)),
            "{} does not print {line:?}: {run:?}",
            shown.command
        );
    }
}
