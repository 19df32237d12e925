//! The example of a plugin that reads and writes DWG. `make nightly` runs this, because its library takes
//! long to compile.

use crate::support::{Bench, Run, repository};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The plugin, built where the readers of drawings are, which use the same library.
fn library() -> PathBuf {
    let target = repository().join("target/readers");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--manifest-path"])
        .arg(repository().join("native-sys/plugins/examples/dwg/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        // Lints are those of the workspace.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status()
        .expect("cargo starts");
    assert!(built.success(), "the plugin is built");
    target.join("debug/libcadmill_dwg.so")
}

/// A drawing as ezdxf reads it, compared with another: a line for each difference.
fn oracle(bench: &Bench, arguments: &[&str]) -> String {
    let output = Command::new(repository().join("target/tools/bin/python3"))
        .arg(repository().join("tests/plugins/dwg_oracle.py"))
        .args(arguments)
        .current_dir(bench.path(""))
        .output()
        .expect("Python with ezdxf; `make setup` installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn bench(library: &Path) -> Bench {
    let bench = Bench::new();
    let declared = format!("[[engine]]\nname = \"dwg\"\nkind = \"plugin\"\nlibrary = {library:?}\n");
    std::fs::write(bench.path("engines.toml"), declared).unwrap();
    oracle(&bench, &["make", "."]);
    bench
}

fn convert(bench: &Bench, input: &str, output: &str, more: &[&str]) -> Run {
    let to = Path::new(output).extension().unwrap().to_str().unwrap();
    let usual = ["convert", input, "--to", to, "-o", output, "--engine", "dwg"];
    bench.run(&[&usual[..], &["--engines-file", "engines.toml", "--json"], more].concat())
}

/// Every kind of entity that ezdxf makes, with Korean text, in every release from R2000.
#[test]
#[ignore = "in `make nightly`: compiles acadrust"]
fn drawings_come_back_from_dwg_as_they_were() {
    let bench = bench(&library());
    for release in ["R2000", "R2004", "R2007", "R2010", "R2013", "R2018"] {
        let drawing = format!("all.{release}.dxf");
        for version in ["R2010", "R2013", "R2018"] {
            let more = ["--opt", &format!("version={version}"), "--strict"];
            let there = convert(&bench, &drawing, "there.dwg", &more).succeeded().json();
            let back = convert(&bench, "there.dwg", "back.dxf", &more).succeeded().json();
            assert_eq!(there["facts"], back["facts"]);
            assert_eq!(there["facts"]["version"], json!(version));
            let header = std::fs::read(bench.path("there.dwg")).unwrap()[..6].to_vec();
            let code = [("R2010", b"AC1024"), ("R2013", b"AC1027"), ("R2018", b"AC1032")];
            assert!(code.iter().any(|(name, code)| *name == version && header == **code), "{header:?}");
            let differs = oracle(&bench, &["compare", &drawing, "back.dxf"]);
            assert_eq!(differs, "", "{release} as {version}");
        }
        convert(&bench, &drawing, "same.dxf", &["--strict"]).succeeded();
        assert_eq!(oracle(&bench, &["compare", &drawing, "same.dxf"]), "", "{release}");
    }
}

#[test]
#[ignore = "in `make nightly`: compiles acadrust"]
fn what_dwg_would_lose_is_told_or_refused() {
    let bench = bench(&library());
    for (output, losses) in [("lossy.dwg", 3), ("lossy-too.dxf", 2)] {
        let report = convert(&bench, "lossy.dxf", output, &[]).succeeded().json();
        assert_eq!(report["losses"], losses, "{report}");
        convert(&bench, "lossy.dxf", output, &["--strict"]).failed(28, "engine.incomplete");
    }
    // The oracle sees them as well, so it sees something.
    let differs = oracle(&bench, &["compare", "lossy.dxf", "lossy-too.dxf"]);
    assert!(differs.contains("fill_color") && differs.contains("extrusion"), "{differs}");
    convert(&bench, "old.dxf", "old.dwg", &[]).failed(27, "engine.unfit");
    let whole = {
        convert(&bench, "all.R2018.dxf", "all.dwg", &[]).succeeded();
        std::fs::read(bench.path("all.dwg")).unwrap()
    };
    for (name, bytes) in
        [("cut.dwg", &whole[..whole.len() / 2]), ("none.dwg", &whole[..6]), ("no.dwg", b"AC")]
    {
        std::fs::write(bench.path(name), bytes).unwrap();
        convert(&bench, name, "cut.dxf", &[]).failed(15, "engine.rejected");
    }
}
