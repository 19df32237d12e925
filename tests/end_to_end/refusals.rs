//! Bad input is reported with a code, a helpful message and an exit code, and nothing is lost.

use crate::support::{Bench, Run, real};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Converts with `--json` and `-o out.dxf`.
fn convert(bench: &Bench, input: &Path, more: &[&str]) -> Run {
    let mut arguments = vec!["convert", input.to_str().unwrap(), "--json"];
    if !more.contains(&"--to") {
        arguments.extend(["--to", "dxf"]);
    }
    if !more.contains(&"-o") {
        arguments.extend(["-o", "out.dxf"]);
    }
    arguments.extend(more);
    bench.run(&arguments)
}

fn message(json: &Value) -> &str {
    json["error"]["message"].as_str().unwrap_or_default()
}

fn countries() -> PathBuf {
    real("gis/naturalearth_lowres.zip")
}

/// A zip archive with these files.
fn archive(bench: &Bench, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let path = bench.path(name);
    let mut writer = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    for (name, content) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap();
    path
}

#[test]
fn no_such_file() {
    let bench = Bench::new();
    let json = convert(&bench, Path::new("nowhere.zip"), &[]).failed(10, "input.not_found");
    assert!(message(&json).contains("nowhere.zip"), "{json}");
}

#[test]
fn an_empty_file_a_directory_and_a_pipe() {
    let bench = Bench::new();
    std::fs::write(bench.path("empty.zip"), "").unwrap();
    convert(&bench, &bench.path("empty.zip"), &[]).failed(10, "input.empty");
    convert(&bench, &bench.path("."), &[]).failed(10, "input.not_a_file");
    let fifo = bench.path("fifo.shp");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    convert(&bench, &fifo, &[]).failed(10, "input.not_a_file");
}

#[test]
fn a_file_that_may_not_be_read() {
    // Root can read any regular file, but no user can read kernel memory.
    let bench = Bench::new();
    let run = convert(&bench, Path::new("/proc/self/mem"), &["--engine", "gdal"]);
    let json = run.json();
    assert!(["input.empty", "input.unreadable"].contains(&json["error"]["code"].as_str().unwrap()), "{json}");
}

#[test]
fn a_truncated_archive() {
    let bench = Bench::new();
    let bytes = std::fs::read(countries()).unwrap();
    for keep in [4, 1000, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(bench.path("cut.zip"), &bytes[..keep]).unwrap();
        convert(&bench, &bench.path("cut.zip"), &[]).failed(10, "input.archive.truncated");
    }
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 0xff;
    std::fs::write(bench.path("damaged.zip"), damaged).unwrap();
    // The effect of a damaged byte in a deflate stream varies; in this one the stream ends too
    // early.
    let json = convert(&bench, &bench.path("damaged.zip"), &[]).failed(10, "input.archive.size_mismatch");
    assert!(message(&json).contains("naturalearth_lowres."), "{json}");
}

#[test]
fn limits_of_the_archive() {
    let bench = Bench::new();
    let json =
        convert(&bench, &countries(), &["--max-entries", "4"]).failed(10, "input.archive.too_many_entries");
    assert_eq!((json["error"]["entries"].as_u64(), json["error"]["limit"].as_u64()), (Some(5), Some(4)));
    convert(&bench, &countries(), &["--max-entries", "5"]).succeeded();
    convert(&bench, &countries(), &["--max-expanded", "1K"]).failed(10, "input.archive.expanded_size");
    let blanks = archive(&bench, "blanks.zip", &[("blanks.csv", &vec![b' '; 65 << 20])]);
    convert(&bench, &blanks, &[]).failed(10, "input.archive.ratio");
}

#[test]
fn an_archive_that_leads_out() {
    let bench = Bench::new();
    let path = archive(&bench, "slip.zip", &[("../escaped.shp", b"x")]);
    let json = convert(&bench, &path, &[]).failed(10, "input.archive.path_escape");
    assert_eq!(json["error"]["entry"], "../escaped.shp");
}

