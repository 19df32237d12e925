//! The memory use of `cadmill` itself does not grow with the input or the output.

use crate::misbehaviour::{double, engines_file};
use crate::support::Bench;
use std::io::Write;
use zip::write::SimpleFileOptions;

/// The peak resident set of a process so far, in KiB.
fn peak_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Converts an archive of about `mebibytes` to an output of 256 MiB, and returns the process's
/// peak.
fn convert(mebibytes: usize) -> u64 {
    let bench = Bench::new();
    let input = bench.path("input.zip");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&input).unwrap());
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("input.obj", stored).unwrap();
    zip.write_all(b"large \n").unwrap();
    for part in 0..2 {
        let method = [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated][part];
        zip.start_file(format!("part{part}.bin"), stored.compression_method(method)).unwrap();
        for n in 0..mebibytes / 2 {
            zip.write_all(&vec![n as u8; 1 << 20]).unwrap();
        }
    }
    zip.finish().unwrap();
    let engines = engines_file(&bench, double(), "");
    let arguments =
        ["convert", input.to_str().unwrap(), "--to", "stl", "--engine", "double", "--max-ratio", "2000"];
    let mut command = bench.command(&arguments);
    command.arg("--engines-file").arg(engines).args(["-o", "out.stl", "--json"]);
    let mut child =
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        peak = peak_kib(child.id()).unwrap_or(0).max(peak);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert!(status.success());
    assert_eq!(std::fs::metadata(bench.path("out.stl")).unwrap().len(), (256 << 20) + 10);
    bench.assert_no_plaintext_left();
    peak
}

#[test]
fn the_parent_stays_small() {
    let (small, large) = (convert(2), convert(400));
    assert!(small > 0 && large < 64 << 10, "{small} KiB and {large} KiB");
    // The difference is allocator noise, not the 400 MiB.
    assert!(large < small + (8 << 10), "{small} KiB and {large} KiB");
}
