//! A conversion that is cancelled ends as such, at any of its steps, and leaves no output.
//!
//! The steps are found by the plugin's own progress: `native-sys/plugins/driver.c` cancels when it is so far.
//! The whole program is interrupted in the middle of a long one.

use super::{model, sample, target};
use crate::support::{Bench, compile_c, repository};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The status in the interface, which is the driver's exit code.
const CANCELLED: i32 = 4;

fn driver(bench: &Bench) -> PathBuf {
    let driver = bench.path("driver");
    let source = repository().join("native-sys/plugins/driver.c");
    compile_c(&driver, &["-std=c99", "-O1"], source.to_str().unwrap());
    driver
}

/// Cancels when the conversion is so far, and returns what the driver says of the result.
fn cancel(driver: &Path, at: f64, input: &Path, output: &Path, more: &[&str]) -> Value {
    let format = output.extension().unwrap().to_str().unwrap();
    let mut command = Command::new(driver);
    command.args(["-q", "-p", &at.to_string()]).arg(target().join("plugins/libcadmill-occt.so"));
    command.arg(input).arg(output).arg(format).args(more);
    let run = command.output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert_eq!(run.status.code(), Some(CANCELLED), "{at} of {}: {text}", input.display());
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn a_conversion_can_be_cancelled_at_every_step() {
    let bench = Bench::new();
    let driver = driver(&bench);
    let (step, iges) = (sample("step/linkrods.step"), sample("iges/hammer.iges"));
    let brep = sample("occ/Motor-c.brep");
    let fine: &[&str] = &["quality=fine"];
    for (what, at, input, format, options) in [
        ("reading STEP", 0.01, &step, "glb", fine),
        ("after reading STEP", 0.35, &step, "glb", fine),
        ("converting STEP", 0.4, &step, "glb", fine),
        ("converting IGES", 0.2, &iges, "stl", fine),
        ("reading BREP", 0.01, &brep, "glb", fine),
        ("meshing", 0.72, &brep, "glb", fine),
        ("writing GLB", 0.91, &brep, "glb", fine),
        ("writing STL", 0.91, &brep, "stl", fine),
        ("making STEP", 0.65, &brep, "step", &[]),
        ("writing STEP", 0.9, &brep, "step", &[]),
        ("making IGES", 0.65, &brep, "iges", &[]),
        ("writing IGES", 0.9, &brep, "iges", &[]),
        ("writing BREP", 0.65, &step, "brep", &[]),
    ] {
        // STEP, IGES and BREP of cadmill are called so.
        let folder = bench.path(what);
        std::fs::create_dir(&folder).unwrap();
        let result = cancel(&driver, at, input, &folder.join(format!("out.{format}")), options);
        assert_eq!(result["status"], "cancelled", "{what}: {result}");
        assert_eq!(result["scratch_left"], false, "{what}: {result}");
        let left: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
        assert!(left.is_empty(), "{what} left {left:?}");
    }
}

/// Interrupts `cadmill convert` after a while.
fn interrupt(bench: &Bench, input: &Path, output: &str, more: &[&str], after: Duration) {
    let format = output.rsplit_once('.').unwrap().1;
    let usual = ["convert", input.to_str().unwrap(), "--to", format, "-o", output];
    let mut command = bench.command(&[&usual[..], more].concat());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    let begun = Instant::now();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // The host ends an engine that does not end by itself.
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(!bench.path(output).exists());
    bench.assert_no_plaintext_left();
}

#[test]
fn an_interrupted_conversion_leaves_nothing() {
    let bench = Bench::new();
    // Meshing takes half a minute.
    let options = ["--opt", "deflection=0.001"];
    interrupt(&bench, &sample("occ/Bottom.brep"), "a.glb", &options, Duration::from_secs(2));
    // So early that most of the work lies ahead: loading, or reading.
    let input = model("cax-if/as1-oc-214.stp");
    interrupt(
        &bench,
        &input,
        "b.stl",
        &["--opt", "deflection=0.0005", "--opt", "angle=0.01"],
        Duration::from_millis(400),
    );
}

/// OpenCASCADE cannot be asked to stop while it sorts a file that it has read, so the host does.
#[test]
#[ignore = "in `make nightly`"]
fn a_large_file_can_be_cancelled_while_it_is_read() {
    let bench = Bench::new();
    let (step, brep) = (bench.path("large.step"), bench.path("large.brep"));
    super::readers::write_copies(&sample("occ/Bottom.brep"), 45, &step, &brep);
    for seconds in [3, 10, 16] {
        interrupt(&bench, &step, "a.glb", &[], Duration::from_secs(seconds));
    }
}