#[test]
fn two_candidates_are_listed_and_root_chooses() {
    let bench = Bench::new();
    let input = real("gis/nested_two_layers.zip");
    let json = convert(&bench, &input, &[]).failed(10, "input.root_ambiguous");
    let candidates = json["error"]["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 2, "{json}");
    for candidate in candidates {
        let name = candidate.as_str().unwrap();
        assert!(message(&json).contains(name), "{json}");
        let json = convert(&bench, &input, &["--root", name]).succeeded().json();
        assert_eq!(json["input"]["root"], name);
    }
    let json = convert(&bench, &input, &["--root", "data/nothing.shp"]).failed(10, "input.root_missing");
    assert!(message(&json).contains("naturalearth_lowres.shp"), "{json}");
}

#[test]
fn an_archive_without_a_root() {
    let bench = Bench::new();
    let papers = archive(&bench, "papers.zip", &[("readme.txt", b"x"), ("plan.pdf", b"y")]);
    convert(&bench, &papers, &[]).failed(10, "input.root_not_found");
    let mesh = archive(&bench, "mesh.zip", &[("house.obj", b"v 0 0 0\n"), ("house.mtl", b"")]);
    let json = convert(&bench, &mesh, &[]).failed(11, "format.no_route");
    assert!(message(&json).contains("glb"), "it says what is possible: {json}");
    let empty = archive(&bench, "empty.zip", &[]);
    convert(&bench, &empty, &[]).failed(10, "input.archive.empty");
    convert(&bench, &real("gis/countries.geojson"), &["--root", "x.shp"]).failed(10, "input.root_missing");
}

#[test]
fn formats_and_engines_that_are_not_there() {
    let bench = Bench::new();
    convert(&bench, &countries(), &["--to", "dwg"]).failed(11, "format.output_unknown");
    convert(&bench, &countries(), &["--to", "dxf", "--engine", "nothing"]).failed(11, "engine.unknown");
    convert(&bench, &real("mesh/rabbit.obj"), &["--to", "dxf"]).failed(11, "format.no_route");
    std::fs::write(bench.path("part.sldprt"), "solid").unwrap();
    convert(&bench, &bench.path("part.sldprt"), &[]).failed(11, "format.input_unknown");
}

/// A driver that is not in the table is found by asking the engine.
#[test]
fn a_format_that_only_the_engine_knows() {
    let bench = Bench::new();
    let json = convert(&bench, &countries(), &["--to", "ods", "-o", "out.ods"]).succeeded().json();
    assert_eq!(json["engine"]["format_id"], "ODS");
    // This driver would run another program.
    convert(&bench, &countries(), &["--to", "GPSBabel"]).failed(11, "format.output_unknown");
}

#[test]
fn what_the_engine_refuses() {
    let bench = Bench::new();
    std::fs::write(bench.path("bad.shp"), vec![7; 5000]).unwrap();
    convert(&bench, &bench.path("bad.shp"), &[]).failed(15, "engine.rejected");
    // The engine quotes the path; the message must not contain the workspace's part of it.
    let zipped = archive(&bench, "bad.zip", &[("maps/bad.shp", &[7; 5000])]);
    let run = convert(&bench, &zipped, &[]);
    assert!(run.stdout.contains("maps/bad.shp") && !run.stdout.contains("/dev/shm"), "{run:?}");
    assert!(!run.stderr.contains("/dev/shm"), "{run:?}");
    run.failed(15, "engine.rejected");
    let json =
        convert(&bench, &real("hostile/missing_bin.gltf"), &["--to", "stl"]).failed(15, "engine.rejected");
    assert!(message(&json).contains("could not open referenced file"), "{json}");
    // The library gives no reason here; the message must still not be empty.
    convert(&bench, &real("hostile/halfdonut_trailing_byte_binary.stl"), &["--to", "glb"])
        .failed(15, "engine.rejected");
}

#[test]
fn a_file_that_needs_more_memory_than_it_may_have() {
    let bench = Bench::new();
    let json = convert(&bench, &real("hostile/OutOfMemory.off"), &["--to", "stl", "--memory", "256M"])
        .failed(12, "limit.memory");
    assert_eq!(json["error"]["limit_bytes"], 256 << 20);
}

#[test]
fn an_output_that_is_larger_than_it_may_be() {
    let bench = Bench::new();
    for (input, format) in
        [("gis/naturalearth_lowres.zip", "dxf"), ("gis/naturalearth_lowres.zip", "geojson")]
    {
        convert(&bench, &real(input), &["--to", format, "--max-output", "64K"]).failed(16, "limit.output");
    }
    convert(&bench, &real("mesh/rabbit.obj"), &["--to", "ply", "--max-output", "16K"])
        .failed(16, "limit.output");
}

#[test]
fn options_that_are_not_options() {
    let bench = Bench::new();
    let json = convert(&bench, &countries(), &["--opt", "colour=red"]).failed(2, "usage.option");
    assert!(message(&json).contains("t_srs"), "it says what there is: {json}");
    convert(&bench, &countries(), &["--opt", "sql=SELECT 1"]).failed(2, "usage.option");
    convert(&bench, &countries(), &["--opt", "lco.TEMPORARY_DIR=/tmp"]).failed(2, "usage.option");
    convert(&bench, &countries(), &["--opt", "dsco.HEADER=/etc/passwd"]).failed(2, "usage.option");
    convert(&bench, &countries(), &["--opt", "t_srs=EPSG:0"]).failed(2, "usage.option");
    convert(&bench, &real("mesh/rabbit.obj"), &["--to", "stl", "--opt", "postprocess=explode"])
        .failed(2, "usage.option");
    convert(&bench, &countries(), &["--opt", "novalue"]).failed(2, "usage.invalid");
    let long = format!("where={}", "x".repeat(60_000));
    let json = convert(&bench, &countries(), &["--opt", &long]).failed(2, "usage.option");
    assert!(message(&json).contains("16384 bytes at most"), "{json}");
}

#[test]
fn a_memory_cap_that_is_too_small() {
    let bench = Bench::new();
    let json = convert(&bench, &countries(), &["--memory", "10M"]).failed(2, "usage.memory");
    assert_eq!(json["error"]["minimum_bytes"], 64 << 20);
    assert!(message(&json).contains("10.0 MiB"), "{json}");
    convert(&bench, &countries(), &["--memory", "64M"]).succeeded();
    convert(&bench, &countries(), &["--memory", "lots"]).failed(2, "usage.invalid");
    convert(&bench, &countries(), &["--timeout", "0s"]).failed(2, "usage.invalid");
}

#[test]
fn output_directories_that_will_not_do() {
    let bench = Bench::new();
    let json = convert(&bench, &countries(), &["-o", "missing/out.dxf"]).failed(2, "usage.output_directory");
    assert!(message(&json).contains("missing"), "{json}");
    // Root can write anywhere except where the kernel provides the files.
    convert(&bench, &countries(), &["-o", "/proc/out.dxf"]).failed(2, "usage.output_not_writable");
    convert(&bench, &countries(), &["-o", "/proc/sys/out.dxf"]).failed(2, "usage.output_not_writable");
}

#[test]
fn a_failed_conversion_keeps_the_old_output() {
    let bench = Bench::new();
    std::fs::write(bench.path("out.dxf"), "precious").unwrap();
    std::fs::write(bench.path("bad.shp"), vec![7; 5000]).unwrap();
    convert(&bench, &bench.path("bad.shp"), &[]).failed(15, "engine.rejected");
    assert_eq!(std::fs::read_to_string(bench.path("out.dxf")).unwrap(), "precious");
}

#[test]
fn workspaces_on_a_disk_or_without_room() {
    let bench = Bench::new().with("CADMILL_WORKSPACE", env!("CARGO_MANIFEST_DIR"));
    let json = convert(&bench, &countries(), &[]).failed(20, "infra.workspace_unavailable");
    assert!(message(&json).contains("i-accept-plaintext-on-disk"), "{json}");
    let bench = Bench::new().with("CADMILL_WORKSPACE", "/nonexistent");
    convert(&bench, &countries(), &[]).failed(20, "infra.workspace_unavailable");
}

#[test]
fn an_engine_host_that_is_missing_or_something_else() {
    let bench = Bench::new().with("CADMILL_ENGINE_HOST", "/nonexistent/host");
    let json = convert(&bench, &countries(), &[]).failed(20, "infra.engine_host");
    assert!(message(&json).contains("/nonexistent/host"), "{json}");
    // One program whose output is not that of a host, and one without output.
    let bench = Bench::new().with("CADMILL_ENGINE_HOST", "/bin/cat");
    convert(&bench, &countries(), &[]).failed(20, "infra.engine_host");
    let bench = Bench::new().with("CADMILL_ENGINE_HOST", "/bin/true");
    convert(&bench, &countries(), &[]).failed(17, "engine.no_answer");
}

#[test]
fn engines_files_with_mistakes() {
    let bench = Bench::new();
    let file = bench.path("engines.toml");
    let file = file.to_str().unwrap();
    convert(&bench, &countries(), &["--engines-file", file]).failed(2, "usage.engines_file");
    std::fs::write(file, "[[engine]]\nname = 'x'\nkind = 'gdal'\nlibary = '/x.so'\n").unwrap();
    let json = convert(&bench, &countries(), &["--engines-file", file]).failed(2, "usage.engines_file");
    assert!(message(&json).contains("libary"), "{json}");
}

#[test]
fn the_same_failure_for_people() {
    let bench = Bench::new();
    let run = bench.run(&["convert", "nowhere.zip", "--to", "dxf"]);
    assert_eq!(run.code, Some(10));
    assert_eq!(run.stdout, "");
    assert!(run.stderr.contains("error: there is no file nowhere.zip [input.not_found]"), "{}", run.stderr);
    assert!(run.stderr.contains("hint: "), "{}", run.stderr);
}

#[test]
fn standard_output_carries_the_path_and_nothing_else() {
    let bench = Bench::new();
    let input = countries();
    let run = bench.run(&["convert", input.to_str().unwrap(), "--to", "dxf", "-o", "out.dxf"]).succeeded();
    assert_eq!(run.stdout, "out.dxf\n");
    assert!(run.stderr.contains("engine gdal: GDAL 3."), "{}", run.stderr);
    let run = bench.run(&["convert", input.to_str().unwrap(), "--to", "shp"]).succeeded();
    assert_eq!(run.stdout, "naturalearth_lowres.shp.zip\n");
}

#[test]
fn an_engine_writes_nothing_beside_a_plain_input() {
    let bench = Bench::new();
    // Without its schema file, GDAL would write the schema that it inferred beside the input.
    let gml = std::fs::File::open(real("gis/cities_gml.zip")).unwrap();
    let mut zip = zip::ZipArchive::new(gml).unwrap();
    let name = zip.file_names().map(|n| n.unwrap().into_owned()).find(|n| n.ends_with(".gml")).unwrap();
    std::fs::create_dir(bench.path("in")).unwrap();
    let mut file = std::fs::File::create(bench.path("in/cities.gml")).unwrap();
    std::io::copy(&mut zip.by_name(&name).unwrap(), &mut file).unwrap();
    convert(&bench, &bench.path("in/cities.gml"), &["--to", "geojson", "-o", "out.geojson"]).succeeded();
    assert_eq!(std::fs::read_dir(bench.path("in")).unwrap().count(), 1);
}

#[test]
fn wrong_arguments() {
    let bench = Bench::new();
    assert_eq!(bench.run(&["convert"]).code, Some(2));
    assert_eq!(bench.run(&["convrt"]).code, Some(2));
    assert_eq!(bench.run(&["--version"]).code, Some(0));
    bench.run(&["convert", "--json"]).failed(2, "usage.invalid");
}
