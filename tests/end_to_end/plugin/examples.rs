//! The examples of plugins in C, C++ and Rust do what their heads say.

use super::{convert, points};
use crate::support::{Bench, repository, unique};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

#[test]
fn the_example_in_c_converts_and_tells_facts() {
    let (bench, library) = (Bench::new(), points());
    let content = "# a comment\n0 0 1.5\n\n -1e3 2 3 \n";
    let json = convert(&bench, library, ("a.xyz", content), "csv", &["--opt", "scale=2"]).succeeded().json();
    assert_eq!(std::fs::read_to_string(bench.path("result.csv")).unwrap(), "x,y,z\n0,0,3\n-2000,4,6\n");
    assert_eq!(json["facts"], json!({"points": "2"}));
    assert_eq!((&json["engine"]["library"], &json["engine"]["version"]), (&json!("points"), &json!("1.0")));
    let more = ["--opt", "header=no"];
    convert(&bench, library, ("a.xyz", content), "csv", &more).succeeded();
    assert_eq!(std::fs::read_to_string(bench.path("result.csv")).unwrap(), "0,0,1.5\n-1000,2,3\n");
    convert(&bench, library, ("a.xyz", content), "obj", &[]).succeeded();
    assert_eq!(std::fs::read_to_string(bench.path("result.obj")).unwrap(), "v 0 0 1.5\nv -1000 2 3\n");
}

#[test]
fn the_example_in_c_leaves_no_point_out() {
    for content in ["\n", "1 2\n", "1 2 3 4\n", "1 2 x\n", "nan 1 2\n", "1 2 3\n\0", "1 2 3\n\0 4 5 6\n"] {
        let bench = Bench::new();
        let json = convert(&bench, points(), ("a.xyz", content), "csv", &[]).failed(15, "engine.rejected");
        assert!(!bench.path("result.csv").exists(), "{content:?}: {json}");
    }
}

/// The example in Rust, which the workspace builds.
fn terrain() -> PathBuf {
    let library = Path::new(env!("CARGO_BIN_EXE_cadmill")).with_file_name("examples/libterrain.so");
    assert!(library.is_file(), "{} is missing: run `cargo build --workspace` first", library.display());
    library
}

#[test]
fn the_example_in_rust_converts_and_tells_what_is_missing() {
    let bench = Bench::new();
    let grid = "ncols 3\nnrows 2\nxllcorner 100\nyllcorner 0\ncellsize 10\nNODATA_value -1\n1 2 3\n4 5 -1\n";
    let json =
        convert(&bench, &terrain(), ("a.asc", grid), "obj", &["--opt", "z-scale=2"]).succeeded().json();
    assert_eq!(json["facts"], json!({"vertices": "5", "faces": "3"}));
    assert_eq!(
        (&json["losses"], &json["warnings"][0]),
        (&json!(1), &json!("holes in the mesh, from cells without data: 1"))
    );
    let text = std::fs::read_to_string(bench.path("result.obj")).unwrap();
    assert!(
        text.starts_with("v 105 15 2\nv 115 15 4\n") && text.ends_with("f 1 4 2\nf 2 4 5\nf 2 5 3\n"),
        "{text}"
    );
    convert(&bench, &terrain(), ("a.asc", grid), "obj", &["--strict"]).failed(28, "engine.incomplete");
    for (bad, exit, code) in [
        (&grid[..grid.len() - 4], 15, "engine.rejected"),
        ("ncols 3", 15, "engine.rejected"),
        ("\n", 15, "engine.rejected"),
        (
            "ncols 2\nnrows 2\nxllcorner 0\nyllcorner 0\ncellsize 1\nnodata_value 0\n0 0 0 0",
            27,
            "engine.unfit",
        ),
    ] {
        convert(&bench, &terrain(), ("b.asc", bad), "obj", &[]).failed(exit, code);
    }
}

/// The example in C++, compiled as its head says, and strictly.
fn drill() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let directory = repository().join("native-sys/plugins/examples/cpp");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libdrill.so");
        let fresh = library.with_extension(unique());
        let mut compiler = Command::new("c++");
        compiler
            .args(["-std=c++17", "-O2", "-Wall", "-Wextra", "-pedantic", "-Werror", "-shared", "-fPIC"])
            .args(["-fvisibility=hidden", "-I../../../include", "-Wl,--version-script=exports.map"])
            .args(["drill.cpp", "-o"])
            .arg(&fresh)
            .current_dir(directory);
        let output = compiler.output().expect("a C++ compiler");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Another run may be using it.
        std::fs::rename(&fresh, &library).unwrap();
        library
    })
}

