//! What a `cadmill convert` leaves that does not come to its end: nothing after a signal that it
//! can handle, and nothing after the next conversion otherwise.

use crate::support::{Bench, real};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Starts a conversion that takes a while, and waits until its workspace has a file.
fn start(bench: &Bench) -> Child {
    let input = bench.path("in.zip");
    std::fs::write(&input, crate::pipeline::world::large_archive(400_000)).unwrap();
    let arguments = ["convert", input.to_str().unwrap(), "--to", "geojson", "-o", "out.geojson"];
    let child = bench.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let since = Instant::now();
    while files(bench.place()) == 0 {
        assert!(since.elapsed() < Duration::from_secs(30), "nothing is unpacked");
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

/// Number of files below a directory.
fn files(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

#[test]
fn a_signal_that_can_be_handled_leaves_nothing() {
    let signals = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGTERM,
        libc::SIGALRM,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGIO,
        libc::SIGPWR,
        libc::SIGSTKFLT,
        libc::SIGTRAP,
        libc::SIGXCPU,
        libc::SIGRTMIN(),
        libc::SIGRTMAX(),
    ];
    for signal in signals {
        let bench = Bench::new();
        let mut child = start(&bench);
        let kill = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
        assert!(kill.unwrap().success(), "signal {signal}");
        let status = child.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(130), None), "signal {signal}");
        bench.assert_no_plaintext_left();
        assert!(!bench.path("out.geojson").exists(), "signal {signal}");
    }
}

/// A limit on the size of files is a failure like any other, and not the end of the process.
#[test]
fn a_limit_on_the_size_of_files_leaves_nothing() {
    let bench = Bench::new();
    let input = real("gis/naturalearth_lowres.zip");
    let cadmill = env!("CARGO_BIN_EXE_cadmill");
    let line = "ulimit -f 64; exec \"$0\" convert \"$1\" --to geojson -o out.geojson";
    let run = Command::new("bash")
        .args(["-c", line, cadmill, input.to_str().unwrap()])
        .current_dir(bench.path(""))
        .env("CADMILL_WORKSPACE", bench.place())
        .output()
        .unwrap();
    assert!(run.status.code().is_some_and(|code| code != 0), "{run:?}");
    bench.assert_no_plaintext_left();
}

/// After SIGKILL, at ten moments, the next conversion of the same user destroys what is left.
#[test]
fn the_next_conversion_destroys_what_a_killed_one_left() {
    let bench = Bench::new();
    let mut left = 0;
    for moment in 0..10 {
        let mut child = start(&bench);
        std::thread::sleep(Duration::from_millis(20 * moment));
        kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::KILL).unwrap();
        child.wait().unwrap();
        left += files(bench.place());
        let input = real("mesh/moon_ascii.stl");
        let run =
            bench.run(&["convert", input.to_str().unwrap(), "--to", "obj", "-o", "moon.obj"]).succeeded();
        assert!(run.stderr.contains("destroyed the files of 1 conversions"), "{run:?}");
        bench.assert_no_plaintext_left();
    }
    assert!(left > 0, "no kill left a file");
}

/// The workspace of a conversion that goes on stays.
#[test]
fn a_conversion_that_goes_on_is_not_disturbed() {
    let bench = Bench::new();
    let mut child = start(&bench);
    let input = real("mesh/moon_ascii.stl");
    let arguments = ["convert", input.to_str().unwrap(), "--to", "obj", "-o", "moon.obj"];
    let run = bench.command(&arguments).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    assert!(child.wait().unwrap().success());
    assert!(bench.path("out.geojson").exists());
    bench.assert_no_plaintext_left();
}
