//! `cadmill engines check` and `cadmill engines add`: a good library passes, and whatever is wrong with
//! another is named.

use crate::support::{Bench, Run, compile_c, repository};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The plugin of `plugin_kit.c`, compiled with a macro that makes it bad.
fn kit(with: &str) -> PathBuf {
    let name = if with.is_empty() { "good".to_owned() } else { with.to_lowercase().replace([' ', '='], "-") };
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("libkit-{name}.so"));
    let include = format!("-I{}", repository().join("native-sys/include").display());
    let define = format!("-D{with}");
    let mut arguments = vec!["-shared", "-fPIC", "-O1", "-pthread", include.as_str()];
    if !with.is_empty() {
        arguments.push(&define);
    }
    compile_c(&library, &arguments, "plugin_kit.c");
    library
}

/// A sample with as many lines as it says.
fn sample(bench: &Bench, lines: usize) -> PathBuf {
    let path = bench.path("sample.lines");
    let text: String = (0..lines).map(|number| format!("line {number}\n")).collect();
    std::fs::write(&path, format!("{lines}\n{text}")).unwrap();
    path
}

fn check(bench: &Bench, library: &Path, more: &[&str]) -> Run {
    sample(bench, 3000);
    bench.run(&[&["engines", "check", library.to_str().unwrap(), "--json"], more].concat())
}

/// With a sample, and as thoroughly as most mistakes need.
const QUICK: &[&str] = &["--sample", "sample.lines", "--damaged", "3", "--runs", "3"];
const WHOLE: &[&str] = &["--sample", "sample.lines"];

/// The texts of the findings of one check with one grade.
fn found<'a>(report: &'a Value, check: &str, grade: &str) -> Vec<&'a str> {
    let findings = report["findings"].as_array().unwrap_or_else(|| panic!("no findings: {report}"));
    let those = findings.iter().filter(|finding| finding["check"] == check && finding["grade"] == grade);
    those.map(|finding| finding["text"].as_str().unwrap()).collect()
}

#[test]
fn a_good_library_passes_every_check() {
    let bench = Bench::new();
    let report = check(&bench, &kit(""), WHOLE).succeeded().json();
    assert_eq!(report["verdict"], "passed");
    for finding in report["findings"].as_array().unwrap() {
        assert!(matches!(finding["grade"].as_str(), Some("passed" | "note")), "{finding}");
    }
    for check in [
        "library",
        "describe",
        "sample",
        "same-bytes",
        "two-processes",
        "truncated",
        "flipped",
        "outside",
        "syscalls",
        "repeat",
        "growth",
        "descriptors",
        "threads",
        "handlers",
        "progress",
        "cancel",
        "caps",
    ] {
        assert_eq!(found(&report, check, "passed").len(), 1, "{check}: {report:#}");
    }
    assert!(found(&report, "data", "note")[0].contains("/opt/kit/tables"), "{report:#}");
    assert_eq!(report["samples"][0]["facts"]["lines"], "3000");
    assert_eq!(report["suggestion"]["syscalls"], serde_json::json!([]));
}

/// The kinds in one list are checked one after the other, and the lists at the same time.
fn named(failed: &[(&str, &str, &str)]) {
    for &(with, check, said) in failed {
        let bench = Bench::new();
        let more = match with {
            "LEAKS" => WHOLE,
            // Each process asks for the description.
            "SLOW_DESCRIBE" => &[],
            _ => QUICK,
        };
        let report = self::check(&bench, &kit(with), more).failed(34, "engine.check_failed");
        assert_eq!(report["verdict"], "failed", "{with}");
        let texts = found(&report, check, "failed");
        assert!(texts.iter().any(|text| text.contains(said)), "{with}: {report:#}");
        let names = report["error"]["failed"].as_array().unwrap();
        assert!(names.iter().any(|name| name == check), "{with}: {names:?}");
        if with == "WRITES_OUTSIDE" {
            assert!(!Path::new("/tmp/kit-was-here").exists());
        }
    }
}

#[test]
fn what_is_wrong_with_a_description_is_named() {
    named(&[
        ("WRONG_ABI", "abi", "version 9"),
        ("MISSING_SYMBOL", "symbol", "cadmill_plugin_entry_v1"),
        ("CRASH_IN_DESCRIBE", "describe", "crashed"),
        ("SLOW_DESCRIBE", "describe", "takes 1.5"),
        ("DESCRIPTION_OF_THE_PROCESS", "describe", "another process"),
        ("ANOTHER_DESCRIPTION", "describe", "another answer"),
        ("SMALLER", "abi", "size of a cadmill_plugin is 16"),
        (
            "HANDLERS_WHEN_LOADED",
            "handlers",
            "while it is loaded and describes itself the handlers for SIGSEGV",
        ),
        ("HANDLERS_IN_DESCRIBE", "handlers", "the handlers for SIGFPE"),
        ("HANDLERS_IN_PREPARE", "handlers", "after prepare() the handlers for SIGABRT"),
        ("RESERVED", "description", "`reserved` of format 'out' is 7"),
        ("RELATIVE_DATA", "description", "not an absolute path"),
        ("CHOICES_OF_A_NUMBER", "description", "has choices and is of another kind"),
        ("FORGES_LINES", "description", "control characters"),
        ("ENORMOUS", "description", "which no version has"),
    ]);
}