const DRILLED: &str = "M48\n; made by hand\nFMAT,2\nMETRIC,LZ\nT1F200S65C0.8\nT2C1.2\n%\nG90\nG05\nT1\nX001Y-0025\n\
                       X10.5\nT2\nX0Y0G85X010\nT0\nM30\n";

#[test]
fn the_example_in_cpp_draws_holes_and_tells_what_is_missing() {
    let bench = Bench::new();
    let json = convert(&bench, drill(), ("a.drl", DRILLED), "dxf", &[]).succeeded().json();
    let text = std::fs::read_to_string(bench.path("result.dxf")).unwrap();
    let entities = [
        "CIRCLE 8 T1_800UM 10 1 20 -2.5 40 0.4",
        "CIRCLE 8 T1_800UM 10 10.5 20 -2.5 40 0.4",
        "LINE 8 T2_1200UM 10 0 20 0 11 10 21 0",
        "ENDSEC 0 EOF",
    ];
    let expected = format!("0 SECTION 2 ENTITIES 0 {}", entities.join(" 0 "));
    assert_eq!(text.split_whitespace().collect::<Vec<_>>().join(" "), expected);
    assert_eq!((&json["facts"], &json["losses"]), (&json!({"holes": "2"}), &json!(2)));
    let lost = json!(["slots drawn by the line of their middle: 1", "tools without their feed or speed: 1"]);
    assert_eq!(json["warnings"], lost);
    // A reader of others takes it.
    let inspected = bench.run(&["inspect", "result.dxf", "--json"]).succeeded().stdout;
    assert!(inspected.contains("T1_800UM") || inspected.contains("\"features\": 3"), "{inspected}");
    convert(&bench, drill(), ("a.drl", DRILLED), "dxf", &["--strict"]).failed(28, "engine.incomplete");
}

/// 1 inch is 25.4 mm; numbers without a point have 4 digits after it, and 3 in millimetres.
#[test]
fn the_example_in_cpp_knows_units_and_zeros() {
    for (head, at, x) in [
        ("INCH,LZ", "X01", "25.4"),
        ("INCH,TZ", "X10000", "25.4"),
        ("INCH,TZ", "X-1.0", "-25.4"),
        ("METRIC,TZ", "X2500", "2.5"),
        ("METRIC", "X2.5", "2.5"),
        ("METRIC\nM72", "X+1.", "25.4"),
    ] {
        let bench = Bench::new();
        let text = format!("M48\n{head}\nT1C1\n%\nT1\n{at}Y0.0\nM30\n");
        convert(&bench, drill(), ("a.drl", &text), "dxf", &[]).succeeded();
        let drawn = std::fs::read_to_string(bench.path("result.dxf")).unwrap();
        assert!(drawn.contains(&format!("\n10\n{x}\n20\n0\n")), "{head} {at}: {drawn}");
    }
    let bench = Bench::new();
    let text = "M48\nT1C0.1\n%\nT1\nX1.0Y0.0\nM30\n";
    convert(&bench, drill(), ("a.drl", text), "dxf", &[]).failed(15, "engine.rejected");
    convert(&bench, drill(), ("a.drl", text), "dxf", &["--opt", "unit=inch"]).succeeded();
    let drawn = std::fs::read_to_string(bench.path("result.dxf")).unwrap();
    assert!(drawn.contains("\n10\n25.4\n20\n0\n40\n1.27\n"), "{drawn}");
}

#[test]
fn the_example_in_cpp_leaves_no_hole_out() {
    let begin = "M48\nMETRIC,TZ\nT1C1\n%\nT1\n";
    for (rest, exit, code, said) in [
        ("X1Y1\n", 15, "engine.rejected", "no end"),
        ("X1Y1R5\nM30\n", 27, "engine.unfit", "line 6: it is not drilling"),
        ("G00X1Y1\nM30\n", 27, "engine.unfit", "line 6"),
        ("G91\nM30\n", 27, "engine.unfit", "line 6"),
        ("X1.2.3Y1\nM30\n", 27, "engine.unfit", "line 6"),
        ("X1234567Y1\nM30\n", 15, "engine.rejected", "line 6: a coordinate has too many digits"),
        ("T9\nX1Y1\nM30\n", 15, "engine.rejected", "line 7: a hole without a tool"),
        (&format!("X{}\nM30\n", "1".repeat(100_000)), 15, "engine.rejected", "line 6: it is too long"),
    ] {
        let bench = Bench::new();
        let text = format!("{begin}{rest}");
        let json = convert(&bench, drill(), ("a.drl", &text), "dxf", &[]).failed(exit, code);
        let message = json["error"]["message"].as_str().unwrap();
        assert!(message.contains(said), "{rest:?}: {message}");
    }
}