#[test]
fn what_is_wrong_with_conversions_is_named() {
    named(&[
        ("FAILS_AND_SUCCEEDS", "sample", "called fail() and returned CADMILL_OK"),
        ("NOT_DETERMINISTIC", "same-bytes", "not deterministic"),
        ("LEAKS", "growth", "it leaks"),
        ("WRITES_OUTSIDE", "outside", "/tmp/kit-was-here"),
        ("WRITES_BESIDE", "leftovers", "work.tmp"),
        ("LEAVES_THREADS", "threads", "run on after"),
        ("KEEPS_HANDLERS", "handlers", "SEGV"),
        ("EXITS", "exit", "exited with code 0"),
        ("LIES_ABOUT_OUTPUT", "formats", "glTF"),
        ("UNWRITTEN_FORMAT", "sample", "this format is not written"),
        ("PROGRESS_BEYOND", "progress", "not from 0 to 1"),
        ("ONCE", "repeat", "crashed"),
        ("CALLS_SOCKET", "syscalls", "socket"),
        ("SILENT_LOSS", "truncated", "gave less"),
        ("LESS_THE_SECOND_TIME", "repeat", "conversion 2 of 3 in one process writes other bytes"),
        ("OTHER_FACTS", "repeat", "reports other facts"),
        ("CALLS_SYSTEM", "syscalls", "observed: clone"),
        ("HANDLERS_WHEN_IT_REFUSES", "handlers", "when a file is refused, the handlers for SIGBUS"),
        ("CHANGES_WHEN_IT_CONVERTS", "describe", "after a conversion"),
        ("LEAVES_DESCRIPTORS", "descriptors", "leaves about 1 open"),
        ("LEAVES_A_DIRECTORY", "leftovers", "parts/"),
    ]);
}

#[test]
fn what_is_wrong_with_stopping_is_named() {
    named(&[
        ("IGNORES_CANCEL", "cancel", "and does not"),
        ("CANCEL_EXITS", "exit", "exited with code 3"),
        ("CANCEL_HANGS", "cancel", "does not return"),
    ]);
}

/// What a library says of itself neither acts on the terminal nor forges a line of the report.
#[test]
fn a_report_has_no_words_that_act() {
    let bench = Bench::new();
    let library = kit("FORGES_LINES");
    sample(&bench, 30);
    let run = bench.run(&[&["engines", "check", library.to_str().unwrap()], QUICK].concat());
    assert!(!run.stdout.contains('\u{1b}'), "{}", run.stdout);
    assert!(!run.stdout.lines().any(|line| line.starts_with("passed     outside  it writes nowhere")));
}

#[test]
fn libraries_that_are_added_at_once_are_all_in_the_file() {
    let shared = Bench::new();
    let library = kit("");
    let file = shared.path("e.toml");
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (library, file) = (library.to_str().unwrap(), file.to_str().unwrap());
            scope.spawn(move || {
                let bench = Bench::new();
                sample(&bench, 30);
                let name = format!("kit-{number}");
                let add = ["engines", "add", library, "--name", &name, "--engines-file", file];
                bench.run(&[&add[..], QUICK].concat()).succeeded();
            });
        }
    });
    let text = std::fs::read_to_string(file).unwrap();
    (0..4).for_each(|number| assert!(text.contains(&format!("\"kit-{number}\"")), "{text}"));
}

/// What is not a file is neither read nor replaced.
#[test]
fn a_library_is_added_to_files_only() {
    let bench = Bench::new();
    sample(&bench, 30);
    let (pipe, link) = (bench.path("pipe"), bench.path("link"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    for (file, said) in [(&pipe, "not a regular file"), (&link, "leads nowhere")] {
        let add =
            ["engines", "add", kit("").to_str().unwrap(), "--engines-file", file.to_str().unwrap(), "--json"]
                .map(str::to_owned);
        let add: Vec<&str> = add.iter().map(String::as_str).collect();
        let failed = bench.run(&[&add[..], QUICK].concat()).failed(2, "usage.engines_file");
        assert!(failed["error"]["message"].as_str().unwrap().contains(said), "{failed}");
    }
    assert!(link.is_symlink());
}

#[test]
fn what_works_with_a_disadvantage_passes_and_is_named() {
    for (with, check, grade, said) in [
        ("PRINTS", "stdout", "warning", "prints"),
        ("PROGRESS_GOES_BACK", "progress", "warning", "go back"),
        ("LARGER", "struct-size", "note", "cadmill_format"),
        ("READS_OUTSIDE", "files", "note", "/etc/hostname"),
        ("FLAGS=0", "cancel", "passed", "ends within"),
        ("REMOVES_DIRECTORIES", "outside", "passed", "writes nowhere"),
        ("BLOCKS_SIGNALS", "outside", "passed", "writes nowhere"),
        ("CANCELS", "cancel", "passed", "ends within"),
        ("LATE", "threads", "passed", "no thread is left"),
        ("OPENS_A_PIPE", "syscalls", "warning", "pipe"),
        ("UNKNOWN_FLAGS", "description", "warning", "flags 0x100000 of format 'out'"),
        ("UNKNOWN_LEVEL", "values", "warning", "level of log()"),
        ("UNKNOWN_STAGE", "values", "warning", "stage of progress()"),
        ("GOES_ON", "values", "warning", "another result than CADMILL_CANCELLED"),
        ("LOSES_LATE", "values", "warning", "a call after the function"),
        ("LINES_IN_A_LOG", "values", "warning", "line for log()"),
        ("BAD_FACT", "values", "warning", "fact without a valid name"),
    ] {
        let bench = Bench::new();
        let report = self::check(&bench, &kit(with), QUICK).succeeded().json();
        let texts = found(&report, check, grade);
        assert!(texts.iter().any(|text| text.contains(said)), "{with}: {report:#}");
    }
}
